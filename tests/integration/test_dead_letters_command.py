"""Who may send dead letters again at the machine's command line, and how that is told."""

import asyncio
import json
import os
import pwd
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from orderkeep.access.people import Person
from orderkeep.access.ports import PersonChange
from orderkeep.access.rights import Role
from orderkeep.adapters.sql.migrate import migrate
from orderkeep.adapters.sql.opening import opened
from orderkeep.cli import app
from orderkeep.delivery.all_letters import AT_ONCE
from orderkeep.delivery.dead_letters import FOUR_EYES_ABOVE
from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.ids import EnvelopeId, PersonId

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
PEOPLE = {"vera": Role.SUPPORT, "boris": Role.ADMIN, "olga": Role.OPERATOR, "gone": Role.SUPPORT}


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A migrated database with people; who is gone has been disabled."""
    if request.param == "PostgreSQL":
        made = str(request.getfixturevalue("postgres_url"))
    else:
        made = f"sqlite:///{tmp_path / 'orderkeep.db'}"
        migrate(made)
    for name in [name for name in os.environ if name.startswith("ORDERKEEP_")]:
        monkeypatch.delenv(name)  # The runner's own would be told of as meaning nothing.
    monkeypatch.setenv("ORDERKEEP_DATABASE_URL", made)
    monkeypatch.chdir(tmp_path)

    def staff(work: Any) -> None:
        for login, role in PEOPLE.items():
            work.access.add_person(Person(PersonId(login), login, login, role, "en", NOON), "-")
        work.access.change_person(PersonId("gone"), PersonChange(disabled=True), NOON)

    written(made, staff)
    return made


def written(url: str, unit: Callable[[Any], Any]) -> Any:
    async def write() -> Any:
        async with opened(url, Bells()) as store:
            return await store.write(unit)

    return asyncio.run(write())


def die(url: str, count: int = 1) -> str:
    """Letters of one cause; its fingerprint."""
    envelopes = [
        Envelope(EnvelopeId(f"e-{n}"), "price.wanted", 1, f"OK-{n:06d}", NOON, "0" * 32, b"{}")
        for n in range(count)
    ]

    def put(work: Any) -> str:
        work.inbox.receive("quoting", envelopes, NOON)
        for one in envelopes:
            work.inbox.bury("quoting", one.id, NOON, "Refused: for this test")
        [group] = work.dead_letters.groups(10)
        return str(group.fingerprint)

    return str(written(url, put))


def replays(url: str) -> Any:
    return written(url, lambda work: work.dead_letters.replays(10))


def replay(cause: str, *words: str) -> Result:
    return CliRunner().invoke(app, ["dead-letters", "replay", cause, "--reason", "mended", *words])


def test_the_record_says_that_it_was_done_at_the_command_line_and_by_whom(url: str) -> None:
    cause = die(url)

    done = replay(cause, "--by", " Vera ", "--release", "2026.11")

    assert done.exit_code == 0, done.exception
    [begun] = replays(url)
    assert begun.started_by == "vera"
    user = pwd.getpwuid(os.getuid()).pw_name
    assert begun.trail[0].why.startswith(
        f"mended (release 2026.11; at the machine's command line, by {user}"
    )
    audited = written(
        url, lambda work: work.raw.execute("SELECT actor, action, detail FROM audit").fetchall()
    )
    told = ("person:vera", "dead_letters.replay", begun.trail[0].why)
    assert told in [tuple(one) for one in audited]


def test_the_environment_does_not_say_who_sits_at_the_machine(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")

    done = replay(die(url), "--by", "vera")

    assert done.exit_code == 0, done.exception
    assert "somebody-else" not in replays(url)[0].trail[0].why


@pytest.mark.parametrize(
    "by, told",
    [
        ("cli", "Nobody signs in at the office as cli: see `orderkeep people list`."),
        ("gone", "gone cannot sign in any more, and may not send dead letters again."),
        ("olga", "olga is here as operator: support and admin may send dead letters again."),
    ],
)
def test_who_may_not_do_it_at_the_office_may_not_at_the_command_line(
    url: str, by: str, told: str
) -> None:
    refused = replay(die(url), "--by", by)

    assert str(refused.exception) == told
    assert replays(url) == []


def test_somebody_has_to_be_named(url: str) -> None:
    refused = replay(die(url))

    assert refused.exit_code != 0
    assert "--by" in refused.output
    assert replays(url) == []


def test_what_needs_a_second_person_begins_where_people_sign_in(url: str) -> None:
    """Whoever names another one here could approve it themselves at the office."""
    refused = replay(die(url, FOUR_EYES_ABOVE + 1), "--by", "vera")

    assert str(refused.exception) == (
        "A second person has to approve this replay, and at a command line nobody signs in: "
        "begin it at the office, under Dead letters."
    )
    assert replays(url) == []


def test_several_small_replays_are_a_large_one_at_the_command_line_too(url: str) -> None:
    cause = die(url, FOUR_EYES_ABOVE // 2 + 1)
    assert replay(cause, "--by", "vera").exit_code == 0

    refused = replay(cause, "--by", "boris")

    assert "A second person has to approve" in str(refused.exception)
    assert len(replays(url)) == 1


def test_a_dry_run_changes_nothing_and_asks_for_nobody(url: str) -> None:
    told = CliRunner().invoke(app, ["dead-letters", "replay", die(url), "--dry-run"])

    assert told.exit_code == 0
    assert told.output == "send: 1\n"


def test_a_group_of_more_than_one_page_is_shown_whole(url: str) -> None:
    cause = die(url, AT_ONCE + 1)

    shown = CliRunner().invoke(app, ["dead-letters", "show", cause])
    as_json = CliRunner().invoke(app, ["dead-letters", "show", cause, "--json"])

    newest_first = [f"OK-{n:06d}" for n in reversed(range(AT_ONCE + 1))]
    assert [line.split("\t")[1] for line in shown.output.splitlines()] == newest_first
    assert [one["order_key"] for one in json.loads(as_json.output)] == newest_first


def test_a_group_that_is_not_there_is_told_as_such(url: str) -> None:
    shown = CliRunner().invoke(app, ["dead-letters", "show", die(url)[::-1]])

    assert "There is no group" in str(shown.exception)
    assert shown.output == ""
