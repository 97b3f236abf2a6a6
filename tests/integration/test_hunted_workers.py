"""Found by attack: a measuring process that is neither alive nor dead."""

import asyncio
import os
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from orderkeep.practice.rings import ring
from orderkeep.quoting import workers as module
from orderkeep.quoting.measurement import Measurement
from orderkeep.quoting.ports import ModelFile
from orderkeep.quoting.workers import Workers


async def test_a_measuring_process_that_is_stopped_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends late jobs itself; stopped, it ended none, and no order was priced ever again."""
    model = tmp_path / "ring.stl"
    model.write_bytes(ring("band", 1, triangles=2000))
    monkeypatch.setattr(module, "GRACE", timedelta(0))

    async with Workers() as workers:
        await workers.ready()
        stopped = workers.pid
        assert stopped is not None
        os.kill(stopped, signal.SIGSTOP)
        async with asyncio.timeout(150):
            outcome = await workers.measure(ModelFile(model), timedelta(seconds=5))

    assert isinstance(outcome, Measurement)
    assert workers.pid != stopped
