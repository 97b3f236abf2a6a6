"""Logging must not hurt whoever logs, nor tell what it must not."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from orderkeep.access.people import Person
from orderkeep.access.rights import Role
from orderkeep.adapters.sql.access import SqlAccess
from orderkeep.adapters.sql.connections import memory_link
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.kernel.ids import PersonId

_ON_A_FULL_DISK = """
import structlog
from orderkeep.observe.logs import set_up_logs
set_up_logs("info", "test")
structlog.get_logger().error("disk.full")
print("still working")
"""


def test_a_full_disk_under_the_log_does_not_end_the_worker_that_reports_it() -> None:
    """The report of a failed step failed itself, and took the relay's loop along for ever."""
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [sys.executable, "-c", _ON_A_FULL_DISK],
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            check=False,
        )

    assert run.stdout == "still working\n"


def test_a_log_line_is_one_json_object() -> None:
    run = subprocess.run(
        [sys.executable, "-c", _ON_A_FULL_DISK], capture_output=True, text=True, check=True
    )

    assert json.loads(run.stderr)["event"] == "disk.full"


def test_what_the_database_refuses_is_not_repeated_in_its_error() -> None:
    """A failed statement was logged with its values: names, logins, hashes of passwords."""
    link = memory_link()  # Without tables every statement fails.
    person = Person(
        PersonId("1"), "olga", "Olga Petrova", Role.SELLER, "ru", datetime(2026, 11, 23, tzinfo=UTC)
    )

    with pytest.raises(SQLAlchemyError) as failed:
        SqlAccess(SqlWork(link)).add_person(person, "a hash")

    assert "Petrova" not in str(failed.value)
    assert "a hash" not in str(failed.value)


_REFUSED_BY_A_DATABASE = """
import asyncio, logging, sys
import structlog
from asyncpg.exceptions import UniqueViolationError
from orderkeep.kernel.errors import StoreBusy
from orderkeep.observe.logs import set_up_logs

def refused():
    error = UniqueViolationError("duplicate key value")
    error.detail = "Key (login)=(Olga Petrova) already exists."
    return error

async def main():
    async def fails():
        raise refused()
    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    del task

set_up_logs("info", "test")
try:
    try:
        raise refused()
    except UniqueViolationError as error:
        raise StoreBusy("The database is away") from error
except StoreBusy:
    structlog.get_logger().exception("step.failed")
    logging.getLogger("somebody").exception("It failed")
asyncio.run(main())
"""


def test_no_log_line_repeats_what_a_database_refused() -> None:
    """Its errors hold the row or the key that was to be written: a login, a customer's name."""
    run = subprocess.run(
        [sys.executable, "-c", _REFUSED_BY_A_DATABASE], capture_output=True, text=True, check=True
    )

    lines = [json.loads(line) for line in run.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["step.failed", "library.said", "library.said"]
    assert all("UniqueViolationError sqlstate=23505" in line["exception"] for line in lines)
    assert "StoreBusy: The database is away" in lines[0]["exception"]
    assert "Petrova" not in run.stderr
