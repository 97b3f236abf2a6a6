"""A practice far side: a system as it is on a bad day, with a journal of what it really did.

It keeps one promise: every request, effect and answer is in its journal before the answer leaves,
so a test counts what was done, whatever the client was told and whoever was killed meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeVar

import msgspec

from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Refused
from orderkeep.practice.mes_calls import Call, Request, json_object, place
from orderkeep.practice.mes_faults import (
    Answer,
    Fault,
    FaultPlan,
    FaultRefused,
    Mischief,
    Seconds,
    busy,
    parse_fault,
    spoil,
)
from orderkeep.practice.mes_journal import Entry, Journal

JOURNAL_PAGE_SIZE = 10_000


class Manners(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a far side works, whichever it is; settable at start and, in parts, while it runs.

    ``limit``: requests at a time, more are answered with ``busy_status``. ``pace_seconds``: how
    long the autopilot leaves things as they are.
    """

    operations: ClassVar[tuple[str, ...]] = ()
    """What it can be asked for; a fault that names none strikes the first."""

    seed: int = 0
    faults: tuple[str | Fault, ...] = ()
    limit: Annotated[int, msgspec.Meta(ge=0)] | None = None
    busy_status: Literal[429, 503] = 429
    retry_after_seconds: Annotated[int, msgspec.Meta(ge=0)] = 1
    work_seconds: Seconds = 0.0
    autopilot: bool = False
    pace_seconds: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 2.0


class BehaviourRefused(Refused):
    """The behaviour asked for does not exist; the message names what is wrong."""


MannersT = TypeVar("MannersT", bound=Manners)


def changed(behaviour: MannersT, changes: Mapping[str, Any]) -> MannersT:
    """A behaviour with some members replaced and its faults read.

    Raises:
        BehaviourRefused: an unknown member or a value out of its range.
    """
    wanted = {**msgspec.to_builtins(behaviour), **changes}
    try:
        asked = msgspec.convert(wanted, type(behaviour))
        faults = tuple(_fault(f, asked.operations) for f in asked.faults)
    except (msgspec.ValidationError, FaultRefused) as error:
        raise BehaviourRefused(str(error)) from error
    return msgspec.structs.replace(asked, faults=faults)


def _fault(said: str | Fault, operations: tuple[str, ...]) -> Fault:
    fault = parse_fault(said, operations[0]) if isinstance(said, str) else said
    if fault.op not in {*operations, "any"}:
        raise FaultRefused(f"fault {fault.kind!r}: op is one of {', '.join(operations)}, any")
    return fault


class Desk(Protocol):
    """The far side on a good day: does what is asked and says so truthfully."""

    behaviour: Any

    def understand(self, request: Request) -> Call:
        """Which operation a request asks for."""
        ...

    def serve(self, call: Call) -> Answer:
        """Do what is asked; the answer is honest."""
        ...

    def note(self, call: Call, **facts: Any) -> Entry:
        """Put something about a call into the journal."""
        ...

    def stranger(self, to: str) -> str:
        """An id that is not ``to``."""
        ...

    @property
    def pretended(self) -> Answer:
        """What a good answer looks like where nothing was done."""
        ...

    def move_on(self) -> None:
        """What an autopilot does at this instant."""
        ...


