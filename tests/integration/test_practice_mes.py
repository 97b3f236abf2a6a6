"""The practice MES itself: a test bench has to be trusted before what is tested on it."""

import asyncio
import http.client
import itertools
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from orderkeep.practice.mes_faults import KINDS, FaultPlan, FaultRefused, parse_fault
from orderkeep.practice.mes_journal import JournalDamaged, read_journal
from orderkeep.testing.practice_mes import COMMAND, PracticeMesProcess

NUMBERS = itertools.count(1)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


@pytest.fixture
def mes(journal: Path) -> Iterator[PracticeMesProcess]:
    with PracticeMesProcess(journal) as process:
        yield process


def submit(mes: PracticeMesProcess, reference: str | None = None, **headers: str) -> Any:
    body = {"external_id": reference or f"OK-{next(NUMBERS)}", "positions": [{"position": 1}]}
    return mes.ask("POST", "/api/orders", json=body, headers=headers)


# --- The journal ------------------------------------------------------------------------------


def test_request_effect_and_answer_are_told_in_this_order(mes: PracticeMesProcess) -> None:
    job = submit(mes, "OK-1", **{"Idempotency-Key": "k1"})

    told = [e for e in mes.entries() if e.reference == "OK-1"]
    assert [e.kind for e in told] == ["request", "effect", "answer"]
    assert {e.idempotency_key for e in told} == {"k1"}
    assert len({e.body_sha256 for e in told}) == 1
    assert [e.mes_id for e in told] == [None, job["id"], job["id"]]
    assert told[-1].http_status == 201


def test_what_was_posted_is_not_kept(mes: PracticeMesProcess) -> None:
    body = {"external_id": "OK-1", "positions": [{"engraving": "For Anna"}]}
    mes.ask("POST", "/api/orders", json=body)

    assert "Anna" not in mes.journal.read_text()


def test_the_journal_can_be_asked_for(mes: PracticeMesProcess) -> None:
    submit(mes, "OK-1")
    submit(mes, "OK-2")

    told = mes.ask("GET", "/practice/journal?kind=effect&reference=OK-2")

    assert [(e["effect"], e["reference"]) for e in told["items"]] == [("created", "OK-2")]


def test_after_a_kill_every_job_it_promised_is_there_and_ids_go_on(
    mes: PracticeMesProcess,
) -> None:
    first = submit(mes, "OK-1")
    mes.ask("POST", f"/api/orders/{first['id']}/status", json={"status": "started"})
    second = submit(mes, "OK-2")
    mes.ask("POST", f"/api/orders/{second['id']}/recall")

    mes.kill()
    mes.start()
    third = submit(mes, "OK-3")

    listed = mes.ask("GET", "/api/orders")["items"]
    assert [job["status"] for job in listed] == ["started", "recalled", "accepted"]
    assert [job["id"] for job in listed] == [first["id"], second["id"], third["id"]]


def test_a_key_is_remembered_across_a_restart(mes: PracticeMesProcess) -> None:
    mes.behave(idempotency="key")
    first = submit(mes, "OK-1", **{"Idempotency-Key": "k1"})

    mes.kill()
    mes.start()
    mes.behave(idempotency="key")
    again = submit(mes, "OK-1", **{"Idempotency-Key": "k1"})

    assert again["id"] == first["id"]
    assert mes.effects() == Counter({"OK-1": 1})


async def test_killed_in_the_middle_it_has_told_of_every_job_it_answered_for(
    mes: PracticeMesProcess,
) -> None:
    answered: list[str] = []

    async def order_on_and_on(client: httpx.AsyncClient) -> None:
        while True:
            reference = f"OK-{next(NUMBERS)}"
            body = {"external_id": reference, "positions": [1]}
            await client.post(f"{mes.address}/api/orders", json=body)
            answered.append(reference)

    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        buyers = [asyncio.create_task(order_on_and_on(client)) for _ in range(8)]
        await asyncio.to_thread(mes.wait_for, lambda entries: len(entries) > 300)
        mes.kill()
        await asyncio.wait(buyers)  # Their next request finds nobody.
        failures = [buyer.exception() for buyer in buyers]

    made = mes.effects()
    assert all(isinstance(failure, httpx.TransportError) for failure in failures)
    assert answered
    assert all(made[reference] == 1 for reference in answered)


def test_a_line_cut_short_by_a_kill_is_dropped(mes: PracticeMesProcess) -> None:
    submit(mes, "OK-1")
    mes.kill()
    with mes.journal.open("ab") as file:
        file.write(b'{"at": "2026-')

    mes.start()
    submit(mes, "OK-2")

    assert mes.effects() == Counter({"OK-1": 1, "OK-2": 1})


