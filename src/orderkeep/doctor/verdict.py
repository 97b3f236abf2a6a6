"""What the findings amount to: where orders are being lost, and which step the numbers ask for."""

from collections.abc import Iterable, Sequence

import msgspec

from orderkeep.doctor.findings import Finding, Place, Step
from orderkeep.doctor.look import Look
from orderkeep.doctor.losses import Losses

NOTABLE_GROWTH = 10
"""Messages by which a queue with consumers must grow between two samples to count as growing."""


class Weight(msgspec.Struct, frozen=True):
    """A step and the numbers that speak for it."""

    step: Step
    findings: int
    harming: int
    at_risk: int
    lost: int
    unproved: int

    @property
    def rank(self) -> tuple[int, int, int, int]:
        """Proven and possible losses first, then what can harm, then what rests there."""
        return (self.lost + self.unproved, self.harming, self.at_risk, self.findings)


class Growth(msgspec.Struct, frozen=True):
    """What came into queues with consumers between the samples, and what was taken out."""

    published: int
    taken: int
    waiting: int


class Verdict(msgspec.Struct, frozen=True):
    """``places`` are where orders can be lost or doubled, the fullest first."""

    harming: int
    others: int
    at_risk: int
    places: list[Place]
    growth: Growth | None
    steps: list[Weight]


def judge(look: Look, findings: Sequence[Finding], lost: Losses) -> Verdict:
    """Weigh the findings."""
    harming = [one for one in findings if one.harms]
    fullest = sorted(harming, key=lambda one: -one.at_risk)
    growth = _growth(look)
    return Verdict(
        harming=len(harming),
        others=len(findings) - len(harming),
        at_risk=_resting(harming),
        places=list(dict.fromkeys(one.place for one in fullest)),
        growth=growth,
        steps=_steps(findings, lost, growth),
    )


def _steps(findings: Sequence[Finding], lost: Losses, growth: Growth | None) -> list[Weight]:
    weights = [_weight(step, findings, lost, growth) for step in Step]
    asked = [one for one in weights if any(one.rank)]
    return sorted(asked, key=lambda one: one.rank, reverse=True)


def _weight(step: Step, findings: Sequence[Finding], lost: Losses, growth: Growth | None) -> Weight:
    own = [one for one in findings if one.step is step]
    grown = growth.waiting if growth and step is Step.RELIEVE else 0
    return Weight(
        step=step,
        findings=len(own),
        harming=sum(one.harms for one in own),
        at_risk=max(_resting(own), grown),
        lost=(lost.total or 0) if step is Step.SETTINGS else 0,
        unproved=lost.unproved if step is Step.BRIDGE else 0,
    )


def _resting(findings: Iterable[Finding]) -> int:
    """Messages in the queues named, each once; several rules may name the same queue.

    What a channel holds rests in a queue too: it counts only where no queue is named.
    """
    by_place = {one.place: one.at_risk for one in findings}
    queues = sum(count for place, count in by_place.items() if place.kind == "queue")
    return queues or sum(by_place.values())


def _growth(look: Look) -> Growth | None:
    published = taken = waiting = 0
    for queue in look.lasting:
        before = look.queues_before.get((queue.vhost, queue.name))
        if before is None or not queue.consumers:
            continue
        if queue.messages - before.messages < NOTABLE_GROWTH:
            continue
        now, then = queue.message_stats, before.message_stats
        published += now.publish - then.publish
        taken += (now.deliver_get - now.redeliver) - (then.deliver_get - then.redeliver)
        waiting += queue.messages
    return Growth(published, taken, waiting) if waiting and published > taken else None
