"""What a rule found: where, on what evidence, what it does, how many orders rest on it now."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec


class Effect(StrEnum):
    """What becomes of an order."""

    LOSES = "loses"
    DOUBLES = "doubles"
    STALLS = "stalls"
    EXPOSES = "exposes"
    """A stranger may do harm; no order suffers from it by itself."""


class Severity(StrEnum):
    """How soon to act."""

    CRITICAL = "critical"
    SERIOUS = "serious"
    NOTICE = "notice"


class Step(StrEnum):
    """What would end it."""

    SETTINGS = "fix-settings"
    BRIDGE = "bridge-before-the-mes"
    PULL = "pull-instead-of-push"
    RELIEVE = "relieve-the-mes"


class Place(msgspec.Struct, frozen=True):
    """Where something was found: a queue, exchange, channel, connection, node, user or broker."""

    kind: str
    name: str
    vhost: str | None = None


class Hit(msgspec.Struct, frozen=True):
    """What a rule's function yields; the rule adds its number, effects and severity.

    ``evidence`` maps a field of the management API to its value. ``fix`` holds commands, ready to
    be run by whoever may change the broker. ``policy`` holds keys the queue's policy should get, or
    None for a key it should lose: they become one command with what other rules want of the queue.
    ``effects`` replaces the rule's own where the case is milder or harsher than usual.
    """

    place: Place
    evidence: Mapping[str, Any]
    at_risk: int = 0
    fix: Sequence[str] = ()
    effects: tuple[Effect, ...] | None = None
    policy: Mapping[str, Any] = {}


class Finding(msgspec.Struct, frozen=True):
    """One hit of one rule, in the words of one language."""

    rule: int
    key: str
    severity: Severity
    effects: tuple[Effect, ...]
    step: Step
    place: Place
    title: str
    meaning: str
    advice: str
    evidence: dict[str, Any]
    at_risk: int
    fix: list[str]

    @property
    def harms(self) -> bool:
        """Whether orders are lost or made twice by it."""
        return bool({Effect.LOSES, Effect.DOUBLES} & set(self.effects))
