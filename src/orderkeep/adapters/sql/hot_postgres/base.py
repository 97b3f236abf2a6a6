"""What a repository needs of its unit of work on PostgreSQL."""

from typing import Protocol

from orderkeep.adapters.sql.hot_sqlite.base import Work as PlainWork
from orderkeep.adapters.sql.postgres.raw import Raw


class Work(PlainWork, Protocol):
    """The part of a unit of work that the hot repositories use."""

    @property
    def pg(self) -> Raw:
        """The connection as it is, for PostgreSQL's own SQL."""
        ...
