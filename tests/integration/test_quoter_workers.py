"""The measuring processes, for real: killed, starved, cancelled, and back again."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from orderkeep.practice.rings import DEFECTS, ring
from orderkeep.quoting.measurement import Manual, Measurement, Outcome
from orderkeep.quoting.ports import ModelFile
from orderkeep.quoting.workers import Workers

AMPLE = timedelta(seconds=400)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "ring.stl"
    path.write_bytes(ring("band", 1, triangles=2000))
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large enough to be caught at work."""
    path = tmp_path_factory.mktemp("models") / "large.stl"
    path.write_bytes(ring("twist", 1, triangles=3_000_000))
    return path


def children_of(pid: int | None) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def until(look: Callable[[], bool]) -> None:
    """Wait for something that another process does, and cannot tell us."""
    async with asyncio.timeout(150):
        while not look():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def a_fork_of(workers: Workers) -> int:
    """The process of a job that has begun."""
    await until(lambda: bool(children_of(workers.pid)))
    return children_of(workers.pid)[0]


async def gone(pid: int) -> None:
    await until(lambda: not Path(f"/proc/{pid}").exists())


def volume(outcome: Outcome) -> float:
    assert isinstance(outcome, Measurement), outcome
    return float(outcome.volume_mm3 or 0)


async def test_a_model_is_measured_by_path_and_by_descriptor(model: Path) -> None:
    async with Workers() as workers:
        by_path = await workers.measure(ModelFile(model), AMPLE)
        with model.open("rb") as file:
            by_descriptor = await workers.measure(ModelFile(file.fileno()), AMPLE)

    assert volume(by_path) == volume(by_descriptor) > 0
    assert isinstance(by_path, Measurement)
    assert by_path.peak_rss_mib > 10


async def test_a_job_killed_once_is_tried_again(model: Path, large: Path) -> None:
    async with Workers() as workers:
        await workers.ready()
        job = asyncio.create_task(workers.measure(ModelFile(large), AMPLE))
        os.kill(await a_fork_of(workers), signal.SIGKILL)

        assert volume(await job) > 0
        assert volume(await workers.measure(ModelFile(model), AMPLE)) > 0


async def test_a_job_killed_twice_goes_to_a_person(model: Path, large: Path) -> None:
    async with Workers() as workers:
        await workers.ready()
        job = asyncio.create_task(workers.measure(ModelFile(large), AMPLE))
        first = await a_fork_of(workers)
        os.kill(first, signal.SIGKILL)
        await gone(first)
        os.kill(await a_fork_of(workers), signal.SIGKILL)
        outcome = await job

        assert isinstance(outcome, Manual)
        assert [reason.code for reason in outcome.reasons] == ["killed"]
        assert volume(await workers.measure(ModelFile(model), AMPLE)) > 0


async def test_the_warm_process_killed_is_replaced_and_its_jobs_are_done(large: Path) -> None:
    async with Workers(2) as workers:
        await workers.ready()
        jobs = [asyncio.create_task(workers.measure(ModelFile(large), AMPLE)) for _ in range(2)]
        fork = await a_fork_of(workers)
        killed = workers.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)

        volumes = {volume(outcome) for outcome in await asyncio.gather(*jobs)}

        assert len(volumes) == 1
        assert workers.pid != killed
        await gone(fork)  # A fork does not outlive whoever forked it.


async def test_a_job_past_its_deadline_is_killed(large: Path) -> None:
    async with Workers() as workers:
        outcome = await workers.measure(ModelFile(large), timedelta(milliseconds=20))

        assert isinstance(outcome, Manual)
        assert [reason.code for reason in outcome.reasons] == ["timeout"]
        assert children_of(workers.pid) == []


async def test_a_cancelled_job_is_killed(model: Path, large: Path) -> None:
    async with Workers() as workers:
        await workers.ready()
        job = asyncio.create_task(workers.measure(ModelFile(large), AMPLE))
        fork = await a_fork_of(workers)

        job.cancel()

        with pytest.raises(asyncio.CancelledError):
            await job
        await gone(fork)
        assert volume(await workers.measure(ModelFile(model), AMPLE)) > 0


async def test_a_fork_holds_only_its_file_and_its_limits(large: Path) -> None:
    async with Workers() as workers:
        await workers.ready()
        job = asyncio.create_task(workers.measure(ModelFile(large), AMPLE))
        fork = await a_fork_of(workers)
        await until(lambda: limits_of(fork)["Max file size"] == "0")  # The last one it sets.
        os.kill(fork, signal.SIGSTOP)
        limits = limits_of(fork)
        open_files = {str(fd.readlink()) for fd in Path(f"/proc/{fork}/fd").iterdir()}
        os.kill(fork, signal.SIGKILL)
        await job

    assert str(large) in open_files
    assert not any(name.startswith("socket:") for name in open_files)
    assert limits["Max address space"] == str(1536 * 1024 * 1024)
    assert limits["Max open files"] == "16"
    assert limits["Max core file size"] == "0"


def limits_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): line[26:].split()[0] for line in lines}


async def test_the_warm_process_knows_no_secrets_and_stays_in_the_group(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERKEEP_DATABASE_URL", "postgresql://somebody:secret@localhost/x")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.set_inheritable(True)
        async with Workers() as workers:
            await workers.ready()
            warm = workers.pid
            assert warm is not None
            environment = Path(f"/proc/{warm}/environ").read_bytes()
            sockets = [
                fd for fd in Path(f"/proc/{warm}/fd").iterdir() if "socket" in str(fd.readlink())
            ]
            group = os.getpgid(warm)

    assert b"secret" not in environment
    assert len(sockets) == 1
    assert group == os.getpgid(0)
    await gone(warm)


def test_nothing_outlives_a_killed_program(tmp_path: Path) -> None:
    program = (
        "import asyncio\n"
        "from orderkeep.quoting.workers import Workers\n"
        "async def main():\n"
        "    async with Workers() as workers:\n"
        "        await workers.ready()\n"
        "        print(workers.pid, flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        warm = int(process.stdout.readline())
        process.kill()

    asyncio.run(gone(warm))


async def test_kernels_are_compiled_before_the_first_fork(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an empty cache: a fork may write nothing, so it could not keep what it compiled."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    overlapping = tmp_path / "two.stl"
    overlapping.write_bytes(DEFECTS["overlapping"](ring("band", 1, triangles=2000)))

    async with Workers() as workers:
        outcome = await workers.measure(ModelFile(overlapping), AMPLE)

    assert isinstance(outcome, Measurement)
    assert [warning.code for warning in outcome.warnings] == ["overlap"]


async def test_many_files_at_once_are_all_answered(tmp_path: Path) -> None:
    files = []
    for seed in range(24):
        path = tmp_path / f"{seed}.stl"
        path.write_bytes(ring("signet", seed, triangles=2000))
        files.append(ModelFile(path))

    async with Workers(4) as workers:
        outcomes = await asyncio.gather(*(workers.measure(file, AMPLE) for file in files))

    assert all(volume(outcome) > 0 for outcome in outcomes)
