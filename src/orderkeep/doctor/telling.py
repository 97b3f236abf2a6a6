"""A report in sentences of one language, for the text and the page alike."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from orderkeep.doctor.examine import Report
from orderkeep.doctor.findings import Finding, Place
from orderkeep.doctor.verdict import Weight
from orderkeep.doctor.words import LANGUAGES

MOST_PLACES = 6


class Teller:
    """Says parts of a report."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.words: Mapping[str, str] = LANGUAGES[report.language].PHRASES

    def say(self, key: str, **facts: object) -> str:
        """A phrase with its facts."""
        return self.words[key].format(**facts)

    def header(self) -> str:
        """Which broker, and how long it was looked at."""
        report = self.report
        if not report.seconds:
            return self.say("broker-once", cluster=report.cluster, version=report.version)
        return self.say(
            "broker", cluster=report.cluster, version=report.version, seconds=report.seconds
        )

    def verdict(self) -> Iterator[str]:
        """The verdict's sentences, the most important first."""
        yield self._state()
        verdict = self.report.verdict
        if verdict.places:
            yield self.say("where", places=self._places(verdict.places))
        yield from self._lost()
        if verdict.growth:
            growth = verdict.growth
            yield self.say("growing", published=growth.published, taken=growth.taken)

    def steps(self) -> Iterator[str]:
        """What to do next, in the order the numbers ask for."""
        steps = self.report.verdict.steps
        if not steps:
            yield self.say("next", step=self.say("none-needed"))
        for place, weight in enumerate(steps):
            yield self.say("then" if place else "next", step=self._step(weight))

    def by_rule(self) -> Iterator[list[Finding]]:
        """Findings of one rule and one weight together."""
        for _, found in groupby(self.report.findings, key=lambda one: (one.severity, one.rule)):
            yield list(found)

    def effects(self, finding: Finding) -> str:
        """What a finding does."""
        names = {"stalls": "stalls-word"}
        return ", ".join(self.say(names.get(one, one)) for one in finding.effects)

    def place(self, place: Place) -> str:
        """Where, in words: ``queue orders (/)``."""
        vhost = f" ({place.vhost})" if place.vhost is not None else ""
        return f"{self.say(f'kind-{place.kind}')} {place.name}{vhost}"

    def unseen(self) -> Iterator[str]:
        """What could not be looked at, and why."""
        for one in self.report.unseen:
            key, _, detail = one.why.partition(":")
            said = self.words.get(f"unseen-{key}", "{detail}")
            answered, _, nodes = detail.partition("/")
            told = said.format(tag=detail, detail=detail, answered=answered, nodes=nodes)
            yield f"{one.what}: {told}"

    def hidden(self) -> Iterator[str]:
        """What no reply of this broker shows."""
        return (self.say(key) for key in self.report.hidden)

    def _state(self) -> str:
        verdict = self.report.verdict
        if verdict.harming:
            return self.say("harm", count=verdict.harming, resting=verdict.at_risk)
        if verdict.others:
            return self.say("stalls", count=verdict.others)
        return self.say("clean-unseen" if self.report.unseen else "clean")

    def _lost(self) -> Iterator[str]:
        lost = self.report.lost
        if lost.total is None:
            yield self.say("lost-unknown")
        elif lost.total == 0:
            yield self.say("lost-none" if lost.exact else "lost-unknown")
        else:
            yield self.say("lost" if lost.exact else "lost-at-least", total=lost.total)
        if lost.by:
            yield "; ".join(f"{self._reason(one)}: {count}" for one, count in lost.by.items())
        if lost.unproved:
            yield self.say("unproved", total=lost.unproved)

    def _reason(self, name: str) -> str:
        return self.words.get(f"lost-{name}", name)

    def _places(self, places: Sequence[Place]) -> str:
        told = ", ".join(self.place(one) for one in places[:MOST_PLACES])
        more = len(places) - MOST_PLACES
        return f"{told}, {self.say('more-places', count=more)}" if more > 0 else told

    def _step(self, weight: Weight) -> str:
        numbers = self.say(
            "numbers", findings=weight.findings, at_risk=weight.at_risk, lost=weight.lost
        )
        return f"{self.say(f'step-{weight.step}')} ({numbers.rstrip('.')})"
