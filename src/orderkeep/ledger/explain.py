"""Why an order is where it is: the last proof, the next one expected, and the rule likely broken.

A pure function of what is stored about one order. Codes come out, and ``ledger.words`` says them in
Russian and English; a hop is only named when something on disk shows it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from orderkeep.bridge.moves import Delivery
from orderkeep.kernel.ids import OrderNo
from orderkeep.ledger.balance import ON_THE_WAY, Class, Proof, Standing, classify
from orderkeep.orders import events as e
from orderkeep.orders.announce import PRICE_WANTED, WORK_ORDER_WANTED
from orderkeep.orders.order import DRAFT, FINAL, Delivered, Order, PriceState, Stage
from orderkeep.orders.policy import Policy
from orderkeep.orders.timers import due
from orderkeep.orders.view import mes_state, needs_person

CARRY: Final = timedelta(minutes=2)
"""How long a saved envelope may wait for the relay, or a sent one for its receiver."""
HANDLE: Final = timedelta(minutes=5)
"""How long a received envelope may wait to be handled."""

HOPS: Final = (
    "accepted",
    "kept",
    "sent",
    "received",
    "handled",
    "priced",
    "approved",
    "intent",
    "confirmed",
    "said",
)
"""The proofs of an order's way, in order: each is something on disk."""

RULES: Final = (
    "S1",  # an acknowledged order is kept
    "S3",  # at most one effect at the MES
    "S4",  # "at the MES" implies that the MES has it
    "S6",  # every order is somewhere, and something moves what is in flight
    "S9",  # the MES makes nothing that we did not ask for
    "confirm",  # delivery rule 1: done only on a confirm without a return
    "relay",  # delivery rule 1: the relay or its broker stands
    "quarantine",  # delivery rule 2: what cannot be handled is put aside with its reason
    "worker",  # delivery rule 5: a worker came back without its consumer
    "engine",  # a price question without an answer
    "away",  # the MES is away or too slow
    "refused",  # the MES said no
    "diverged",  # the MES says what cannot be
    "gave_up",  # a person stopped the delivery
    "late",  # somebody owes the next step and is late
)
"""Which rule is likely broken; the words for each are in ``ledger.words``."""


class Expected(msgspec.Struct, frozen=True, omit_defaults=True):
    """The next proof: which hop, who owes it, and until when."""

    hop: str
    owner: str
    by: datetime | None = None


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """An order's case in codes.

    ``state``: ``rest`` (over), ``fine`` (moving), ``waiting`` (for a person, in time), ``late``,
    ``stuck`` (nothing will move it without somebody) or ``missing``.
    """

    order_no: str
    state: str
    last: Proof | None = None
    next: Expected | None = None
    rule: str | None = None
    todo: Sequence[str] = ()
    class_: Class | None = msgspec.field(default=None, name="class")
    detail: str = ""
    """What the far side or the reason said, in its own words."""


