"""Files that lie, end early, or want to be the end of us."""

import os
import tempfile
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderkeep.practice.rings import binary_stl, mesh_of, ring, text_stl
from orderkeep.quoting.measure import measure
from orderkeep.quoting.measurement import Manual, Outcome
from orderkeep.quoting.stl import Unreadable, open_stl

Measure = Callable[..., Outcome]

SOUND = ring("band", 1, triangles=2000)
TEXT = text_stl(mesh_of(SOUND)[:3])
FACET = TEXT.split(b"\n", 1)[1].split(b"facet normal")[1]
FACET = b"facet normal" + FACET


def with_count(count: int) -> bytes:
    return SOUND[:80] + count.to_bytes(4, "little") + SOUND[84:]


def with_number(value: float) -> bytes:
    mesh = mesh_of(SOUND).copy()
    mesh[7, 1, 2] = value
    return binary_stl(mesh)


def solid(body: bytes) -> bytes:
    return b"solid x\n" + body + b"endsolid x\n"


HOSTILE = {
    "nothing at all": (b"", "empty_file"),
    "one byte": (b"s", "not_stl"),
    "a header alone": (SOUND[:84], "truncated"),
    "no triangles": (SOUND[:80] + bytes(4), "no_triangles"),
    "a count one too high": (with_count(1989), "truncated"),
    "a count one too low": (with_count(1987), "trailing_bytes"),
    "a count of four thousand million": (with_count(2**32 - 1), "not_stl"),
    "a count of nothing, with a body": (with_count(0), "not_stl"),
    "cut in a triangle": (SOUND[:-20], "truncated"),
    "bytes after the end": (SOUND + b"<script>", "trailing_bytes"),
    "not a number": (with_number(float("nan")), "not_finite"),
    "infinity": (with_number(float("inf")), "not_finite"),
    "minus infinity": (with_number(float("-inf")), "not_finite"),
    "a coordinate on the moon": (with_number(3.8e11), "coordinate_too_large"),
    "a zip": (b"PK\x03\x04" + bytes(500), "unsupported_format"),
    "a GLB": (b"glTF" + bytes(500), "unsupported_format"),
    "an OBJ": (b"v 0 0 0\nv 1 0 0\nf 1 2 3\n" * 30, "unsupported_format"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9, "not_stl"),
    "a web page": (b"<html>" + b"<p>hello</p>" * 50, "not_stl"),
    "a text without an end": (TEXT[: len(TEXT) // 2], "truncated"),
    "a text without endsolid": (TEXT.replace(b"endsolid ring\n", b""), "truncated"),
    "a text without facets": (solid(b""), "no_triangles"),
    "words after the end": (TEXT + b"rm -rf\n", "trailing_text"),
    "two ends": (TEXT + b"endsolid\n", "malformed"),
    "a solid in a solid": (solid(b"solid y\n" + FACET), "malformed"),
    "a word for a number": (solid(FACET.replace(b"vertex ", b"vertex x", 1)), "malformed"),
    "a number with two points": (solid(FACET.replace(b"vertex ", b"vertex 1.2.", 1)), "malformed"),
    "digits of another script": (
        solid("facet normal 0 0 0 outer loop vertex ١ 0 0".encode() + b" 0" * 12), "malformed",
    ),
    "an underscore in a number": (solid(FACET.replace(b"vertex ", b"vertex 1_", 1)), "malformed"),
    "nan in a text": (
        solid(b"facet normal 0 0 0 outer loop vertex nan 0 0 vertex 1 0 0 vertex 0 1 0 "
              b"endloop endfacet\n"), "not_finite",
    ),
    "a number too large for a float": (
        solid(b"facet normal 0 0 0 outer loop vertex 1e999 0 0 vertex 1 0 0 vertex 0 1 0 "
              b"endloop endfacet\n"), "not_finite",
    ),
    "a facet of four corners": (
        solid(FACET.replace(b"endloop", b"vertex 1 1 1\nendloop", 1)), "malformed",
    ),
    "a number of a thousand digits": (
        solid(FACET.replace(b"vertex ", b"vertex 0." + b"3" * 1000, 1)), "malformed",
    ),
    "a line of a mebibyte": (solid(b" " * 2**20 + b"\n" + FACET), "line_too_long"),
    "a name of a mebibyte": (b"solid " + b"x" * 2**20 + b"\n" + FACET, "line_too_long"),
    "a line that never ends": (b"solid x\n" + b"facet " * 2**20, "line_too_long"),
    "zero bytes in a text": (text_stl(mesh_of(SOUND)[:99]) + bytes(99), "not_text"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(HOSTILE))
def test_a_hostile_file_is_refused_with_its_reason(measured: Measure, name: str) -> None:
    content, code = HOSTILE[name]

    outcome = measured(content)

    assert isinstance(outcome, Manual)
    assert [reason.code for reason in outcome.reasons] == [code]
    assert outcome.reasons[0].message.endswith(".")
    assert outcome.verdict == ("review" if code == "unsupported_format" else "reject")


def test_a_binary_file_may_begin_with_the_word_solid(measured: Measure) -> None:
    disguised = b"solid facet normal".ljust(80) + SOUND[80:]

    assert not isinstance(measured(disguised), Manual)


@pytest.mark.parametrize(
    "dialect",
    [
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"\n", b"\r"),
        lambda text: text.upper().replace(b"E-", b"e-"),
        lambda text: text.replace(b"\n", b"\n\t  "),
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"solid ring", b"solid endsolid facet", 1),
        lambda text: text.replace(b"solid ring", b"solid", 1),
        lambda text: text + b"\n \n",
    ],
    ids=["crlf", "cr", "capitals", "indented", "bom", "odd name", "no name", "blank end"],
)
def test_every_dialect_of_text_is_read(
    measured: Measure, dialect: Callable[[bytes], bytes]
) -> None:
    text = text_stl(mesh_of(SOUND))

    outcome = measured(dialect(text))

    assert not isinstance(outcome, Manual), outcome


def test_several_solids_in_a_text_are_one_model(measured: Measure) -> None:
    mesh = mesh_of(SOUND)

    outcome = measured(text_stl(mesh[:700]) + text_stl(mesh[700:]))

    assert not isinstance(outcome, Manual)


def test_a_lying_count_is_refused_before_anything_is_allocated() -> None:
    with tempfile.TemporaryFile() as file:
        # A sparse gigabyte that claims, truly, 21 million triangles.
        file.write(b"x".ljust(80) + (21_000_000).to_bytes(4, "little"))
        file.flush()
        os.ftruncate(file.fileno(), 84 + 50 * 21_000_000)
        tracemalloc.start()
        outcome = measure(file.fileno(), "mm", b"seed")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert isinstance(outcome, Manual)
    assert outcome.reasons[0].code == "too_many_triangles"
    assert peak < 1024 * 1024


def test_a_large_file_is_read_in_bounded_memory() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"x".ljust(80) + (4_000_000).to_bytes(4, "little"))
        file.flush()
        os.ftruncate(file.fileno(), 84 + 50 * 4_000_000)
        measure(file.fileno(), "mm", b"seed")
        tracemalloc.start()
        outcome = measure(file.fileno(), "mm", b"seed")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert isinstance(outcome, Manual)
    assert peak < 32 * 1024 * 1024


