"""A practice MES: the far side as it is on a bad day, with a journal of what it really did.

It keeps one promise: every request, effect and answer is in its journal before the answer leaves,
so a test counts what was made, whatever the client was told and whoever was killed meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

import msgspec

from orderkeep.kernel.clock import Clock
from orderkeep.practice.mes_calls import Call, Request, json_object, place, understand
from orderkeep.practice.mes_desk import (
    Behaviour,
    BehaviourRefused,
    Desk,
    changed,
    error,
    json_answer,
)
from orderkeep.practice.mes_faults import Answer, Fault, FaultPlan, Mischief, Seconds, busy, spoil
from orderkeep.practice.mes_journal import Journal

JOURNAL_PAGE_SIZE = 10_000


class PracticeMes:
    """Answers requests; the server brings them in and carries the answers out."""

    def __init__(self, journal: Journal, behaviour: Behaviour, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._desk = Desk(journal, changed(behaviour, {}), clock)
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
        call = understand(request, self._desk.jobs)
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
        """Move jobs on, for ever; a change of pace counts from the next step."""
        while True:
            await asyncio.sleep(min(self._desk.behaviour.pace_seconds / 4, 1.0))
            if self._desk.behaviour.autopilot:
                self._desk.move_due_jobs()

    async def _treat(self, call: Call) -> Answer:
        mischief = self._plan.choose(call.op, call.reference)
        await self._wait_out_stall(mischief)
        if mischief.spoil is not None and mischief.spoil.spares_the_work:
            return self._spoilt(mischief.spoil, _PRETENDED)
        # Not given up when the client leaves: a slow MES works on, and that is the danger.
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
        return spoil(fault, honest, self._desk.jobs.stranger(honest.mes_id or ""))

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


_PRETENDED = Answer(201, b'{"id": "M-999999", "ref": "OK-999999", "status": "accepted"}')


def _plan(behaviour: Behaviour) -> FaultPlan:
    return FaultPlan([f for f in behaviour.faults if isinstance(f, Fault)], behaviour.seed)
