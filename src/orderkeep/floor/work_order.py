"""A work order on the floor and the steps it may take: pure."""

from datetime import datetime
from typing import Any

import msgspec

from orderkeep.kernel.errors import Refused
from orderkeep.kernel.ids import OrderNo


class Job(msgspec.Struct, frozen=True):
    """A work order on the floor.

    ``status``: ``queued started completed packaging shipped scrapped recalled``. ``seq`` counts
    what was said of it.
    """

    reference: str
    order_no: OrderNo
    body_sha256: str
    positions: list[dict[str, Any]]
    promise_at: datetime | None
    status: str
    status_since: datetime
    seq: int
    operator: str | None
    created_at: datetime


class StepRefused(Refused):
    """The work order is not where this step is possible; ``facts``: reference, status, action."""

    def __init__(self, job: Job, action: str, reason: str) -> None:
        super().__init__(
            reason, reference=job.reference, status=job.status, action=action, reason=reason
        )


STEPS: dict[str, tuple[frozenset[str], str, str]] = {
    # action: where it is possible, the status it leads to, the word the floor says
    "start": (frozenset({"queued"}), "started", "started"),
    "done": (frozenset({"started"}), "completed", "completed"),
    "pack": (frozenset({"completed"}), "packaging", "packaging"),
    "ship": (frozenset({"packaging"}), "shipped", "shipped"),
    "hand-back": (frozenset({"started"}), "queued", "handed_back"),
    "rework": (frozenset({"completed", "packaging"}), "scrapped", "scrapped"),
    "cannot-be-made": (frozenset({"started"}), "scrapped", "scrapped"),
    "recall": (frozenset({"queued"}), "recalled", "recalled"),
    "scrap": (frozenset({"queued", "started", "completed", "packaging"}), "scrapped", "scrapped"),
}


def step(job: Job, action: str, operator: str | None, now: datetime) -> tuple[Job, str | None]:
    """The work order after a step, and the word to say; the same step again says nothing.

    Raises:
        StepRefused: not possible where the work order is.
    """
    possible, status, word = STEPS[action]
    if job.status not in possible:
        if job.status == status:
            return job, None  # Pressed twice, or a message came twice.
        raise StepRefused(job, action, f"The work order is {job.status}.")
    holder = None if action == "hand-back" else operator or job.operator
    moved = msgspec.structs.replace(
        job, status=status, status_since=now, seq=job.seq + 1, operator=holder
    )
    return moved, word
