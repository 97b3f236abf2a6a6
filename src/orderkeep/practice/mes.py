"""A practice MES: the far side as it is on a bad day, with a journal of what it really did.

It keeps one promise: every request, effect and answer is in its journal before the answer leaves,
so a test counts what was made, whatever the client was told and whoever was killed meanwhile.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec

from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Refused
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
from orderkeep.practice.mes_jobs import RECALLED, STATUSES, Job, Jobs
from orderkeep.practice.mes_journal import Entry, Journal

PAGE_SIZE = 200
JOURNAL_PAGE_SIZE = 10_000


class Behaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the practice MES works; settable at start and, in parts, while it runs.

    ``lag_seconds``: for how long look-up and listing deny a new job. ``limit``: requests at a time,
    more are answered with ``busy_status``. ``pace_seconds``: how long the autopilot leaves a job
    in each status.
    """

    seed: int = 0
    faults: tuple[str | Fault, ...] = ()
    idempotency: Literal["none", "key", "reference"] = "none"
    lookup: bool = True
    lag_seconds: Seconds = 0.0
    limit: Annotated[int, msgspec.Meta(ge=0)] | None = None
    busy_status: Literal[429, 503] = 429
    retry_after_seconds: Annotated[int, msgspec.Meta(ge=0)] = 1
    work_seconds: Seconds = 0.0
    autopilot: bool = False
    pace_seconds: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 2.0


class BehaviourRefused(Refused):
    """The behaviour asked for does not exist; the message names what is wrong."""


def changed(behaviour: Behaviour, changes: Mapping[str, Any]) -> Behaviour:
    """A behaviour with some members replaced and its faults read.

    Raises:
        BehaviourRefused: an unknown member or a value out of its range.
    """
    wanted = {**msgspec.to_builtins(behaviour), **changes}
    try:
        asked = msgspec.convert(wanted, Behaviour)
        faults = tuple(parse_fault(f) if isinstance(f, str) else f for f in asked.faults)
    except (msgspec.ValidationError, FaultRefused) as error:
        raise BehaviourRefused(str(error)) from error
    return msgspec.structs.replace(asked, faults=faults)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Call:
    """What a request means: the operation, and the job or the reference it is about."""

    op: str
    request: Request
    reference: str | None = None
    mes_id: str | None = None
    posted: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str | None:
        return self.request.headers.get("idempotency-key")

    @property
    def body_sha256(self) -> str | None:
        return hashlib.sha256(self.request.body).hexdigest() if self.request.body else None


