"""From an open file to a measurement, or to the reasons why a person has to look.

Three walks through the file at most: volume, area, box and the edge sums; the edge sums on a grid
if the corners do not meet bit by bit; and rays, which see what no sum can: space enclosed twice.
A signed sum counts two soldered parts double where they overlap; a customer would pay for metal
that is not there.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal
from time import perf_counter
from typing import Final, TypeVar

import numpy as np

from orderkeep.quoting import kernels
from orderkeep.quoting.kernels import Floats, Words
from orderkeep.quoting.measurement import (
    UNITS,
    Doubtful,
    Finding,
    Manual,
    Measurement,
    Outcome,
)
from orderkeep.quoting.stl import MAX_COORDINATE, Triangles, Unreadable, open_stl
from orderkeep.quoting.union import United, unite

SMALLEST_MM: Final = 3.0
LARGEST_MM: Final = 120.0
MAX_OVERLAP: Final = 0.002
"""Share of the volume that may be counted twice before it is more than noise of sampling."""

_SNAP: Final = 1e-6  # of the largest side: what exporters of CAD programs leave between corners
_SNAP_TRIES: Final = 4
_MIN_PITCH: Final = 0.01 / 20  # of the largest side: 10 micrometres of a ring
_MAX_RAYS: Final = 600_000
_MAX_CROSSINGS: Final = 4_000_000
_MAX_CROSSINGS_OF_A_RAY: Final = 4096
_MAX_STRAY_RAYS: Final = 1e-3
_MAX_DISAGREEMENT: Final = 0.02
_STEP: Final = Decimal("0.001")
_EXACT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)

T = TypeVar("T")


def measure(fd: int, unit: str, seed: bytes) -> Outcome:
    """Measure the STL behind a descriptor.

    ``seed`` keys the edge sums: 32 bytes or more that nobody outside this process knows, or a
    file could be built whose open edges cancel.
    """
    try:
        job = _Job(open_stl(fd), UNITS[unit], _Seeds(seed))
        job.survey = job.time("pass", lambda: _survey(job.model, job.seeds))
        return _judge(job)
    except Unreadable as refusal:
        return Manual((refusal.finding,), verdict=refusal.verdict)


class _Seeds:
    def __init__(self, seed: bytes) -> None:
        stream = hashlib.shake_256(seed).digest(32 + 8 * 3 * _SNAP_TRIES)
        self.key: Words = np.frombuffer(stream[:32], np.uint64).copy()
        offsets = np.frombuffer(stream[32:], np.uint64).astype(np.float64) / 2.0**64
        self.offsets: Floats = offsets.reshape(_SNAP_TRIES, 3)


@dataclass
class _Survey:
    """What one walk tells, in units of the file."""

    origin: Floats
    volume: float
    area: float
    seen: float
    low: Floats
    sides: Floats
    triangles: int
    degenerate: int
    even: bool
    oriented: bool
    closed: bool


@dataclass
class _Job:
    """One file on its way to a measurement; ``scale`` is millimetres in a unit of the file."""

    model: Triangles
    scale: float
    seeds: _Seeds
    survey: _Survey = field(init=False)
    warnings: list[Finding] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    shells: int | None = None

    def time(self, name: str, work: Callable[[], T]) -> T:
        started = perf_counter()
        result = work()
        self.timings[name] = round(perf_counter() - started, 4)
        return result


def _survey(model: Triangles, seeds: _Seeds) -> _Survey:
    sums = np.zeros(2, np.uint64)
    totals = np.zeros(3)
    box = np.array([np.inf] * 3 + [-np.inf] * 3)
    origin = np.zeros(3)
    count = degenerate = 0
    for block in model.blocks():
        if count == 0:  # Far from zero, sums from zero lose every digit that matters.
            origin = block[0, :3].copy()
        bits = block.view(np.uint64)
        degenerate += kernels.scan(block, bits, origin, seeds.key, sums, totals, box)
        count += len(block)
    even, oriented = bool(sums[1] == 0), bool(sums[0] == 0)
    survey = _Survey(
        origin, totals[0] / 6, totals[1], totals[2], box[:3], box[3:] - box[:3],
        count, degenerate, even, oriented, closed=even,
    )  # fmt: skip
    if not (even and oriented):
        _weld(model, survey, seeds)
    return survey


def _weld(model: Triangles, survey: _Survey, seeds: _Seeds) -> None:
    """Look again with corners a hair apart taken as one; several grids, as one may cut a pair."""
    size = float(survey.sides.max())
    if size == 0.0:
        return
    sums = np.zeros((_SNAP_TRIES, 2), np.uint64)
    per_unit = 1 / (_SNAP * size)
    for block in model.blocks():
        kernels.scan_snapped(block, survey.origin, per_unit, seeds.offsets, seeds.key, sums)
    survey.closed = survey.closed or bool((sums[:, 1] == 0).any())
    survey.oriented = survey.oriented or bool((sums == 0).all(axis=1).any())


def _judge(job: _Job) -> Outcome:
    volume = None
    try:
        _must_be_solid(job.survey)
        volume = _volume(job)
        _must_be_plausible(job, volume)
        return _report(job, volume)
    except Doubtful as doubt:
        return Manual((doubt.finding,), measured=_report(job, volume))


def _must_be_solid(survey: _Survey) -> None:
    if not survey.closed:
        raise Doubtful("open", "The surface has gaps, so it encloses no volume.")
    if not survey.oriented:
        message = "Some faces look inwards while their neighbours look outwards."
        raise Doubtful("misoriented", message)
    if not survey.volume:
        raise Doubtful("no_volume", "The model encloses no volume.")


def _volume(job: _Job) -> float:
    """What metal would fill, in units of the file."""
    survey = job.survey
    if survey.volume < 0:
        message = "All faces looked inwards; the model was turned inside out."
        job.warnings.append(Finding("turned", message))
    if not survey.even:
        message = "Corners a millionth of the size apart were taken as one."
        job.warnings.append(Finding("welded", message))
    rays = job.time("rays", lambda: _shoot(job.model, survey))
    if rays.inverted > MAX_OVERLAP:
        message = "A part of the model is turned inside out; it is not clear what is metal."
        raise Doubtful("inside_out_part", message)
    # The sum is exact and the rays are not, so the rays only tell the difference.
    volume = abs(survey.volume) * (1 - rays.doubled + rays.inverted)
    return volume if rays.doubled <= MAX_OVERLAP else _united(job, volume)


def _united(job: _Job, expected: float) -> float:
    """Two ways to the union that know nothing of each other have to meet."""
    survey = job.survey
    union: United = job.time(
        "union", lambda: unite(job.model, survey.origin, job.seeds.key, survey.triangles)
    )
    if abs(union.volume - expected) > 0.003 * expected:
        message = "Parts of the model overlap in a way that two calculations see differently."
        raise Doubtful("overlap_unclear", message)
    survey.area, job.shells = union.area, union.shells
    message = "Overlapping parts of the model were counted once."
    job.warnings.append(Finding("overlap", message))
    return union.volume


def _must_be_plausible(job: _Job, volume: float) -> None:
    """The last look at a number: could any solid in this box, with this surface, have it?"""
    sides, area = job.survey.sides, job.survey.area
    isoperimetric = (36 * math.pi * volume**2) ** (1 / 3)
    if volume > np.prod(sides) * 1.0001 or area < isoperimetric * 0.9999:
        message = "The measured volume cannot be true for a model of this size."
        raise Doubtful("implausible", message)
    side = float(sides.max()) * job.scale
    if not SMALLEST_MM <= side <= LARGEST_MM:
        raise _wrong_scale(side)


def _report(job: _Job, volume: float | None) -> Measurement:
    survey, scale = job.survey, job.scale
    x, y, z = (round(float(side) * scale, 6) for side in survey.sides)
    solid = survey.closed and survey.oriented
    overlap = 0.0 if volume is None else max(0.0, abs(survey.volume) - volume)
    return Measurement(
        volume_mm3=None if volume is None else _rounded(volume * scale**3),
        signed_volume_mm3=_rounded(survey.volume * scale**3) if solid else None,
        area_mm2=_rounded(survey.area * scale**2),
        bbox_mm=(x, y, z),
        triangles=survey.triangles,
        closed=survey.closed,
        oriented=survey.oriented,
        even=survey.even,
        degenerate=survey.degenerate,
        overlap_mm3=_rounded(overlap * scale**3),
        shells=job.shells,
        warnings=tuple(job.warnings),
        timings_s=dict(job.timings),
    )


def _rounded(value: float) -> Decimal:
    """The one place where geometry stops being a float."""
    return Decimal(repr(float(value))).quantize(_STEP, context=_EXACT)


def _wrong_scale(side: float) -> Doubtful:
    units = {"inches": 25.4, "centimetres": 10.0, "metres": 1000.0}
    fitting = [
        f"{side * factor:.1f} mm if the file is in {name}"
        for name, factor in units.items()
        if SMALLEST_MM <= side * factor <= LARGEST_MM
    ]
    if SMALLEST_MM <= side / 1000 <= LARGEST_MM:
        fitting.append(f"{side / 1000:.1f} mm if the file is in micrometres")
    guess = f" It would be {', or '.join(fitting)}." if fitting else ""
    message = f"The largest side is {_length(side)} mm, which no piece of ours has.{guess}"
    return Doubtful("scale", message)


def _length(side: float) -> str:
    return f"{side:,.1f}" if side >= 1 else f"{side:.2g}"


@dataclass
class _Rays:
    """Shares of the volume: counted more than once, and counted negatively."""

    doubled: float
    inverted: float


def _shoot(model: Triangles, survey: _Survey) -> _Rays:
    box = np.array([np.inf] * 3 + [-np.inf] * 3)
    for block in model.blocks():
        kernels.turn(block, survey.origin, np.empty_like(block), box)
    pitch = _pitch(box, survey)
    columns, rows = (int((box[3 + k] - box[k]) / pitch) + 1 for k in (0, 1))
    last = np.full((rows, columns), -1, np.int32)
    room = int(1.2 * survey.seen / pitch**2) + 100_000
    z = np.empty(room, np.float32)
    before = np.empty(room, np.int32)
    used = 0
    for block in model.blocks():
        turned = np.empty_like(block)
        kernels.turn(block, survey.origin, turned, box)
        used = kernels.shoot(turned, box[:3], pitch, last, z, before, used)
        if used < 0:
            raise _tangled()
    if survey.volume < 0:
        np.negative(z, out=z)
    lengths = np.zeros(4)
    heights = np.empty(_MAX_CROSSINGS_OF_A_RAY, np.float32)
    hit = kernels.wind(last, z, before, heights, lengths)
    return _read_rays(hit, lengths, pitch, abs(survey.volume))


def _pitch(box: Floats, survey: _Survey) -> float:
    """As fine as the bounds on rays and on crossings allow."""
    width, height = box[3] - box[0], box[4] - box[1]
    by_rays = math.sqrt(width * height / _MAX_RAYS)
    by_crossings = math.sqrt(survey.seen / _MAX_CROSSINGS)
    return max(by_rays, by_crossings, _MIN_PITCH * float(survey.sides.max()))


def _read_rays(hit: int, lengths: Floats, pitch: float, volume: float) -> _Rays:
    if hit < 0:
        raise _tangled()
    seen = lengths[0] * pitch**2
    if hit == 0 or lengths[3] > _MAX_STRAY_RAYS * hit:
        raise Doubtful("open", "Rays enter the model and do not leave it: the surface has gaps.")
    if abs(seen - volume) > _MAX_DISAGREEMENT * volume:
        message = "Two ways to measure the volume disagree."
        raise Doubtful("disagreement", message)
    return _Rays(lengths[1] * pitch**2 / volume, lengths[2] * pitch**2 / volume)


def _tangled() -> Doubtful:
    return Doubtful("tangled", "Too many surfaces lie above each other to tell what is metal.")


assert MAX_COORDINATE / _SNAP < 2**62  # noqa: S101  # Snapped corners fit in 64 bits.
