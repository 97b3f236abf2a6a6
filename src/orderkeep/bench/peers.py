"""What our store is compared with: the bare disk, and one ORM transaction per request."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

from sqlalchemy import Engine, create_engine, event, update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, registry

from orderkeep.adapters.sql import tables
from orderkeep.bench.load import Sample, sample
from orderkeep.bench.places import Place
from orderkeep.intake.ports import Submission
from orderkeep.kernel.ids import order_no
from orderkeep.orders.events import encode, kind_of
from orderkeep.orders.view import summary

_BLOCK = 4096
_BLOCKS = 4096
_ORM_THREADS = 16


def fdatasync(folder: Path, seconds: float) -> Sample:
    """How often one thread gets 4 KiB of a preallocated file onto the disk."""
    path = folder / "fdatasync.probe"
    block = os.urandom(_BLOCK)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        for i in range(_BLOCKS):
            os.pwrite(fd, block, i * _BLOCK)
        os.fsync(fd)
        return _sync_for(fd, block, seconds)
    finally:
        os.close(fd)
        path.unlink()


def _sync_for(fd: int, block: bytes, seconds: float) -> Sample:
    took: list[float] = []
    started = before = perf_counter()
    while before < started + seconds:
        os.pwrite(fd, block, len(took) % _BLOCKS * _BLOCK)
        os.fdatasync(fd)
        after = perf_counter()
        took.append(after - before)
        before = after
    return sample(took, before - started)


class _Row:
    """Base of the mapped classes: columns by keyword."""

    def __init__(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)


class Order(_Row): ...


class Event(_Row): ...


class Body(_Row): ...


class Key(_Row): ...


class Message(_Row): ...


def _map() -> None:
    mapper = registry()
    for mapped, table in (
        (Order, tables.orders),
        (Event, tables.events),
        (Body, tables.submissions),
        (Key, tables.idempotency),
        (Message, tables.outbox),
    ):
        mapper.map_imperatively(mapped, table)


_mapping = threading.Lock()
_mapped = False


class OrmPeer(Protocol):
    """What most services do: a session, five objects, a commit for every request.

    The same tables, constraints and durability as ours.
    """

    async def accept(self, submission: Submission) -> None:
        """Keep one submission."""
        ...


class SqliteOrm:
    """On SQLite; the write lock is taken at the start, so that sessions wait instead of failing."""

    def __init__(self, path: Path) -> None:
        _map_once()
        self._engine = _engine(path)
        self._threads = ThreadPoolExecutor(_ORM_THREADS, "orm")

    async def accept(self, submission: Submission) -> None:
        """Keep one submission."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, self._keep, submission)

    def close(self) -> None:
        """Let go of the file."""
        self._threads.shutdown()
        self._engine.dispose()

    def _keep(self, submission: Submission) -> None:
        with Session(self._engine) as session, session.begin():
            _keep(session, submission)


class PostgresOrm:
    """On PostgreSQL, with as many connections as SQLite's has threads."""

    def __init__(self, url: str) -> None:
        from orderkeep.adapters.sql.postgres.link import set_codecs  # Who runs SQLite needs none.

        _map_once()
        address = f"postgresql+asyncpg://{url.partition('://')[2]}"
        self._engine = create_async_engine(address, pool_size=_ORM_THREADS, max_overflow=0)

        @event.listens_for(self._engine.sync_engine, "connect")
        def set_up(connection: Any, _record: Any) -> None:
            connection.run_async(set_codecs)

    async def accept(self, submission: Submission) -> None:
        """Keep one submission."""
        async with AsyncSession(self._engine) as session, session.begin():
            await session.run_sync(_keep, submission)

    async def close(self) -> None:
        """Let go of the server."""
        await self._engine.dispose()


@asynccontextmanager
async def orm_of(place: Place) -> AsyncIterator[OrmPeer]:
    """The peer on a database with our tables."""
    if place.is_sqlite:
        ours = SqliteOrm(Path(place.url.removeprefix("sqlite:///")))
        yield ours
        ours.close()
    else:
        shared = PostgresOrm(place.url)
        yield shared
        await shared.close()


def _keep(session: Session, submission: Submission) -> None:
    counters = tables.counters
    n = session.execute(
        update(counters)
        .where(counters.c.name == "orders")
        .values(value=counters.c.value + 1)
        .returning(counters.c.value)
    ).scalar_one()
    session.add(_order(n, submission))
    session.flush()
    session.add_all(_rest(n, submission))


def _map_once() -> None:
    global _mapped  # noqa: PLW0603  # SQLAlchemy maps a class once in a process
    with _mapping:
        if not _mapped:
            _map()
            _mapped = True


def _engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}", pool_size=_ORM_THREADS, connect_args={"timeout": 60.0}
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _order(n: int, submission: Submission) -> Order:
    at, first = submission.at, submission.event
    return Order(
        n=n,
        version=1,
        partner_id=submission.partner_id,
        channel=first.channel,
        client_ref=submission.client_ref,
        body_sha256=submission.body_sha256,
        stage="SUBMITTED",
        stage_since=at,
        created_at=at,
        changed_at=at,
        priority=first.priority,
        due_at=at,
        due_owner="engine",
        timer_at=at,
        risk="ok",
        promise_at=first.promise_at,
        summary=summary(first.positions),
        pieces=1,
        price_state="queued",
        is_open=True,
        is_claimable=False,
    )


def _rest(n: int, submission: Submission) -> list[_Row]:
    at, cause = submission.at, submission.cause
    return [
        Event(
            order_n=n,
            seq=1,
            partner_id=submission.partner_id,
            kind=kind_of(submission.event),
            schema_version=1,
            stage="SUBMITTED",
            at=at,
            actor_kind=str(cause.actor.kind),
            actor_id=cause.actor.id,
            command=cause.command,
            source=cause.source,
            trace_id=cause.trace_id,
            data=encode(submission.event).decode(),
        ),
        Body(order_n=n, body=submission.body),
        Key(
            partner_id=submission.partner_id,
            key=submission.key,
            body_sha256=submission.body_sha256,
            order_n=n,
            at=at,
        ),
        Message(
            id=submission.envelope_id,
            kind="price.wanted",
            schema_version=1,
            order_key=order_no(n),
            at=at,
            trace_id=cause.trace_id,
            body=b'{"version":1}',
        ),
    ]
