"""One unit of work: the repositories a unit may use, all on one connection and in one commit.

A new repository is a class in its own file that takes the work, and a property here.
"""

import sqlite3
from functools import cached_property

from sqlalchemy import Connection

from orderkeep.adapters.sql.access import SqlAccess
from orderkeep.adapters.sql.arrivals import SqlArrivals
from orderkeep.adapters.sql.balances import SqlBalances
from orderkeep.adapters.sql.board import SqlBoard
from orderkeep.adapters.sql.connections import Link
from orderkeep.adapters.sql.dead_letters import SqlDeadLetters
from orderkeep.adapters.sql.deliveries import SqlDeliveries
from orderkeep.adapters.sql.destinations import SqlDestinations
from orderkeep.adapters.sql.files import SqlFiles
from orderkeep.adapters.sql.floor import SqlFloor
from orderkeep.adapters.sql.homes import SqlHomes
from orderkeep.adapters.sql.hot_sqlite.counters import Counters
from orderkeep.adapters.sql.hot_sqlite.inbox import SqlInbox
from orderkeep.adapters.sql.hot_sqlite.orders import SqlOrders
from orderkeep.adapters.sql.hot_sqlite.outbox import SqlOutbox
from orderkeep.adapters.sql.hot_sqlite.submissions import SqlSubmissions
from orderkeep.adapters.sql.lost import SqlLost
from orderkeep.adapters.sql.places import SqlPlaces
from orderkeep.adapters.sql.price_jobs import SqlMeasurements, SqlPriceJobs
from orderkeep.adapters.sql.receipts import SqlReceipts
from orderkeep.adapters.sql.reconciling import SqlReconciling
from orderkeep.adapters.sql.routes import SqlRoutes
from orderkeep.adapters.sql.shadow import SqlShadow
from orderkeep.adapters.sql.sources import SqlSources
from orderkeep.adapters.sql.tellings import SqlTellings
from orderkeep.adapters.sql.timers import SqlTimers
from orderkeep.adapters.sql.tracking import SqlTracking
from orderkeep.adapters.sql.tray import SqlTray
from orderkeep.orders.view import BoardRow


class SqlWork:
    """What a unit of work sees of the database."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.woken: list[str] = []
        self.board_rows: list[BoardRow] = []
        self.begun = True
        """Whether the transaction holds changes that have to be kept."""

    # --- connections ------------------------------------------------------------------------

    @property
    def raw(self) -> sqlite3.Connection:
        """The bare connection, for statements on every order's path."""
        return self._link.raw

    @property
    def connection(self) -> Connection:
        """SQLAlchemy Core on the same connection; never begin, commit or close it."""
        return self._link.core

    @property
    def rows(self) -> dict[int, BoardRow] | None:
        """Rows this connection has read before, if it keeps them."""
        return self._link.rows

    @property
    def watched(self) -> bool:
        """Whether anyone watches the board in this process."""
        return self._link.watched

    # --- repositories -----------------------------------------------------------------------

    @cached_property
    def orders(self) -> SqlOrders:
        return SqlOrders(self)

    @cached_property
    def outbox(self) -> SqlOutbox:
        return SqlOutbox(self)

    @cached_property
    def inbox(self) -> SqlInbox:
        return SqlInbox(self)

    @cached_property
    def submissions(self) -> SqlSubmissions:
        return SqlSubmissions(self)

    @cached_property
    def counters(self) -> Counters:
        return Counters(self)

    @cached_property
    def access(self) -> SqlAccess:
        return SqlAccess(self)

    @cached_property
    def board(self) -> SqlBoard:
        return SqlBoard(self)

    @cached_property
    def deliveries(self) -> SqlDeliveries:
        return SqlDeliveries(self)

    @cached_property
    def dead_letters(self) -> SqlDeadLetters:
        return SqlDeadLetters(self)

    @cached_property
    def destinations(self) -> SqlDestinations:
        return SqlDestinations(self)

    @cached_property
    def places(self) -> SqlPlaces:
        return SqlPlaces(self)

    @cached_property
    def price_jobs(self) -> SqlPriceJobs:
        return SqlPriceJobs(self)

    @cached_property
    def measurements(self) -> SqlMeasurements:
        return SqlMeasurements(self)

    @cached_property
    def floor(self) -> SqlFloor:
        return SqlFloor(self)

    @cached_property
    def timers(self) -> SqlTimers:
        return SqlTimers(self)

    @cached_property
    def files(self) -> SqlFiles:
        return SqlFiles(self)

    @cached_property
    def receipts(self) -> SqlReceipts:
        return SqlReceipts(self)

    @cached_property
    def tracking(self) -> SqlTracking:
        return SqlTracking(self)

    @cached_property
    def balances(self) -> SqlBalances:
        return SqlBalances(self)

    @cached_property
    def reconciling(self) -> SqlReconciling:
        return SqlReconciling(self)

    @cached_property
    def arrivals(self) -> SqlArrivals:
        return SqlArrivals(self)

    @cached_property
    def sources(self) -> SqlSources:
        return SqlSources(self)

    @cached_property
    def homes(self) -> SqlHomes:
        return SqlHomes(self)

    @cached_property
    def routes(self) -> SqlRoutes:
        return SqlRoutes(self)

    @cached_property
    def shadow(self) -> SqlShadow:
        return SqlShadow(self)

    @cached_property
    def lost(self) -> SqlLost:
        return SqlLost(self)

    @cached_property
    def tellings(self) -> SqlTellings:
        return SqlTellings(self)

    @cached_property
    def tray(self) -> SqlTray:
        return SqlTray(self)

    # --- after the commit -------------------------------------------------------------------

    def wake(self, topic: str) -> None:
        """After the commit, tell whoever waits for ``topic`` that there is something to do."""
        self.woken.append(topic)

    def changed(self, row: BoardRow) -> None:
        """After the commit, show the row to whoever watches the board."""
        self.board_rows.append(row)

    # --- for the store ----------------------------------------------------------------------

    def another(self) -> "SqlWork":
        """A fresh unit of work on the same connection."""
        return SqlWork(self._link)

    def finish(self) -> None:
        """Write what was saved up for the end of the unit."""
        if "counters" in self.__dict__:
            self.counters.flush()

    def absorb(self, done: "SqlWork") -> None:
        """Take over what a finished unit wants to happen after the commit."""
        self.woken += done.woken
        self.board_rows += done.board_rows
