"""The servers that the cells of one worker share, each started when the first cell needs it."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Self

import httpx

from orderkeep.testing.postgres_server import PostgresServer
from orderkeep.testing.product import Keys, prepare
from orderkeep.testing.rabbitmq_node import RabbitNode

PREPARED = "prepared"


class Servers:
    """Ours alone: no other worker, and nothing else on this machine, meets what we do to them."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._numbers = count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @cached_property
    def template(self) -> tuple[Path, Keys]:
        """A SQLite database to copy, with people and a partner in it."""
        folder = self._folder()
        return folder, prepare(folder)

    @cached_property
    def postgres(self) -> PostgresServer:
        """A PostgreSQL, with a database ``prepared`` to copy."""
        return self._stack.enter_context(PostgresServer())

    @cached_property
    def keys(self) -> Keys:
        """What lets clients in to copies of the prepared database."""
        return prepare(self._folder(), self.postgres.database(name=PREPARED))

    @cached_property
    def rabbit(self) -> RabbitNode:
        """A RabbitMQ node."""
        return self._stack.enter_context(RabbitNode())

    @contextmanager
    def database(self) -> Iterator[str]:
        """The address of a fresh database on the shared PostgreSQL."""
        _ = self.keys
        url = self.postgres.database(PREPARED)
        yield url
        self.postgres.drop(url)

    @contextmanager
    def broker(self) -> Iterator[str]:
        """The address of a fresh virtual host on the shared RabbitMQ."""
        node, name = self.rabbit, f"cell-{next(self._numbers)}"
        with httpx.Client(trust_env=False, timeout=30, base_url=node.management_url) as http:
            http.put(f"/api/vhosts/{name}").raise_for_status()
            everything = {"configure": ".*", "write": ".*", "read": ".*"}
            may = http.put(f"/api/permissions/{name}/{node.user}", json=everything)
            may.raise_for_status()
            yield node.url + name
            http.delete(f"/api/vhosts/{name}")

    def _folder(self) -> Path:
        return Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(prefix="orderkeep-matrix-"))
        )
