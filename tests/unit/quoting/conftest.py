"""Files as customers send them: bytes in, an outcome out."""

import tempfile
from collections.abc import Callable

import pytest

from orderkeep.quoting.measure import measure
from orderkeep.quoting.measurement import Outcome

Measure = Callable[..., Outcome]


@pytest.fixture(scope="session")
def measured() -> Measure:
    """Measure bytes as if they had been uploaded."""

    def run(
        stl: bytes, unit: str = "mm", seed: bytes = b"a secret of this process, for tests"
    ) -> Outcome:
        with tempfile.TemporaryFile() as file:
            file.write(stl)
            file.flush()
            return measure(file.fileno(), unit, seed)

    return run
