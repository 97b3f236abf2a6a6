"""Several processes behind one port: rolled and killed under load, and no order is lost by it."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from orderkeep.kernel.ids import order_n
from orderkeep.testing.crew import Crew, Hand
from orderkeep.testing.load import Load, under_load
from orderkeep.testing.postgres_server import PostgresServer
from orderkeep.testing.product import COMMAND, DEADLINE_S, Keys, Product, copy
from orderkeep.testing.shop import until

WORKERS = 2
QUOTA = 8
ROLL_S = 240.0
"""Each process starts, one after the other, beside whatever else this machine does."""


@pytest.fixture(scope="module")
def crew(
    shared_template: tuple[PostgresServer, str, Keys], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Crew]:
    """Two doors behind one port; each test leaves two behind."""
    server, template, keys = shared_template
    url = server.database(template)
    with Crew(tmp_path_factory.mktemp("crew"), keys, url) as crew:
        crew.begin(crew.add("door", workers=WORKERS))
        yield crew
    server.drop(url)


def children(hand: Hand) -> set[int]:
    """The processes that serve, by what the kernel says."""
    pid = hand.process.pid
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return {int(one) for one in listed.split()}


def check(crew: Crew, load: Load) -> None:
    """Every receipt is an order, every order is one that was sent, and none is there twice."""
    rows = crew.rows("SELECT client_ref, n FROM orders")
    kept = dict(rows)
    assert len(kept) == len(rows)
    assert numbers(load).items() <= kept.items()


def numbers(load: Load) -> dict[str, int | None]:
    """The receipts as the tables have them."""
    return {ref: order_n(no) for ref, no in load.receipts.items()}


def said(crew: Crew, what: str) -> int:
    return (crew.folder / "orderkeep.log").read_text(encoding="utf-8").count(what)


def all_are_ready(crew: Crew) -> bool:
    """Also those that took a place a moment ago: a child still starting reads its settings."""
    return said(crew, "process.child_ready") == said(crew, "process.child_started")


def test_rolling_replaces_every_process_no_request_fails_and_no_quota_begins_anew(
    crew: Crew,
) -> None:
    key, [hand] = created_key(crew, rate=f"{QUOTA}/h"), crew.hands
    before = children(hand)
    assert len(before) == WORKERS
    calls = [ask(crew, key, "/v1/orders?client_ref=none") for _ in range(QUOTA)]
    assert {answer.status_code for answer in calls} == {200}
    until(lambda: nobody_has_any_left(crew, key), "a process does not hear of the others")
    with under_load(crew.door, crew.keys.partner, "rolled") as load:
        load.wait_for(20)

        hand.signal(signal.SIGHUP)
        until(lambda: said(crew, "process.roll_ended") == 1, "the roll does not end", ROLL_S)
        load.wait_for(20)

    assert load.failures == []
    assert not before & children(hand)
    assert len(children(hand)) == WORKERS
    check(crew, load)
    until(lambda: nobody_has_any_left(crew, key), "who begins knows nothing")
    assert ask(crew, key, "/v1/orders?client_ref=none").status_code == 429


def created_key(crew: Crew, rate: str) -> str:
    done = subprocess.run(
        [*COMMAND, "keys", "create", "--partner", "Q", "--rate", rate],
        capture_output=True, text=True, check=True, env=crew.environment, cwd=crew.folder,
    )  # fmt: skip
    return done.stdout.splitlines()[-1]


def ask(crew: Crew, key: str, path: str) -> httpx.Response:
    """A call on a connection of its own: any of the processes may get it."""
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.get(crew.door + path, headers=headers, trust_env=False, timeout=60)


def nobody_has_any_left(crew: Crew, key: str) -> bool:
    """Asked so often that each process is among those who answer; asking costs nothing."""
    left = {ask(crew, key, "/v1/limits").json()["remaining"] for _ in range(20)}
    return left == {0}


def test_a_killed_process_costs_a_repeat_at_most_and_is_replaced(crew: Crew) -> None:
    [hand] = crew.hands
    before = children(hand)
    with under_load(crew.door, crew.keys.partner, "killed", again=True) as load:
        load.wait_for(20)

        os.kill(min(before), signal.SIGKILL)
        until(lambda: len(children(hand) - before) == 1, "nobody took its place")
        until(lambda: all_are_ready(crew), "its successor does not get ready")
        load.wait_for(20)

    check(crew, load)
    assert said(crew, "process.child_died") == 1


def test_a_release_that_does_not_start_changes_nothing(crew: Crew) -> None:
    [hand] = crew.hands
    until(lambda: all_are_ready(crew), "not every process gets ready")
    before = children(hand)
    wrong = crew.folder / "orderkeep.toml"
    wrong.write_text('log_level = "loud"\n', encoding="utf-8")
    with under_load(crew.door, crew.keys.partner, "not-rolled") as load:
        hand.signal(signal.SIGHUP)
        until(lambda: said(crew, "process.roll_stopped") == 1, "it is not noticed", ROLL_S)
        load.wait_for(20)
    wrong.unlink()

    assert load.failures == []
    assert children(hand) == before


def test_whoever_is_asked_for_metrics_tells_those_of_all_and_of_the_dead(crew: Crew) -> None:
    crew.begin(hand := crew.add("office", workers=WORKERS))
    asked = 40
    for _ in range(asked):
        assert httpx.get(f"{crew.office}/healthz", trust_env=False, timeout=60).is_success

    until(lambda: min(answered(crew) for _ in range(10)) >= asked, "one tells only its own")
    before, ready = children(hand), said(crew, "process.child_ready")
    os.kill(min(before), signal.SIGKILL)
    until(lambda: len(children(hand) - before) == 1, "nobody took its place")
    until(lambda: said(crew, "process.child_ready") > ready, "its successor does not get ready")

    assert min(answered(crew) for _ in range(10)) >= asked
    crew.hands.remove(hand)
    hand.signal(signal.SIGTERM)
    assert hand.wait() == 0


def answered(crew: Crew) -> float:
    """By one of the processes, for all of them."""
    told = httpx.get(f"{crew.office}/metrics", trust_env=False, timeout=60).text
    name = 'orderkeep_http_requests_total{port="office",status="2xx"} '
    assert 'orderkeep_refused_total{kind="order",reason="turn"} 0.0' in told
    return float(told.partition(name)[2].partition("\n")[0] or 0)


def test_ending_drains_everybody_and_whoever_is_killed_leaves_no_socket(crew: Crew) -> None:
    crew.hands[0].signal(signal.SIGTERM)
    assert crew.hands.pop(0).wait() == 0
    crew.begin(hand := crew.add("door", workers=WORKERS))
    kept, port = children(hand), int(crew.door.rpartition(":")[2])
    assert {os.getpgid(one) for one in kept} == {os.getpgid(hand.process.pid)}

    crew.hands.pop(0).kill()

    until(lambda: not any(Path(f"/proc/{one}").exists() for one in kept), "a child lives on")
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("0.0.0.0", port))
        again.listen()


def test_one_process_serves_sqlite_and_says_so(tmp_path: Path) -> None:
    product = Product(tmp_path, Keys(""))
    done = subprocess.run(
        [*COMMAND, "run", "--workers", "2"],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        env=product.environment, cwd=tmp_path,
    )  # fmt: skip

    assert done.returncode == 64
    assert "--workers is for PostgreSQL" in done.stderr


def test_restarting_one_process_behind_a_held_socket_makes_clients_wait(
    tmp_path: Path, template: tuple[Path, Keys]
) -> None:
    folder, keys = template
    copy(folder, tmp_path)
    with Product(tmp_path, keys) as product, held_socket() as held:
        address = f"http://127.0.0.1:{held.getsockname()[1]}"
        serving = served_on(held, product)
        try:
            with under_load(address, keys.partner, "held") as load:
                load.wait_for(10)
                serving.send_signal(signal.SIGTERM)
                assert serving.wait(DEADLINE_S) == 0
                serving = served_on(held, product)
                load.wait_for(10)
        finally:
            serving.kill()
            serving.wait()

        assert load.failures == []
        kept = dict(product.rows("SELECT client_ref, n FROM orders"))
        assert numbers(load).items() <= kept.items()


@contextmanager
def held_socket() -> Iterator[socket.socket]:
    """What systemd does with a socket unit: it listens, and outlives whoever it hands it to."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as held:
        yield held


def served_on(held: socket.socket, product: Product) -> "subprocess.Popen[bytes]":
    """A process that is handed the socket as systemd does it: descriptor 3, and its own pid."""
    script = 'export LISTEN_PID=$$; exec 3<&"$0"; exec "$@"'
    return subprocess.Popen(
        ["bash", "-c", script, str(held.fileno()), *COMMAND, "run", "--office-port", "0"],
        pass_fds=[held.fileno()],
        env=product.environment | {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "door"},
        cwd=product.folder,
    )
