"""PostgreSQL repeats in its errors what it refused; neither the log nor an answer does."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from orderkeep.access.people import LoginTaken, Person
from orderkeep.access.rights import Role
from orderkeep.adapters.sql.postgres.errors import driver_error
from orderkeep.adapters.sql.postgres.store import PgStore, open_store
from orderkeep.http.problems import render
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.ids import PersonId
from orderkeep.observe.failures import written

NAME, LOGIN = "Olga Petrova", "olga.petrova"


@contextmanager
def opened(url: str, runner: asyncio.Runner) -> Iterator[PgStore]:
    store = runner.run(open_store(url, Bells()))
    try:
        yield store
    finally:
        runner.run(store.close())


def twice(work: Any) -> None:
    """A unique key that is taken: the detail names the login."""
    for number in "12":
        now = datetime(2026, 11, 23, tzinfo=UTC)
        work.access.add_person(
            Person(PersonId(number), LOGIN, NAME, Role.SELLER, "ru", now), "a hash"
        )


def null(work: Any) -> None:
    """A column that is missing: the detail shows the whole row."""
    statement = "INSERT INTO people (id, login, name) VALUES ('1', :login, :name)"
    work.connection.execute(text(statement), {"login": LOGIN, "name": NAME})


def no_number(work: Any) -> None:
    """A value that cannot be: the sentence itself repeats it."""
    work.connection.execute(text(f"SELECT CAST('{NAME}' AS integer)"))


@pytest.mark.parametrize("violates", [twice, null, no_number])
def test_nothing_of_a_refused_row_is_told(
    violates: Callable[[Any], None], postgres_url: str, runner: asyncio.Runner
) -> None:
    with opened(postgres_url, runner) as store:
        with pytest.raises((DBAPIError, LoginTaken)) as failed:
            runner.run(store.write(violates))

        error = failed.value
        wrapped = error.__cause__ if isinstance(error, LoginTaken) else error
        assert wrapped is not None
        refused = driver_error(wrapped)
        assert "petrova" in str(refused).lower(), "nothing to hide: the test proves nothing"
        for shown in (written(error), render(error, "t").body.decode()):
            assert "petrova" not in shown.lower()
        assert f"sqlstate={getattr(refused, 'sqlstate', None)}" in written(error)
