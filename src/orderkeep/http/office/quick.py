"""The two questions every open board repeats, answered before the framework; refusals stay its own.

Half of what a page costs is finding its handler. Whatever is unusual about a request, an error
included, goes the ordinary way, which answers the same.
"""

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, cast
from urllib.parse import parse_qsl

from litestar.types import ASGIApp, Receive, Scope, Send

from orderkeep.access.ports import Session
from orderkeep.board.filters import PageQuery, parse
from orderkeep.http.office.gate import COOKIE
from orderkeep.http.office.parts import Office
from orderkeep.http.office.shared import SharedReads
from orderkeep.http.office.static import SECURITY_HEADERS
from orderkeep.http.problems import Rendered
from orderkeep.http.whole import send_whole
from orderkeep.kernel.errors import OrderkeepError

PORT = "office"
"""What the numbers of this application are counted under."""

_NAME = f"{COOKIE}=".encode()
_LONGEST_COOKIES = 4096
_MAX_QUERIES, _LONGEST_KEPT = 4096, 256
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    *((name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()),
]


class Quick:
    """Answers ``GET …/board`` and ``GET …/board/counts`` of who is signed in."""

    def __init__(self, app: ASGIApp, prefix: str, office: Office, shared: SharedReads) -> None:
        self._app = app
        self._office = office
        self._shared = shared
        self._queries: dict[tuple[bytes, str], PageQuery] = {}
        self._answers: dict[str, Callable[[Session, Any], Awaitable[bytes]]] = {
            f"{prefix}/board": self._page,
            f"{prefix}/board/counts": self._counts,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = perf_counter()
        body = await self._answer(scope)
        if body is None:
            await self._app(scope, receive, send)
            return
        self._office.metrics.answered(PORT, 200, perf_counter() - begun)
        length = (b"content-length", b"%d" % len(body))
        await send_whole(
            cast("Any", scope), cast("Any", send), Rendered(200, [*_HEADERS, length], body)
        )

    async def _answer(self, scope: Any) -> bytes | None:
        if scope["type"] != "http" or scope["method"] != "GET":
            return None
        answer = self._answers.get(scope["path"])
        token = _token(scope["headers"]) if answer else None
        if answer is None or token is None:
            return None
        try:
            session = await self._office.sessions.reader(token)
            return await answer(session, scope)
        except OrderkeepError:
            return None

    async def _page(self, session: Session, scope: Any) -> bytes:
        query = self._query(scope["query_string"], session.person.login)
        return await self._shared.page(query, self._office.viewer(session))

    def _query(self, asked: bytes, login: str) -> PageQuery:
        """What an address asks for: boards ask the same again and again."""
        # Only "mine" differs from person to person; what is escaped may say so unseen.
        whose = login if b"mine" in asked or b"%" in asked else ""
        known = self._queries.get((asked, whose))
        if known is not None:
            return known
        pairs = parse_qsl(asked.decode("latin-1"), keep_blank_values=True)
        query = parse(dict(pairs), login)
        if len(self._queries) >= _MAX_QUERIES:
            self._queries.clear()
        if len(asked) <= _LONGEST_KEPT:
            self._queries[asked, whose] = query
        return query

    async def _counts(self, session: Session, _: Any) -> bytes:
        return bytes(await self._shared.counts(session.person.login))


def _token(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The session's token, if there is exactly one that can be read without thinking."""
    cookies = [value for name, value in headers if name == b"cookie"]
    if len(cookies) != 1 or len(cookies[0]) > _LONGEST_COOKIES:
        return None
    ours = [one.strip() for one in cookies[0].split(b";") if one.strip().startswith(_NAME)]
    if len(ours) != 1:
        return None
    token = ours[0][len(_NAME) :]
    return token.decode() if token.isalnum() and len(token) <= 128 else None
