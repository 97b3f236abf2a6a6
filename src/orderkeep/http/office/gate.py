"""Who is asking: the session in the cookie, and that the request comes from our own pages."""

from typing import Any
from urllib.parse import urlsplit

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from orderkeep.access.ports import Session
from orderkeep.access.rights import NotAllowed
from orderkeep.access.sessions import SESSION_LASTS, NotSignedIn, Sessions

COOKIE = "orderkeep_session"
PUBLIC = "public"
_SESSION = "session"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_TOKEN = 128

AnyConnection = ASGIConnection[Any, Any, Any, Any]
AnyRequest = Request[Any, Any, Any]


def session_guard(sessions: Sessions) -> Guard:
    """Nobody gets in without a session, unless the handler says ``PUBLIC``."""

    async def guard(connection: AnyConnection, handler: BaseRouteHandler) -> None:
        if not handler.opt.get(PUBLIC):
            connection.state[_SESSION] = await sessions.session(token_of(connection))

    return guard


def session_of(request: AnyRequest) -> Session:
    """The session that the guard has found."""
    session: Session = request.state[_SESSION]
    return session


def token_of(request: AnyConnection) -> str:
    """The session's token.

    Raises:
        NotSignedIn: no cookie came.
    """
    token = request.cookies.get(COOKIE, "")
    if not token or len(token) > _MAX_TOKEN:
        raise NotSignedIn("sign in first")
    return token


async def from_our_pages(request: AnyRequest) -> None:
    """Let only our own pages change anything: no foreign page can send this header with a cookie.

    Raises:
        NotAllowed: the header is missing, or the request comes from another site.
    """
    if request.method in _SAFE:
        return
    if request.headers.get("x-requested-with") != "orderkeep":
        raise NotAllowed("send the header X-Requested-With: orderkeep", right="same-origin")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise NotAllowed("the request comes from another site", right="same-origin")


def session_cookie(token: str, *, secure: bool) -> Cookie:
    """The cookie of a new session; an empty token takes it away."""
    return Cookie(
        key=COOKIE,
        value=token,
        max_age=int(SESSION_LASTS.total_seconds()) if token else 0,
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )
