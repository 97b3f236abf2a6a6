"""The practice MES's jobs: what it has made of the requests, rebuilt from its journal.

A deed is first written as an entry, then applied; a restart applies the same entries again.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from orderkeep.practice.mes_journal import Entry

STATUSES = ("accepted", "started", "completed", "packaging", "shipped")
RECALLED = "recalled"


class Job(msgspec.Struct, kw_only=True):
    """One job; ``submission_sha256`` is what the sender said its submission hashes to."""

    mes_id: str
    reference: str
    status: str
    created_at: datetime
    changed_at: datetime
    submission_sha256: str | None = None


class Change(msgspec.Struct, frozen=True):
    """A job took a status; ``seq`` counts changes from 1."""

    seq: int
    mes_id: str
    reference: str
    status: str
    at: datetime


class Jobs:
    """All jobs by id, by reference and by idempotency key, and the feed of their changes."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._by_id: dict[str, Job] = {}
        self._in_order: list[Job] = []
        self._by_reference: dict[str, list[Job]] = {}
        self._by_key: dict[str, tuple[Job, str | None]] = {}
        self._changes: list[Change] = []
        for entry in entries:
            self.apply(entry)

    def apply(self, entry: Entry) -> None:
        """Take an effect or a status into account; other entries change nothing."""
        if entry.effect == "created":
            self._add(entry)
        elif entry.effect == "recalled" or entry.kind == "status":
            self._move(entry)

    def next_id(self) -> str:
        return f"M-{len(self._in_order) + 1:06d}"

    def get(self, mes_id: str) -> Job | None:
        return self._by_id.get(mes_id)

    def under(self, reference: str) -> Sequence[Job]:
        """Every job made for a reference; more than one is a piece made twice."""
        return self._by_reference.get(reference, ())

    def under_key(self, key: str) -> tuple[Job, str | None] | None:
        """The job first made with an idempotency key, and the hash of the body that made it."""
        return self._by_key.get(key)

    def page(self, after: int, limit: int) -> Sequence[Job]:
        return self._in_order[after : after + limit]

    def changes(self, after: int, limit: int) -> Sequence[Change]:
        return self._changes[after : after + limit]

    def stranger(self, to: str) -> str:
        """An id that is not ``to``: the newest other job's, or one nobody has."""
        others = (job.mes_id for job in reversed(self._in_order) if job.mes_id != to)
        return next(others, "M-999999")

    def due(self, now: datetime, pace: timedelta) -> list[tuple[Job, str]]:
        """Jobs that have kept their status for ``pace``, with the status that follows."""
        return [
            (job, STATUSES[STATUSES.index(job.status) + 1])
            for job in self._in_order
            if job.status in STATUSES[:-1] and job.changed_at + pace <= now
        ]

    def _add(self, entry: Entry) -> None:
        job = Job(
            mes_id=entry.mes_id or "",
            reference=entry.reference or "",
            status=STATUSES[0],
            created_at=entry.at,
            changed_at=entry.at,
            submission_sha256=entry.submission_sha256,
        )
        self._by_id[job.mes_id] = job
        self._in_order.append(job)
        self._by_reference.setdefault(job.reference, []).append(job)
        if entry.idempotency_key is not None:
            self._by_key.setdefault(entry.idempotency_key, (job, entry.body_sha256))
        self._tell(job)

    def _move(self, entry: Entry) -> None:
        job = self._by_id[entry.mes_id or ""]
        job.status, job.changed_at = entry.status or RECALLED, entry.at
        self._tell(job)

    def _tell(self, job: Job) -> None:
        seq = len(self._changes) + 1
        self._changes.append(Change(seq, job.mes_id, job.reference, job.status, job.changed_at))
