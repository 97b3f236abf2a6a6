"""Whoever counts as gone has been missing all the time, whoever looks and how often."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from orderkeep.adapters.sql.postgres import presence
from orderkeep.adapters.sql.postgres.presence import Presence, number

PULSE_S = 0.02
PROOF_S = 1.5
_IS_FREE = "SELECT pg_try_advisory_xact_lock($1)"


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "PULSE_S", PULSE_S)
    monkeypatch.setattr(presence, "PROOF_S", PROOF_S)


def connecting(url: str) -> Callable[[], Any]:
    return lambda: asyncpg.connect(url)


async def until_unseen(url: str, name: str) -> None:
    """The server frees a lock a moment after its session has ended."""
    session = await asyncpg.connect(url)
    async with asyncio.timeout(120):
        # PostgreSQL rings no bell for it.
        while not await session.fetchval(_IS_FREE, number(name)):  # noqa: ASYNC110
            await asyncio.sleep(PULSE_S)
    await session.close()


async def test_whoever_was_back_meanwhile_has_not_been_missing_since_before(
    postgres_url: str,
) -> None:
    """Nobody asked while it was back: the first sighting counted, and it was gone at once."""
    ours, other = (Presence(connecting(postgres_url), name) for name in ("ours", "other"))
    await ours.start()
    assert await ours.gone({"other"}) == set()
    await other.start()
    await asyncio.sleep(PROOF_S)
    await other.stop()
    await until_unseen(postgres_url, "other")

    at_once = await ours.gone({"other"})

    assert at_once == set()
    async with asyncio.timeout(120):
        while await ours.gone({"other"}) != {"other"}:  # noqa: ASYNC110  # Nor does it.
            await asyncio.sleep(PULSE_S)
    await ours.stop()


async def test_whoever_asks_seldom_has_proof_all_the_same(postgres_url: str) -> None:
    """As while the door has no time for others: each second somebody looks."""
    ours = Presence(connecting(postgres_url), "ours")
    await ours.start()
    assert await ours.gone({"other"}) == set()

    await asyncio.sleep(PROOF_S)

    assert await ours.gone({"other"}) == {"other"}
    await ours.stop()
