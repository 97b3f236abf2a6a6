"""S8: no acknowledged file is lost or changed."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

from orderkeep.ledger.evidence import Stored, Violation
from orderkeep.ledger.ports import Kept

HASHED_BY_DEFAULT = 2 << 30
"""Bytes up to which all files are hashed without being asked to."""
_TOGETHER = 4


class References:
    """Which orders rest on which bytes."""

    def __init__(self, stored: Callable[[str], Stored | None]) -> None:
        self._stored = stored
        self._orders: defaultdict[str, list[str]] = defaultdict(list)
        self._sizes: dict[str, int] = {}

    def add(self, order_no: str, files: Mapping[str, str | None]) -> Iterator[Violation]:
        """Note an order's files; yields what the files table alone shows to be wrong."""
        for file_id, bound in files.items():
            found = self._stored(file_id)
            if found is None:
                yield Violation("S8", order_no, f"file {file_id} is not known any more")
            elif found.sha256 != bound:
                yield Violation("S8", order_no, f"file {file_id} is not the one it was bound to")
            sha256 = bound or (found.sha256 if found else None)
            if sha256:
                self._orders[sha256].append(order_no)
                self._sizes.setdefault(sha256, found.size_bytes if found else -1)

    @property
    def files(self) -> int:
        """How many different contents are referred to."""
        return len(self._sizes)

    async def check(self, kept: Kept, *, everything: bool) -> AsyncIterator[Violation | int]:
        """Yield violations, and the size of each file whose bytes were hashed."""
        sizes = await kept.sizes()
        there = [sha256 for sha256 in self._sizes if sha256 in sizes]
        for violation in self._by_size(sizes):
            yield violation
        if everything or sum(sizes[sha256] for sha256 in there) < HASHED_BY_DEFAULT:
            for at in range(0, len(there), _TOGETHER):
                batch = there[at : at + _TOGETHER]
                digests = await asyncio.gather(*(kept.digest(sha256) for sha256 in batch))
                for sha256, digest in zip(batch, digests, strict=True):
                    yield sizes[sha256]
                    for violation in self._by_content(sha256, digest):
                        yield violation

    def _by_size(self, sizes: Mapping[str, int]) -> Iterator[Violation]:
        for sha256, size in self._sizes.items():
            if sha256 not in sizes:
                yield from self._named(sha256, "is lost")
            elif size not in {-1, sizes[sha256]}:
                yield from self._named(sha256, f"has {sizes[sha256]} bytes instead of {size}")

    def _by_content(self, sha256: str, digest: str | None) -> Iterator[Violation]:
        if digest is None:
            yield from self._named(sha256, "is lost")
        elif digest != sha256:
            yield from self._named(sha256, "has been changed: its bytes have another hash")

    def _named(self, sha256: str, what: str) -> Iterator[Violation]:
        for order_no in self._orders[sha256]:
            yield Violation("S8", order_no, f"model file {sha256[:12]}… {what}")
