"""The loops over triangles, compiled by numba once and kept in its cache.

Everything is at module level, because numba compiles a function made inside another anew in every
process. Arrays come from ``measure``; nothing here knows files, units or verdicts.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Words = NDArray[np.uint64]

_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_S1 = np.uint64(30)
_S2 = np.uint64(27)
_S3 = np.uint64(31)

# A fixed turn about no axis of any part: rays along a wall would all hit it or all miss it.
TURN = np.array(
    [
        [0.8229517034, 0.3482170671, -0.4488473186],
        [-0.1371418246, 0.8905937826, 0.4336279366],
        [0.5507362986, -0.2953081326, 0.7806876376],
    ]
)
TURN = np.ascontiguousarray(np.linalg.qr(TURN.T)[0].T)


@njit(cache=True, inline="always")
def _mix(x: np.uint64) -> np.uint64:
    """The finalizer of splitmix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    x = (x ^ (x >> _S1)) * _M1
    x = (x ^ (x >> _S2)) * _M2
    return x ^ (x >> _S3)


@njit(cache=True, inline="always")
def _corner_hash(x: np.uint64, y: np.uint64, z: np.uint64, key: Words) -> np.uint64:
    return _mix(_mix(_mix(x ^ key[0]) ^ y ^ key[1]) ^ z ^ key[2])


@njit(cache=True, inline="always")
def _add_edge(a: np.uint64, b: np.uint64, key: Words, sums: Words) -> None:
    """Add an edge walked from a to b: the way back cancels it, a second pass does not."""
    if a < b:
        edge = _mix(_mix(a ^ key[3]) ^ b)
        sums[0] += edge
        sums[1] ^= edge
    elif b < a:
        edge = _mix(_mix(b ^ key[3]) ^ a)
        sums[0] -= edge
        sums[1] ^= edge


@njit(cache=True)
def scan(
    corners: Floats,
    bits: Words,
    origin: Floats,
    key: Words,
    sums: Words,
    totals: Floats,
    box: Floats,
) -> int:
    """One pass over a block.

    Adds to ``sums`` (directed and undirected edges), ``totals`` (six volumes, area, area seen
    along the turned z) and ``box`` (low xyz, high xyz); returns the triangles without area.
    """
    volume = 0.0
    area = 0.0
    seen = 0.0
    degenerate = 0
    for n in range(corners.shape[0]):
        a = _corner_hash(bits[n, 0], bits[n, 1], bits[n, 2], key)
        b = _corner_hash(bits[n, 3], bits[n, 4], bits[n, 5], key)
        c = _corner_hash(bits[n, 6], bits[n, 7], bits[n, 8], key)
        _add_edge(a, b, key, sums)
        _add_edge(b, c, key, sums)
        _add_edge(c, a, key, sums)
        for k in range(3):
            for corner in range(3):
                value = corners[n, 3 * corner + k]
                box[k] = min(box[k], value)
                box[3 + k] = max(box[3 + k], value)
        ax = corners[n, 0] - origin[0]
        ay = corners[n, 1] - origin[1]
        az = corners[n, 2] - origin[2]
        ux = corners[n, 3] - corners[n, 0]
        uy = corners[n, 4] - corners[n, 1]
        uz = corners[n, 5] - corners[n, 2]
        vx = corners[n, 6] - corners[n, 0]
        vy = corners[n, 7] - corners[n, 1]
        vz = corners[n, 8] - corners[n, 2]
        nx = uy * vz - uz * vy
        ny = uz * vx - ux * vz
        nz = ux * vy - uy * vx
        volume += ax * nx + ay * ny + az * nz
        twice = np.sqrt(nx * nx + ny * ny + nz * nz)
        area += 0.5 * twice
        seen += 0.5 * abs(TURN[2, 0] * nx + TURN[2, 1] * ny + TURN[2, 2] * nz)
        if twice == 0.0:
            degenerate += 1
    totals[0] += volume
    totals[1] += area
    totals[2] += seen
    return degenerate


@njit(cache=True)
def scan_snapped(
    corners: Floats, origin: Floats, per_unit: float, offsets: Floats, key: Words, sums: Words
) -> None:
    """The edge sums again, corners moved to a grid; one row of ``sums`` per row of offsets."""
    for k in range(offsets.shape[0]):
        for n in range(corners.shape[0]):
            a = _snapped_hash(corners, n, 0, origin, per_unit, offsets[k], key)
            b = _snapped_hash(corners, n, 3, origin, per_unit, offsets[k], key)
            c = _snapped_hash(corners, n, 6, origin, per_unit, offsets[k], key)
            _add_edge(a, b, key, sums[k])
            _add_edge(b, c, key, sums[k])
            _add_edge(c, a, key, sums[k])


@njit(cache=True, inline="always")
def _snapped_hash(
    corners: Floats, n: int, at: int, origin: Floats, per_unit: float, offset: Floats, key: Words
) -> np.uint64:
    x = np.uint64(np.int64(np.floor((corners[n, at] - origin[0]) * per_unit + offset[0])))
    y = np.uint64(np.int64(np.floor((corners[n, at + 1] - origin[1]) * per_unit + offset[1])))
    z = np.uint64(np.int64(np.floor((corners[n, at + 2] - origin[2]) * per_unit + offset[2])))
    return _corner_hash(x, y, z, key)


