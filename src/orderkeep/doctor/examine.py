"""From a snapshot to a report: every rule is asked, nothing is left out."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from orderkeep.doctor.findings import Effect, Finding, Hit, Place, Severity
from orderkeep.doctor.look import Look
from orderkeep.doctor.losses import Losses, losses
from orderkeep.doctor.rulebook import RULES, Rule
from orderkeep.doctor.snapshot import Snapshot, Unseen
from orderkeep.doctor.verdict import Verdict, judge
from orderkeep.doctor.words import LANGUAGES

TIMEOUT_IN_POLICIES_SINCE = (3, 12)
_ORDER = list(Severity)


class Report(msgspec.Struct, frozen=True):
    """What the doctor answers with; ``hidden`` are keys of what no reply of this broker shows."""

    cluster: str
    version: str
    language: str
    seconds: float
    queues: int
    verdict: Verdict
    lost: Losses
    findings: list[Finding]
    unseen: list[Unseen]
    hidden: list[str]
    asked: list[int]
    """Numbers of the rules that were asked; of the others nothing is known."""

    @property
    def harmful(self) -> bool:
        """Whether any finding loses or doubles orders."""
        return any(one.harms for one in self.findings)


def examine(snapshot: Snapshot, language: str = "en") -> Report:
    """Ask every rule and weigh the answers; ``language`` is ``en`` or ``ru``."""
    look = Look(snapshot)
    asked = [rule for rule in RULES if snapshot.asked is None or rule.number in snapshot.asked]
    hits = [(rule, hit) for rule in asked for hit in rule.find(look)]
    policies = _policies(look, [hit for _, hit in hits])
    findings = [_finding(rule, hit, policies, language) for rule, hit in hits]
    findings.sort(key=lambda one: (_ORDER.index(one.severity), one.rule, -one.at_risk))
    lost = losses(look)
    return Report(
        cluster=look.now.overview.cluster_name,
        version=look.now.overview.rabbitmq_version,
        language=language,
        seconds=round(look.seconds, 1),
        queues=len(look.now.queues),
        verdict=judge(look, findings, lost),
        lost=lost,
        findings=findings,
        unseen=_unseen(snapshot),
        hidden=_hidden(look),
        asked=[rule.number for rule in asked],
    )


def _policies(look: Look, hits: Sequence[Hit]) -> Mapping[Place, str]:
    """One command for each queue with all that the rules want of its policy.

    Two commands for one queue would undo each other: only one policy applies.
    """
    wanted: dict[Place, dict[str, Any]] = defaultdict(dict)
    for hit in hits:
        if hit.policy:
            wanted[hit.place].update(hit.policy)
    return {
        place: look.policy_fix(look.queues[place.vhost or "/", place.name], keys)
        for place, keys in wanted.items()
    }


def _finding(rule: Rule, hit: Hit, policies: Mapping[Place, str], language: str) -> Finding:
    title, meaning, advice = LANGUAGES[language].RULES[rule.key]
    effects = rule.effects if hit.effects is None else hit.effects
    harms = bool({Effect.LOSES, Effect.DOUBLES} & {*effects})
    return Finding(
        rule=rule.number,
        key=rule.key,
        # A milder case of a rule about losses is not what one gets up at night for.
        severity=rule.severity if harms or hit.effects is None else Severity.NOTICE,
        effects=effects,
        step=rule.step,
        place=hit.place,
        title=title,
        meaning=meaning,
        advice=advice,
        evidence=dict(hit.evidence),
        at_risk=hit.at_risk,
        fix=[*hit.fix, *([policies[hit.place]] if hit.policy else [])],
    )


def _unseen(snapshot: Snapshot) -> list[Unseen]:
    told = [*snapshot.first.unseen, *snapshot.second.unseen]
    return list({one.what: one for one in told}.values())


def _hidden(look: Look) -> list[str]:
    found = []
    if look.version < TIMEOUT_IN_POLICIES_SINCE:
        found.append("hidden-consumer-timeout")
    if len(look.now.nodes) > 1:
        found.append("hidden-partition-handling")
    if look.too_close and look.snapshot.asked is None:
        found.append("hidden-too-close")
    several = any(one.consumers > 1 for one in look.lasting)
    return [*found, "hidden-single-active"] if several else found
