"""One order: its page, its feed, and what people do with it."""

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery

from orderkeep.access.keys import OFFICE
from orderkeep.access.ports import Session
from orderkeep.access.rights import ACTION_RIGHTS, NotAllowed, may_act, require
from orderkeep.board.actions import FLOOR_ACTIONS, order_actions
from orderkeep.board.feed import Level, feed
from orderkeep.board.rank import why
from orderkeep.files.ports import FileNotFound
from orderkeep.floor.work_order import StepRefused
from orderkeep.http.office.acts import KINDS, Act
from orderkeep.http.office.bodies import body_of
from orderkeep.http.office.gate import AnyRequest
from orderkeep.http.office.lists import json
from orderkeep.http.office.numbers import order_number
from orderkeep.http.office.pages import PageParts, event_shape, order_page
from orderkeep.http.office.parts import Office, OfficeDep, SessionDep
from orderkeep.http.office.shared import Shared
from orderkeep.http.office.wire import facts, row_shape
from orderkeep.http.refusals import bad_parameter
from orderkeep.kernel.errors import StaleOrder, Unavailable
from orderkeep.kernel.ids import FileId, OrderNo
from orderkeep.orders.commands import CancelAnyway, ReplaceFile
from orderkeep.orders.events import Cause
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.order import Order, Stage
from orderkeep.orders.refusals import TransitionRefused
from orderkeep.orders.reissue import replace_piece

FOLLOW_S = 2.0
_LOOK_S = 0.01
_LOOK_MOST_S = 0.1


class Done(msgspec.Struct, frozen=True):
    """What an action led to; ``pending`` when the order has not followed yet."""

    order_no: str
    version: int
    stage: str
    pending: bool


@get("/orders/{no:str}")
async def page(
    office: OfficeDep, shared: Shared, session: SessionDep, no: FromPath[str]
) -> Response[bytes]:
    number = order_number(no)

    def query(work: Any) -> PageParts:
        history = work.orders.history(number)
        order = rebuild(history)
        works = [*order.earlier_work_orders, *([order.work_order] if order.work_order else [])]
        ids = [one.file_id for one in order.positions if one.file_id]
        return PageParts(
            order=order,
            history=history,
            submitted=work.board.submitted(number),
            hops=work.board.hops(
                number, [one.reference for one in works], [one.at for one in history]
            ),
            files=work.files.find(ids),
            crm=work.tellings.states([number]).get(number),
        )

    parts = await office.store.read(query)
    names, now = await shared.names(), office.clock.now()
    return json(facts(**order_page(parts, names, office.viewer(session), office.policy, now)))


@get("/orders/{no:str}/feed")
async def feed_page(  # Three filters and the parts.
    office: OfficeDep,
    shared: Shared,
    no: FromPath[str],
    before: FromQuery[int | None] = None,
    level: FromQuery[str] = "business",
    failed: FromQuery[int] = 0,
) -> Response[bytes]:
    if level not in set(Level):
        raise bad_parameter("level", "unknown", f"must be one of: {', '.join(Level)}")
    number = order_number(no)
    history = await office.store.read(lambda work: work.orders.history(number))
    shown = feed(history, Level(level), failed=bool(failed), before=before)
    names = await shared.names()
    items = [event_shape(recorded, names) for recorded in shown.items]
    return json(facts(items=items, next=shown.next))


@post("/board/take-next", status_code=200)
async def take_next(office: OfficeDep, shared: Shared, session: SessionDep) -> Response[bytes]:
    require(session.person.role, "work.claim")
    if office.read_only:
        raise NotAllowed("the work is done in another system", right="work.claim")
    login, now = session.person.login, office.clock.now()
    cause = cause_of(office, session, "take-next")
    until = now + office.policy.claim
    # What it was before the claim is why it was the next.
    taken = await office.claims.claim_next(login, now, until, cause)
    shared.forget()
    if taken is None:
        return json(facts(order_no=None))
    row = await office.store.read(lambda work: work.board.row(taken))
    shape = row_shape(row, await shared.names(), office.viewer(session)) if row else None
    return json(facts(order_no=taken, row=shape, why=why(row, now) if row else []))


# --- actions ------------------------------------------------------------------------------------


async def act(
    office: Office, shared: Shared, session: Session, no: OrderNo, action: str, body: Act
) -> Done:
    """Do an action on an order as it was seen, and wait a moment for the order to follow.

    Raises:
        NotAllowed: the role may not.
        OrderNotFound, StaleOrder, TransitionRefused: with the order's facts.
    """
    order: Order = await office.store.read(lambda work: rebuild(work.orders.history(no)))
    _require_right(order, action, session)
    if body.version != order.version:
        raise StaleOrder("The order has changed since.", version=order.version, order_no=no)
    _require_here(office, session, order, action)
    cause = cause_of(office, session, action)
    version = await _do(office, session, order, action, body, cause)
    shared.forget()
    return await _followed(office, order, version)


def _require_right(order: Order, action: str, session: Session) -> None:
    person = session.person
    own = order.hold is not None and order.hold.by == f"person:{person.login}"
    if not may_act(person.role, action, own_hold=own):
        right = ACTION_RIGHTS[action]
        raise NotAllowed(f"the role {person.role} may not: {right}", right=right)