@njit(cache=True)
def turn(corners: Floats, origin: Floats, turned: Floats, box: Floats) -> None:
    """Write the turned corners, and widen their box; a shared corner turns bit for bit alike."""
    for n in range(corners.shape[0]):
        for corner in range(3):
            x = corners[n, 3 * corner] - origin[0]
            y = corners[n, 3 * corner + 1] - origin[1]
            z = corners[n, 3 * corner + 2] - origin[2]
            for k in range(3):
                value = TURN[k, 0] * x + TURN[k, 1] * y + TURN[k, 2] * z
                turned[n, 3 * corner + k] = value
                box[k] = min(box[k], value)
                box[3 + k] = max(box[3 + k], value)


@njit(cache=True, inline="always")
def _cross(t: Floats, n: int, a: int, b: int, y: float, out: Floats) -> None:
    """Where the edge meets the scan line: x, z; the same bits whichever way it is walked."""
    if t[n, a + 1] > t[n, b + 1]:
        a, b = b, a
    share = (y - t[n, a + 1]) / (t[n, b + 1] - t[n, a + 1])
    out[0] = t[n, a] + share * (t[n, b] - t[n, a])
    out[1] = t[n, a + 2] + share * (t[n, b + 2] - t[n, a + 2])


@njit(cache=True)
def shoot(
    t: Floats, low: Floats, pitch: float, last: NDArray[np.int32], z: NDArray[np.float32],
    before: NDArray[np.int32], used: int,
) -> int:  # fmt: skip
    """Record where rays along z, one per pixel, cross the turned triangles.

    ``last[row, column]`` is the newest crossing of a ray and ``before`` the one before it; ``z``
    is measured from the low side of the box plus one, negative where the ray enters. Edges are
    half open, so that each ray crosses a closed surface as often inwards as outwards. Returns
    the crossings used so far, or -1 when there is no room.
    """
    rows, columns = last.shape
    up = np.empty(2)
    down = np.empty(2)
    for n in range(t.shape[0]):
        y_low = min(t[n, 1], t[n, 4], t[n, 7])
        y_high = max(t[n, 1], t[n, 4], t[n, 7])
        first = max(0, int(np.ceil((y_low - low[1]) / pitch - 0.5)) - 1)
        end = min(rows, int(np.ceil((y_high - low[1]) / pitch - 0.5)) + 1)
        for row in range(first, end):
            y = low[1] + (row + 0.5) * pitch
            found = 0
            for a in range(0, 9, 3):
                b = (a + 3) % 9
                if t[n, a + 1] <= y < t[n, b + 1]:
                    _cross(t, n, a, b, y, up)
                    found += 1
                elif t[n, b + 1] <= y < t[n, a + 1]:
                    _cross(t, n, a, b, y, down)
                    found += 1
            if found != 2:
                continue
            # Interior lies left of each edge: the edge going up is the right side of a face
            # that looks up, where the ray leaves.
            leaves = down[0] < up[0]
            x0 = min(down[0], up[0])
            x1 = max(down[0], up[0])
            begin = max(0, int(np.ceil((x0 - low[0]) / pitch - 0.5)))
            stop = min(columns, int(np.ceil((x1 - low[0]) / pitch - 0.5)))
            for column in range(begin, stop):
                if used == z.shape[0]:
                    return -1
                x = low[0] + (column + 0.5) * pitch
                share = min(1.0, max(0.0, (x - down[0]) / (up[0] - down[0])))
                height = down[1] + share * (up[1] - down[1]) - low[2] + 1.0
                z[used] = height if leaves else -height
                before[used] = last[row, column]
                last[row, column] = used
                used += 1
    return used


@njit(cache=True)
def _gather(
    at: int, z: NDArray[np.float32], before: NDArray[np.int32], heights: NDArray[np.float32]
) -> int:
    """The crossings of one ray, lowest first; returns how many, or -1 when there is no room."""
    count = 0
    while at >= 0:
        if count == heights.shape[0]:
            return -1
        k = count
        while k > 0 and abs(heights[k - 1]) > abs(z[at]):
            heights[k] = heights[k - 1]
            k -= 1
        heights[k] = z[at]
        count += 1
        at = before[at]
    return count


@njit(cache=True)
def _climb(heights: NDArray[np.float32], count: int, lengths: Floats) -> None:
    winding = 0
    for k in range(count):
        if winding != 0:
            passed = float(abs(heights[k])) - float(abs(heights[k - 1]))
            lengths[0] += winding * passed
            lengths[1] += max(winding - 1, 0) * passed
            lengths[2] += max(-winding, 0) * passed
        winding += 1 if heights[k] < 0.0 else -1
    if winding != 0:
        lengths[3] += 1.0


@njit(cache=True)
def wind(
    last: NDArray[np.int32],
    z: NDArray[np.float32],
    before: NDArray[np.int32],
    heights: NDArray[np.float32],
    lengths: Floats,
) -> int:
    """Walk every ray and add up what it passed, in ``lengths``.

    The four: signed length; length counted more than once; length counted negatively; rays that
    did not leave as often as they entered. ``heights`` is room to work in. Returns the rays that
    hit anything, or -1 when one has more crossings than there is room for.
    """
    hit = 0
    for row in range(last.shape[0]):
        for column in range(last.shape[1]):
            if last[row, column] >= 0:
                count = _gather(last[row, column], z, before, heights)
                if count < 0:
                    return -1
                _climb(heights, count, lengths)
                hit += 1
    return hit


@njit(cache=True)
def name_corners(bits: Words, key: Words, names: Words) -> None:
    """A name for each corner; the same place has the same name."""
    for n in range(bits.shape[0]):
        names[n] = _corner_hash(bits[n, 0], bits[n, 1], bits[n, 2], key)
