"""What pricing asks of whoever measures model files."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from orderkeep.kernel.errors import Unavailable
from orderkeep.quoting.measurement import Outcome


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file to be measured.

    ``source`` is a path, or a descriptor open for reading that stays the caller's. ``unit`` says
    what one unit of the file means; STL does not.
    """

    source: Path | int
    unit: str = "mm"


class EngineUnavailable(Unavailable):
    """Nothing can be measured now; says nothing about the file."""


class Engine(Protocol):
    """Measures model files; a hostile file costs it nothing but the deadline."""

    async def measure(self, file: ModelFile, deadline: timedelta) -> Outcome:
        """Measure one file; returning ``Manual`` is an answer, and asking again changes nothing.

        Raises:
            EngineUnavailable: the file was not looked at; ask again later.
        """
        ...
