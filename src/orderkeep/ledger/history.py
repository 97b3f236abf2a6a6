"""An order's history, step by step: S5 (only legal steps, no gap) and S10 (cancel or send)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from orderkeep.ledger.evidence import Filed
from orderkeep.ledger.steps import illegal
from orderkeep.orders import events as e
from orderkeep.orders.evolve import evolve
from orderkeep.orders.order import Delivered, Order, Position

Finding = tuple[str, str]
"""A rule and what is wrong."""


@dataclass(slots=True)
class Told:
    """What a history tells beside the order it makes."""

    order: Order | None = None
    findings: list[Finding] = field(default_factory=list)
    sent: set[str] = field(default_factory=set)
    """References that an intent to send was written for."""
    files: dict[str, str | None] = field(default_factory=dict)
    """Every file the order rests on or ever rested on, with the hash it was bound to."""
    made: bool = False
    """Cancelled after work had been done."""
    submitted: e.OrderSubmitted | None = None
    accepted_at_once: bool = False
    """It came whole and under a key; a draft, or a piece that replaces another, has none."""


def walk(history: Sequence[Filed]) -> Told:
    """Walk along a history; what cannot be is noted, and the walk goes on."""
    first = history[0].recorded.event if history else None
    by_key = isinstance(first, e.OrderSubmitted) and first.origin is None
    told = Told(accepted_at_once=by_key)
    for place, filed in enumerate(history, start=1):
        told.findings += [("S5", what) for what in _misfiled(filed, place)]
        _step(told, filed)
        _remember(told, filed.recorded.event)
    return told


def _misfiled(filed: Filed, place: int) -> Iterator[str]:
    seq, kind = filed.recorded.seq, e.kind_of(filed.recorded.event)
    if seq != place:
        yield (
            f"event {place} is missing: the sequence goes on with {seq}"
            if seq > place
            else (f"event {seq} is there twice")
        )
    if filed.kind != kind:
        yield f"event {seq} is filed as {filed.kind} and says {kind}"


def _step(told: Told, filed: Filed) -> None:
    recorded, before = filed.recorded, told.order
    name = f"event {recorded.seq} ({filed.kind})"
    told.findings += _cancelled_and_sent(before, recorded, name)
    try:
        after = evolve(before, recorded)
    except ValueError:
        told.findings.append(("S5", f"{name} is not a legal step: nothing came before it"))
        return
    why = illegal(before, recorded.event, after)
    if why:
        told.findings.append(("S5", f"{name} is not a legal step: {why}"))
    if after.stage is not recorded.stage:
        what = f"{name} says it led to {recorded.stage}, but it leads to {after.stage}"
        told.findings.append(("S5", what))
    told.order = after


def _cancelled_and_sent(before: Order | None, recorded: e.Recorded, name: str) -> list[Finding]:
    event = recorded.event
    sends = isinstance(event, e.DeliveryChanged) and event.state is Delivered.SENDING
    if before is None or not sends:
        return []
    if before.cancelled_because is not None:
        return [("S10", f"{name} sends it after it was cancelled")]
    if before.cancel_request:
        return [("S10", f"{name} sends it after its cancellation was asked for")]
    return []


def _remember(told: Told, event: e.OrderEvent) -> None:
    match event:
        case e.PositionsSet():
            told.files = _files(
                event.positions
            )  # A draft's earlier files nobody has a receipt for.
        case e.OrderSubmitted():
            told.files, told.submitted = _files(event.positions), event
        case e.FileReplaced():
            told.files[event.file_id] = event.file_sha256
        case e.DeliveryChanged(state=Delivered.SENDING):
            told.sent.add(event.reference)
        case e.OrderCancelled():
            told.made = event.made


def _files(positions: Sequence[Position]) -> dict[str, str | None]:
    return {one.file_id: one.file_sha256 for one in positions if one.file_id}
