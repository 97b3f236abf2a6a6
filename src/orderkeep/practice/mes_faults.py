"""The ways a practice far side misbehaves, and when.

A fault is written ``KIND[-before|-after][:key=value,…]``: ``hang-after:p=0.1``,
``500-before:nth=3``, ``wrong-id:ref=OK-000013``, ``delay:seconds=2,op=find``. ``-before`` spoils
the answer instead of doing the work, ``-after`` once it is done; without either, ``-after``.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Annotated, Any, Literal

import msgspec

from orderkeep.kernel.errors import Refused

KINDS: Mapping[str, str] = {
    "500": "an internal error",
    "502": "a gateway that lost its upstream",
    "503": "no service, and no word when to come back",
    "busy": "no room: 429 or 503 with Retry-After, always before the work",
    "hang": "no answer until the client leaves",
    "reset": "the connection is reset (TCP RST)",
    "garbage": "bytes that are not HTTP",
    "bad-json": "a good status and half a JSON text",
    "truncated": "a body shorter than its Content-Length",
    "html": "status 200 and a page for people",
    "redirect": "a redirect to another path",
    "huge": "a body of three mebibytes",
    "wrong-id": "another job's id, always after the work",
    "wrong-ref": "another reference, always after the work",
    "no-id": "no id, always after the work",
    "delay": "the work, or with -after the answer, comes late",
    "stall": "every request waits for some seconds from now on",
}
ONLY_BEFORE = frozenset({"busy"})
ONLY_AFTER = frozenset({"wrong-id", "wrong-ref", "no-id"})

Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]


class FaultRefused(Refused):
    """A fault that the practice MES does not know; the message says what it does know."""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One fault and when it strikes.

    It looks at requests of one operation (``op``, or ``any``) and, if given, one reference. Of
    those it strikes the ``nth``, or each with ``probability``; ``times`` bounds how often.
    """

    kind: str
    before: bool = False
    op: Literal[
        "submit", "find", "list", "recall", "status", "changes", "tell", "commands", "any"
    ] = "submit"
    reference: str | None = None
    nth: Annotated[int, msgspec.Meta(ge=1)] | None = None
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    seconds: Seconds = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault {self.kind!r}; known: {', '.join(KINDS)}")
        if self.before and self.kind in ONLY_AFTER:
            raise ValueError(f"{self.kind} needs a job, so it cannot come before the work")

    @property
    def name(self) -> str:
        """The kind with its moment, as the journal tells it."""
        return f"{self.kind}-{'before' if self.spares_the_work else 'after'}"

    @property
    def spares_the_work(self) -> bool:
        return self.before or self.kind in ONLY_BEFORE


def parse_fault(text: str, op: str = "submit") -> Fault:
    """Read ``KIND[-before|-after][:key=value,…]``; ``op`` is meant where it names none.

    Raises:
        FaultRefused: unknown kind, key or value.
    """
    head, _, tail = text.strip().partition(":")
    kind, before = _kind_and_moment(head)
    pairs = [pair.partition("=") for pair in tail.split(",") if pair]
    given: dict[str, Any] = {_KEYS.get(key.strip(), key.strip()): value for key, _, value in pairs}
    try:
        return msgspec.convert(
            {"kind": kind, "before": before, "op": op, **given}, Fault, strict=False
        )
    except msgspec.ValidationError as error:
        raise FaultRefused(f"fault {text!r}: {error}") from error


_KEYS = {"p": "probability", "ref": "reference"}


def _kind_and_moment(head: str) -> tuple[str, bool]:
    if head.endswith("-before"):
        return head.removesuffix("-before"), True
    # A delay that says nothing holds back the work: the far side may still act after we gave up.
    return head.removesuffix("-after"), head in ("delay", "stall")


class Manner(Enum):
    """How an answer leaves, or does not."""

    WHOLE = "whole"
    HANG = "hang"
    RESET = "reset"
    GARBAGE = "garbage"
    TRUNCATED = "truncated"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back; ``mes_id`` and ``fault`` are for the journal only."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    manner: Manner = Manner.WHOLE
    seconds: float = 0.0
    mes_id: str | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Mischief:
    """What the faults want done with one request."""

    delay_before: float = 0.0
    delay_after: float = 0.0
    stall: float = 0.0
    spoil: Fault | None = None


