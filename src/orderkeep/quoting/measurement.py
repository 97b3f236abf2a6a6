"""What measuring a model file tells: numbers beyond doubt, or the reasons why there are none."""

from decimal import Decimal
from typing import Literal

import msgspec

KERNEL_VERSION = "stl-1"
"""Changes whenever the same file could measure differently; shown on every quote."""

UNITS = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "in": 25.4}
"""Millimetres in one unit of the file."""


class Finding(msgspec.Struct, frozen=True):
    """One thing to know about a file: a stable word for programs, a sentence for people."""

    code: str
    message: str


class Doubtful(Exception):
    """The model can be read, but a number for it would be a guess; ``finding`` tells why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.finding = Finding(code, message)


class Measurement(msgspec.Struct, frozen=True, tag="measured", tag_field="kind"):
    """The geometry of one model file, in millimetres.

    ``volume_mm3`` is what metal would fill: places where shells overlap count once. It is None
    unless it is beyond doubt. ``signed_volume_mm3`` is the plain sum, None where it would depend
    on the origin. ``closed``: every edge borders an even number of
    faces. ``oriented``: each edge is walked equally often in both directions, which is exactly
    when the signed volume does not depend on the origin. ``even``: closed bit by bit, before
    corners a hair apart (one millionth of the size) were taken as one. ``overlap_mm3`` is what a
    plain sum would have counted twice.
    """

    volume_mm3: Decimal | None
    signed_volume_mm3: Decimal | None
    area_mm2: Decimal
    bbox_mm: tuple[float, float, float]
    triangles: int
    closed: bool
    oriented: bool
    even: bool
    degenerate: int
    overlap_mm3: Decimal = Decimal(0)
    shells: int | None = None
    kernel_version: str = KERNEL_VERSION
    warnings: tuple[Finding, ...] = ()
    timings_s: dict[str, float] = {}
    peak_rss_mib: float = 0.0


Verdict = Literal["review", "reject"]


class Manual(msgspec.Struct, frozen=True, tag="manual", tag_field="kind"):
    """No price without a person.

    ``reject``: the file itself is unusable, the client is asked for another. ``review``: a person
    can price it. ``measured`` is what could be measured all the same.
    """

    reasons: tuple[Finding, ...]
    verdict: Verdict = "review"
    measured: Measurement | None = None


Outcome = Measurement | Manual
