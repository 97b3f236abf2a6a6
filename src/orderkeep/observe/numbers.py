"""A process's own numbers, and those of all processes of its parent together.

Processes behind one port each count for themselves, and a scrape meets one of them. So each keeps
what it has counted in a file of a folder that they share, every second, and whoever is asked adds
all of them up. What the dead had counted still counts: a counter that falls looks like a start.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

GAUGE = "gauge"
"""Of those that live only: what the dead had open is closed."""
EVERY_S = 1.0
_FOLDED = "folded"


class Number(msgspec.Struct, frozen=True):
    """One line: with the family's suffix in its name, and label by label."""

    name: str
    labels: dict[str, str]
    value: float


class Family(msgspec.Struct, frozen=True):
    """Numbers of one name; ``kind`` as Prometheus calls it."""

    name: str
    help: str
    kind: str
    numbers: list[Number]


class _Kept(msgspec.Struct):
    """A file: of one process, or of all that have ended, which are named."""

    families: list[Family]
    folded: list[str] = []


Source = Callable[[], Iterable[Family]]


class Numbers:
    """What this process counts, and in ``folder`` what the others of its parent do."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._name = f"{os.getpid()}-{time.monotonic_ns()}"
        self._sources: list[Source] = []

    @property
    def shared(self) -> bool:
        """Whether there are others."""
        return self._folder is not None

    def add(self, source: Source) -> None:
        """Whom to ask for numbers, each time somebody asks us."""
        self._sources.append(source)

    def own(self) -> list[Family]:
        """Of this process alone."""
        return [family for source in self._sources for family in source()]

    def everybody(self) -> list[Family]:
        """Of all processes, this one as it is now and the others of a second ago."""
        if self._folder is None:
            return self.own()
        return added([*self.own(), *_others(self._folder, self._name)])

    def keep(self) -> None:
        """Have the others find ours."""
        if self._folder is not None:
            _write(self._folder / self._name, _Kept(self.own()))


def fold(folder: Path, pid: int) -> None:
    """Add what an ended process had counted to that of all who ended; for the parent alone."""
    ended = list(folder.glob(f"{pid}-*[0-9]"))
    if not ended:
        return
    before = _read(folder / _FOLDED) or _Kept([])
    kept = [one for path in ended if (one := _read(path)) is not None]
    counted = [family for one in kept for family in one.families if family.kind != GAUGE]
    names = [path.name for path in ended]
    _write(folder / _FOLDED, _Kept(added([*before.families, *counted]), names))
    for path in ended:
        path.unlink(missing_ok=True)


def added(families: Iterable[Family]) -> list[Family]:
    """The sums, name by name and label by label."""
    sums: dict[str, tuple[Family, dict[tuple[str, tuple[tuple[str, str], ...]], float]]] = {}
    for family in families:
        _, numbers = sums.setdefault(family.name, (family, {}))
        for number in family.numbers:
            key = number.name, tuple(sorted(number.labels.items()))
            numbers[key] = numbers.get(key, 0.0) + number.value
    return [
        Family(
            family.name,
            family.help,
            family.kind,
            [Number(name, dict(labels), value) for (name, labels), value in numbers.items()],
        )
        for family, numbers in sums.values()
    ]


def _others(folder: Path, own: str) -> Iterator[Family]:
    folded = _read(folder / _FOLDED) or _Kept([])
    yield from folded.families
    for path in folder.glob("*-*[0-9]"):
        if path.name == own or path.name in folded.folded:
            continue
        kept, lives = _read(path), _lives(int(path.name.partition("-")[0]))
        if kept is not None:
            yield from (one for one in kept.families if lives or one.kind != GAUGE)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read(path: Path) -> _Kept | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Kept)
    except FileNotFoundError:
        return None


def _write(path: Path, kept: _Kept) -> None:
    """As a whole or not at all."""
    fresh = path.with_name(f"{path.name}.fresh")
    fresh.write_bytes(msgspec.json.encode(kept))
    fresh.replace(path)
