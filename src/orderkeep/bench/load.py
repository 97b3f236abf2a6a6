"""Closed-loop load and what it measured: a client sends its next request when it has an answer."""

import asyncio
import resource
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter, process_time

import msgspec


class Sample(msgspec.Struct, frozen=True):
    """One round of one path at one number of clients."""

    per_s: float
    p50_ms: float
    p99_ms: float
    requests: int = 0
    cpu_us: float | None = None
    """CPU of whoever served, user and system, for one request; the steadiest figure here."""
    refused: int = 0
    """Told to come again later, where that is no failure; not among the requests."""


async def closed_loop(
    request: Callable[[], Awaitable[object]], clients: int, seconds: float
) -> Sample:
    """Let clients repeat a request for a while, each waiting for its answer."""
    took: list[float] = []
    started, used = perf_counter(), process_time()
    ends = started + seconds

    async def client() -> None:
        before = perf_counter()
        while before < ends:
            await request()
            after = perf_counter()
            took.append(after - before)
            before = after

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    measured = sample(took, perf_counter() - started)
    used = (process_time() - used) / measured.requests
    return msgspec.structs.replace(measured, cpu_us=round(used * 1e6, 1))


def allow_many_files() -> None:
    """Every connection needs a descriptor, and the usual 1,024 are soon gone."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class NothingMeasured(Exception):
    """Not one request was answered: there is no rate and no percentile to tell."""


def sample(took: list[float], elapsed: float) -> Sample:
    """Rate and percentiles of single durations in seconds.

    Raises:
        NothingMeasured: there are none.
    """
    if not took:
        raise NothingMeasured(f"nothing was measured: no answer came in {elapsed:.1f} s")
    took.sort()
    return Sample(
        per_s=round(len(took) / elapsed, 1),
        p50_ms=round(percentile(took, 0.50) * 1000, 3),
        p99_ms=round(percentile(took, 0.99) * 1000, 3),
        requests=len(took),
    )


def percentile(ordered: list[float], share: float) -> float:
    """The value below which a share of the sorted values lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def middle(samples: list[Sample]) -> Sample:
    """Field by field the median of the rounds."""
    return Sample(
        per_s=median(one.per_s for one in samples),
        p50_ms=median(one.p50_ms for one in samples),
        p99_ms=median(one.p99_ms for one in samples),
        requests=sum(one.requests for one in samples),
        cpu_us=_middle_cpu(samples),
    )


def _middle_cpu(samples: list[Sample]) -> float | None:
    used = [one.cpu_us for one in samples if one.cpu_us is not None]
    return median(used) if used else None
