"""Reads STL, binary and text, from a file nobody trusts.

The count in a binary header is a claim: it is compared with the real size before anything is
allocated. Memory stays at one block, whatever the file says. Every refusal is a code and a
sentence; a file is never read in part.
"""

import os
import stat
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from orderkeep.kernel.errors import Refused
from orderkeep.quoting.measurement import Finding, Verdict

MAX_TRIANGLES = 20_000_000
MAX_COORDINATE = 1e6
MAX_LINE_BYTES = 64 * 1024
BLOCK_TRIANGLES = 64 * 1024

_MAX_NUMBER_BYTES = 64
_BLOCK_BYTES = 4 * 1024 * 1024
_CACHED_TRIANGLES = 2_000_000  # 144 MiB: text is parsed once, not once a pass
_HEADER_BYTES = 84
_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", 9), ("attribute", "<u2")])
_OTHER_FORMATS = (
    (b"PK\x03\x04", "3MF (or another zip)"),
    (b"glTF", "GLB"),
    (b"ply\n", "PLY"),
    (b"ply\r", "PLY"),
    (b"ISO-10303-21", "STEP"),
    (b"# Blender", "OBJ"),
    (b"mtllib", "OBJ"),
    (b"v ", "OBJ"),
)

Corners = NDArray[np.float64]
"""(n, 9): three corners of n triangles, in units of the file."""


class Unreadable(Refused):
    """The file is not what it says, or too much; ``finding`` tells which."""

    def __init__(self, code: str, message: str, *, verdict: Verdict = "reject") -> None:
        super().__init__(message, code=code)
        self.finding = Finding(code, message)
        self.verdict = verdict


class Triangles(Protocol):
    """A model that can be walked through as often as needed, a block at a time."""

    def blocks(self) -> Iterator[Corners]:
        """All triangles in file order, at most ``BLOCK_TRIANGLES`` at once.

        Raises:
            Unreadable: on the first block that shows it.
        """
        ...


def open_stl(fd: int) -> Triangles:
    """Tell the dialect of the STL behind a descriptor.

    Raises:
        Unreadable: neither dialect, or a header that lies.
    """
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode):
        raise Unreadable("not_a_file", "This is not a regular file.")
    if facts.st_size == 0:
        raise Unreadable("empty_file", "The file is empty.")
    head = os.pread(fd, 4096, 0)
    if _is_binary(head, facts.st_size):
        return BinaryStl(fd, _claimed(head))
    _refuse_other_formats(head)
    if _looks_like_text(head):
        return TextStl(fd, facts.st_size)
    raise _lying_header(head, facts.st_size)


class BinaryStl:
    """80 bytes of anything, a count, 50 bytes a triangle."""

    def __init__(self, fd: int, count: int) -> None:
        if count == 0:
            raise Unreadable("no_triangles", "The file holds no triangles.")
        if count > MAX_TRIANGLES:
            raise _too_many()
        self._fd = fd
        self._count = count

    def blocks(self) -> Iterator[Corners]:
        for start in range(0, self._count, BLOCK_TRIANGLES):
            n = min(BLOCK_TRIANGLES, self._count - start)
            raw = _read_exactly(self._fd, n * 50, _HEADER_BYTES + start * 50)
            # A signalling NaN complains while it is widened; the check that follows refuses it.
            with np.errstate(invalid="ignore"):
                corners = np.frombuffer(raw, dtype=_RECORD)["corners"].astype(np.float64)
            yield _checked(corners)


