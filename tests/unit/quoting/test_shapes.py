"""Shapes whose volume is known on paper, and the traps that cost others money."""

import io
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from orderkeep.practice.rings import (
    DEFECTS,
    KINDS,
    Mesh,
    binary_stl,
    in_metres,
    mesh_of,
    ring,
    text_stl,
)
from orderkeep.quoting.measurement import Manual, Measurement, Outcome

Measure = Callable[..., Outcome]


def box(x: float = 10, y: float = 10, z: float = 10, at: tuple[float, ...] = (0, 0, 0)) -> Mesh:
    solid = trimesh.creation.box((x, y, z))
    mesh: Mesh = mesh_from(solid) + np.array(at)
    return mesh


def mesh_from(solid: Any) -> Mesh:
    mesh: Mesh = np.asarray(solid.triangles, dtype=np.float64)
    return mesh


def inside_out(mesh: Mesh) -> Mesh:
    return mesh[:, ::-1]


def together(*meshes: Mesh) -> bytes:
    return binary_stl(np.concatenate(meshes))


def number(outcome: Outcome) -> float:
    assert isinstance(outcome, Measurement), outcome
    assert outcome.volume_mm3 is not None
    return float(outcome.volume_mm3)


def reasons(outcome: Outcome) -> list[str]:
    assert isinstance(outcome, Manual), outcome
    return [reason.code for reason in outcome.reasons]


def prism(corners: int, radius: float) -> float:
    """Area of a regular polygon."""
    return corners / 2 * radius**2 * math.sin(2 * math.pi / corners)


def tube(corners: int, inner: float, outer: float, height: float) -> Mesh:
    """A band: one polygon extruded, a smaller one taken out of it."""
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    section = [(inner, 0.0), (outer, 0.0), (outer, height), (inner, height)]
    points = np.array([[(*(r * c), z) for r, z in section] for c in circle])
    return grid(points)


def grid(points: Mesh) -> Mesh:
    """Triangles between neighbours on a grid that closes on itself both ways."""
    b, d = np.roll(points, -1, axis=0), np.roll(points, -1, axis=1)
    c = np.roll(b, -1, axis=1)
    cells = np.concatenate([np.stack([points, b, c], 2), np.stack([points, c, d], 2)])
    return cells.reshape(-1, 3, 3)


def test_a_cube_has_the_volume_and_the_surface_of_a_cube(measured: Measure) -> None:
    cube = measured(binary_stl(box()))

    assert isinstance(cube, Measurement)
    assert cube.volume_mm3 == Decimal("1000.000")
    assert cube.area_mm2 == Decimal("600.000")
    assert cube.bbox_mm == (10.0, 10.0, 10.0)
    assert (cube.closed, cube.oriented, cube.even, cube.triangles) == (True, True, True, 12)
    assert cube.warnings == ()


@pytest.mark.parametrize("corners", [3, 16, 64, 360])
def test_a_polygonal_band_has_its_closed_form(measured: Measure, corners: int) -> None:
    outcome = measured(binary_stl(tube(corners, 8.5, 10.0, 4.0)))

    expected = 4.0 * (prism(corners, 10.0) - prism(corners, 8.5))
    assert number(outcome) == pytest.approx(expected, rel=2e-6)


def test_a_torus_and_a_sphere_come_near_their_formulas(measured: Measure) -> None:
    torus = trimesh.creation.torus(10, 2, major_sections=256, minor_sections=128)
    sphere = trimesh.creation.uv_sphere(10, count=[128, 128])

    assert number(measured(binary_stl(mesh_from(torus)))) == pytest.approx(
        2 * math.pi**2 * 10 * 4, rel=1e-3
    )
    assert number(measured(binary_stl(mesh_from(sphere)))) == pytest.approx(
        4 / 3 * math.pi * 1000, rel=1e-3
    )


def test_far_from_the_origin_no_digit_is_lost(measured: Measure) -> None:
    assert number(measured(binary_stl(box(at=(1e5, 1e5, -1e5))))) == 1000.0


def test_a_cube_inside_out_is_turned_and_says_so(measured: Measure) -> None:
    cube = measured(binary_stl(inside_out(box())))

    assert number(cube) == 1000.0
    assert isinstance(cube, Measurement)
    assert cube.signed_volume_mm3 == Decimal("-1000.000")
    assert [warning.code for warning in cube.warnings] == ["turned"]


def test_a_hollow_is_taken_out(measured: Measure) -> None:
    assert number(measured(together(box(), inside_out(box(5, 5, 5))))) == 875.0


