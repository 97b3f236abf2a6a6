"""The union of overlapping shells by manifold3d, as a second opinion to the rays."""

from dataclasses import dataclass
from itertools import permutations
from typing import Any, Final

import manifold3d
import numpy as np

from orderkeep.quoting import kernels
from orderkeep.quoting.kernels import Floats, Words
from orderkeep.quoting.measurement import Doubtful
from orderkeep.quoting.stl import Triangles

MAX_TRIANGLES: Final = 300_000
MAX_SHELLS: Final = 64


@dataclass
class United:
    """All shells as one solid, in units of the file."""

    volume: float
    area: float
    shells: int


def unite(model: Triangles, origin: Floats, key: Words, triangles: int) -> United:
    """Unite the shells of a closed, oriented model.

    Raises:
        Doubtful: their union has no one meaning, or is too large to make.
    """
    if triangles > MAX_TRIANGLES:
        raise Doubtful("overlap", "Parts of the model overlap, and it is too large to unite them.")
    shells = _shells(model, origin, key)
    if shells is None or not 1 < len(shells) <= MAX_SHELLS:
        raise Doubtful("overlap", "The surface cuts through itself.")
    if any(shell.volume() < 0 for shell in shells):
        raise Doubtful("overlap", "Parts of the model overlap a hollow.")
    if any(_swallows(a, b) for a, b in permutations(shells, 2)):
        message = "A part lies wholly inside another: it may be metal or a hollow."
        raise Doubtful("nested", message)
    union = manifold3d.Manifold.batch_boolean(shells, manifold3d.OpType.Add)
    return United(union.volume(), union.surface_area(), len(shells))


def _shells(model: Triangles, origin: Floats, key: Words) -> list[Any] | None:
    corners = np.concatenate(list(model.blocks())).reshape(-1, 3)
    names = np.empty(len(corners), np.uint64)
    kernels.name_corners(corners.view(np.uint64), key, names)
    _, first, faces = np.unique(names, return_index=True, return_inverse=True)
    mesh = manifold3d.Mesh64(
        np.ascontiguousarray(corners[first] - origin),
        np.ascontiguousarray(faces.reshape(-1, 3).astype(np.uint64)),
    )
    solid = manifold3d.Manifold(mesh)
    if solid.status() != manifold3d.Error.NoError:
        return None
    return list(solid.decompose())


def _swallows(outer: Any, inner: Any) -> bool:
    low, high = np.array(outer.bounding_box()).reshape(2, 3)
    inner_low, inner_high = np.array(inner.bounding_box()).reshape(2, 3)
    if (inner_low < low - 1e-9).any() or (inner_high > high + 1e-9).any():
        return False
    return bool((inner - outer).volume() <= 1e-3 * inner.volume())
