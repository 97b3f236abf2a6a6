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
from orderkeep.quoting.measurement import UNITS, Finding, Manual, Measurement, Outcome
from orderkeep.quoting.stl import MAX_COORDINATE, Triangles, Unreadable, open_stl
from orderkeep.quoting.union import United, unite

SMALLEST_MM: Final = 3.0
LARGEST_MM: Final = 120.0
MAX_OVERLAP: Final = 0.002
"""Share of the volume that may be counted twice before it is more than noise of sampling."""

_SNAP: Final = 1e-6  # of the largest side: what exporters of CAD programs leave between corners
_SNAP_TRIES: Final = 4
_MIN_PITCH: Final = 0.01 / 20  # of the largest side: 10 micrometres of a ring
_MAX_RAYS: Final = 2_000_000
_MAX_CROSSINGS: Final = 12_000_000
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
    watch = _Watch()
    try:
        model = open_stl(fd)
        survey = watch.time("pass", lambda: _survey(model, _Seeds(seed)))
        return _judge(model, survey, UNITS[unit], watch, _Seeds(seed))
    except Unreadable as refusal:
        verdict = "review" if refusal.verdict == "review" else "reject"
        return Manual((refusal.finding,), verdict=verdict)


class _Seeds:
    def __init__(self, seed: bytes) -> None:
        stream = hashlib.shake_256(seed).digest(32 + 8 * 3 * _SNAP_TRIES)
        self.key: Words = np.frombuffer(stream[:32], np.uint64)
        offsets = np.frombuffer(stream[32:], np.uint64).astype(np.float64) / 2.0**64
        self.offsets: Floats = offsets.reshape(_SNAP_TRIES, 3)


@dataclass
class _Watch:
    timings: dict[str, float] = field(default_factory=dict)

    def time(self, name: str, work: Callable[[], T]) -> T:
        started = perf_counter()
        result = work()
        self.timings[name] = round(perf_counter() - started, 4)
        return result


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


def _judge(
    model: Triangles, survey: _Survey, scale: float, watch: _Watch, seeds: _Seeds
) -> Outcome:
    if not (survey.closed and survey.oriented):
        return Manual((_not_a_solid(survey),), measured=_report(survey, scale, None, watch))
    if not survey.volume:
        return _manual(survey, scale, watch, "no_volume", "The model encloses no volume.")
    rays = watch.time("rays", lambda: _shoot(model, survey))
    if isinstance(rays, Finding):
        return Manual((rays,), measured=_report(survey, scale, None, watch))
    if rays.doubled <= MAX_OVERLAP and rays.inverted <= MAX_OVERLAP:
        volume = abs(survey.volume) * (1 - rays.doubled + rays.inverted)
        return _plausible(survey, scale, watch, volume)
    if rays.inverted > MAX_OVERLAP:
        message = "A part of the model is turned inside out; it is not clear what is metal."
        return _manual(survey, scale, watch, "inside_out_part", message)
    union = watch.time("union", lambda: unite(model, survey.origin, seeds.key, survey.triangles))
    if isinstance(union, Finding):
        return Manual((union,), measured=_report(survey, scale, None, watch))
    return _agreed(survey, rays, union, scale, watch)


def _agreed(survey: _Survey, rays: "_Rays", union: United, scale: float, watch: _Watch) -> Outcome:
    """Two ways to the union that know nothing of each other have to meet."""
    expected = abs(survey.volume) * (1 - rays.doubled)
    if abs(union.volume - expected) > 0.003 * expected:
        message = "Parts of the model overlap in a way that two calculations see differently."
        return _manual(survey, scale, watch, "overlap_unclear", message)
    survey.area = union.area
    overlap = Finding("overlap", "Overlapping parts of the model were counted once.")
    return _plausible(survey, scale, watch, union.volume, overlap, shells=union.shells)


def _plausible(
    survey: _Survey, scale: float, watch: _Watch, volume: float, *warnings: Finding,
    shells: int | None = None,
) -> Outcome:  # fmt: skip
    """The last look at a number: could any solid in this box, with this surface, have it?"""
    if survey.volume < 0:
        message = "All faces looked inwards; the model was turned inside out."
        warnings += (Finding("turned", message),)
    if not survey.even:
        message = "Corners a millionth of the size apart were taken as one."
        warnings += (Finding("welded", message),)
    measured = _report(survey, scale, volume, watch, warnings, shells)
    isoperimetric = (36 * math.pi * volume**2) ** (1 / 3)
    if not (volume <= np.prod(survey.sides) * 1.0001 and survey.area >= isoperimetric * 0.9999):
        message = "The measured volume cannot be true for a model of this size."
        return Manual((Finding("implausible", message),), measured=measured)
    side = float(survey.sides.max()) * scale
    if not SMALLEST_MM <= side <= LARGEST_MM:
        return Manual((_wrong_scale(side),), measured=measured)
    return measured


