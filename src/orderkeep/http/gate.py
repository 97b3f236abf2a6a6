"""The gate before an application: counts the turns of the loop, and turns away cheaply.

A refusal that costs a tenth of what it refuses is no refusal at ten times the load. Where the gate
is closed, a request that came whole in one read is answered from its first bytes, with an answer
that was made once; nothing parses it.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from itertools import cycle
from time import perf_counter
from typing import Any

import structlog

from orderkeep.http.admission import Admission, Kind, Why
from orderkeep.http.at_once import is_whole
from orderkeep.http.looks import Looks
from orderkeep.http.raw import raw_answer
from orderkeep.http.shedding import Shedding
from orderkeep.intake.ports import Backlog
from orderkeep.kernel.errors import StoreBusy
from orderkeep.observe.numbers import Family, Number

log = structlog.get_logger()

RETRY_AFTER = tuple(timedelta(seconds=seconds) for seconds in (1, 2, 3))
"""In turn, so that those who were turned away together do not come again together."""

LET_IN = b""


class Gate:
    """One for all connections of an application; ``kind_of`` reads a request line.

    Attributes:
        shedding: where connections are told no by another process, if that is wanted.
    """

    def __init__(
        self,
        admission: Admission,
        kind_of: Callable[[bytes, bytes], Kind | None],
        backlog: Callable[[], Backlog],
        *,
        sheds: bool = False,
    ) -> None:
        self._admission = admission
        self._kind_of = kind_of
        self._backlog = backlog
        answers = [raw_answer(too_busy(after), keep=True) for after in RETRY_AFTER]
        self._answers = cycle(answers)
        after_s = [after.total_seconds() for after in RETRY_AFTER]
        told = list(zip(after_s, answers, strict=True))
        self.shedding = Shedding(admission, told) if sheds else None
        self._refused: Kind | None = None
        self._open = False
        self._told = False
        self._looks = Looks()
        self._waking: asyncio.TimerHandle | None = None

    def arrived(self, loop: asyncio.AbstractEventLoop) -> None:
        """Something was read off a connection."""
        if not self._open:
            self._open = True
            self._began = perf_counter()
            self._admission.begin(self._began, *self._backlog())
            # The first is called when all that was readable has been read, the second when all
            # that this woke has had its turn.
            loop.call_soon(loop.call_soon, self._end, loop)

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        self._open, now = False, perf_counter()
        self._admission.end(now)
        self._looks.took(now - self._began, now)
        if self._looks.wait:
            self._begin_looks(loop, now)
        if self._admission.needs_relief and self.shedding is not None:
            self.shedding.begin(loop)
        if self._admission.overloaded is not self._told:
            self._told = self._admission.overloaded
            refused = {f"refused_{kind}": many for kind, many in self._admission.refused.items()}
            log.warning("door.overloaded" if self._told else "door.recovered", **refused)

    def _begin_looks(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        waiting, _ = self._backlog()
        wait_s = self._looks.begin(now, orders_wait=waiting > 0)
        if not wait_s:
            self.arrived(loop)  # What they take is a turn of its own.
        elif self._waking is None:
            self._waking = loop.call_later(wait_s, self._wake, loop)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        self._waking = None
        self.arrived(loop)

    def admits(self, method: bytes, url: bytes) -> bool:
        """Whether to serve a request; one that asks how we are is always served."""
        kind = self._kind_of(method, url)
        self._refused = None
        if kind is Kind.OTHER and self._looks.are_enough:
            self._admission.refuses(kind, Why.LOOKS, perf_counter())
            return False
        if kind is None or self._admission.admits(kind, perf_counter()):
            return True
        self._refused = kind
        return False

    def _has_room(self, method: bytes, url: bytes) -> bool:
        kind = self._kind_of(method, url)
        return kind is Kind.ORDER and self._admission.has_room(kind, perf_counter())

    @property
    def sheds_refused(self) -> bool:
        """Whether who was refused just now should go where no is said."""
        return self._refused is Kind.ORDER and self.shedding is not None and self.shedding.is_ready

    @property
    def sheds_answered(self) -> bool:
        """Whether who was answered just now should."""
        return self.shedding is not None and self.shedding.wants_one()

    def is_look(self, scope: Mapping[str, Any]) -> bool:
        """Whether a request is one of those that only look."""
        if scope["method"] != "GET":
            return False
        return self._kind_of(b"GET", scope["raw_path"]) is Kind.OTHER

    def look(self, begin: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        """Have one of those that only look begin by ``begin`` when it is its turn."""
        self._looks.arrived(begin)
        self.arrived(loop)

    def look_ends(self) -> None:
        """It has its answer, or nobody waits for it any more."""
        self._looks.left()

    @property
    def at_ease(self) -> bool:
        """Whether everybody is let in, this turn."""
        return self._admission.at_ease and not self._looks.are_enough

    def judge(self, data: bytes) -> bytes | None:
        """The refusal of a read that is one whole request; ``LET_IN`` if it is not refused.

        None is for the parser: this is not one whole request.
        """
        line, _, rest = data.partition(b" HTTP/1.1\r\n")
        method, _, url = line.partition(b" ")
        if not (self._has_room(method, url) and rest) and not is_whole(rest):
            return None  # Who is let in need not be known whole.
        return LET_IN if self.admits(method, url) else next(self._answers)


def refused(admission: Admission) -> Iterator[Family]:
    """How many were turned away because too much came, by what they wanted and why."""
    numbers = [
        Number(f"{_REFUSED}_total", {"kind": kind, "reason": why}, admission.counts[kind, why])
        for kind in Kind
        for why in Why
    ]
    yield Family(_REFUSED, "Requests turned away because too much came", "counter", numbers)


_REFUSED = "orderkeep_refused"


def too_busy(retry_after: timedelta = RETRY_AFTER[0]) -> StoreBusy:
    """Why somebody is turned away."""
    return StoreBusy("Too much comes at once; come again later", retry_after=retry_after)