class FaultPlan:
    """Decides which faults strike a request; the same seed and requests give the same faults."""

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self._faults = faults
        self._seen = [0] * len(faults)
        self._struck = [0] * len(faults)
        # One generator per fault: adding a fault does not change when the others strike.
        self._dice = [random.Random(f"{seed}:{n}") for n in range(len(faults))]

    def choose(self, op: str, reference: str | None) -> Mischief:
        """Delays add up; of the faults that spoil the answer the first one counts."""
        struck = [f for n, f in enumerate(self._faults) if self._strikes(n, op, reference)]
        delays = [f for f in struck if f.kind == "delay"]
        spoilers = [f for f in struck if f.kind not in ("delay", "stall")]
        return Mischief(
            delay_before=sum(f.seconds for f in delays if f.before),
            delay_after=sum(f.seconds for f in delays if not f.before),
            stall=max((f.seconds for f in struck if f.kind == "stall"), default=0.0),
            spoil=spoilers[0] if spoilers else None,
        )

    def _strikes(self, n: int, op: str, reference: str | None) -> bool:
        fault = self._faults[n]
        if fault.op not in (op, "any") or fault.reference not in (None, reference):
            return False
        self._seen[n] += 1
        if self._struck[n] == fault.times or fault.nth not in (None, self._seen[n]):
            return False
        strikes = self._dice[n].random() < fault.probability
        self._struck[n] += strikes
        return strikes


def spoil(fault: Fault, honest: Answer, stranger_id: str) -> Answer:
    """The answer a fault makes of an honest one; ``stranger_id`` is a job's id, not this one's."""
    spoilt = _LIES[fault.kind](honest, stranger_id) if fault.kind in _LIES else _FACES[fault.kind]
    return replace(spoilt, mes_id=honest.mes_id, fault=fault.name)


_ERROR = b'{"error": "something broke"}'
_PAGE = b"<!doctype html><title>MES</title><p>Please sign in to go on.</p>"
_FACES: Mapping[str, Answer] = {
    "500": Answer(500, _ERROR),
    "502": Answer(502, _PAGE, "text/html"),
    "503": Answer(503, _ERROR),
    "hang": Answer(0, manner=Manner.HANG),
    "reset": Answer(0, manner=Manner.RESET),
    "garbage": Answer(0, bytes(range(256)), manner=Manner.GARBAGE),
    "bad-json": Answer(201, b'{"id": "M-0000'),
    "html": Answer(200, _PAGE, "text/html"),
    "redirect": Answer(302, headers=(("Location", "/api/elsewhere"),)),
    "huge": Answer(201, b'{"filler": "' + b"x" * (3 << 20) + b'"}'),
}


def busy(status: int, retry_after_seconds: int) -> Answer:
    """No room, with the time to come back."""
    headers = (("Retry-After", str(retry_after_seconds)),)
    return Answer(status, b'{"error": "no room"}', headers=headers, fault="busy-before")


def _with(honest: Answer, **changes: str | None) -> Answer:
    """The same answer with members of every job in it changed; None takes a member away."""
    told = msgspec.json.decode(honest.body, type=dict[str, Any])
    jobs = told.get("items", [told])
    for job in jobs:
        job.update(changes)
        for name in [name for name, value in job.items() if value is None]:
            del job[name]
    return replace(honest, body=msgspec.json.encode(told))


def _named(honest: Answer) -> list[str]:
    """What an answer calls our number: a MES knows a reference, a CRM the order."""
    return [name for name in ("ref", "order_no") if f'"{name}"'.encode() in honest.body]


_LIES: Mapping[str, Callable[[Answer, str], Answer]] = {
    "truncated": lambda honest, _: replace(honest, manner=Manner.TRUNCATED),
    "wrong-id": lambda honest, stranger_id: _with(honest, id=stranger_id),
    "wrong-ref": lambda honest, _: _with(honest, **dict.fromkeys(_named(honest), "OK-999999")),
    "no-id": lambda honest, _: _with(honest, id=None),
}