@dataclass(frozen=True, slots=True)
class Carriage:
    """An envelope of an order on its way, as far as it is proven."""

    kind: str
    kept_at: datetime
    sent_at: datetime | None = None
    received_at: datetime | None = None
    handled_at: datetime | None = None
    dead_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is stored about one order.

    ``asked_at``: since when the price engine has its question. ``way``: the work order's way to the
    MES. ``finding``: what the last comparison with the MES found open, as ``kind`` and a sentence.
    """

    order_no: OrderNo
    given_out: bool
    order: Order | None = None
    history: Sequence[e.Recorded] = ()
    carriages: Sequence[Carriage] = ()
    asked_at: datetime | None = None
    way: Delivery | None = None
    finding: tuple[str, str] | None = None
    policy: Policy = field(default_factory=Policy)


def explain(facts: Facts, now: datetime) -> Explanation:
    """Explain an order, or the absence of one."""
    order = facts.order
    if order is None:
        return _missing(facts)
    class_ = classify(_standing(order, facts))
    found = _judged(facts, order, class_, now)
    return msgspec.structs.replace(found, last=last_proof(facts), class_=class_)


def _judged(facts: Facts, order: Order, class_: Class | None, now: datetime) -> Explanation:
    if facts.finding is not None:
        return _differing(facts.order_no, *facts.finding)
    if order.stage in FINAL and not needs_person(order):
        return Explanation(facts.order_no, "rest")
    if order.diverged:
        return _stuck(facts, "diverged", Expected("said", "support"), ["settle"], order.diverged)
    match class_:
        case Class.UNCERTAIN:
            return _stuck(facts, "S3", Expected("confirmed", "support"), ["decide"], _said(order))
        case Class.QUARANTINED:
            return _quarantined(facts, order)
        case Class.IN_FLIGHT:
            return _in_flight(facts, order, now)
        case None if order.stage not in DRAFT:
            return _stuck(facts, "S6", None, ["verify"])
        case _:
            return _owed(facts, order, now)


def _missing(facts: Facts) -> Explanation:
    if facts.given_out:
        return Explanation(
            facts.order_no, "missing", None, Expected("accepted", "admin"), "S1",
            ["verify", "restore", "ask_receipt"],
        )  # fmt: skip
    todo = ["check_number", "ask_receipt", "look_lost"]
    return Explanation(facts.order_no, "missing", None, Expected("accepted", "client"), None, todo)


_FOUND: Final[Mapping[str, tuple[str, list[str]]]] = {
    "missing_there": ("S4", ["reconcile", "resend"]),
    "missing_here": ("S9", ["reconcile"]),
    "differs": ("diverged", ["reconcile", "ask_mes"]),
    "stuck": ("away", ["ask_mes"]),
}


def _differing(no: str, kind: str, sentence: str) -> Explanation:
    rule, todo = _FOUND[kind]
    return Explanation(no, "stuck", None, Expected("said", "support"), rule, todo, detail=sentence)


def _quarantined(facts: Facts, order: Order) -> Explanation:
    state = order.work_order.delivered if order.work_order else None
    expected = Expected("confirmed", "support")
    match state:
        case Delivered.REJECTED:
            return _stuck(facts, "refused", expected, ["read_reason", "decide"], _said(order))
        case Delivered.DEAD:
            return _stuck(facts, "gave_up", expected, ["decide"], _said(order))
        case Delivered.DIVERGED:
            return _stuck(facts, "diverged", expected, ["settle"], _said(order))
        case _:
            return _stuck(facts, "quarantine", Expected("handled", "support"), ["dead_letters"])


def _in_flight(facts: Facts, order: Order, now: datetime) -> Explanation:
    """A process of ours has the next step: is it still on it?"""
    sending = order.work_order is not None and order.work_order.delivered in ON_THE_WAY
    moving = _at_the_bridge(facts, now) if sending else _at_the_engine(facts, now)
    if moving is not None:
        return moving
    wanted = WORK_ORDER_WANTED if sending else PRICE_WANTED
    return _carried(facts, _newest(facts.carriages, wanted), now)


def _at_the_bridge(facts: Facts, now: datetime) -> Explanation | None:
    way = facts.way
    if way is None or (way.state == Delivered.PENDING and way.next_at is None):
        return None
    expected = Expected("confirmed", "mes", way.since + facts.policy.receipt)
    if way.since + facts.policy.receipt > now:
        return Explanation(facts.order_no, "fine", None, expected)
    return _stuck(facts, "away", expected, ["look_at_mes", "pause"], way.detail or "")


def _at_the_engine(facts: Facts, now: datetime) -> Explanation | None:
    if facts.asked_at is None:
        return None
    by = facts.asked_at + facts.policy.norms[Stage.SUBMITTED]
    expected = Expected("priced", "engine", by)
    if by > now:
        return Explanation(facts.order_no, "fine", None, expected)
    return _stuck(facts, "engine", expected, ["enter_price", "look_at_engine"])


def _carried(facts: Facts, envelope: Carriage | None, now: datetime) -> Explanation:
    """Its envelope alone can move it: where is that?"""
    if envelope is None:
        return _stuck(facts, "S6", Expected("kept", "engine"), ["verify"])
    if envelope.dead_at is not None:
        return _stuck(facts, "quarantine", Expected("handled", "support"), ["dead_letters"])
    if envelope.handled_at is not None:
        return _stuck(facts, "S6", None, ["verify"])
    if envelope.received_at is not None:
        step = ("handled", envelope.received_at + HANDLE, "worker", "look_at_workers")
    elif envelope.sent_at is not None:
        step = ("received", envelope.sent_at + CARRY, "confirm", "look_at_broker")
    else:
        step = ("sent", envelope.kept_at + CARRY, "relay", "look_at_broker")
    hop, by, rule, todo = step
    expected = Expected(hop, "engine", by)
    if by > now:
        return Explanation(facts.order_no, "fine", None, expected)
    return _stuck(facts, rule, expected, [todo])


_NEXT: Final[Mapping[Stage, str]] = {
    Stage.INITIATED: "accepted",
    Stage.FILE_UPLOADED: "accepted",
    Stage.SUBMITTED: "priced",
    Stage.PRICE_CALCULATED: "approved",
}


def _owed(facts: Facts, order: Order, now: datetime) -> Explanation:
    """Somebody owes the next step; until then nothing is wrong."""
    owed = due(order, facts.policy)
    if owed is None:
        return Explanation(facts.order_no, "rest")
    hop = _NEXT.get(order.stage, "said")
    if order.price.state in {PriceState.MANUAL, PriceState.FAILED, PriceState.EXPIRED}:
        hop = "priced" if hop == "approved" else hop
    expected = Expected(hop, owed.owner, owed.at)
    if owed.at > now:
        return Explanation(facts.order_no, "waiting", None, expected)
    return Explanation(facts.order_no, "late", None, expected, "late", [_ask(owed.owner)])


def _ask(owner: str) -> str:
    """What to do about somebody who is late; foreign owners are asked through their systems."""
    return {"engine": "look_at_workers", "carrier": "ask_carrier"}.get(owner, f"ask_{owner}")


def _stuck(
    facts: Facts, rule: str, expected: Expected | None, todo: list[str], detail: str = ""
) -> Explanation:
    return Explanation(facts.order_no, "stuck", None, expected, rule, todo, detail=detail)


def _said(order: Order) -> str:
    return (order.work_order.detail or "") if order.work_order else ""


def _newest(carriages: Sequence[Carriage], kind: str) -> Carriage | None:
    return max((one for one in carriages if one.kind == kind), key=_kept_at, default=None)


def _kept_at(one: Carriage) -> datetime:
    return one.kept_at


def _standing(order: Order, facts: Facts) -> Standing:
    state = order.work_order.delivered if order.work_order else None
    wanted = WORK_ORDER_WANTED if state in ON_THE_WAY else PRICE_WANTED
    envelope = _newest(facts.carriages, wanted)
    moved = facts.asked_at is not None or (facts.way is not None and facts.way.next_at is not None)
    cancelled = [one.event for one in facts.history if isinstance(one.event, e.OrderCancelled)]
    return Standing(
        stage=order.stage,
        price_state=order.price.state,
        mes_state=mes_state(order),
        held=order.hold is not None,
        needs_person=needs_person(order) is not None,
        made=any(one.made for one in cancelled),
        parked=envelope is not None and envelope.dead_at is not None and not moved,
    )


# --- the last proof -----------------------------------------------------------------------------


def last_proof(facts: Facts) -> Proof | None:
    """The latest thing on disk that shows how far the order came; None when there is nothing."""
    proofs = [*_events(facts.history), *_envelopes(facts.carriages)]
    # Of what happened at one instant the later hop is the further one.
    return max(proofs, key=lambda proof: (proof.at, HOPS.index(proof.hop)), default=None)


def _events(history: Sequence[e.Recorded]) -> Iterator[Proof]:
    for recorded in history:
        proven = _proven(recorded)
        if proven is not None:
            hop, detail = proven
            yield Proof(recorded.at, hop, detail)


def _proven(recorded: e.Recorded) -> tuple[str, str] | None:  # One line each.
    match recorded.event:
        case e.OrderSubmitted() | e.OrderDrafted():
            return "accepted", recorded.cause.source
        case e.OrderPriced():
            return "priced", recorded.event.by
        case e.OrderApproved() | e.ReworkOrdered():
            return "approved", recorded.event.reference
        case e.DeliveryChanged(state=Delivered.SENDING):
            return "intent", recorded.event.reference
        case e.DeliveryChanged(state=Delivered.CONFIRMED | Delivered.RECEIVED):
            return "confirmed", recorded.event.mes_id or recorded.event.reference
        case e.DeliveryChanged(state=Delivered.APPLIED) | e.WordDiverged():
            return "said", recorded.event.reference
        case e.ApprovedElsewhere():
            return "said", str(recorded.stage)
        case e.WorkStarted() | e.WorkCompleted() | e.PackingStarted() | e.OrderShipped():
            return "said", str(recorded.stage)
        case _:
            return None


def _envelopes(carriages: Sequence[Carriage]) -> Iterator[Proof]:
    for one in carriages:
        yield Proof(one.kept_at, "kept", one.kind)
        if one.sent_at is not None:
            yield Proof(one.sent_at, "sent", one.kind)
        if one.received_at is not None:
            yield Proof(one.received_at, "received", one.kind)
        if one.handled_at is not None:
            yield Proof(one.handled_at, "handled", one.kind)


def to_dict(explanation: Explanation) -> dict[str, Any]:
    """As JSON shows it."""
    shown: dict[str, Any] = msgspec.to_builtins(explanation)
    return shown