def _report(
    survey: _Survey, scale: float, volume: float | None, watch: _Watch,
    warnings: tuple[Finding, ...] = (), shells: int | None = None,
) -> Measurement:  # fmt: skip
    x, y, z = (round(float(side) * scale, 6) for side in survey.sides)
    signed = survey.volume * scale**3
    solid = survey.closed and survey.oriented
    overlap = 0.0 if volume is None else max(0.0, abs(signed) - volume * scale**3)
    return Measurement(
        volume_mm3=None if volume is None else _rounded(volume * scale**3),
        signed_volume_mm3=_rounded(signed) if solid else None,
        area_mm2=_rounded(survey.area * scale**2),
        bbox_mm=(x, y, z),
        triangles=survey.triangles,
        closed=survey.closed,
        oriented=survey.oriented,
        even=survey.even,
        degenerate=survey.degenerate,
        overlap_mm3=_rounded(overlap),
        shells=shells,
        warnings=warnings,
        timings_s=dict(watch.timings),
    )


def _rounded(value: float) -> Decimal:
    """The one place where geometry stops being a float."""
    return Decimal(repr(float(value))).quantize(_STEP, context=_EXACT)


def _manual(survey: _Survey, scale: float, watch: _Watch, code: str, message: str) -> Manual:
    return Manual((Finding(code, message),), measured=_report(survey, scale, None, watch))


def _not_a_solid(survey: _Survey) -> Finding:
    if not survey.closed:
        return Finding("open", "The surface has gaps, so it encloses no volume.")
    return Finding("misoriented", "Some faces look inwards while their neighbours look outwards.")


def _wrong_scale(side: float) -> Finding:
    units = {"inches": 25.4, "centimetres": 10.0, "metres": 1000.0}
    fitting = [
        f"{side * factor:.1f} mm if the file is in {name}"
        for name, factor in units.items()
        if SMALLEST_MM <= side * factor <= LARGEST_MM
    ]
    if SMALLEST_MM <= side / 1000 <= LARGEST_MM:
        fitting.append(f"{side / 1000:.1f} mm if the file is in micrometres")
    guess = f" It would be {', or '.join(fitting)}." if fitting else ""
    message = f"The largest side is {side:.4g} mm, which no piece of ours has.{guess}"
    return Finding("scale", message)


@dataclass
class _Rays:
    """Shares of the volume: counted more than once, and counted negatively."""

    doubled: float
    inverted: float


def _shoot(model: Triangles, survey: _Survey) -> _Rays | Finding:
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
            return _tangled()
    if survey.volume < 0:
        np.negative(z, out=z)
    lengths = np.zeros(4)
    hit = kernels.wind(last, z, before, _MAX_CROSSINGS_OF_A_RAY, lengths)
    return _read_rays(hit, lengths, pitch, abs(survey.volume))


def _pitch(box: Floats, survey: _Survey) -> float:
    """As fine as the bounds on rays and on crossings allow."""
    width, height = box[3] - box[0], box[4] - box[1]
    by_rays = math.sqrt(width * height / _MAX_RAYS)
    by_crossings = math.sqrt(survey.seen / _MAX_CROSSINGS)
    return max(by_rays, by_crossings, _MIN_PITCH * float(survey.sides.max()))


def _read_rays(hit: int, lengths: Floats, pitch: float, volume: float) -> _Rays | Finding:
    if hit < 0:
        return _tangled()
    seen = lengths[0] * pitch**2
    if hit == 0 or lengths[3] > _MAX_STRAY_RAYS * hit:
        return Finding("open", "Rays enter the model and do not leave it: the surface has gaps.")
    if abs(seen - volume) > _MAX_DISAGREEMENT * volume:
        message = "Two ways to measure the volume disagree."
        return Finding("disagreement", message)
    return _Rays(lengths[1] * pitch**2 / volume, lengths[2] * pitch**2 / volume)


def _tangled() -> Finding:
    return Finding("tangled", "Too many surfaces lie above each other to tell what is metal.")


assert MAX_COORDINATE / _SNAP < 2**62  # noqa: S101  # Snapped corners fit in 64 bits.