def _require_here(office: Office, session: Session, order: Order, action: str) -> None:
    """The floor knows work orders, not claims and holds: those are the order's."""
    if action not in FLOOR_ACTIONS and action != "claim":
        return
    viewer = office.viewer(session)
    if viewer.read_only:
        raise TransitionRefused(order, action, "The work is done in another system.")
    if action in FLOOR_ACTIONS and action not in order_actions(
        order, viewer, office.policy, office.clock.now()
    ):
        raise TransitionRefused(order, action, _obstacle(order, session))


def _obstacle(order: Order, session: Session) -> str:
    if order.hold:
        return "The order is held."
    if order.claim and order.claim.operator != session.person.login:
        return f"{order.claim.operator} has taken it."
    return "Not possible at this stage; take it first." if not order.claim else "Not possible now."


async def _do(  # An action and everything it may need.
    office: Office, session: Session, order: Order, action: str, body: Any, cause: Cause
) -> int | None:
    """Do it; returns the order's version if the order itself was changed, else None."""
    if action in FLOOR_ACTIONS:
        await _on_the_floor(office, session, order, action, body)
        return None
    if action == "claim":
        now = office.clock.now()
        until = now + office.policy.claim
        claimed = await office.claims.claim(order.no, session.person.login, now, until, cause)
        return claimed.seq
    if action == "delivery-decide":
        if office.decisions is None:
            raise Unavailable("Deliveries are not settled in this process.")
        settled = await office.decisions.decide(order.no, body.decision, cause, body.mes_id)
        return settled.version
    if action == "return-resolve" and body.outcome == "replace":
        return await _replace_piece(office, order, cause)
    kind = KINDS[action]
    command = (
        await _replacement(office, order, body)
        if kind.command is None
        else kind.command(body, office.settings.currency)
    )
    if isinstance(command, CancelAnyway) and office.floor is not None:
        cancelling = office.floor.cancel_anyway(
            office.master, order.no, command, cause, order.version
        )
        return (await cancelling).order.version
    handled = await office.master.handle(order.no, command, cause, order.version)
    return handled.order.version


async def _replace_piece(office: Office, order: Order, cause: Cause) -> int:
    """A return that ends in a new piece: an order of its own, in the same commit."""
    now = office.clock.now()
    handled, _ = await office.store.write(
        lambda work: replace_piece(work, office.master, order.no, cause, now, order.version)
    )
    return handled.order.version


async def _replacement(office: Office, order: Order, body: Any) -> ReplaceFile:
    file_id = FileId(body.file_id)
    file = (await office.store.read(lambda work: work.files.find([file_id]))).get(file_id)
    # Theirs or ours: a slip of the pen must not show one partner's file to another.
    if file is None or file.partner_id not in {order.partner_id, OFFICE}:
        raise FileNotFound("There is no such file.")
    return ReplaceFile(body.position, file.id, file.sha256, file.name)


async def _on_the_floor(
    office: Office, session: Session, order: Order, action: str, body: Any
) -> None:
    if office.floor is None or order.work_order is None:
        raise TransitionRefused(order, action, "There is no work order here.")
    reference = order.work_order.reference
    if order.stage is Stage.MANUFACTURING_STARTED:
        # Rework goes on in the same hands: nobody is asked to start its new work order.
        with suppress(StepRefused):
            await office.floor.act(reference, "start", session.person.login)
    await office.floor.act(
        reference,
        action,
        session.person.login,
        reason=getattr(body, "reason", None),
        tracking_no=getattr(body, "tracking_no", None),
        carrier=getattr(body, "carrier", None),
    )


async def _followed(office: Office, before: Order, version: int | None) -> Done:
    """Wait until the order has followed the floor, or say that it has not yet."""
    loop = asyncio.get_running_loop()
    ends, pause = loop.time() + FOLLOW_S, _LOOK_S
    while True:
        row = await office.store.read(lambda work: work.board.row(before.no))
        if version is not None or row.version > before.version or loop.time() >= ends:
            pending = version is None and row.version == before.version
            return Done(before.no, row.version, row.stage, pending)
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LOOK_MOST_S)


def cause_of(office: Office, session: Session, action: str) -> Cause:
    """The cause of what a person does, under a trace of its own."""
    actor = office.viewer(session).actor
    trace_id = office.ids.envelope_id(office.clock.now()).replace("-", "")
    return Cause(actor, action, "office", trace_id)


def _handler(action: str, shape: type[Act]) -> HTTPRouteHandler:
    """A route of its own for each action, so that the API's description tells each body."""

    async def handle(
        request: AnyRequest,
        office: OfficeDep,
        shared: Shared,
        session: SessionDep,
        no: FromPath[str],
    ) -> Done:
        body = await body_of(request, shape)
        return await act(office, shared, session, order_number(no), action, body)

    handle.__name__ = f"order_{action.replace('-', '_')}"
    handler: HTTPRouteHandler = post(f"/orders/{{no:str}}/{action}", status_code=200)(handle)
    return handler


HANDLERS = (
    page,
    feed_page,
    take_next,
    *(_handler(action, kind.body) for action, kind in KINDS.items()),
)
