"""Whatever a unit of work raises, nobody in its batch is left without an answer."""

import asyncio
from pathlib import Path

import pytest

from orderkeep.adapters.sql.migrate import migrate
from orderkeep.adapters.sql.store import SqliteStore, open_store
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.errors import CommitOutcomeUnknown, StoreBusy


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
        async with asyncio.timeout(120):
            told = await asyncio.gather(
                *(store.write(unit) for unit in units), return_exceptions=True
            )

    assert isinstance(told[0], RuntimeError)
    assert told[1:] == ["answered", "answered"]


async def test_what_comes_in_one_turn_of_the_loop_shares_one_commit(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'orderkeep.db'}"
    migrate(url)
    async with open_store(url, Bells()) as store:
        await asyncio.gather(*(store.write(answers) for _ in range(20)))

        assert store.health()["batches"] == 1


async def test_whatever_the_number_that_comes_at_once_everybody_is_answered(tmp_path: Path) -> None:
    """More than a turn's worth, more than a share, and some who come while others are saved."""
    url = f"sqlite:///{tmp_path / 'orderkeep.db'}"
    migrate(url)
    async with open_store(url, Bells()) as store, asyncio.timeout(60):
        for count in (1, 31, 32, 33, 63, 64, 65, 200, 500):
            told = await asyncio.gather(*(_after(n % 3, store) for n in range(count)))
            assert told == ["answered"] * count


async def _after(turns: int, store: SqliteStore) -> str:
    for _ in range(turns):
        await asyncio.sleep(0)
    return await store.write(answers)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_fault_of_the_writer_itself_leaves_nobody_waiting(tmp_path: Path) -> None:
    """A mistake outside every batch ended its thread, and every order after it waited for ever."""
    url = f"sqlite:///{tmp_path / 'orderkeep.db'}"
    migrate(url)
    async with open_store(url, Bells()) as store, asyncio.timeout(120):
        store._writer.between_batches = lambda: next(iter(()))
        assert await store.write(answers) == "answered"
        told = await asyncio.gather(store.write(answers), return_exceptions=True)
        store._writer._thread.join()

        assert isinstance(told[0], CommitOutcomeUnknown | StoreBusy)
        assert store.health()["failing"]
        with pytest.raises(StoreBusy):
            await store.write(answers)
