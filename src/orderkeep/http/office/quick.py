"""The two questions every open board repeats, answered before the framework; refusals stay its own.

Half of what a page costs is finding its handler. Whatever is unusual about a request, an error
included, goes the ordinary way, which answers the same.
"""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from litestar.types import ASGIApp, Receive, Scope, Send

from orderkeep.board.filters import parse
from orderkeep.http.office.gate import COOKIE
from orderkeep.http.office.parts import Office
from orderkeep.http.office.shared import SharedReads
from orderkeep.http.office.wire import encoder
from orderkeep.kernel.errors import OrderkeepError

_NAME = f"{COOKIE}=".encode()
_LONGEST_COOKIES = 4096
_HEADERS = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]


class Quick:
    """Answers ``GET …/board`` and ``GET …/board/counts`` of who is signed in."""

    def __init__(self, app: ASGIApp, prefix: str, office: Office, shared: SharedReads) -> None:
        self._app = app
        self._office = office
        self._shared = shared
        self._answers: dict[str, Callable[[Any, Scope], Awaitable[bytes]]] = {
            f"{prefix}/board": self._page,
            f"{prefix}/board/counts": self._counts,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._answer(scope)
        if body is None:
            await self._app(scope, receive, send)
            return
        headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _answer(self, scope: Any) -> bytes | None:
        if scope["type"] != "http" or scope["method"] != "GET":
            return None
        answer = self._answers.get(scope["path"])
        token = _token(scope["headers"]) if answer else None
        if answer is None or token is None:
            return None
        try:
            session = await self._office.sessions.session(token)
            return await answer(session, scope)
        except OrderkeepError:
            return None

    async def _page(self, session: Any, scope: Any) -> bytes:
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        query = parse(dict(pairs), session.person.login)
        return await self._shared.page(query, self._office.viewer(session))

    async def _counts(self, session: Any, _: Scope) -> bytes:
        return encoder.encode(await self._shared.counts(session.person.login))


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
