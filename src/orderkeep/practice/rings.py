"""Ring-like model files, made from a seed: for the practice data, for tests and benchmarks.

Each is one closed surface whose faces look outwards, a grid bent round twice, so the corners of
neighbours are the same bits. The faulty ones are what customers really send.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray

Mesh = NDArray[np.float64]
"""(n, 3, 3): corners of n triangles in millimetres, counter-clockwise seen from outside."""

_RECORD: Final = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("spare", "<u2")])


def ring(kind: str, seed: int, *, size_mm: float | None = None, triangles: int = 8000) -> bytes:
    """A binary STL: the same bytes for the same arguments.

    ``kind`` is one of ``KINDS``; ``size_mm`` the inner diameter (by default a common finger);
    ``triangles`` is met within a few per cent.
    """
    chance = Random(f"{kind} {seed}")
    diameter = size_mm if size_mm is not None else chance.choice((16.0, 16.5, 17.0, 18.0, 19.5))
    return binary_stl(KINDS[kind](diameter / 2, chance, triangles))


def band(radius: float, chance: Random, triangles: int) -> Mesh:
    """A plain band with rounded edges, flat inside."""
    width, thickness = chance.uniform(2.5, 6.0), chance.uniform(1.3, 2.2)
    around, across = _grid(triangles)
    across_angle = _turns(across)[None, :]
    # A superellipse: nearly a rectangle, with edges one does not cut oneself on.
    out = thickness / 2 * _power(np.cos(across_angle), 0.3)
    along = width / 2 * _power(np.sin(across_angle), 0.3)
    return _bend(radius + thickness / 2 + out, along, around)


def solitaire(radius: float, chance: Random, triangles: int) -> Mesh:
    """A round wire with seats for stones: bumps along the outside."""
    wire = chance.uniform(1.0, 1.5)
    around, across = _grid(triangles)
    turn, across_angle = _turns(around)[:, None], _turns(across)[None, :]
    lift = np.zeros((around, 1))
    for n in range(chance.choice((1, 3, 5, 7))):
        away = np.angle(np.exp(1j * (turn - 0.33 * n)))
        lift = lift + chance.uniform(0.3, 0.6) * np.exp(-((away / 0.1) ** 2))
    out = wire * np.cos(across_angle) * (1 + lift * (np.cos(across_angle) > 0))
    return _bend(radius + wire + out, wire * np.sin(across_angle), around)


def signet(radius: float, chance: Random, triangles: int) -> Mesh:
    """A band that widens and thickens to a plate."""
    width, thickness = chance.uniform(3.0, 4.5), chance.uniform(1.4, 1.9)
    around, across = _grid(triangles)
    turn, across_angle = _turns(around)[:, None], _turns(across)[None, :]
    plate = np.exp(-((np.angle(np.exp(1j * turn)) / 0.55) ** 4))
    thick = thickness * (1 + chance.uniform(0.5, 1.0) * plate)
    wide = width * (1 + chance.uniform(1.0, 1.6) * plate)
    out = thick / 2 * _power(np.cos(across_angle), 0.5)
    return _bend(radius + thick / 2 + out, wide / 2 * _power(np.sin(across_angle), 0.5), around)


def twist(radius: float, chance: Random, triangles: int) -> Mesh:
    """A rope: a torus whose surface winds round."""
    wire, strands = chance.uniform(1.1, 1.6), chance.choice((3, 4, 5))
    windings = chance.choice((9, 12, 16))
    around, across = _grid(triangles)
    turn, across_angle = _turns(around)[:, None], _turns(across)[None, :]
    depth = wire * (1 + 0.12 * np.cos(strands * across_angle + windings * turn))
    height = depth * np.sin(across_angle)
    return _bend(radius + 1.12 * wire + depth * np.cos(across_angle), height, around)


KINDS: Final[Mapping[str, Callable[[float, Random, int], Mesh]]] = {
    "band": band,
    "solitaire": solitaire,
    "signet": signet,
    "twist": twist,
}


def open_surface(stl: bytes) -> bytes:
    """Some faces were never exported."""
    mesh = mesh_of(stl)
    return binary_stl(mesh[: -max(3, len(mesh) // 50)])


def flipped_faces(stl: bytes) -> bytes:
    """Some faces look inwards."""
    mesh = mesh_of(stl).copy()
    some = slice(0, len(mesh) // 20)
    mesh[some] = mesh[some, ::-1]
    return binary_stl(mesh)


def overlapping_shells(stl: bytes) -> bytes:
    """Two copies pushed into each other and never united."""
    mesh = mesh_of(stl)
    shift = (mesh.max(axis=(0, 1)) - mesh.min(axis=(0, 1))) * (0.05, 0.0, 0.3)
    return binary_stl(np.concatenate([mesh, mesh + shift]))


def truncated(stl: bytes) -> bytes:
    """The upload broke off."""
    return stl[: len(stl) * 2 // 3]


def in_metres(stl: bytes) -> bytes:
    """Saved by a program that thinks in metres."""
    return binary_stl(mesh_of(stl) / 1000)


DEFECTS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "open": open_surface,
    "flipped": flipped_faces,
    "overlapping": overlapping_shells,
    "truncated": truncated,
    "metres": in_metres,
}


def binary_stl(mesh: Mesh) -> bytes:
    """Triangles as a binary STL; normals are left to the reader."""
    records = np.zeros(len(mesh), _RECORD)
    records["corners"] = mesh
    return b"ring".ljust(80) + len(mesh).to_bytes(4, "little") + records.tobytes()


def text_stl(mesh: Mesh) -> bytes:
    """Triangles as a text STL, every digit written."""
    facets = (
        "facet normal 0 0 0\nouter loop\n"
        + "".join("vertex {!r} {!r} {!r}\n".format(*map(float, corner)) for corner in face)
        + "endloop\nendfacet\n"
        for face in mesh
    )
    return ("solid ring\n" + "".join(facets) + "endsolid ring\n").encode()


def mesh_of(stl: bytes) -> Mesh:
    """The triangles of a binary STL of ours."""
    records = np.frombuffer(stl, _RECORD, offset=84)
    return records["corners"].astype(np.float64)


def _grid(triangles: int) -> tuple[int, int]:
    """Steps around the finger and around the metal, with two triangles a cell."""
    across = max(12, round((triangles / 2 / 5) ** 0.5))
    return max(24, round(triangles / 2 / across)), across


def _turns(steps: int) -> Mesh:
    return np.linspace(0, 2 * np.pi, steps, endpoint=False)


def _power(wave: Mesh, exponent: float) -> Mesh:
    return np.sign(wave) * np.abs(wave) ** exponent


def _bend(radius: Mesh, along: Mesh, around: int) -> Mesh:
    """Bend cross-sections (radius, height along the finger) into a closed ring."""
    turn = _turns(around)[:, None]
    radius, along = np.broadcast_arrays(radius, along + 0 * turn)
    points = np.stack([radius * np.cos(turn), radius * np.sin(turn), along], axis=2)
    a = points
    b = np.roll(points, -1, axis=0)
    c = np.roll(b, -1, axis=1)
    d = np.roll(points, -1, axis=1)
    cells = np.concatenate([np.stack([a, b, c], axis=2), np.stack([a, c, d], axis=2)])
    return cells.reshape(-1, 3, 3)
