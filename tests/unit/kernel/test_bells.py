"""Bells: a ring is never lost, whether the worker already waits or not."""

import asyncio

from orderkeep.kernel.bells import Bells

LONG = 60.0
"""Only a defect waits so long."""


async def wakes(bells: Bells, topic: str) -> bool:
    """Whether a wait ends without its time being over."""
    waiting = asyncio.create_task(bells.wait(topic, LONG))
    done, _ = await asyncio.wait({waiting}, timeout=LONG / 10)
    waiting.cancel()
    return bool(done)


async def test_a_ring_before_the_wait_is_kept() -> None:
    bells = Bells()
    bells.ring("relay")

    assert await wakes(bells, "relay")


async def test_a_ring_wakes_whoever_waits() -> None:
    bells = Bells()
    waiting = asyncio.create_task(bells.wait("relay", LONG))
    await asyncio.sleep(0)

    bells.ring("relay")

    async with asyncio.timeout(LONG / 2):
        await waiting


async def test_a_ring_while_the_worker_works_is_kept_for_its_next_wait() -> None:
    bells = Bells()
    bells.ring("relay")
    await bells.wait("relay", LONG)

    bells.ring("relay")  # the worker looks for work meanwhile

    assert await wakes(bells, "relay")


async def test_many_rings_wake_once() -> None:
    bells = Bells()
    bells.ring("relay")
    bells.ring("relay")
    await bells.wait("relay", LONG)
    again = asyncio.create_task(bells.wait("relay", LONG))

    await asyncio.sleep(0)

    assert not again.done()
    again.cancel()


async def test_without_a_ring_the_wait_ends_by_itself() -> None:
    await Bells().wait("relay", 0)


async def test_each_topic_has_a_bell_of_its_own() -> None:
    bells = Bells()
    bells.ring("bridge")
    waiting = asyncio.create_task(bells.wait("relay", LONG))

    await asyncio.sleep(0)

    assert not waiting.done()
    waiting.cancel()


async def test_a_ring_wakes_all_who_wait_together() -> None:
    bells = Bells()
    waiting = [asyncio.create_task(bells.wait("relay", LONG)) for _ in range(3)]
    await asyncio.sleep(0)

    bells.ring("relay")

    async with asyncio.timeout(LONG / 2):
        await asyncio.gather(*waiting)