class PracticeMes:
    """Answers requests; the server brings them in and carries the answers out."""

    def __init__(self, journal: Journal, behaviour: Behaviour, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._jobs = Jobs(journal.entries())
        self._behaviour = changed(behaviour, {})
        self._plan = _plan(self._behaviour)
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
        call = self._understand(request)
        self._write(call, kind="request", in_flight=self.in_flight)
        if self._behaviour.limit is not None and self.in_flight >= self._behaviour.limit:
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
        self._write(
            call, kind="answer", http_status=answer.status or None,
            mes_id=answer.mes_id, fault=answer.fault,
        )  # fmt: skip
        self._journal.sync()
        return answer

    async def run_autopilot(self) -> None:
        """Move jobs on, for ever; a change of pace counts from the next step."""
        while True:
            await asyncio.sleep(min(self._behaviour.pace_seconds / 4, 1.0))
            if self._behaviour.autopilot:
                self._move_due_jobs()

    async def _treat(self, call: Call) -> Answer:
        mischief = self._plan.choose(call.op, call.reference)
        await self._wait_out_stall(mischief)
        if mischief.spoil is not None and mischief.spoil.spares_the_work:
            return self._spoilt(mischief.spoil, _PRETENDED)
        # Not given up when the client leaves: a slow MES works on, and that is the danger.
        await asyncio.sleep(self._behaviour.work_seconds + mischief.delay_before)
        honest = _DEEDS[call.op](self, call)
        await asyncio.sleep(mischief.delay_after)
        return honest if mischief.spoil is None else self._spoilt(mischief.spoil, honest)

    async def _wait_out_stall(self, mischief: Mischief) -> None:
        if mischief.stall:
            self._stall(mischief.stall)
        while (left := (self._stalled_until - self._clock.now()).total_seconds()) > 0:
            await asyncio.sleep(left)

    def _stall(self, seconds: float) -> None:
        self._stalled_until = self._clock.now() + timedelta(seconds=seconds)

    def _spoilt(self, fault: Fault, honest: Answer) -> Answer:
        if fault.kind == "busy":
            return self._busy()
        return spoil(fault, honest, self._jobs.stranger(honest.mes_id or ""))

    def _busy(self) -> Answer:
        return busy(self._behaviour.busy_status, self._behaviour.retry_after_seconds)

    def _understand(self, request: Request) -> Call:
        for op, method, pattern in _ROUTES:
            match = pattern.fullmatch(request.path)
            if match and method == request.method:
                return self._call(op, request, match.groupdict().get("id"))
        return Call("unknown", request)

    def _call(self, op: str, request: Request, mes_id: str | None) -> Call:
        if op == "list" and "ref" in request.query:
            return Call("find", request, reference=request.query["ref"])
        posted = _object(request.body)
        if op == "submit":
            reference = posted.get("external_id")
            return Call(
                op, request, reference if isinstance(reference, str) else None, None, posted
            )
        job = self._jobs.get(mes_id) if mes_id else None
        return Call(op, request, job.reference if job else None, mes_id, posted)

    def _write(self, call: Call, **facts: Any) -> Entry:
        entry = Entry(
            at=self._clock.now(),
            op=call.op,
            reference=call.reference,
            idempotency_key=call.key,
            body_sha256=call.body_sha256,
            **facts,
        )
        self._journal.append(entry)
        return entry

    def _do(self, call: Call, **facts: Any) -> None:
        self._jobs.apply(self._write(call, **facts))

    def _submit(self, call: Call) -> Answer:
        if not call.reference or not call.posted.get("positions"):
            return _error(422, "external_id and positions are required")
        known = self._known(call)
        if known is not None:
            return known
        told = call.posted.get("body_sha256")
        self._do(
            call, kind="effect", effect="created", mes_id=self._jobs.next_id(),
            submission_sha256=told if isinstance(told, str) else None,
        )  # fmt: skip
        return _told(self._jobs.under(call.reference)[-1], status=201)

    def _known(self, call: Call) -> Answer | None:
        """The answer to a repeated submission, as far as this MES notices repeats."""
        if self._behaviour.idempotency == "reference":
            return self._known_reference(call)
        if self._behaviour.idempotency == "key" and call.key is not None:
            return self._known_key(call, self._jobs.under_key(call.key))
        return None

    def _known_reference(self, call: Call) -> Answer | None:
        jobs = self._jobs.under(call.reference or "")
        return _told(jobs[0], status=409, error="external_id exists") if jobs else None

    def _known_key(self, call: Call, first: tuple[Job, str | None] | None) -> Answer | None:
        if first is None:
            return None
        job, body_sha256 = first
        if body_sha256 != call.body_sha256:
            return _error(422, "this key came with another body")
        return _told(job, status=201)

    def _find(self, call: Call) -> Answer:
        if not self._behaviour.lookup:
            return _error(404, "there is no look-up here")
        jobs = [job for job in self._jobs.under(call.reference or "") if self._visible(job)]
        return _json(200, {"items": [_shown(job) for job in jobs]})

    def _list(self, call: Call) -> Answer:
        after = _number(call.request.query.get("cursor"))
        if after is None:
            return _error(400, "no such cursor")
        page = self._jobs.page(after, PAGE_SIZE)
        following = str(after + len(page)) if len(page) == PAGE_SIZE else None
        items = [_shown(job) for job in page if self._visible(job)]
        return _json(200, {"items": items, "next": following})

    def _visible(self, job: Job) -> bool:
        lag = timedelta(seconds=self._behaviour.lag_seconds)
        return job.created_at + lag <= self._clock.now()

    def _recall(self, call: Call) -> Answer:
        job = self._jobs.get(call.mes_id or "")
        if job is None:
            return _error(404, "no such job")
        if job.status == STATUSES[0]:
            self._do(call, kind="effect", effect="recalled", mes_id=job.mes_id, status=RECALLED)
        if job.status != RECALLED:
            return _told(job, status=409, error="already started")
        return _told(job)

    def _set_status(self, call: Call) -> Answer:
        job = self._jobs.get(call.mes_id or "")
        if job is None:
            return _error(404, "no such job")
        status = call.posted.get("status")
        if not isinstance(status, str) or not 0 < len(status) <= 64:
            return _error(422, "status is required")
        # Any word goes, also an impossible one: the other side has to live with that.
        self._do(call, kind="status", mes_id=job.mes_id, status=status)
        return _told(job)

    def _changes(self, call: Call) -> Answer:
        after = _number(call.request.query.get("after"))
        if after is None:
            return _error(400, "no such place in the feed")
        page = self._jobs.changes(after, PAGE_SIZE)
        items = [
            {"seq": c.seq, "id": c.mes_id, "ref": c.reference, "status": c.status, "at": c.at}
            for c in page
        ]
        return _json(200, {"items": items, "next": str(after + len(page))})

    def _unknown(self, _: Call) -> Answer:
        return _error(404, "no such path")

    def _move_due_jobs(self) -> None:
        now = self._clock.now()
        due = self._jobs.due(now, timedelta(seconds=self._behaviour.pace_seconds))
        for job, status in due:
            entry = Entry(
                at=now, kind="status", op="autopilot",
                mes_id=job.mes_id, reference=job.reference, status=status,
            )  # fmt: skip
            self._journal.append(entry)
            self._jobs.apply(entry)
        if due:
            self._journal.sync()

    def _control(self, request: Request) -> Answer:
        match (request.method, request.path):
            case ("GET", "/practice/faults"):
                return _json(200, self._behaviour)
            case ("PUT", "/practice/faults"):
                return self._change_behaviour(request)
            case ("GET", "/practice/journal"):
                return self._show_journal(request.query)
            case ("GET", "/practice/stats"):
                return _json(200, self._stats())
        return _error(404, "no such path")

    def _stats(self) -> Mapping[str, int]:
        return {
            "in_flight": self.in_flight,
            "peak_in_flight": self.peak_in_flight,
            "turned_away": self.turned_away,
        }

    def _change_behaviour(self, request: Request) -> Answer:
        changes = dict(_object(request.body))
        stall = changes.pop("stall_seconds", 0.0)
        try:
            behaviour = changed(self._behaviour, changes)
            seconds = msgspec.convert(stall, Seconds)
        except (BehaviourRefused, msgspec.ValidationError) as error:
            return _error(422, str(error))
        if {"seed", "faults"} & changes.keys():
            self._plan = _plan(behaviour)
        self._behaviour = behaviour
        self._stall(seconds)
        return _json(200, behaviour)

    def _show_journal(self, query: Mapping[str, str]) -> Answer:
        after = _number(query.get("after"))
        if after is None:
            return _error(400, "no such place in the journal")
        page = self._journal.entries()[after : after + JOURNAL_PAGE_SIZE]
        wanted = [
            entry
            for entry in page
            if query.get("kind") in (None, entry.kind)
            and query.get("reference") in (None, entry.reference)
        ]
        return _json(200, {"items": wanted, "next": str(after + len(page))})


_DEEDS: Mapping[str, Callable[[PracticeMes, Call], Answer]] = {
    "submit": PracticeMes._submit,
    "find": PracticeMes._find,
    "list": PracticeMes._list,
    "recall": PracticeMes._recall,
    "status": PracticeMes._set_status,
    "changes": PracticeMes._changes,
    "unknown": PracticeMes._unknown,
}
_ROUTES: Sequence[tuple[str, str, re.Pattern[str]]] = (
    ("submit", "POST", re.compile(r"/api/orders")),
    ("list", "GET", re.compile(r"/api/orders")),
    ("recall", "POST", re.compile(r"/api/orders/(?P<id>[^/]+)/recall")),
    ("status", "POST", re.compile(r"/api/orders/(?P<id>[^/]+)/status")),
    ("changes", "GET", re.compile(r"/api/changes")),
)
_PRETENDED = Answer(201, b'{"id": "M-999999", "ref": "OK-999999", "status": "accepted"}')


def _plan(behaviour: Behaviour) -> FaultPlan:
    return FaultPlan([f for f in behaviour.faults if isinstance(f, Fault)], behaviour.seed)


def _shown(job: Job) -> dict[str, Any]:
    shown = {"id": job.mes_id, "ref": job.reference, "status": job.status}
    return (
        shown if job.submission_sha256 is None else {**shown, "body_sha256": job.submission_sha256}
    )


def _told(job: Job, status: int = 200, **more: str) -> Answer:
    answer = _json(status, {**more, **_shown(job)})
    return Answer(answer.status, answer.body, mes_id=job.mes_id)


def _json(status: int, body: Any) -> Answer:
    return Answer(status, msgspec.json.encode(body))


def _error(status: int, reason: str) -> Answer:
    return _json(status, {"error": reason})


def _object(body: bytes) -> Mapping[str, Any]:
    """A JSON object, or an empty one for anything else."""
    try:
        told = msgspec.json.decode(body) if body else {}
    except msgspec.DecodeError:
        return {}
    return told if isinstance(told, dict) else {}


def _number(text: str | None) -> int | None:
    """A place in a list; the beginning when none is given, None when it is not a number."""
    if not text:
        return 0
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 12 else None
