"""Replays of one cause on PostgreSQL begin one after the other, whichever process begins them."""

from typing import Protocol

from sqlalchemy import Connection

from orderkeep.adapters.sql import dead_letters as sqlite
from orderkeep.adapters.sql.postgres.raw import Raw
from orderkeep.delivery.ports import InboxStore

# Two numbers: locks of one number are those of living processes and of the migration.
_ONE_CAUSE = "SELECT pg_advisory_xact_lock($1::int4, $2::int4)"


class _Work(Protocol):
    @property
    def connection(self) -> Connection: ...

    @property
    def inbox(self) -> InboxStore: ...

    @property
    def pg(self) -> Raw: ...


class SqlDeadLetters(sqlite.SqlDeadLetters):
    """Implements ``delivery.letter_store.DeadLetterStore``."""

    def __init__(self, work: _Work) -> None:
        super().__init__(work)
        self._pg = work.pg

    def begin_alone(self, fingerprint: str) -> None:
        # Whoever has waited sees what was committed meanwhile: each statement of a unit that
        # writes looks anew.
        cause = bytes.fromhex(fingerprint)
        halves = [int.from_bytes(half, signed=True) for half in (cause[:4], cause[4:])]
        self._pg.fetch(_ONE_CAUSE, *halves)