def test_overlapping_cubes_are_charged_once(measured: Measure) -> None:
    cubes = measured(together(box(), box(at=(5, 0, 0))))

    assert number(cubes) == 1500.0
    assert isinstance(cubes, Measurement)
    assert (cubes.area_mm2, cubes.shells) == (Decimal("800.000"), 2)
    assert cubes.overlap_mm3 == Decimal("500.000")
    assert [warning.code for warning in cubes.warnings] == ["overlap"]


def test_prongs_soldered_to_a_ring_are_charged_as_their_union(measured: Measure) -> None:
    solid = trimesh.creation.torus(10, 1.5, major_sections=96, minor_sections=48)
    prongs = [
        trimesh.creation.cylinder(0.4, 3.0, transform=_at((11.0, y, 1.2))) for y in (-1.0, 0.0, 1.0)
    ]
    united = trimesh.boolean.union([solid, *prongs], engine="manifold")

    outcome = measured(together(mesh_from(solid), *map(mesh_from, prongs)))

    assert number(outcome) == pytest.approx(united.volume, rel=1e-4)


def _at(place: tuple[float, float, float]) -> Mesh:
    moved = np.eye(4)
    moved[:3, 3] = place
    return moved


def test_cubes_that_only_touch_are_both_charged(measured: Measure) -> None:
    assert number(measured(together(box(), box(at=(10, 0, 0))))) == 2000.0


@pytest.mark.parametrize("inner", [box(5, 5, 5), box()], ids=["nested", "twice the same"])
def test_a_part_inside_a_part_is_for_a_person(measured: Measure, inner: Mesh) -> None:
    assert reasons(measured(together(box(), inner))) == ["nested"]


def test_parts_of_opposite_sides_are_for_a_person(measured: Measure) -> None:
    apart = together(box(), inside_out(box(5, 5, 5, at=(20, 0, 0))))

    assert reasons(measured(apart)) == ["inside_out_part"]


def turned(x: float, y: float, z: float) -> Mesh:
    """A turn about each axis."""
    about_x = [[1, 0, 0], [0, math.cos(x), math.sin(x)], [0, -math.sin(x), math.cos(x)]]
    about_y = [[math.cos(y), 0, -math.sin(y)], [0, 1, 0], [math.sin(y), 0, math.cos(y)]]
    about_z = [[math.cos(z), math.sin(z), 0], [-math.sin(z), math.cos(z), 0], [0, 0, 1]]
    both: Mesh = np.array(about_x) @ np.array(about_y) @ np.array(about_z)
    return both


def figure_of_eight(wire: float) -> Mesh:
    """A wire bent into an 8 that runs through itself where it crosses."""
    turn = np.linspace(0, 2 * np.pi, 240, endpoint=False)[:, None]
    round_wire = np.linspace(0, 2 * np.pi, 24, endpoint=False)[None, :]
    x, y = 10 * np.sin(turn), 5 * np.sin(2 * turn)
    dx, dy = 10 * np.cos(turn), 10 * np.cos(2 * turn)
    length = np.hypot(dx, dy)
    out, up = wire * np.cos(round_wire), wire * np.sin(round_wire)
    points = np.stack([x + out * dy / length, y - out * dx / length, up + 0 * turn], axis=2)
    return grid(points)


def test_a_surface_that_cuts_through_itself_is_for_a_person(measured: Measure) -> None:
    assert reasons(measured(binary_stl(figure_of_eight(1.5)))) == ["overlap"]


def test_one_missing_face_is_for_a_person_and_no_volume_is_shown(measured: Measure) -> None:
    outcome = measured(binary_stl(box()[1:]))

    assert reasons(outcome) == ["open"]
    assert isinstance(outcome, Manual)
    assert outcome.measured is not None
    assert (outcome.measured.volume_mm3, outcome.measured.signed_volume_mm3) == (None, None)


def test_one_face_turned_round_is_for_a_person(measured: Measure) -> None:
    cube = box()
    cube[0] = cube[0, ::-1]

    assert reasons(measured(binary_stl(cube))) == ["misoriented"]


def test_a_t_junction_is_open(measured: Measure) -> None:
    cube = box()
    a, b, c = cube[0]
    middle = (a + b) / 2
    split = np.array([[a, middle, c], [middle, b, c]])

    assert reasons(measured(together(cube[1:], split))) == ["open"]


def test_a_flat_sheet_walked_on_both_sides_has_no_volume(measured: Measure) -> None:
    sheet = np.array([[[0, 0, 0], [10, 0, 0], [0, 10, 0]]], dtype=float)

    assert reasons(measured(together(sheet, inside_out(sheet)))) == ["no_volume"]


