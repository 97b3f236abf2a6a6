"""The store on PostgreSQL: many processes, a transaction for each unit, shared commits when hot."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from time import monotonic, perf_counter
from typing import Any, Self, TypeVar

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from orderkeep.adapters.sql.behind import Behind
from orderkeep.adapters.sql.hot_postgres.accept import AcceptBatch
from orderkeep.adapters.sql.hot_postgres.arrivals import ArrivalBatch
from orderkeep.adapters.sql.hot_postgres.claim import ClaimBatch
from orderkeep.adapters.sql.hot_postgres.work import PgWork
from orderkeep.adapters.sql.hot_sqlite.accept import SqlAcceptLane
from orderkeep.adapters.sql.hot_sqlite.board_rows import read_rows
from orderkeep.adapters.sql.hot_sqlite.claim import SqlClaimLane
from orderkeep.adapters.sql.lanes import (
    AFTER_COMMIT,
    BEFORE_COMMIT,
    RETRY_AFTER,
    BatchLost,
    CommitFailed,
    Gates,
    Hot,
)
from orderkeep.adapters.sql.postgres.errors import (
    DRIVER_FAILED,
    cannot_open,
    fate,
    is_lost,
    is_not_the_units,
    is_raced,
)
from orderkeep.adapters.sql.postgres.groups import QUEUE_BOUND, Group, PgLane, UnitBatch
from orderkeep.adapters.sql.postgres.link import CONNECT_TIMEOUT_S, SAFE, PgLink, engine_for, facts
from orderkeep.adapters.sql.postgres.migrate import require_current
from orderkeep.adapters.sql.postgres.passing import Passing
from orderkeep.adapters.sql.postgres.pool import Pool
from orderkeep.adapters.sql.postgres.presence import Presence, holder_of
from orderkeep.adapters.sql.postgres.telling import Telling, Told
from orderkeep.adapters.sql.postgres.transactions import alone, reading, writing
from orderkeep.intake.ports import Backlog
from orderkeep.kernel.answers import Answer
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.errors import StoreBusy
from orderkeep.kernel.failpoints import reach
from orderkeep.kernel.ids import Ids, order_n
from orderkeep.orders.policy import Policy
from orderkeep.orders.view import BoardRow

T = TypeVar("T")
ItemT = TypeVar("ItemT")
OutcomeT = TypeVar("OutcomeT")

CONNECTIONS = 8
"""Of one process for people and reading, beside one for each hot lane and one that listens."""

ACCEPTS_AT_ONCE = 2
"""Shared commits of the door under way: one is written while the other is made ready."""

COMMITS_BEHIND, SHARE_BEHIND = 2, 32
"""What workers do on their own: shared commits under way, on connections that nobody else waits
for, and units in one; those that people wait for may need the same order.
"""

LOOSE_AT_ONCE = 4
"""Statements that stand by themselves under way."""

RUSH = 8
"""Submissions that wait at once where workers are better off waiting a moment."""
RUSH_HEARD_S = 0.02
"""How long another process's word of a rush counts; while it lasts there is one every few ms."""

TRIES = 5
"""Runs of a unit that others were faster than; each of them got on, so it ends."""

_GATES = Gates(BEFORE_COMMIT, AFTER_COMMIT)

log = structlog.get_logger()


