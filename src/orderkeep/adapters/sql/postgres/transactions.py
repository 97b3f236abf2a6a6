"""One transaction: begin, run a function where waiting is possible, commit, and know its fate."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy.util import await_only

from orderkeep.adapters.sql.lanes import BatchLost, CommitFailed, Gates
from orderkeep.adapters.sql.postgres.errors import DRIVER_FAILED, is_lost, is_undone
from orderkeep.adapters.sql.postgres.link import PgLink
from orderkeep.kernel.failpoints import reach

T = TypeVar("T")


async def writing(link: PgLink, run: Callable[[], T], before: str, after: str) -> T:
    """Run a function in a transaction; returning means its changes are on disk.

    Args:
        link: the connection; after a failure it has no transaction open, or is lost.
        run: called where ``await_only`` works.
        before: the failpoint before the commit.
        after: the failpoint after it.

    Raises:
        CommitFailed: nobody knows whether it is on disk.
        Exception: whatever ``run`` or the server raised; nothing was done.
    """
    await link.bare.execute("BEGIN")
    try:
        outcome = await link.connection.run_sync(lambda _: run())
        reach(before)
    except BaseException:
        await undo(link)
        raise
    await commit(link)
    _committed(after)
    return outcome


async def reading(link: PgLink, run: Callable[[], T]) -> T:
    """Run a function on one snapshot of everything committed, unable to write."""
    await link.bare.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        return await link.connection.run_sync(lambda _: run())
    finally:
        await undo(link)


async def alone(link: PgLink, run: Callable[[], T]) -> T:
    """Run a function whose statements are transactions of their own; ``keep`` is its last."""
    return await link.connection.run_sync(lambda _: run())


def keep(link: PgLink, gates: Gates, sql: str, values: Sequence[Any]) -> list[Any]:
    """Run one statement that is a whole transaction; returning means its changes are on disk.

    Called inside ``alone``. Nothing is locked while this process thinks or stands still.

    Raises:
        CommitFailed: nobody knows whether it is on disk.
        asyncpg.PostgresError: the server said no; nothing was done.
    """
    statement = link.raw.prepared(sql)  # A connection that is lost here has surely done nothing.
    reach(gates.before_commit)
    try:
        found: list[Any] = await_only(statement.fetch(*values))
    except DRIVER_FAILED as error:
        if not is_lost(error):
            raise
        link.drop()
        raise CommitFailed(str(error)) from error
    _committed(gates.after_commit)
    return found


def _committed(after: str) -> None:
    """Pass the failpoint behind a commit: whatever fails there, nothing may be run again.

    Raises:
        CommitFailed: something did fail.
    """
    try:
        reach(after)
    except Exception as error:
        raise CommitFailed(str(error)) from error


async def undo(link: PgLink) -> None:
    """Take back the transaction; a lost connection has done so by itself."""
    with suppress(*DRIVER_FAILED):
        await link.bare.execute("ROLLBACK")


async def commit(link: PgLink) -> None:
    """Put the transaction on disk.

    Raises:
        CommitFailed: nobody knows whether it is there.
        BatchLost, asyncpg.PostgresError: surely not done.
    """
    try:
        said = await link.bare.execute("COMMIT")
    except DRIVER_FAILED as error:
        if is_undone(error):
            raise
        link.drop()
        raise CommitFailed(str(error)) from error
    # A transaction that had failed is answered with ROLLBACK, and no error at all.
    if said != "COMMIT":
        raise BatchLost(f"the server answered the commit with {said}")
