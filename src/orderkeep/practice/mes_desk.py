"""The practice MES on a good day: does what is asked and says so truthfully."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar, Literal

from orderkeep.kernel.clock import Clock
from orderkeep.practice.far_side import Bookkeeper, Manners, error, json_answer
from orderkeep.practice.mes_calls import Call, Request, place, understand
from orderkeep.practice.mes_faults import Answer, Seconds
from orderkeep.practice.mes_jobs import RECALLED, STATUSES, Job, Jobs
from orderkeep.practice.mes_journal import Entry, Journal

PAGE_SIZE = 200


class Behaviour(Manners, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the practice MES works; settable at start and, in parts, while it runs.

    ``lag_seconds``: for how long look-up and listing deny a new job.
    """

    operations: ClassVar[tuple[str, ...]] = (
        "submit", "find", "list", "recall", "status", "changes",
    )  # fmt: skip

    idempotency: Literal["none", "key", "reference"] = "none"
    lookup: bool = True
    lag_seconds: Seconds = 0.0


class MesDesk(Bookkeeper):
    """Works on the jobs; every effect is an entry in the journal before it counts."""

    def __init__(self, journal: Journal, behaviour: Behaviour, clock: Clock) -> None:
        deeds = {
            "submit": self._submit,
            "find": self._find,
            "list": self._list,
            "recall": self._recall,
            "status": self._set_status,
            "changes": self._changes,
        }
        super().__init__(journal, clock, deeds)
        self.behaviour = behaviour
        self.jobs = Jobs(journal.entries())

    def understand(self, request: Request) -> Call:
        """Which operation a request asks for."""
        return understand(request, self.jobs)

    def stranger(self, to: str) -> str:
        """Another job's id, or one nobody has."""
        return self.jobs.stranger(to)

    @property
    def pretended(self) -> Answer:
        """A job that nobody made."""
        told = b'{"id": "M-999999", "ref": "OK-999999", "status": "accepted"}'
        return Answer(201, told)

    def move_on(self) -> None:
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


def _told(job: Job, status: int = 200, **more: str) -> Answer:
    return replace(json_answer(status, {**more, **_shown(job)}), mes_id=job.mes_id)


def _shown(job: Job) -> dict[str, Any]:
    shown = {"id": job.mes_id, "ref": job.reference, "status": job.status}
    return (
        shown if job.submission_sha256 is None else {**shown, "body_sha256": job.submission_sha256}
    )
