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