def test_a_file_that_shrinks_while_it_is_read_is_truncated() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(SOUND)
        file.flush()
        model = open_stl(file.fileno())
        os.ftruncate(file.fileno(), 1000)

        with pytest.raises(Unreadable) as refusal:
            list(model.blocks())

    assert refusal.value.finding.code == "truncated"


def test_a_pipe_is_not_a_model() -> None:
    there, here = os.pipe()
    outcome = measure(there, "mm", b"seed")
    os.close(there)
    os.close(here)

    assert isinstance(outcome, Manual)
    assert outcome.reasons[0].code == "not_a_file"


@settings(max_examples=60, deadline=None)
@given(where=st.integers(0, len(SOUND) - 1), what=st.binary(min_size=1, max_size=8))
def test_bytes_changed_anywhere_never_change_the_price_unseen(
    measured: Measure, where: int, what: bytes
) -> None:
    spoiled = SOUND[:where] + what + SOUND[where + len(what) :]
    sound = measured(SOUND)

    outcome = measured(spoiled)

    if not isinstance(outcome, Manual) and not isinstance(sound, Manual):
        assert outcome.volume_mm3 == sound.volume_mm3


def test_a_signalling_nan_is_refused_in_silence(measured: Measure) -> None:
    """Found by changed bytes: widening it made the reader complain instead of judge."""
    signalling = b"\x01\x00\x81\x7f"
    spoiled = SOUND[:96] + signalling + SOUND[100:]

    assert isinstance(measured(spoiled), Manual)


@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=3000), start=st.sampled_from([b"", b"solid x\n"]))
def test_any_bytes_get_an_answer(measured: Measure, body: bytes, start: bytes) -> None:
    assert isinstance(measured(start + body), Manual)


def test_every_word_of_a_text_may_be_lost_and_is_missed(measured: Measure) -> None:
    words = text_stl(mesh_of(SOUND)[:2]).split(b" ")

    for n in range(1, len(words)):
        outcome = measured(b" ".join(words[:n] + words[n + 1 :]))
        assert isinstance(outcome, Manual)


def test_extreme_but_finite_numbers_give_no_number(measured: Measure) -> None:
    tiny = np.full((4, 3, 3), 1e-38)
    huge = np.full((4, 3, 3), 1e6)

    assert isinstance(measured(binary_stl(tiny)), Manual)
    assert isinstance(measured(binary_stl(huge), "m"), Manual)
