"""The ``Crm`` port over HTTP: tells, asks, and judges what an answer proves."""

from collections.abc import Mapping, Sequence
from typing import NoReturn
from urllib.parse import quote

from orderkeep.adapters.crm_http.answers import Reader
from orderkeep.adapters.crm_http.settings import NO_SUCH, CrmHttpSettings
from orderkeep.adapters.crm_http.shapes import body_of
from orderkeep.adapters.far_http.reading import had_no_room, reason, retry_after
from orderkeep.adapters.far_http.wire import NoReply, OverHttp, Reply
from orderkeep.bridge import sentences as say
from orderkeep.bridge.crm import (
    CrmCapabilities,
    CrmOrder,
    CrmOutcomeUnknown,
    CrmRejected,
    CrmUnavailable,
    Said,
)
from orderkeep.kernel.ids import OrderNo
from orderkeep.orders.news import News

_NOT_LET_IN = frozenset({401, 403, 407})
_NOT_THERE = frozenset({404, 405})
"""News is an upsert: what has no place for it is not set up, and refuses nothing."""
_TRY_AGAIN = frozenset({408, 425})


class CrmHttp(OverHttp):
    """The ``Crm`` port over HTTP; close it with ``aclose`` or ``async with``."""

    def __init__(self, settings: CrmHttpSettings) -> None:
        super().__init__(settings)
        self._settings = settings
        self._reader = Reader(settings)

    @property
    def capabilities(self) -> CrmCapabilities:
        return self._settings.capabilities

    async def tell(self, news: News) -> CrmOrder:
        """See ``Crm.tell``. The idempotency key is the news's id, so a repeat repeats it."""
        headers = {"Content-Type": "application/json", self._settings.idempotency_header: news.id}
        path, body = _path(self._settings.tell_path, news.order_no), body_of(news, self._settings)
        method = self._settings.tell_method
        try:
            reply = await self._wire.ask(method, path, headers=headers, body=body)
        except NoReply as error:
            _tell_fate(error)
        return self._judge(reply, news)

    async def find(self, order_no: OrderNo) -> CrmOrder | None:
        """See ``Crm.find``; an answer about another order is none."""
        if not self.capabilities.lookup:
            raise CrmUnavailable(say.CRM_WITHOUT_LOOKUP())
        reply = await self._ask(_path(self._settings.lookup_path, order_no))
        if reply.status in NO_SUCH:
            return None
        shown = self._reader.order(reply.body) if reply.status == 200 else None
        if shown is None or shown.order_no != order_no:
            raise _no_answer(reply)
        return shown

    async def commands(self, cursor: str | None) -> tuple[Sequence[Said], str | None]:
        """See ``Crm.commands``; what is no command comes back as unknown."""
        query = {} if cursor is None else {self._settings.commands_parameter: cursor}
        reply = await self._ask(self._settings.commands_path, query)
        page = self._reader.page(reply.body) if reply.status == 200 else None
        if page is None:
            raise _no_answer(reply)
        said, following = page
        return said, following if following is not None else cursor

    def _judge(self, reply: Reply, news: News) -> CrmOrder:
        """What an answer to news proves."""
        shown = self._reader.order(reply.body)
        about_it = shown is not None and shown.order_no == news.order_no
        if reply.status in self._settings.accepted_statuses and shown is not None and about_it:
            return shown
        if reply.status == 409 and shown and about_it and (shown.version or 0) >= news.version:
            return shown  # It knows something newer already.
        if had_no_room(reply):
            raise CrmUnavailable(
                say.CRM_HAS_NO_ROOM(), retry_after=retry_after(reply), status=reply.status
            )
        if reply.status in _NOT_LET_IN:
            raise CrmUnavailable(say.CRM_CREDENTIALS(), status=reply.status)
        if reply.status in _NOT_THERE:
            raise CrmUnavailable(say.CRM_NOTHING_THERE(), status=reply.status)
        if 400 <= reply.status < 500 and reply.status not in _TRY_AGAIN:
            raise _rejected(reply)
        raise CrmOutcomeUnknown(say.CRM_UNUSABLE(), status=reply.status)

    async def _ask(self, path: str, query: Mapping[str, str] | None = None) -> Reply:
        try:
            return await self._wire.ask("GET", path, query=query)
        except NoReply as error:
            raise CrmUnavailable(say.CRM_SILENT(), cause=error.cause) from error


def _path(pattern: str, order_no: str) -> str:
    return pattern.replace("{order_no}", quote(order_no, safe=""))


def _tell_fate(error: NoReply) -> NoReturn:
    if error.unsent:
        raise CrmUnavailable(say.CRM_UNREACHED(), cause=error.cause) from error
    raise CrmOutcomeUnknown(say.NO_ANSWER_BACK(), cause=error.cause) from error


def _rejected(reply: Reply) -> CrmRejected:
    why = reason(reply.body)
    told = (
        say.CRM_REFUSED_BECAUSE(status=reply.status, quote=why)
        if why
        else say.CRM_REFUSED(status=reply.status)
    )
    return CrmRejected(told, status=reply.status, reason=why)


def _no_answer(reply: Reply) -> CrmUnavailable:
    asked = retry_after(reply)
    said = say.CRM_UNUSABLE()
    return CrmUnavailable(said, retry_after=asked, status=reply.status)
