"""The ``Mes`` port over HTTP: asks, and judges what an answer proves."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn
from urllib.parse import quote

import msgspec

from orderkeep.adapters.far_http.reading import had_no_room, reason, retry_after
from orderkeep.adapters.far_http.wire import NoReply, OverHttp, Reply
from orderkeep.adapters.mes_http.answers import Page, Reader
from orderkeep.adapters.mes_http.settings import MesHttpSettings
from orderkeep.bridge import sentences as say
from orderkeep.bridge.ports import (
    Capabilities,
    MesJob,
    MesOutcomeUnknown,
    MesRejected,
    MesUnavailable,
    NotShown,
    RecallRefused,
    WorkOrder,
)
from orderkeep.bridge.tray import Unknown
from orderkeep.kernel.ids import WorkOrderRef, order_no_of

REMEMBERED_IDS = 10_000

_NOT_LET_IN = frozenset({401, 407})
_TRY_LATER = frozenset({401, 407, 408, 425, 429})


class MesHttp(OverHttp):
    """The ``Mes`` port over HTTP; close it with ``aclose`` or ``async with``."""

    def __init__(self, settings: MesHttpSettings) -> None:
        super().__init__(settings)
        self._settings = settings
        self._reader = Reader(settings)
        # An id that comes back for a second reference is another order's: a wrong id in a 201.
        self._holders: OrderedDict[str, str] = OrderedDict()

    @property
    def capabilities(self) -> Capabilities:
        return self._settings.capabilities

    async def submit(self, work_order: WorkOrder) -> MesJob:
        """See ``Mes.submit``. The idempotency key is the reference, so a resend repeats it."""
        headers = {
            "Content-Type": "application/json",
            self._settings.idempotency_header: work_order.reference,
        }
        body = msgspec.json.encode(self._body(work_order))
        try:
            reply = await self._wire.ask(
                "POST", self._settings.submit_path, headers=headers, body=body
            )
        except NoReply as error:
            _tell_fate(error)
        return await self._judge(reply, work_order)

    async def find(self, reference: WorkOrderRef) -> Sequence[MesJob]:
        """See ``Mes.find``.

        A look-up that answers with strangers only did not look for our reference: its silence
        proves nothing, so it is no answer. Other work orders of the same order are no strangers.
        """
        if not self.capabilities.lookup:
            raise MesUnavailable(say.MES_WITHOUT_LOOKUP())
        query = {self._settings.lookup_parameter: reference}
        page = await self._page(self._settings.lookup_path, query)
        ours = [job for job in page.jobs if job.reference == reference]
        if not ours and (page.following is not None or _has_strangers(page, reference)):
            raise MesUnavailable(say.LOOKUP_OF_OTHERS())
        return ours

    async def list(self, cursor: str | None) -> tuple[Sequence[MesJob], str | None]:
        """See ``Mes.list``; jobs without a reference were not made for us and are left out."""
        if not self.capabilities.listing:
            raise MesUnavailable(say.MES_WITHOUT_LISTING())
        query = {} if cursor is None else {self._settings.cursor_parameter: cursor}
        page = await self._page(self._settings.list_path, query)
        return page.jobs, page.following

    async def changes(self, cursor: str | None) -> tuple[Sequence[MesJob | Unknown], str | None]:
        """See ``Changes.changes``; jobs without a reference were not made for us."""
        query = {} if cursor is None else {self._settings.changes_parameter: cursor}
        reply = await self._ask_about_facts("GET", self._settings.changes_path, query=query)
        page = self._reader.feed(reply.body) if reply.status == 200 else None
        if page is None:
            raise _no_answer(reply)
        said, following = page
        return said, following if following is not None else cursor

    async def recall(self, reference: WorkOrderRef) -> None:
        """See ``Mes.recall``; takes back every job under the reference, should there be several.

        A reference the MES does not show is ``NotShown``: it may show it after the visibility lag.
        """
        if not self.capabilities.recall:
            raise RecallRefused(say.MES_WITHOUT_RECALL(), reference=reference)
        jobs = await self.find(reference)
        if not jobs:
            raise NotShown(say.NOTHING_TO_RECALL())
        for job in jobs:
            if job.status not in self._settings.recalled_statuses:
                await self._recall(job)

    async def _recall(self, job: MesJob) -> None:
        path = self._settings.recall_path.replace("{id}", quote(job.mes_id, safe=""))
        reply = await self._ask_about_facts("POST", path)
        if 400 <= reply.status < 500 and reply.status not in _TRY_LATER:
            raise _kept(reply, job)
        answer = self._reader.job(reply.body) if reply.status == 200 else None
        if (
            answer is None
            or answer.reference != job.reference
            or answer.status not in self._settings.recalled_statuses
        ):
            # Done or not, the next recall finds out: it looks before it asks.
            raise MesUnavailable(say.RECALL_UNPROVEN(), status=reply.status)

    def _body(self, work_order: WorkOrder) -> dict[str, Any]:
        names = self._settings
        body = {
            names.reference_field: work_order.reference,
            names.order_no_field: work_order.order_no,
            names.positions_field: list(work_order.positions),
            names.body_sha256_field: work_order.body_sha256,
        }
        if work_order.promise_at is not None:
            body[names.promise_field] = work_order.promise_at.isoformat()
        return body

    async def _judge(self, reply: Reply, work_order: WorkOrder) -> MesJob:
        """What an answer to a submission proves."""
        if reply.status in self._settings.accepted_statuses:
            return self._accepted(reply, work_order.reference)
        if reply.status == 409 and self.capabilities.idempotency == "reference":
            return await self._already_there(reply, work_order)
        if had_no_room(reply):
            raise MesUnavailable(
                say.MES_HAS_NO_ROOM(), retry_after=retry_after(reply), status=reply.status
            )
        if reply.status in _NOT_LET_IN:
            raise MesUnavailable(say.MES_CREDENTIALS(), status=reply.status)
        if 400 <= reply.status < 500 and reply.status != 408:
            raise _rejected(reply, work_order)
        raise MesOutcomeUnknown(say.MES_UNUSABLE(), status=reply.status)

    def _accepted(self, reply: Reply, reference: WorkOrderRef) -> MesJob:
        job = self._reader.job(reply.body)
        if job is None or job.reference != reference:
            raise MesOutcomeUnknown(say.OTHER_WORK_ORDER(), status=reply.status)
        if self._holders.setdefault(job.mes_id, reference) != reference:
            # One of both was told a wrong id, and nobody knows which: told again, it is its own.
            self._holders[job.mes_id] = reference
            raise MesOutcomeUnknown(say.OTHER_JOBS_ID(), status=reply.status)
        if len(self._holders) > REMEMBERED_IDS:
            self._holders.popitem(last=False)
        return job

    async def _already_there(self, reply: Reply, work_order: WorkOrder) -> MesJob:
        """A MES that knows references by heart says 409 to a repeat: then the job is there."""
        try:
            return self._accepted(reply, work_order.reference)
        except MesOutcomeUnknown:
            jobs = await self._look(work_order.reference)
        if len(jobs) != 1:
            # A conflict about something else is a no only if the look-up could be believed now.
            raise MesOutcomeUnknown(say.MES_KNOWS_OR_NOT(), status=409)
        return jobs[0]

    async def _look(self, reference: WorkOrderRef) -> Sequence[MesJob]:
        try:
            return await self.find(reference)
        except MesUnavailable as error:
            raise MesOutcomeUnknown(say.MES_KNOWS_OR_NOT(), status=409) from error

    async def _page(self, path: str, query: Mapping[str, str]) -> "Page":
        reply = await self._ask_about_facts("GET", path, query=query)
        page = self._reader.page(reply.body) if reply.status == 200 else None
        if page is None:
            raise _no_answer(reply)
        return page

    async def _ask_about_facts(
        self, method: str, path: str, query: Mapping[str, str] | None = None
    ) -> Reply:
        try:
            return await self._wire.ask(method, path, query=query)
        except NoReply as error:
            raise MesUnavailable(say.MES_SILENT(), cause=error.cause) from error


def _no_answer(reply: Reply) -> MesUnavailable:
    said = say.MES_UNUSABLE()
    return MesUnavailable(said, retry_after=retry_after(reply), status=reply.status)


def _tell_fate(error: NoReply) -> NoReturn:
    if error.unsent:
        raise MesUnavailable(say.MES_UNREACHED(), cause=error.cause) from error
    raise MesOutcomeUnknown(say.NO_ANSWER_BACK(), cause=error.cause) from error


def _rejected(reply: Reply, work_order: WorkOrder) -> MesRejected:
    said = [p["engraving"] for p in work_order.positions if isinstance(p.get("engraving"), str)]
    why = reason(reply.body, hidden=said)
    told = (
        say.MES_REFUSED_BECAUSE(status=reply.status, quote=why)
        if why
        else say.MES_REFUSED(status=reply.status)
    )
    return MesRejected(told, reference=work_order.reference, status=reply.status, reason=why)


def _kept(reply: Reply, job: MesJob) -> RecallRefused:
    why = reason(reply.body)
    told = say.KEEPS_THE_JOB_BECAUSE(quote=why) if why else say.KEEPS_THE_JOB()
    return RecallRefused(told, reference=job.reference, status=reply.status, reason=why)


def _has_strangers(page: Page, reference: WorkOrderRef) -> bool:
    family = order_no_of(reference)
    return page.without_reference > 0 or any(order_no_of(j.reference) != family for j in page.jobs)
