"""Failures told for the log: where and what, and nothing of what was being written.

A database repeats in its errors what it refused: the row (`DETAIL`), the value, the statement. That
may be a customer's name. So of a driver's error only its code and the names of what it is about are
told; everything else keeps its own words.
"""

import traceback
from collections.abc import Iterator

_DRIVERS = ("asyncpg", "sqlalchemy", "aiosqlite", "psycopg")
_ABOUT = ("sqlstate", "table_name", "column_name", "constraint_name")
_CAUSED = "\nThe above exception was the direct cause of the following exception:\n"
_DURING = "\nDuring handling of the above exception, another exception occurred:\n"


def told(error: BaseException) -> str:
    """One line: what it is, and its words if they can hold nothing of a person."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else _name(kind)
    if not kind.__module__.startswith(_DRIVERS):
        return f"{name}: {error}" if str(error) else name
    cause = getattr(error, "orig", None)
    if isinstance(cause, BaseException):
        return f"{name} ({told(cause.__cause__ or cause)})"
    facts = [f"{one}={value}" for one in _ABOUT if (value := getattr(error, one, None))]
    return " ".join([name, *facts])


def written(error: BaseException) -> str:
    """The whole of it, with every frame and everything that it was caused by."""
    return "\n".join(_chain(error, set()))


def _chain(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _chain(before, seen)
        yield _CAUSED if error.__cause__ is not None else _DURING
    if error.__traceback__ is not None:
        yield "Traceback (most recent call last):"
        yield "".join(traceback.format_tb(error.__traceback__)).rstrip()
    yield told(error)
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from (f"  | {line}" for one in _chain(part, seen) for line in one.splitlines())


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
