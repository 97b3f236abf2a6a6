"""The practice MES on a good day: does what is asked and says so truthfully."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec

from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Refused
from orderkeep.practice.mes_calls import Call, place
from orderkeep.practice.mes_faults import Answer, Fault, FaultRefused, Seconds, parse_fault
from orderkeep.practice.mes_jobs import RECALLED, STATUSES, Job, Jobs
from orderkeep.practice.mes_journal import Entry, Journal

PAGE_SIZE = 200


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


class Desk:
    """Works on the jobs; every effect is an entry in the journal before it counts."""

    def __init__(self, journal: Journal, behaviour: Behaviour, clock: Clock) -> None:
        self.behaviour = behaviour
        self.jobs = Jobs(journal.entries())
        self._journal = journal
        self._clock = clock
        self._deeds: Mapping[str, Callable[[Call], Answer]] = {
            "submit": self._submit,
            "find": self._find,
            "list": self._list,
            "recall": self._recall,
            "status": self._set_status,
            "changes": self._changes,
        }

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
            **facts,
        )
        self._journal.append(entry)
        return entry

    def move_due_jobs(self) -> None:
        """What an autopilot does at this instant."""
        now = self._clock.now()
        due = self.jobs.due(now, timedelta(seconds=self.behaviour.pace_seconds))
        for job, status in due:
            entry = Entry(
                at=now, kind="status", op="autopilot",
                mes_id=job.mes_id, reference=job.reference, status=status,
            )  # fmt: skip
            self._journal.append(entry)
            self.jobs.apply(entry)
        if due:
            self._journal.sync()

    def _do(self, call: Call, **facts: Any) -> None:
        self.jobs.apply(self.note(call, **facts))

    def _submit(self, call: Call) -> Answer:
        if not call.reference or not call.posted.get("positions"):
            return error(422, "external_id and positions are required")
        known = self._known(call)
        if known is not None:
            return known
        told = call.posted.get("body_sha256")
        self._do(
            call, kind="effect", effect="created", mes_id=self.jobs.next_id(),
            submission_sha256=told if isinstance(told, str) else None,
        )  # fmt: skip
        return _told(self.jobs.under(call.reference)[-1], status=201)

    def _known(self, call: Call) -> Answer | None:
        """The answer to a repeated submission, as far as this MES notices repeats."""
        if self.behaviour.idempotency == "reference":
            return self._known_reference(call)
        if self.behaviour.idempotency == "key" and call.key is not None:
            return self._known_key(call, self.jobs.under_key(call.key))
        return None

    def _known_reference(self, call: Call) -> Answer | None:
        jobs = self.jobs.under(call.reference or "")
        return _told(jobs[0], status=409, error="external_id exists") if jobs else None

    def _known_key(self, call: Call, first: tuple[Job, str | None] | None) -> Answer | None:
        if first is None:
            return None
        job, body_sha256 = first
        if body_sha256 != call.body_sha256:
            return error(422, "this key came with another body")
        return _told(job, status=201)

    def _find(self, call: Call) -> Answer:
        if not self.behaviour.lookup:
            return error(404, "there is no look-up here")
        jobs = [job for job in self.jobs.under(call.reference or "") if self._visible(job)]
        return json_answer(200, {"items": [_shown(job) for job in jobs]})

    def _list(self, call: Call) -> Answer:
        after = place(call.request.query.get("cursor"))
        if after is None:
            return error(400, "no such cursor")
        page = self.jobs.page(after, PAGE_SIZE)
        following = str(after + len(page)) if len(page) == PAGE_SIZE else None
        items = [_shown(job) for job in page if self._visible(job)]
        return json_answer(200, {"items": items, "next": following})

    def _visible(self, job: Job) -> bool:
        lag = timedelta(seconds=self.behaviour.lag_seconds)
        return job.created_at + lag <= self._clock.now()

    def _recall(self, call: Call) -> Answer:
        job = self.jobs.get(call.mes_id or "")
        if job is None:
            return error(404, "no such job")
        if job.status == STATUSES[0]:
            self._do(call, kind="effect", effect="recalled", mes_id=job.mes_id, status=RECALLED)
        if job.status != RECALLED:
            return _told(job, status=409, error="already started")
        return _told(job)

    def _set_status(self, call: Call) -> Answer:
        job = self.jobs.get(call.mes_id or "")
        if job is None:
            return error(404, "no such job")
        status = call.posted.get("status")
        if not isinstance(status, str) or not 0 < len(status) <= 64:
            return error(422, "status is required")
        # Any word goes, also an impossible one: the other side has to live with that.
        self._do(call, kind="status", mes_id=job.mes_id, status=status)
        return _told(job)

    def _changes(self, call: Call) -> Answer:
        after = place(call.request.query.get("after"))
        if after is None:
            return error(400, "no such place in the feed")
        page = self.jobs.changes(after, PAGE_SIZE)
        items = [
            {"seq": c.seq, "id": c.mes_id, "ref": c.reference, "status": c.status, "at": c.at}
            for c in page
        ]
        return json_answer(200, {"items": items, "next": str(after + len(page))})


def json_answer(status: int, body: Any) -> Answer:
    return Answer(status, msgspec.json.encode(body))


def error(status: int, reason: str) -> Answer:
    return json_answer(status, {"error": reason})


def _told(job: Job, status: int = 200, **more: str) -> Answer:
    return replace(json_answer(status, {**more, **_shown(job)}), mes_id=job.mes_id)


def _shown(job: Job) -> dict[str, Any]:
    shown = {"id": job.mes_id, "ref": job.reference, "status": job.status}
    return (
        shown if job.submission_sha256 is None else {**shown, "body_sha256": job.submission_sha256}
    )