class Bookkeeper:
    """What each desk does alike: deeds by their operation, and notes in the journal."""

    def __init__(
        self, journal: Journal, clock: Clock, deeds: Mapping[str, Callable[[Call], Answer]]
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._deeds = deeds

    def serve(self, call: Call) -> Answer:
        """Do what is asked; the answer is honest."""
        deed = self._deeds.get(call.op)
        return error(404, "no such path") if deed is None else deed(call)

    def note(self, call: Call, **facts: Any) -> Entry:
        """Put something about a call into the journal."""
        entry = Entry(
            at=self._clock.now(),
            op=call.op,
            reference=call.reference,
            idempotency_key=call.key,
            body_sha256=call.body_sha256,
            traceparent=call.traceparent,
            **facts,
        )
        self._journal.append(entry)
        return entry


class FarSide:
    """Answers requests; the server brings them in and carries the answers out."""

    def __init__(self, journal: Journal, desk: Desk, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._desk = desk
        self._plan = _plan(self._desk.behaviour)
        self._stalled_until = clock.now()
        self.in_flight = 0
        self.peak_in_flight = 0
        self.turned_away = 0

    @asynccontextmanager
    async def serving(self, request: Request) -> AsyncIterator[Answer]:
        """The answer to a request, decided and on disk; the block carries it out.

        A request keeps its place among ``limit`` until the block ends, so a hanging one holds it.
        """
        if request.path.startswith("/practice/"):
            yield self._control(request)
            return
        call = self._desk.understand(request)
        self._desk.note(call, kind="request", in_flight=self.in_flight)
        if self._desk.behaviour.limit is not None and self.in_flight >= self._desk.behaviour.limit:
            self.turned_away += 1
            yield self._on_record(call, self._busy())
            return
        with self._place():
            yield self._on_record(call, await self._treat(call))

    @contextmanager
    def _place(self) -> Iterator[None]:
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1

    def _on_record(self, call: Call, answer: Answer) -> Answer:
        self._desk.note(
            call, kind="answer", http_status=answer.status or None,
            mes_id=answer.mes_id, fault=answer.fault,
        )  # fmt: skip
        self._journal.sync()
        return answer

    async def run_autopilot(self) -> None:
        """Move things on, for ever; a change of pace counts from the next step."""
        while True:
            await asyncio.sleep(min(self._desk.behaviour.pace_seconds / 4, 1.0))
            if self._desk.behaviour.autopilot:
                self._desk.move_on()

    async def _treat(self, call: Call) -> Answer:
        mischief = self._plan.choose(call.op, call.reference)
        await self._wait_out_stall(mischief)
        if mischief.spoil is not None and mischief.spoil.spares_the_work:
            return self._spoilt(mischief.spoil, self._desk.pretended)
        # Not given up when the client leaves: a slow system works on, and that is the danger.
        await asyncio.sleep(self._desk.behaviour.work_seconds + mischief.delay_before)
        honest = self._desk.serve(call)
        await asyncio.sleep(mischief.delay_after)
        return honest if mischief.spoil is None else self._spoilt(mischief.spoil, honest)

    async def _wait_out_stall(self, mischief: Mischief) -> None:
        if mischief.stall:
            self._stall(mischief.stall)
        left = (self._stalled_until - self._clock.now()).total_seconds()
        await asyncio.sleep(max(left, 0.0))

    def _stall(self, seconds: float) -> None:
        self._stalled_until = self._clock.now() + timedelta(seconds=seconds)

    def _spoilt(self, fault: Fault, honest: Answer) -> Answer:
        if fault.kind == "busy":
            return self._busy()
        return spoil(fault, honest, self._desk.stranger(honest.mes_id or ""))

    def _busy(self) -> Answer:
        return busy(self._desk.behaviour.busy_status, self._desk.behaviour.retry_after_seconds)

    def _control(self, request: Request) -> Answer:
        match (request.method, request.path):
            case ("GET", "/practice/faults"):
                return json_answer(200, self._desk.behaviour)
            case ("PUT", "/practice/faults"):
                return self._change_behaviour(request)
            case ("GET", "/practice/journal"):
                return self._show_journal(request.query)
            case ("GET", "/practice/stats"):
                return json_answer(200, self._stats())
        return error(404, "no such path")

    def _stats(self) -> Mapping[str, int]:
        return {
            "in_flight": self.in_flight,
            "peak_in_flight": self.peak_in_flight,
            "turned_away": self.turned_away,
        }

    def _change_behaviour(self, request: Request) -> Answer:
        changes = dict(json_object(request.body))
        stall = changes.pop("stall_seconds", 0.0)
        try:
            behaviour = changed(self._desk.behaviour, changes)
            seconds = msgspec.convert(stall, Seconds)
        except (BehaviourRefused, msgspec.ValidationError) as refusal:
            return error(422, str(refusal))
        if {"seed", "faults"} & changes.keys():
            self._plan = _plan(behaviour)
        self._desk.behaviour = behaviour
        self._stall(seconds)
        return json_answer(200, behaviour)

    def _show_journal(self, query: Mapping[str, str]) -> Answer:
        after = place(query.get("after"))
        if after is None:
            return error(400, "no such place in the journal")
        page = self._journal.entries()[after : after + JOURNAL_PAGE_SIZE]
        wanted = [
            entry
            for entry in page
            if query.get("kind") in (None, entry.kind)
            and query.get("reference") in (None, entry.reference)
        ]
        return json_answer(200, {"items": wanted, "next": str(after + len(page))})


def json_answer(status: int, body: Any) -> Answer:
    return Answer(status, msgspec.json.encode(body))


def error(status: int, reason: str) -> Answer:
    return json_answer(status, {"error": reason})


def _plan(behaviour: Manners) -> FaultPlan:
    return FaultPlan([f for f in behaviour.faults if isinstance(f, Fault)], behaviour.seed)