class TextStl:
    """``solid``, facets of 21 words each, ``endsolid``; several solids may follow each other."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._size = size
        self._kept: list[Corners] | None = None

    def blocks(self) -> Iterator[Corners]:
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[Corners] = []
        count = 0
        for block in self._parsed():
            count += len(block)
            if count > MAX_TRIANGLES:
                raise _too_many()
            if count <= _CACHED_TRIANGLES:
                kept.append(block)
            yield block
        if count == 0:
            raise Unreadable("no_triangles", "The file holds no triangles.")
        if count <= _CACHED_TRIANGLES:
            self._kept = kept

    def _parsed(self) -> Iterator[Corners]:
        facets = _Facets()
        for lines in self._line_blocks():
            yield from facets.take(lines)
        facets.finish()

    def _line_blocks(self) -> Iterator[bytes]:
        """The text in pieces that end where a line ends."""
        rest = b""
        for offset in range(0, self._size, _BLOCK_BYTES):
            size = min(_BLOCK_BYTES, self._size - offset)
            raw = _read_exactly(self._fd, size, offset).replace(b"\r", b"\n")
            raw = raw.removeprefix(b"\xef\xbb\xbf") if offset == 0 else raw
            whole, newline, tail = (rest + raw).rpartition(b"\n")
            if len(tail) > MAX_LINE_BYTES:
                raise _line_too_long()
            rest = tail
            yield whole + newline
        yield rest + b"\n"


class _Facets:
    """Turns lines into triangles, and knows whether a solid is open."""

    _WORDS = (
        (0, b"facet"), (1, b"normal"), (5, b"outer"), (6, b"loop"),
        (7, b"vertex"), (11, b"vertex"), (15, b"vertex"), (19, b"endloop"), (20, b"endfacet"),
    )  # fmt: skip
    _NUMBERS = (8, 9, 10, 12, 13, 14, 16, 17, 18)

    def __init__(self) -> None:
        self._words: list[bytes] = []
        self._in_solid = False
        self._seen_solid = False

    def take(self, text: bytes) -> Iterator[Corners]:
        """Read some lines."""
        if b"\0" in text:
            raise Unreadable("not_text", "The text holds bytes that no text STL has.")
        for piece, mark in _split_at_solids(text):
            yield from self._read(piece)
            if mark is not None:
                self._turn(mark)

    def finish(self) -> None:
        """The file has ended; refuse if the solid has not."""
        if self._in_solid or self._words:
            raise Unreadable("truncated", "The text ends in the middle of the model.")
        if not self._seen_solid:
            raise Unreadable("not_stl", "The text is not an STL model.")

    def _turn(self, mark: bytes) -> None:
        if self._words or (mark == b"solid") is self._in_solid:
            raise _malformed()
        self._in_solid = mark == b"solid"
        self._seen_solid = True

    def _read(self, text: bytes) -> Iterator[Corners]:
        words = self._words + text.split()
        if words and not self._in_solid:
            raise Unreadable("trailing_text", "There is text outside of the model.")
        whole = len(words) - len(words) % 21
        for start in range(0, whole, 21 * BLOCK_TRIANGLES):
            yield self._corners(words[start : min(start + 21 * BLOCK_TRIANGLES, whole)])
        self._words = words[whole:]

    def _corners(self, words: list[bytes]) -> Corners:
        for place, word in self._WORDS:
            if any(found != word and found.lower() != word for found in set(words[place::21])):
                raise _malformed()
        columns = [_numbers(words[place::21]) for place in self._NUMBERS]
        return _checked(np.column_stack(columns))


def _split_at_solids(text: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """Pieces of facets, each followed by the mark (``solid``, ``endsolid``) that ends it."""
    lines = text.split(b"\n")
    if max(map(len, lines)) > MAX_LINE_BYTES:
        raise _line_too_long()
    if b"solid" not in text.lower():
        yield text, None
        return
    start = 0
    for n, line in enumerate(lines):
        word = line[:MAX_LINE_BYTES].split(None, 1)[:1]
        if word and word[0].lower() in {b"solid", b"endsolid"}:
            yield b"\n".join(lines[start:n]), word[0].lower()
            start = n + 1
    yield b"\n".join(lines[start:]), None


def _numbers(words: list[bytes]) -> NDArray[np.float64]:
    if max(map(len, words)) > _MAX_NUMBER_BYTES:
        raise _malformed()
    # Only what a printer of numbers writes: Python's float() also takes "1_000".
    if b"".join(words).translate(None, b"0123456789+-.eE"):
        raise _no_number(words)
    try:
        return np.array([float(word) for word in words])
    except ValueError:
        raise _malformed() from None


def _no_number(words: list[bytes]) -> Unreadable:
    strange = {word.lower().lstrip(b"+-").partition(b"(")[0] for word in words}
    if strange & {b"nan", b"inf", b"infinity", b"1.#ind", b"1.#inf", b"1.#qnan"}:
        return _not_finite()
    return _malformed()


def _checked(corners: Corners) -> Corners:
    """The block, once every coordinate is a plausible number; -0 becomes +0."""
    largest = np.abs(corners).max()
    if not np.isfinite(largest):
        raise _not_finite()
    if largest > MAX_COORDINATE:
        raise Unreadable("coordinate_too_large", "A coordinate lies more than 1,000,000 away.")
    corners += 0.0
    return corners


def _read_exactly(fd: int, size: int, offset: int) -> bytes:
    parts = []
    while size > 0:
        part = os.pread(fd, size, offset)
        if not part:  # It was longer when we looked first.
            raise Unreadable("truncated", "The file ends before its last triangle.")
        parts.append(part)
        size -= len(part)
        offset += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _claimed(head: bytes) -> int:
    return int.from_bytes(head[80:84], "little")


def _is_binary(head: bytes, size: int) -> bool:
    # The size decides, not the first word: many binary files begin with "solid".
    return len(head) >= _HEADER_BYTES and size == _HEADER_BYTES + 50 * _claimed(head)


def _looks_like_text(head: bytes) -> bool:
    return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:5].lower() == b"solid" and b"\0" not in head


def _refuse_other_formats(head: bytes) -> None:
    for magic, name in _OTHER_FORMATS:
        if head.startswith(magic):
            message = f"This looks like {name}; only STL is measured by machine for now."
            raise Unreadable("unsupported_format", message, verdict="review")


def _lying_header(head: bytes, size: int) -> Unreadable:
    if size < _HEADER_BYTES:
        return Unreadable("not_stl", "The file is too short to be a model.")
    whole = _HEADER_BYTES + 50 * _claimed(head)
    # A count that is out by far is no count: the file is something else altogether.
    if whole > size and _claimed(head) <= MAX_TRIANGLES:
        return Unreadable("truncated", "The file ends before its last triangle.")
    if whole < size < 2 * whole:
        return Unreadable("trailing_bytes", "The file goes on after its last triangle.")
    return Unreadable("not_stl", "The file is not an STL model, or its triangle count is wrong.")


def _malformed() -> Unreadable:
    return Unreadable("malformed", "The text breaks the rules of an STL model.")


def _not_finite() -> Unreadable:
    return Unreadable("not_finite", "A coordinate is not a number.")


def _line_too_long() -> Unreadable:
    return Unreadable("line_too_long", "A line of the text is longer than 64 KiB.")


def _too_many() -> Unreadable:
    message = "The model has more than 20 million triangles."
    return Unreadable("too_many_triangles", message, verdict="review")
