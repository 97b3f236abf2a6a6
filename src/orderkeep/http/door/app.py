"""The door, put together."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from litestar import Litestar, Request
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException

from orderkeep.access.keys import Quota
from orderkeep.files.upload import Files
from orderkeep.http.door.accepting import Accepting, is_accepting
from orderkeep.http.door.callbacks import PATH
from orderkeep.http.door.guard import (
    WRONG_KEYS,
    Answered,
    App,
    Guard,
    Receive,
    Scope,
    Send,
)
from orderkeep.http.door.keys import FindKey, KeyRing
from orderkeep.http.door.openapi import methods_at
from orderkeep.http.door.routes import Desk, routes
from orderkeep.http.refusals import BadRequest, MethodNotAllowed, PageNotFound
from orderkeep.intake.accept import Intake
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.ids import Ids
from orderkeep.kernel.store import Store
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.tracking import TrackingWork


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """What may differ from house to house.

    ``trusted_proxies`` names the addresses whose ``X-Forwarded-For`` is believed; ``wrong_keys``
    is how many refusals of a key one peer gets before it is told to wait.
    """

    trusted_proxies: frozenset[str] = frozenset()
    wrong_keys: Quota = WRONG_KEYS


def build_door(  # noqa: PLR0913  # Everything passed in, by name.
    *,
    store: Store[TrackingWork],
    intake: Intake,
    files: Files,
    master: OrderMaster,
    find_key: FindKey,
    clock: Clock,
    ids: Ids,
    ready: Callable[[], Awaitable[bool]],
    settings: DoorSettings | None = None,
    answered: Callable[[Answered], None] | None = None,
    callbacks: App | None = None,
) -> App:
    """The public HTTP application (ASGI); ``answered`` gets one line per request.

    ``callbacks`` answers foreign systems that call back; without it there is nothing at their path.
    """
    chosen = settings or DoorSettings()
    litestar = _litestar(Desk(store, files, master, ready))
    accepting = Accepting(intake)

    async def inside(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_accepting(scope):
            scope["path_template"] = "/v1/orders"
            await accepting(scope, receive, send)
        elif callbacks is not None and scope["type"] == "http" and scope["path"] == PATH:
            await callbacks(scope, receive, send)
        else:
            # Litestar types each kind of scope and message; the server's are plain dicts.
            await litestar(scope, receive, send)  # type: ignore[arg-type]

    return Guard(
        inside,
        KeyRing(find_key),
        clock,
        ids,
        trusted_proxies=chosen.trusted_proxies,
        wrong_keys=chosen.wrong_keys,
        answered=answered,
    )


def _litestar(desk: Desk) -> Litestar:
    return Litestar(
        route_handlers=routes(desk),
        openapi_config=None,
        logging_config=None,
        exception_handlers={Exception: _raise_on},
        request_max_body_size=None,  # Every route bounds its own body.
    )


def _raise_on(request: Request[Any, Any, Any], error: Exception) -> NoReturn:
    """Leave the answering to the guard: one place, one shape."""
    raise _in_our_words(request, error)


def _in_our_words(request: Request[Any, Any, Any], error: Exception) -> Exception:
    """Litestar's refusals told as ours: its own words may repeat what was sent."""
    if isinstance(error, NotFoundException):
        return PageNotFound("There is nothing at this address.")
    if isinstance(error, MethodNotAllowedException):
        return MethodNotAllowed(methods_at(request.scope["path"]))
    if isinstance(error, HTTPException) and error.status_code < 500:
        return BadRequest("Not a request we can understand.")
    return error
