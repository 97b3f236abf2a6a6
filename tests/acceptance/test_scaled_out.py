"""Every role as its own process over one PostgreSQL: killed, stopped, doubled; made once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orderkeep.testing.crew import ROLES, Crew
from orderkeep.testing.postgres_server import PostgresServer
from orderkeep.testing.practice_mes import PracticeMesProcess
from orderkeep.testing.product import Gone, Keys, prepare
from orderkeep.testing.shop import MES, Shop, check, until

PREPARED = "prepared"
ALL_BUT_BRIDGE = tuple(role for role in ROLES if role not in {"bridge", "office"})


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of our own: it will be killed."""
    with PostgresServer() as started:
        yield started


@pytest.fixture(scope="module")
def keys(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """A database to copy, with people and a partner in it."""
    url = server.database(name=PREPARED)
    return prepare(tmp_path_factory.mktemp("prepared"), url)


@contextmanager
def a_crew(
    server: PostgresServer, keys: Keys, folder: Path, *flags: str, **settings: str
) -> Iterator[tuple[Crew, PracticeMesProcess]]:
    """A fresh database, nobody who serves it yet, and a MES."""
    url = server.database(PREPARED)
    with PracticeMesProcess(folder / "journal.jsonl", "--lag", "0.2", *flags) as mes:
        far = {**MES, "mes_url": mes.address, **settings}
        with Crew(folder / "crew", keys, url, **far) as crew:
            yield crew, mes
    server.drop(url)


def persistent(shop: Shop) -> bool:
    """As a partner does: whoever got no answer asks again."""
    try:
        return shop.at_rest()
    except (Gone, AssertionError):
        return False


def test_one_order_goes_through_processes_of_which_each_has_one_role(
    server: PostgresServer, keys: Keys, tmp_path: Path
) -> None:
    with a_crew(server, keys, tmp_path) as (crew, mes):
        crew.begin(*[crew.add(role) for role in ROLES])
        shop = Shop(crew, with_files=True)

        until(shop.at_rest, "not every order came to rest")

        check(crew, shop, mes.effects())
        for hand in crew.hands:
            hand.signal(signal.SIGTERM)
        assert [hand.wait() for hand in crew.hands] == [0] * len(ROLES)


def test_a_bridge_killed_while_it_sends_is_taken_over_by_another(
    server: PostgresServer, keys: Keys, tmp_path: Path
) -> None:
    with a_crew(server, keys, tmp_path) as (crew, mes):
        doomed = crew.add("bridge", failpoint="bridge.after_send:kill@1")
        crew.begin(crew.add(*ALL_BUT_BRIDGE), doomed)
        shop = Shop(crew)
        shop.send_all()
        assert doomed.wait() == -signal.SIGKILL

        crew.begin(crew.add("bridge"))

        until(shop.at_rest, "what it was sending rests for ever")
        check(crew, shop, mes.effects())


@pytest.mark.parametrize(
    "place, then",
    [
        ("bridge.before_send", signal.SIGCONT),
        ("bridge.after_send", signal.SIGCONT),
        ("bridge.before_send", signal.SIGKILL),
    ],
)
def test_what_a_stopped_bridge_holds_is_uncertain_and_never_doubled(
    place: str, then: signal.Signals, server: PostgresServer, keys: Keys, tmp_path: Path
) -> None:
    with a_crew(server, keys, tmp_path) as (crew, mes):
        stopped = crew.add("bridge", failpoint=f"{place}:stop@1")
        crew.begin(crew.add(*ALL_BUT_BRIDGE), stopped)
        shop = Shop(crew)
        shop.send_all()
        until(lambda: _is_stopped(stopped.process.pid), "it was not stopped")
        crew.begin(crew.add("bridge"))

        until(lambda: _silent(crew) > 0, "nobody sees that its sender does not move")
        assert max(mes.effects().values(), default=0) <= 1
        stopped.signal(then)

        until(shop.at_rest, "not every order came to rest")
        check(crew, shop, mes.effects())


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def _silent(crew: Crew) -> int:
    asked = "SELECT count(*) FROM deliveries WHERE state = 'uncertain' AND holder IS NOT NULL"
    return int(crew.rows(asked)[0][0])


@pytest.mark.parametrize("role", ROLES)
def test_any_role_may_be_killed_on_the_road(
    role: str, server: PostgresServer, keys: Keys, tmp_path: Path
) -> None:
    with a_crew(server, keys, tmp_path) as (crew, mes):
        rest = crew.add(*[one for one in ROLES if one != role])
        crew.begin(rest, doomed := crew.add(role))
        shop = Shop(crew)
        shop.send_all()
        shop.wanted = 12
        doomed.kill()

        crew.begin(crew.add(role))

        until(lambda: persistent(shop), "not every order came to rest")
        check(crew, shop, mes.effects())


def test_the_database_server_is_killed_on_the_road(
    server: PostgresServer, keys: Keys, tmp_path: Path
) -> None:
    with a_crew(server, keys, tmp_path) as (crew, mes):
        crew.begin(*[crew.add(role) for role in ROLES], crew.add("bridge"))
        shop = Shop(crew)
        shop.send_all()
        shop.wanted = 12

        server.kill()
        server.start()

        until(lambda: persistent(shop), "not every order came to rest")
        check(crew, shop, mes.effects())


def test_one_watch_leads_and_the_other_takes_its_place(
    server: PostgresServer, keys: Keys, tmp_path: Path
) -> None:
    with a_crew(server, keys, tmp_path) as (crew, _):
        first = crew.add("watch")
        crew.begin(first)
        until(lambda: _leads(crew) > 0, "nobody leads")
        crew.begin(other := crew.add("watch"))
        # It stands still for so long that whatever is said before is not of its taking over.
        other.signal(signal.SIGSTOP)
        until(lambda: _is_stopped(other.process.pid), "it was not stopped")

        first.kill()
        before = _leads(crew)
        other.signal(signal.SIGCONT)

        until(lambda: _leads(crew) > before, "nobody took its place")


def _leads(crew: Crew) -> int:
    said = (crew.folder / "orderkeep.log").read_text(encoding="utf-8")
    return said.count('"what":"watch"')
