"""Everything that can be said about one order from its own evidence."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from orderkeep.kernel.ids import OrderNo
from orderkeep.ledger.balance import ON_THE_WAY, Class, Movers, Standing, classify, stranded
from orderkeep.ledger.evidence import Case, Violation
from orderkeep.ledger.history import Finding, Told, walk
from orderkeep.orders.announce import PRICE_WANTED, WORK_ORDER_WANTED
from orderkeep.orders.events import OrderSubmitted
from orderkeep.orders.order import ARRIVED, DRAFT, Delivered, Order, Position, Stage
from orderkeep.orders.policy import Policy
from orderkeep.orders.view import BoardRow, board_row, mes_state, needs_person

_SENT = ARRIVED | {Delivered.SENDING, Delivered.UNCERTAIN}
_COMPARED = tuple(name for name in BoardRow.__struct_fields__ if name != "timer_at")


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one order's check.

    ``claims`` are references the MES must have; ``sent`` those it may have; ``asked`` all that
    the order ever asked for; ``dropped`` were not sent and never will be.
    ``files`` maps file ids to the hashes they were bound to.
    """

    order_no: OrderNo
    violations: Sequence[Violation]
    events: int
    class_: Class | None
    there: bool
    files: Mapping[str, str | None]
    claims: frozenset[str]
    sent: frozenset[str]
    asked: frozenset[str]
    dropped: frozenset[str]


def check(case: Case, policy: Policy) -> Checked:
    """Check one order against everything the tables hold about it."""
    told = walk(case.history)
    order = told.order
    standing = _standing(case, told) if order else None
    class_ = classify(standing) if standing and order and order.body_sha256 else None
    findings = [
        *(("S5", sentence) for sentence in case.unreadable),
        *_presence(case, told),
        *told.findings,
        *(_whole(case, told, order, standing, class_, policy) if order else ()),
    ]
    return Checked(
        order_no=case.order_no,
        violations=[Violation(rule, case.order_no, what) for rule, what in findings],
        events=len(case.history),
        class_=class_,
        there=case.there,
        files=told.files,
        claims=_claims(order),
        sent=frozenset(told.sent),
        asked=_references(order),
        dropped=_dropped(order, told.sent),
    )


def spoilt(case: Case, violation: Violation) -> Checked:
    """The result for an order whose evidence could not even be read."""
    none: frozenset[str] = frozenset()
    return Checked(
        order_no=case.order_no,
        violations=[violation],
        events=len(case.history),
        there=case.there,
        class_=None,
        files={},
        claims=none,
        sent=none,
        asked=none,
        dropped=none,
    )


def _whole(
    case: Case,
    told: Told,
    order: Order,
    standing: Standing | None,
    class_: Class | None,
    policy: Policy,
) -> Iterator[Finding]:
    """What can be compared once the order could be rebuilt."""
    if case.row is not None:
        yield from _row(case, case.row, order, policy)
    if told.submitted is not None:
        yield from _payload(case, told.submitted, order)
    if standing is not None and order.stage not in DRAFT:
        yield from _rests(case, order, standing, class_)
    yield from _ways(case, order)
    yield from _sent_though_cancelled(case, told, order)


# --- S1 -----------------------------------------------------------------------------------------


def _presence(case: Case, told: Told) -> Iterator[Finding]:
    if not case.there:
        left = "its events still are" if case.history else "nor is any of its events"
        yield "S1", f"the order is not there; {left}"
    elif not case.history and not case.unreadable:
        yield "S1", "it has no events"
    if told.submitted is not None and case.body is None:
        yield "S1", "what was submitted is not there"
    if told.accepted_at_once and not case.has_key:
        yield "S1", "no idempotency key leads to it"


# --- S5 -----------------------------------------------------------------------------------------


def _row(case: Case, row: BoardRow, order: Order, policy: Policy) -> Iterator[Finding]:
    """The row that every list shows is exactly what the events make.

    ``timer_at`` depends on rules that may have been set anew since; only its presence is compared.
    """
    due = board_row(order, policy, case.history[-1].recorded.at)
    for name in _COMPARED:
        said, made = getattr(row, name), getattr(due, name)
        if said != made:
            yield "S5", f"the list says {name} is {_shown(said)}, its events make {_shown(made)}"
    if (row.timer_at is None) is not (due.timer_at is None):
        yield "S5", f"the list says timer_at is {_shown(row.timer_at)}: nobody will look in time"
    strangers = {filed.partner_id for filed in case.history} - {order.partner_id}
    if strangers:
        yield "S5", "its events are filed under another partner"


def _shown(value: Any) -> str:
    return "empty" if value is None else str(value)


# --- S7 -----------------------------------------------------------------------------------------