def test_corners_a_hair_apart_are_welded(measured: Measure) -> None:
    mesh = mesh_of(ring("band", 5))
    jitter = np.random.default_rng(1).uniform(-2e-9, 2e-9, mesh.shape)

    welded = measured(text_stl(mesh + jitter))

    assert number(welded) == pytest.approx(number(measured(ring("band", 5))), rel=1e-6)
    assert isinstance(welded, Measurement)
    assert (welded.even, [w.code for w in welded.warnings]) == (False, ["welded"])


def test_a_real_gap_is_not_welded(measured: Measure) -> None:
    cube = box()
    cube[0] += 0.001

    assert reasons(measured(binary_stl(cube))) == ["open"]


def test_triangles_without_area_do_no_harm(measured: Measure) -> None:
    cube = box()
    speck = np.repeat(cube[:1, :1], 3, axis=1)

    outcome = measured(together(cube, speck))

    assert number(outcome) == 1000.0
    assert isinstance(outcome, Measurement)
    assert outcome.degenerate == 1


@pytest.mark.parametrize("kind", list(KINDS))
def test_trimesh_agrees_where_it_is_right(measured: Measure, kind: str) -> None:
    stl = ring(kind, 7)
    reference: Any = trimesh.load_mesh(io.BytesIO(stl), file_type="stl")

    outcome = measured(stl)

    assert number(outcome) == pytest.approx(reference.volume, rel=1e-5)
    assert isinstance(outcome, Measurement)
    assert float(outcome.area_mm2) == pytest.approx(reference.area, rel=1e-5)


@pytest.mark.parametrize("kind", list(KINDS))
def test_text_and_binary_tell_the_same(measured: Measure, kind: str) -> None:
    stl = ring(kind, 2, triangles=2000)

    text, binary = measured(text_stl(mesh_of(stl))), measured(stl)

    assert isinstance(text, Measurement)
    assert isinstance(binary, Measurement)
    assert (text.volume_mm3, text.area_mm2) == (binary.volume_mm3, binary.area_mm2)


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    turn=st.tuples(*[st.floats(0, 6.28)] * 3),
    shift=st.tuples(*[st.floats(-500, 500)] * 3),
    order=st.integers(0, 1000),
)
def test_volume_does_not_depend_on_pose_or_order(
    measured: Measure,
    kind: str,
    turn: tuple[float, float, float],
    shift: tuple[float, ...],
    order: int,
) -> None:
    stl = ring(kind, 3, triangles=2000)
    mesh = mesh_of(stl) @ turned(*turn) + np.array(shift)
    mesh = np.random.default_rng(order).permutation(mesh)

    assert number(measured(text_stl(mesh))) == pytest.approx(number(measured(stl)), rel=1e-5)


@given(share=st.floats(0.05, 0.95))
@settings(max_examples=15, deadline=None)
def test_an_overlap_of_any_depth_never_gives_the_sum(measured: Measure, share: float) -> None:
    outcome = measured(together(box(), box(at=(10 * share, 0, 0))))

    assert number(outcome) == pytest.approx(1000 * (1 + share), rel=1e-3)


@pytest.mark.parametrize(
    "defect, code",
    [
        ("open", "open"),
        ("flipped", "misoriented"),
        ("truncated", "truncated"),
        ("metres", "scale"),
    ],
)
def test_what_customers_really_send_is_for_a_person(
    measured: Measure, defect: str, code: str
) -> None:
    for kind in KINDS:
        assert reasons(measured(DEFECTS[defect](ring(kind, 4)))) == [code]


def test_two_rings_pushed_into_each_other_never_cost_their_sum(measured: Measure) -> None:
    for kind in KINDS:
        once = number(measured(ring(kind, 4)))

        outcome = measured(DEFECTS["overlapping"](ring(kind, 4)))

        assert isinstance(outcome, Manual) or once < number(outcome) < 1.99 * once


@pytest.mark.parametrize("unit, scale", [("mm", 1), ("cm", 10), ("m", 1000), ("in", 25.4)])
def test_the_unit_scales_to_millimetres(measured: Measure, unit: str, scale: float) -> None:
    side = 10 / scale
    # Sides a float32 cannot hold exactly need the text dialect.
    outcome = measured(text_stl(box(side, side, side)), unit)

    assert number(outcome) == pytest.approx(1000, rel=1e-9)


def test_a_wrong_scale_names_the_unit_that_would_fit(measured: Measure) -> None:
    outcome = measured(in_metres(ring("band", 1)))

    assert isinstance(outcome, Manual)
    assert "20.2 mm if the file is in metres" in outcome.reasons[0].message
    assert outcome.verdict == "review"


def test_the_verdict_does_not_hang_on_the_secret(measured: Measure) -> None:
    stl = ring("twist", 1)

    volumes = {number(measured(stl, seed=bytes([n]) * 32)) for n in range(8)}

    assert len(volumes) == 1
