"""The door, put together."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn

from litestar import Litestar, Request
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException

from orderkeep.access.keys import Quota
from orderkeep.files.upload import Files
from orderkeep.http.admission import BOUNDS, Admission
from orderkeep.http.admission import kind_of as kind_of  # noqa: PLC0414  # The door's, to others.
from orderkeep.http.door.accepting import Accepting, is_accepting
from orderkeep.http.door.accepting_at_once import AcceptingAtOnce
from orderkeep.http.door.callbacks import PREFIX
from orderkeep.http.door.guard import (
    WRONG_KEYS,
    App,
    Guard,
    Receive,
    Scope,
    Send,
)
from orderkeep.http.door.keys import FindKey, KeyRing
from orderkeep.http.door.openapi import methods_at
from orderkeep.http.door.routes import Desk, DoorWork, routes
from orderkeep.http.gate import Gate
from orderkeep.http.limits import Others
from orderkeep.http.peers import Proxies
from orderkeep.http.refusals import BadRequest, MethodNotAllowed, PageNotFound
from orderkeep.intake.accept import Intake
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.ids import Ids
from orderkeep.kernel.store import Store
from orderkeep.orders.master import OrderMaster

NO_CALLBACKS: Mapping[str, App] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """What may differ from house to house.

    ``proxies`` are those whose ``X-Forwarded-For`` is believed; ``wrong_keys`` is how many refusals
    of a key one peer gets before it is told to wait.
    """

    proxies: Proxies = field(default_factory=Proxies)
    wrong_keys: Quota = WRONG_KEYS


def build_door(  # noqa: PLR0913  # Everything passed in, by name.
    *,
    store: Store[DoorWork],
    intake: Intake,
    files: Files,
    master: OrderMaster,
    find_key: FindKey,
    clock: Clock,
    ids: Ids,
    ready: Callable[[], Awaitable[bool]],
    settings: DoorSettings | None = None,
    callbacks: Mapping[str, App] = NO_CALLBACKS,
    admission: Admission | None = None,
    others: Others | None = None,
    sheds: bool = False,
) -> App:
    """The public HTTP application (ASGI); ``admission`` is one that others look at too.

    ``others`` are doors that serve the same keys: quotas are of all together. ``sheds`` is whether
    a process of its own says no when far too many come.

    ``callbacks`` answers foreign systems that call back, by name; others find nothing there.
    """
    chosen = settings or DoorSettings()
    # Litestar types each kind of scope and message; the server's are plain dicts.
    litestar: Any = _litestar(Desk(store, files, master, ready))
    accepting = Accepting(intake)
    called = {PREFIX + name: app for name, app in callbacks.items()}

    async def inside(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_accepting(scope):
            await accepting(scope, receive, send)
        elif scope["type"] == "http" and scope["path"] in called:
            await called[scope["path"]](scope, receive, send)
        else:
            await litestar(scope, receive, send)

    guard = Guard(
        inside,
        KeyRing(find_key),
        clock,
        ids,
        proxies=chosen.proxies,
        wrong_keys=chosen.wrong_keys,
        others=others,
    )
    guard.at_once = {(b"POST", b"/v1/orders"): AcceptingAtOnce(guard, intake).take}
    admitting = admission or Admission(BOUNDS)
    guard.gate = Gate(admitting, kind_of, lambda: intake.backlog, sheds=sheds)
    return guard


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