class PgStore:
    """Implements ``kernel.store.Store[SqlWork]``; made by ``open_store``, closed by ``close``.

    A unit may run more than once, when another process was faster or the connection was lost before
    the commit; it is committed at most once.
    """

    def __init__(self, engine: AsyncEngine, bells: Bells, connect: Callable[[], Any]) -> None:
        self._engine = engine
        self._bells = bells
        self._pool = Pool(engine, CONNECTIONS)
        self._hot = Pool(engine, ACCEPTS_AT_ONCE + 2)
        self._later = Pool(engine, COMMITS_BEHIND)
        self._passing = Passing(engine, self._tell)
        self._loose = Pool(engine, LOOSE_AT_ONCE)
        self.behind: Behind[PgWork] = Behind(self, self._passing, self)
        self._accepting = AcceptBatch()
        self._arriving = ArrivalBatch()
        self._claiming = ClaimBatch()
        lanes: tuple[tuple[PgLane, int], ...] = (
            (self._accepting, ACCEPTS_AT_ONCE),
            (self._arriving, 1),
            (self._claiming, 1),
        )
        self._groups = {
            id(lane): Group(lane, self._transact_hot, at_once) for lane, at_once in lanes
        }
        units = UnitBatch()
        self._behind = self._groups[id(units)] = Group(
            units, self._transact_later, COMMITS_BEHIND, SHARE_BEHIND
        )
        self._units = units  # Known by its identity, so it has to stay.
        self._watchers: list[Callable[[Sequence[BoardRow]], None]] = []
        self._running: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._commits = 0
        self._last_commit_ms = 0.0
        self._failing = False
        self._rush_until_s = 0.0
        self._facts: dict[str, str | int] = {}
        self.telling = Telling(connect, self._heard)
        self.presence: Presence | None = None
        """How others see that this process lives; set where it serves the database."""

    async def start(self) -> Self:
        """Look at the database, and begin to listen.

        Raises:
            SchemaBehind: the database has to be migrated first.
            StoreMisconfigured: the server could lose what it acknowledged.
            StoreBusy: it cannot be reached.
        """
        link = await self._pool.take()
        try:
            await require_current(link)
            self._facts = await facts(link.bare)
        finally:
            await self._pool.give_back(link)
        if self.presence is not None:
            await self.presence.start()
        self.telling.start()
        return self

    # --- writing ----------------------------------------------------------------------------------

    async def write(self, unit: Callable[[PgWork], T]) -> T:
        """Run a unit of work in a transaction; returning means its changes are on disk."""
        if len(self._running) >= QUEUE_BOUND:
            raise StoreBusy("Too much waits for the database", retry_after=RETRY_AFTER)
        return await self._owned(self._written(self._pool, unit))

    def write_later(self, unit: Callable[[PgWork], T]) -> Awaitable[T]:
        """The same for who has time: whoever waits together shares a commit."""
        self._refuse_when_closing()
        return self._behind.submit(unit)

    async def write_loose(self, unit: Callable[[PgWork], T]) -> T:
        """Run a unit whose statements are transactions of their own; see ``kernel.store.Loose``."""

        def gated(work: PgWork) -> T:
            reach(BEFORE_COMMIT)
            outcome = unit(work)
            reach(AFTER_COMMIT)
            return outcome

        return await self._owned(self._written(self._loose, gated, None))

    async def read_loose(self, query: Callable[[PgWork], T]) -> T:
        """Run a query whose statements each see what is committed when they begin."""
        return await self._owned(self._written(self._loose, query, None))

    @property
    def in_a_rush(self) -> bool:
        """Whether many orders are coming in at once just now, here or at another's door."""
        return self._has_a_rush or monotonic() < self._rush_until_s

    @property
    def _has_a_rush(self) -> bool:
        return self._groups[id(self._accepting)].depth >= RUSH

    def submit(self, lane: Hot[ItemT, OutcomeT], item: ItemT) -> Awaitable[OutcomeT]:
        """Run an item of a hot lane in a shared commit."""
        self._refuse_when_closing()
        return self._groups[id(lane)].submit(item)

    def leave(self, lane: Hot[ItemT, Any], item: ItemT, answer: Answer) -> None:
        """The same for who does not wait: ``answer`` is told on the event loop."""
        self._refuse_when_closing()
        self._groups[id(lane)].leave(item, answer)

    def backlog(self, lane: Hot[Any, Any]) -> Backlog:
        """What waits in a hot lane, with what of it is being written."""
        return self._groups[id(lane)].backlog

    def accepting(self, policy: Policy) -> SqlAcceptLane:
        """Where intake leaves its submissions."""
        return SqlAcceptLane(self, self._accepting, self._arriving, policy)

    def claiming(self) -> SqlClaimLane:
        """Where operators take orders."""
        return SqlClaimLane(self, self._claiming)

    async def _written(
        self, pool: Pool, unit: Callable[[PgWork], T], gates: Gates | None = _GATES
    ) -> T:
        try:
            return await self._transact(pool, unit, gates)
        except Exception as error:  # noqa: BLE001  # whatever it was belongs to its caller
            raise fate(error)  # noqa: B904  # it names its cause itself

    async def _transact_hot(self, lane: PgLane, run: Callable[[PgWork], Any]) -> Any:
        gates = None if lane.keeps_itself else lane.gates or _GATES
        return await self._transact(self._hot, run, gates)

    async def _transact_later(self, _: PgLane, run: Callable[[PgWork], Any]) -> Any:
        return await self._transact(self._later, run, _GATES)

    async def _transact(self, pool: Pool, run: Callable[[PgWork], T], gates: Gates | None) -> T:
        """Run in a transaction, again while others are faster; the fate of an error is not told.

        Raises:
            CommitFailed: nobody knows whether it is on disk; it is not run again.
        """
        for left in reversed(range(TRIES)):
            link = await pool.take()
            work = PgWork(link, writes=True)
            try:
                outcome = await self._commit(link, work, run, gates)
            except asyncio.CancelledError:  # the loop is closing
                await pool.discard(link)
                raise
            except Exception as error:
                await self._after_failure(pool, link, error)
                again = is_raced(error) or (is_lost(error) and left == TRIES - 1)
                if isinstance(error, CommitFailed) or not again or not left:
                    raise
                continue
            await pool.give_back(link)
            self._failing = False
            self._tell(work)
            return outcome
        raise AssertionError("the last try returns or raises")

    async def _commit(
        self, link: PgLink, work: PgWork, run: Callable[[PgWork], T], gates: Gates | None
    ) -> T:
        def whole() -> T:
            outcome = run(work)
            work.finish()
            return outcome

        started = perf_counter()
        if gates is None:
            outcome = await alone(link, whole)
        else:
            outcome = await writing(link, whole, gates.before_commit, gates.after_commit)
        self._commits += 1
        self._last_commit_ms = (perf_counter() - started) * 1000
        return outcome

    async def _after_failure(self, pool: Pool, link: PgLink, error: Exception) -> None:
        if isinstance(error, CommitFailed) or is_lost(error):
            await pool.discard(link)
        else:
            await pool.give_back(link)
        if isinstance(error, CommitFailed | BatchLost) or is_not_the_units(error):
            self._failing = True

    # --- reading ----------------------------------------------------------------------------------

    async def read(self, query: Callable[[PgWork], T]) -> T:
        """Run a query on a snapshot of everything committed."""
        return await self._owned(self._read(query))

    async def read_long(self, query: Callable[[PgWork], T]) -> T:
        """Run a long query (an export, a report)."""
        return await self.read(query)

    async def _read(self, query: Callable[[PgWork], T]) -> T:
        for is_last in (False, True):
            link = await self._pool.take()
            work = PgWork(link, writes=False)
            try:
                found = await reading(link, lambda: query(work))  # noqa: B023  # run at once
            except Exception as error:  # noqa: BLE001  # whatever it was belongs to its caller
                await self._after_failure(self._pool, link, error)
                if not is_lost(error) or is_last:
                    raise fate(error)  # noqa: B904  # it names its cause itself
                continue
            await self._pool.give_back(link)
            return found
        raise AssertionError("the last try returns or raises")

    # --- after a commit ---------------------------------------------------------------------------

    def on_changes(self, watcher: Callable[[Sequence[BoardRow]], None]) -> None:
        """Call ``watcher`` on the event loop with the board's rows that a commit changed.

        Whichever process committed; what happened while listening was interrupted is not told.
        """
        self._watchers.append(watcher)

    def _tell(self, work: PgWork) -> None:
        """Say here and elsewhere what was committed.

        It is committed whatever fails here: that must not be taken for the unit's failure, and the
        unit be done a second time. Whoever was not told polls.
        """
        try:
            for topic in set(work.woken):
                self._bells.ring(topic)
            numbers = [order_n(row.order_no) for row in work.board_rows]
            changed = [n for n in numbers if n is not None]
            self.telling.tell(work.woken, changed, rush=self._has_a_rush)
        except Exception:
            log.exception("store.not_told")
        self._show(work.board_rows)

    def _show(self, rows: Sequence[BoardRow]) -> None:
        for watcher in self._watchers if rows else ():
            try:
                watcher(rows)
            except Exception:
                log.exception("store.not_shown")

    def _heard(self, told: Told) -> None:
        if told.rush:
            self._rush_until_s = monotonic() + RUSH_HEARD_S
        for topic in told.topics:
            self._bells.ring(topic)
        if told.orders and self._watchers and not self._closing:
            self._own(asyncio.create_task(self._look_at(told.orders)))

    async def _look_at(self, orders: Sequence[int]) -> None:
        try:
            self._show(await self._read(lambda work: read_rows(work, orders)))
        except StoreBusy:
            return  # Whoever watches polls as well.

    # --- care -------------------------------------------------------------------------------------

    @property
    def is_fit(self) -> bool:
        """Whether what is acknowledged now survives a power cut, and can be written at all."""
        on = all(self._facts.get(name) == "on" for name in SAFE)
        return on and not self._failing and (self.presence is None or self.presence.is_seen)

    async def leads(self, name: str) -> bool:
        """Whether this process is the one of all that does what only one may do."""
        return self.presence is not None and await self.presence.leads(name)

    def health(self) -> dict[str, str | int | float]:
        """Facts for the readiness page."""
        return {
            **self._facts,
            "in_place": int(self.presence is None or self.presence.is_seen),
            "failing": int(self._failing),
            "listening": int(self.telling.listening.is_set()),
            "queue_depth": self._depth(),
            "batches": self._commits,
            "last_commit_ms": round(self._last_commit_ms, 3),
        }

    async def close(self) -> None:
        """Finish what waits, then close everything in reverse order."""
        self._closing = True
        for group in self._groups.values():
            await group.drain()
        while self._running:
            await asyncio.wait(self._running)
        await self.telling.stop()
        if self.presence is not None:
            await self.presence.stop()
        for pool in (self._passing, self._loose, self._later, self._hot, self._pool):
            await pool.close()
        await self._engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _depth(self) -> int:
        queued = sum(group.depth for group in self._groups.values())
        pools = (self._pool, self._loose, self._later, self._hot)
        return queued + sum(pool.waiting for pool in pools)

    def _refuse_when_closing(self) -> None:
        if self._closing:
            raise StoreBusy("The store is closing", retry_after=RETRY_AFTER)

    async def _owned(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it to its end, also when its caller goes: what was cut would cost a connection."""
        try:
            self._refuse_when_closing()
        except StoreBusy:
            work.close()
            raise
        return await asyncio.shield(self._own(asyncio.create_task(work)))

    def _own(self, task: "asyncio.Task[T]") -> "asyncio.Task[T]":
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task


async def open_store(url: str, bells: Bells, *, serve: bool = False) -> PgStore:
    """Open the database behind ``postgresql://user@host/name``; as many processes may as like.

    With ``serve`` the others can see that this process lives.

    Raises:
        StoreMisconfigured: the address or the server will not do.
        SchemaBehind: the database has to be migrated first.
        StoreBusy: the server cannot be reached.
    """
    name = f"orderkeep {socket.gethostname()[:32]}"
    engine = engine_for(url, name)

    async def connect(what: str) -> Any:
        settings = {"application_name": f"{name} {what}"}
        return await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S, server_settings=settings)

    store = PgStore(engine, bells, lambda: connect("listens"))
    if serve:
        store.presence = Presence(lambda: connect("lives"), holder_of(Ids()))
    try:
        return await store.start()
    except BaseException as error:
        await store.close()
        if isinstance(error, (StoreBusy, *DRIVER_FAILED)):
            raise cannot_open(url, error) from error
        raise