def test_a_damaged_line_in_the_middle_is_named(journal: Path) -> None:
    journal.write_text('{"at":"2026-01-01T00:00:00Z","kind":"status"}\nnonsense\n')

    with pytest.raises(JournalDamaged, match="line 2"):
        read_journal(journal)


def run_for_refusal(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *flags], capture_output=True, text=True, timeout=150, check=False
    )


def test_two_on_one_journal_are_refused(mes: PracticeMesProcess) -> None:
    second = run_for_refusal("mes", "--journal", str(mes.journal))

    assert second.returncode == 1
    assert "another practice system writes" in second.stderr


@pytest.mark.parametrize(
    "flags",
    [
        ["--fault", "explode"],
        ["--fault", "500:p=2"],
        ["--fault", "wrong-id-before"],
        ["--idempotency", "sometimes"],
        ["--limit", "-1"],
    ],
)
def test_a_behaviour_that_does_not_exist_is_refused(journal: Path, flags: list[str]) -> None:
    refused = run_for_refusal("mes", "--journal", str(journal), *flags)

    assert refused.returncode != 0
    assert refused.stdout == ""
    assert refused.stderr


# --- How it behaves ---------------------------------------------------------------------------


def test_it_stops_when_told(mes: PracticeMesProcess) -> None:
    assert mes.stop() == 0


