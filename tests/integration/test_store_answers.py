"""Whatever a unit of work raises, nobody in its batch is left without an answer."""

import asyncio
from pathlib import Path

from orderkeep.adapters.sql.migrate import migrate
from orderkeep.adapters.sql.store import open_store
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.kernel.bells import Bells


def runs_out(_: SqlWork) -> str:
    return next(iter(()))


def answers(_: SqlWork) -> str:
    return "answered"


async def test_a_unit_that_runs_out_of_rows_does_not_silence_its_batch(tmp_path: Path) -> None:
    # Told by a seeded history: a refusal looked for an event that was not there, and every operator
    # whose claim shared the commit waited for ever.
    url = f"sqlite:///{tmp_path / 'orderkeep.db'}"
    migrate(url)
    async with open_store(url, Bells()) as store:
        units = (runs_out, answers, answers)
        async with asyncio.timeout(20):
            told = await asyncio.gather(
                *(store.write(unit) for unit in units), return_exceptions=True
            )

    assert isinstance(told[0], RuntimeError)
    assert told[1:] == ["answered", "answered"]
