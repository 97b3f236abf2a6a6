"""A full disk: both ports say so while orders are refused, and know by themselves when it ends."""

import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from orderkeep.testing.product import DEADLINE_S, Keys, Product, copy

DISK = 24 * 1024 * 1024
PROBED_S = 7.0
"""Time for a failing store to try twice on its own."""


class SmallDisk:
    """A disk of its own where we may mount one."""

    def __init__(self, folder: Path) -> None:
        self._filler = folder / "filler"

    def fill(self, _: Product) -> None:
        with suppress(OSError), self._filler.open("wb", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass

    def free(self, _: Product) -> None:
        self._filler.unlink()


class NoLargerFiles:
    """The same for whoever may not mount: no file of the product may grow."""

    def fill(self, product: Product) -> None:
        largest = max(path.stat().st_size for path in product.folder.glob("orderkeep.db*"))
        self._limit(product, largest)

    def free(self, product: Product) -> None:
        self._limit(product, resource.RLIM_INFINITY)

    def _limit(self, product: Product, size_bytes: int) -> None:
        _, hard = resource.prlimit(product.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(product.pid, resource.RLIMIT_FSIZE, (size_bytes, hard))


@contextmanager
def disk(folder: Path) -> Iterator[SmallDisk | NoLargerFiles]:
    """The smallest disk that we can have under ``folder``."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, check=False).returncode == 0
    try:
        yield SmallDisk(folder) if mounted else NoLargerFiles()
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def ready(product: Product) -> tuple[int, int]:
    """What the door and the office answer whoever watches them."""
    office = httpx.get(f"{product.office}/readyz", trust_env=False, timeout=60)
    return product.ask("GET", "/readyz").status_code, office.status_code


def until(happens: Callable[[], bool]) -> None:
    """Wait for it."""
    ends = time.monotonic() + DEADLINE_S
    while not happens():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.1)


def send(product: Product, number: int) -> int:
    body = {"client_ref": f"ref-{number}", "customer": {"name": "Anna"}}
    item = {"quantity": 1, "sku": "chain-ag-45"}
    answer = product.ask(
        "POST",
        "/v1/orders",
        json={**body, "items": [item]},
        headers={"Idempotency-Key": f"key-{number}"},
    )
    return answer.status_code


@pytest.mark.parametrize("mountable", [True, False])
def test_a_full_disk_is_not_ready_and_heals_by_itself(
    template: tuple[Path, Keys],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    mountable: bool,
) -> None:
    if not mountable:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
    folder = tmp_path / "disk"
    folder.mkdir()
    with disk(folder) as small:
        copy(template[0], folder)
        with Product(folder, template[1]) as product:
            assert product.start(), (folder / "orderkeep.log").read_text()
            assert ready(product) == (200, 200)
            small.fill(product)
            numbers = iter(range(10**6))

            def refuses() -> bool:
                return send(product, next(numbers)) == 503 and ready(product) == (503, 503)

            until(refuses)
            until(lambda: refuses() and stays(product, 503))

            small.free(product)
            until(lambda: ready(product) == (200, 200))
            assert send(product, next(numbers)) == 201


def stays(product: Product, status: int) -> bool:
    """Whether it is so while nobody sends anything, after the store has tried on its own."""
    ends = time.monotonic() + PROBED_S
    while time.monotonic() < ends:
        if ready(product) != (status, status):
            return False
        time.sleep(0.2)
    return True