def test_a_reset_is_a_true_reset(mes: PracticeMesProcess) -> None:
    mes.behave(faults=["reset-after"])
    url = urlsplit(mes.address)
    body = b'{"external_id": "OK-1", "positions": [1]}'

    with socket.create_connection((url.hostname, url.port)) as client:
        client.sendall(b"POST /api/orders HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body))
        client.sendall(body)
        with pytest.raises(ConnectionResetError):
            client.recv(1)

    assert mes.effects() == Counter({"OK-1": 1})


def test_it_listens_on_loopback_only(mes: PracticeMesProcess) -> None:
    assert urlsplit(mes.address).hostname == "127.0.0.1"


def test_a_connection_serves_many_requests(mes: PracticeMesProcess) -> None:
    url = urlsplit(mes.address)
    client = http.client.HTTPConnection(url.hostname or "", url.port or 0)
    local: set[Any] = set()

    for _ in range(3):
        client.request("GET", "/api/orders")
        client.getresponse().read()
        local.add(client.sock.getsockname())
    client.close()

    assert len(local) == 1


@pytest.mark.parametrize(
    "noise", [b"\x00" * 100, b"GET / HTTP/9.9\r\n\r\n", b"POST /api/orders HTTP/1.1\r\n" * 3]
)
def test_noise_closes_the_connection_and_nothing_else(
    mes: PracticeMesProcess, noise: bytes
) -> None:
    url = urlsplit(mes.address)
    with socket.create_connection((url.hostname, url.port)) as client:
        client.sendall(noise)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""

    assert submit(mes)["status"] == "accepted"


def test_a_body_without_reference_or_positions_is_refused(mes: PracticeMesProcess) -> None:
    refused = [
        mes.ask("POST", "/api/orders", content=body)
        for body in (
            b"",
            b"[]",
            b"{",
            b'{"external_id": "OK-1"}',
            b'{"positions": [1]}',
            b"[" * 9999,
        )
    ]

    assert all("error" in answer for answer in refused)
    assert mes.effects() == Counter()


def test_without_idempotency_a_repeat_is_made_twice(mes: PracticeMesProcess) -> None:
    submit(mes, "OK-1", **{"Idempotency-Key": "k1"})
    submit(mes, "OK-1", **{"Idempotency-Key": "k1"})

    assert mes.effects() == Counter({"OK-1": 2})
    assert len(mes.ask("GET", "/api/orders?ref=OK-1")["items"]) == 2


def test_a_key_with_another_body_is_refused(mes: PracticeMesProcess) -> None:
    mes.behave(idempotency="key")
    submit(mes, "OK-1", **{"Idempotency-Key": "k1"})

    answer = submit(mes, "OK-2", **{"Idempotency-Key": "k1"})

    assert "error" in answer
    assert mes.effects() == Counter({"OK-1": 1})


def test_a_job_begun_is_not_recalled(mes: PracticeMesProcess) -> None:
    job = submit(mes, "OK-1")
    mes.ask("POST", f"/api/orders/{job['id']}/status", json={"status": "started"})

    answer = mes.ask("POST", f"/api/orders/{job['id']}/recall")

    assert answer["status"] == "started"
    assert mes.effects("recalled") == Counter()


def test_the_listing_has_pages(mes: PracticeMesProcess) -> None:
    ids = [submit(mes)["id"] for _ in range(201)]

    first = mes.ask("GET", "/api/orders")
    second = mes.ask("GET", f"/api/orders?cursor={first['next']}")

    assert [job["id"] for job in first["items"] + second["items"]] == ids
    assert second["next"] is None


def test_the_autopilot_ships_what_nobody_touches(mes: PracticeMesProcess) -> None:
    mes.behave(autopilot=True, pace_seconds=0.05)
    job = submit(mes, "OK-1")

    mes.wait_for(lambda entries: any(e.status == "shipped" for e in entries))

    feed = mes.ask("GET", "/api/changes?after=0")["items"]
    words = [change["status"] for change in feed if change["id"] == job["id"]]
    assert words == ["accepted", "started", "completed", "packaging", "shipped"]


def test_a_limit_turns_the_others_away_and_is_not_exceeded(mes: PracticeMesProcess) -> None:
    mes.behave(limit=2, work_seconds=0.2)
    body = {"external_id": "OK-1", "positions": [1]}

    async def crowd() -> list[httpx.Response]:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            calls = (client.post(f"{mes.address}/api/orders", json=body) for _ in range(8))
            return await asyncio.gather(*calls)

    answers = asyncio.run(crowd())

    turned_away = [answer for answer in answers if answer.status_code == 429]
    assert turned_away
    assert all(answer.headers["Retry-After"] == "1" for answer in turned_away)
    assert mes.effects()["OK-1"] == 8 - len(turned_away)
    stats = mes.ask("GET", "/practice/stats")
    assert stats["peak_in_flight"] == 2
    assert stats["turned_away"] == len(turned_away)


def test_a_wrong_change_of_behaviour_changes_nothing(mes: PracticeMesProcess) -> None:
    before = mes.ask("GET", "/practice/faults")

    answers = [
        mes.ask("PUT", "/practice/faults", json=change)
        for change in (
            {"faults": ["explode"]},
            {"faults": [{"kind": "500", "nth": 0}]},
            {"unknown": 1},
            {"lag_seconds": -1},
            {"stall_seconds": "long"},
        )
    ]

    assert all("error" in answer for answer in answers)
    assert mes.ask("GET", "/practice/faults") == before


def test_faults_come_from_flags_file_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "bad-day.toml"
    config.write_text('seed = 7\nidempotency = "key"\nfaults = ["500-after:p=0.5"]\n')
    monkeypatch.setenv("ORDERKEEP_PRACTICE_MES_LAG", "3")

    flags = ("--config", str(config), "--seed", "8")
    with PracticeMesProcess(tmp_path / "journal.jsonl", *flags) as mes:
        told = mes.ask("GET", "/practice/faults")

    assert (told["seed"], told["idempotency"], told["lag_seconds"]) == (8, "key", 3.0)
    assert [(f["kind"], f["probability"]) for f in told["faults"]] == [("500", 0.5)]


# --- When a fault strikes ---------------------------------------------------------------------


def strikes(text: str, count: int = 10, seed: int = 1, reference: str = "OK-1") -> list[int]:
    """Which of ``count`` submissions the fault strikes, counted from 1."""
    plan = FaultPlan([parse_fault(text)], seed)
    struck = [plan.choose("submit", reference).spoil is not None for _ in range(count)]
    return [n for n, hit in enumerate(struck, start=1) if hit]


def test_the_nth_request_only() -> None:
    assert strikes("500-after:nth=3") == [3]


def test_so_many_times_only() -> None:
    assert strikes("500-after:times=2") == [1, 2]


def test_one_reference_only() -> None:
    assert strikes("500:ref=OK-2") == []
    assert strikes("500:ref=OK-1", count=2) == [1, 2]


def test_one_operation_only() -> None:
    assert strikes("500:op=find") == []
    assert strikes("500:op=any", count=2) == [1, 2]


def test_the_seed_decides_and_repeats() -> None:
    assert strikes("500:p=0.5", count=100) == strikes("500:p=0.5", count=100)
    assert strikes("500:p=0.5", count=100) != strikes("500:p=0.5", count=100, seed=2)
    assert 30 < len(strikes("500:p=0.5", count=100)) < 70


def test_delays_add_up_and_the_first_spoiler_counts() -> None:
    faults = ["delay:seconds=1", "delay:seconds=2", "delay-after:seconds=4", "html", "reset"]

    mischief = FaultPlan([parse_fault(text) for text in faults], 0).choose("submit", None)

    assert (mischief.delay_before, mischief.delay_after) == (3.0, 4.0)
    assert mischief.spoil is not None
    assert mischief.spoil.name == "html-after"


def test_every_kind_can_be_asked_for() -> None:
    assert {parse_fault(kind).kind for kind in KINDS} == set(KINDS)


@pytest.mark.parametrize(
    "text", ["", "nope", "500:nth=0", "500:p=x", "500:what=1", "no-id-before", "delay:seconds=-1"]
)
def test_a_fault_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(FaultRefused):
        parse_fault(text)