def _payload(case: Case, submitted: OrderSubmitted, order: Order) -> Iterator[Finding]:
    if case.body is not None:
        if sha256(case.body).hexdigest() != submitted.body_sha256:
            yield "S7", "the submission is not what the receipt was given for"
        elif submitted.origin is None and not _same_positions(case.body, submitted.positions):
            # A piece that replaces another is made as that one was: its file may have changed.
            yield "S7", "its positions are not those of the submission"
    current = order.work_order.reference if order.work_order else None
    wanted = [msgspec.to_builtins(position) for position in order.positions]
    for job in case.jobs:
        if job.body_sha256 != submitted.body_sha256:
            yield "S7", f"work order {job.reference} on the floor is for another submission"
        if job.reference == current and list(job.positions) != wanted:
            yield "S7", f"work order {job.reference} on the floor has other positions"


class _Item(msgspec.Struct, frozen=True):
    quantity: int
    file_id: str | None = None
    sku: str | None = None
    material: str | None = None
    engraving: str | None = None


class _Body(msgspec.Struct, frozen=True):
    items: list[_Item]


_body = msgspec.json.Decoder(_Body)


def _same_positions(body: bytes, positions: Sequence[Position]) -> bool:
    """Whether the first event has the lines the client sent; a body of another shape has none."""
    try:
        items = _body.decode(body).items
    except msgspec.DecodeError:
        return True
    return items == [
        _Item(one.quantity, one.file_id, one.sku, one.material, one.engraving) for one in positions
    ]


# --- S6 -----------------------------------------------------------------------------------------


def _standing(case: Case, told: Told) -> Standing | None:
    order = told.order
    if order is None:
        return None
    state = order.work_order.delivered if order.work_order else None
    wanted = WORK_ORDER_WANTED if state in ON_THE_WAY else PRICE_WANTED
    return Standing(
        stage=order.stage,
        price_state=order.price.state,
        mes_state=mes_state(order),
        held=order.hold is not None,
        needs_person=needs_person(order) is not None,
        made=told.made,
        parked=wanted in case.parked and _nothing_left(case, order),
    )


def _nothing_left(case: Case, order: Order) -> bool:
    """Whether a dead letter is all that is left of the order's next step."""
    return not (_asked(case, order) or _on_its_way(case, order))


def _rests(case: Case, order: Order, standing: Standing, class_: Class | None) -> Iterator[Finding]:
    """Every accepted order is somewhere, and something moves what is in flight."""
    if class_ is None:
        yield "S6", f"it rests nowhere: {order.stage}, price {order.price.state}"
    if class_ is not Class.IN_FLIGHT:
        return
    movers = Movers(_asked(case, order), _on_its_way(case, order), case.travelling)
    why = stranded(standing, movers)
    if why:
        yield "S6", f"it rests nowhere: {why}"


def _asked(case: Case, order: Order) -> bool:
    return order.price.version in case.questions


def _on_its_way(case: Case, order: Order) -> bool:
    way = _current_way(case, order)
    return way is not None and (way.due or way.state == Delivered.SENDING)


def _current_way(case: Case, order: Order) -> Any:
    reference = order.work_order.reference if order.work_order else None
    return next((way for way in case.ways if way.reference == reference), None)


def _ways(case: Case, order: Order) -> Iterator[Finding]:
    """The bridge's rows say what the order says, in the same commit."""
    known = _references(order)
    for way in case.ways:
        if way.reference not in known:
            yield "S6", f"the bridge carries {way.reference}, which the order never asked for"
    work, way = order.work_order, _current_way(case, order)
    if work is None:
        return
    if way is not None and way.state != work.delivered:
        yield "S6", f"the bridge says {work.reference} is {way.state}, the order {work.delivered}"
    unmoved = {Delivered.PENDING, Delivered.RECALLED}
    parked = WORK_ORDER_WANTED in case.parked
    if way is None and work.delivered not in unmoved and not parked:
        yield "S6", f"{work.reference} is {work.delivered}, but the bridge has no row for it"


# --- S10, and what the MES is asked -------------------------------------------------------------


def _sent_though_cancelled(case: Case, told: Told, order: Order) -> Iterator[Finding]:
    if order.stage is not Stage.CANCELLED:
        return
    for way in case.ways:
        if way.reference not in told.sent and way.state in _SENT:
            yield "S10", f"cancelled before sending, but the bridge says {way.state}"
    for job in case.jobs:
        if job.reference not in told.sent:
            yield "S10", f"cancelled before sending, but {job.reference} is on the floor"


def _claims(order: Order | None) -> frozenset[str]:
    work = order.work_order if order else None
    return frozenset({work.reference} if work and work.delivered in ARRIVED else ())


def _dropped(order: Order | None, sent: AbstractSet[str]) -> frozenset[str]:
    cancelled = order is not None and order.stage is Stage.CANCELLED
    return _references(order) - sent if cancelled else frozenset()


def _references(order: Order | None) -> frozenset[str]:
    if order is None:
        return frozenset()
    current = (order.work_order,) if order.work_order else ()
    return frozenset(work.reference for work in (*order.earlier_work_orders, *current))
