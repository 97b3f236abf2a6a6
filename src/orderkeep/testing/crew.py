"""The product as processes of its own, a role each, over one PostgreSQL; always reaped."""

import asyncio
import os
import queue
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg

from orderkeep.testing import nursery
from orderkeep.testing.product import DEADLINE_S, Keys, Product

ROLES = ("door", "office", "relay", "quoter", "bridge", "watch")


class Hand:
    """One process of a crew."""

    def __init__(self, roles: Sequence[str], process: nursery.Started) -> None:
        self.roles = tuple(roles)
        self.process = process
        self.ports: dict[str, int] = {}
        self._lines: queue.Queue[str] = queue.Queue()
        # A pipe is read to its end by a thread: a full one would stop the process.
        threading.Thread(target=self._follow, daemon=True).start()

    def wait_until_ready(self) -> None:
        """Return once it says that it is ready."""
        while "orderkeep is ready" not in (line := self._lines.get(timeout=DEADLINE_S)):
            assert line, f"{self.roles} ended at its start: {self.process.wait(DEADLINE_S)}"
            if " ready on port " in line:
                self.ports[line.split()[0]] = int(line.split()[-1])

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.process.pid, number)

    def wait(self) -> int:
        """Wait for its end and reap it; its exit code."""
        return self.process.wait(DEADLINE_S)

    def kill(self) -> int:
        """End it as kill -9 does."""
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
        return self.wait()

    def _follow(self) -> None:
        stdout = self.process.stdout
        assert stdout is not None
        with suppress(ValueError), stdout:
            for line in stdout:
                self._lines.put(line)
        self._lines.put("")


class Crew(Product):
    """Several processes over one database; to a shop it looks like one product."""

    def __init__(self, folder: Path, keys: Keys, url: str, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, keys, database_url=url, **settings)
        self.url = url
        self.hands: list[Hand] = []

    def __exit__(self, *_: object) -> None:
        for hand in self.hands:
            hand.kill()
        super().__exit__()

    def add(self, *roles: str, failpoint: str | None = None, workers: int = 1) -> Hand:
        """Start one more process, or the parent of several; not ready yet."""
        environment = dict(self._environment)
        if failpoint:
            environment["ORDERKEEP_FAILPOINT"] = failpoint
        command = ["run", "--port", "0", "--office-port", "0"]
        for role in roles:
            command += ["--role", role]
        if workers > 1:
            command += ["--workers", str(workers)]
        hand = Hand(roles, nursery.start(command, environment, self.folder, self._log))
        self.hands.append(hand)
        return hand

    def begin(self, *hands: Hand) -> None:
        """Wait until all are ready; the newest door and office are the ones that are called."""
        for hand in hands:
            hand.wait_until_ready()
            if port := hand.ports.get("door"):
                self.door = f"http://127.0.0.1:{port}"
            if port := hand.ports.get("office"):
                self.office = f"http://127.0.0.1:{port}"
                self._forget_people()

    def rows(self, query: str) -> list[Any]:
        """What the tables say."""
        with asyncio.Runner() as runner:
            return runner.run(self._rows(query))

    async def _rows(self, query: str) -> list[Any]:
        connection = await asyncpg.connect(self.url, timeout=DEADLINE_S)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()
