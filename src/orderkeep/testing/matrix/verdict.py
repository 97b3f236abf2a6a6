"""What became of every order with a receipt, told by the MES's journal and by the receipts."""

from collections import Counter
from collections.abc import Mapping

import msgspec

from orderkeep.testing.shop import ARRIVED


class Shown(msgspec.Struct, frozen=True):
    """What a partner is shown of an order."""

    stage: str
    state: str | None
    """How far it is on its way to the MES."""
    body_sha256: str | None = None
    being_cancelled: bool = False
    """Its partner has called it off, and has no answer yet."""


class Made(msgspec.Struct, frozen=True):
    """What the MES did, by its own journal."""

    created: Counter[str]
    recalled: Counter[str] = Counter()
    bodies: Mapping[str, str] = {}
    """The hash of the submission that each work order was made for."""


class Verdict(msgspec.Struct):
    """The count of every way to break the promise, and of the orders a person has to decide on."""

    orders: int = 0
    lost: int = 0
    """With a receipt, and now unknown to us."""
    doubled: int = 0
    """Made again, beyond the first time."""
    false: int = 0
    """Said to be at the MES, which has not made it."""
    ghosts: int = 0
    """Made without a receipt, or made and called off."""
    stuck: int = 0
    """Still on its way when everything had been well for long."""
    changed: int = 0
    """Made for another body than the one that was acknowledged."""
    uncertain: int = 0
    """Shown as uncertain: a person decides."""
    wrong: list[str] = []
    """Whatever else broke, in words."""

    @property
    def broken(self) -> bool:
        """Whether the promise was."""
        bad = (self.lost, self.doubled, self.false, self.ghosts, self.stuck, self.changed)
        return any(bad) or bool(self.wrong)


def judge(
    receipts: Mapping[str, str],
    shown: Mapping[str, Shown | None],
    made: Made,
    *,
    may_be_uncertain: bool = False,
) -> Verdict:
    """Count what became of each order; ``receipts`` and ``shown`` are by the partner's reference.

    ``may_be_uncertain``: the MES cannot be asked, so what may be there waits for a person.
    """
    verdict = Verdict(orders=len(receipts))
    known = set(receipts.values())
    if len(known) < len(receipts):
        verdict.wrong.append("one number for two orders")
    for ref, number in receipts.items():
        _count(verdict, number, shown.get(ref), made, may_be_uncertain=may_be_uncertain)
    verdict.doubled = sum(times - 1 for times in made.created.values() if times > 1)
    verdict.ghosts += sum(1 for ref in made.created if ref.partition("/")[0] not in known)
    return verdict


def _count(
    verdict: Verdict, number: str, shown: Shown | None, made: Made, *, may_be_uncertain: bool
) -> None:
    there = made.created[number] - made.recalled[number] > 0
    if shown is None:
        verdict.lost += 1
    elif shown.stage == "CANCELLED":
        verdict.ghosts += there
    elif shown.being_cancelled:
        verdict.stuck += 1
    elif shown.state in ARRIVED:
        verdict.false += not there
        verdict.changed += made.bodies.get(number, shown.body_sha256) != shown.body_sha256
    elif shown.state == "uncertain":
        verdict.uncertain += 1
        verdict.stuck += not may_be_uncertain
    else:
        verdict.stuck += 1
        verdict.wrong.append(f"{number} waits: {shown.stage}, {shown.state}")
