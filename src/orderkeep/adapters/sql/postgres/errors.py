"""What an error of PostgreSQL means for whoever waits: undone, worth another try, or unknown."""

from urllib.parse import urlsplit

import asyncpg
from sqlalchemy.exc import DBAPIError

from orderkeep.adapters.sql.lanes import BatchLost, CommitFailed, busy
from orderkeep.adapters.trust import why_not
from orderkeep.kernel.errors import CommitOutcomeUnknown, StoreBusy

DRIVER_FAILED = (
    OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError,
)  # fmt: skip
"""Whatever using a connection may end with. The last is the driver's own confusion about one that
was cut in the middle of a word; it belongs to no other family, and once ended loops for good."""

_RACED = frozenset({"40001", "40P01", "23505"})
"""Serialization, deadlock, and a unique key that somebody else took meanwhile: look again."""

_NOT_THE_UNIT = ("08", "25P03", "53", "55P03", "57", "58", "XX")
"""Connections, time-outs, resources, an operator, the system: nothing the unit did."""

_HELD_UP = frozenset({"55P03", "57014"})
"""Waited too long for a row that another holds."""

_UNDONE = ("23", "40")
"""A COMMIT that is answered with one of these has been rolled back."""


def driver_error(error: BaseException) -> BaseException:
    """The error of the driver itself, also where SQLAlchemy wrapped it."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error


def is_lost(error: BaseException) -> bool:
    """Whether the connection is of no use any more."""
    found = driver_error(error)
    if isinstance(found, asyncpg.PostgresError):
        if isinstance(found, asyncpg.InvalidCachedStatementError):
            return True  # A migration has changed a table: a new connection prepares anew.
        # After 57014 (the statement took too long) the connection lives; the others end it.
        return _code(found).startswith(("08", "57P", "25P03", "XX"))
    if isinstance(found, asyncpg.InterfaceError):
        return not isinstance(found, asyncpg.DataError)
    return isinstance(found, OSError | EOFError | TimeoutError | asyncpg.InternalClientError)


def is_raced(error: BaseException) -> bool:
    """Whether the unit was undone because another was faster.

    Nothing of it is there, and another run sees what the other one did.
    """
    found = driver_error(error)
    return isinstance(found, asyncpg.PostgresError) and _code(found) in _RACED


def is_not_the_units(error: BaseException) -> bool:
    """Whether the unit is free of blame: the same later may work."""
    found = driver_error(error)
    if isinstance(found, asyncpg.PostgresError):
        return _code(found).startswith(_NOT_THE_UNIT)
    return isinstance(error, BatchLost) or is_lost(error)


def is_held_up(error: BaseException) -> bool:
    """Whether it was somebody else's hold on a row, which other units do not touch."""
    found = driver_error(error)
    return isinstance(found, asyncpg.PostgresError) and _code(found) in _HELD_UP


def is_undone(error: BaseException) -> bool:
    """Whether a failed COMMIT surely left nothing."""
    return isinstance(error, asyncpg.PostgresError) and _code(error).startswith(_UNDONE)


def fate(error: Exception) -> Exception:
    """What the caller of a unit that failed is told."""
    if isinstance(error, CommitFailed):
        unknown = CommitOutcomeUnknown("The database was lost while saving; ask again, same key")
        unknown.__cause__ = error
        return unknown
    return busy(error) if is_not_the_units(error) else error


def cannot_open(url: str, error: BaseException) -> StoreBusy:
    """Why a database cannot be opened, in one sentence that holds nothing of its address but where.

    The driver's own words stay out: they may repeat parts of a password.
    """
    wrapped = isinstance(error, DBAPIError)  # It knows its cause, and another stands behind it.
    cause = driver_error(error if wrapped else error.__cause__ or error)
    try:
        asked = urlsplit(url)
        where = f" at {asked.hostname or 'localhost'}:{asked.port or 5432}"
    except ValueError:  # a port that is no number: it may be the end of a password
        where = ""
    return StoreBusy(f"PostgreSQL{where} {_why(cause)}.")


def _why(cause: BaseException) -> str:
    if isinstance(cause, asyncpg.PostgresError):
        code = _code(cause)
        known = next((said for begin, said in _REFUSALS if code.startswith(begin)), None)
        return known or f"answers with the error {code or type(cause).__name__}"
    if isinstance(cause, asyncpg.ClientConfigurationError):
        return "cannot be asked: its address asks for what there is not, such as another sslmode"
    if sentence := why_not(cause):
        return f"is not trusted: {sentence.removesuffix('.')}"
    if isinstance(cause, FileNotFoundError):
        return "cannot be asked: its address names a file that is not there (sslrootcert, a socket)"
    if isinstance(cause, TimeoutError):
        return "does not answer"
    if isinstance(cause, StoreBusy):
        return "takes no changes now"
    return f"cannot be reached ({type(cause).__name__})"


_REFUSALS = (
    ("28", "refuses the user or its password"),
    ("3D", "has no database of this name"),
    ("42501", "does not give this user the rights it needs"),
    ("53300", "has no connection left for us"),
    ("57P03", "is starting up or shutting down"),
)


def _code(error: asyncpg.PostgresError) -> str:
    return str(error.sqlstate or "")
