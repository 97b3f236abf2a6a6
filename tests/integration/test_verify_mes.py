"""`orderkeep verify --mes` against a MES behind HTTP that has other ideas than our tables."""

import asyncio
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from orderkeep.kernel.ids import OrderNo, WorkOrderRef
from orderkeep.orders.commands import ApproveOrder, CancelOrder, RecordDelivery
from orderkeep.orders.order import Delivered
from orderkeep.testing.counter import Shop
from orderkeep.testing.practice_mes import PracticeMesProcess

COMMAND = (sys.executable, "-c", "from orderkeep.cli import main; main()")
PROGRESS = re.compile(r"^[a-z ]+: \d+ of \d+\n", re.MULTILINE)
"""What is said of work that takes longer than a second, as on a busy machine."""
STRANGER = "OK-999996"


class Made:
    """A shop with two orders at the MES, one that waits, and one cancelled before sending."""

    def __init__(self, folder: Path, mes: PracticeMesProcess) -> None:
        self.folder = folder
        self.mes = mes
        self.orders: dict[str, OrderNo] = {}
        self.environment = {
            "ORDERKEEP_MES": "http",
            "ORDERKEEP_MES_URL": mes.address,
            "ORDERKEEP_MES_VISIBILITY_LAG": "1ms",
            "ORDERKEEP_MES_POLL": "1h",
            "ORDERKEEP_MES_PAUSE": "1h",
        }

    def open(self) -> Shop:
        return Shop(self.folder, **self.environment)

    def verify(self, **settings: str) -> tuple[int, Any]:
        """Run the command; returns its exit status and its report."""
        done = self.command(**settings)
        assert PROGRESS.sub("", done.stderr) == ""
        return done.returncode, json.loads(done.stdout)

    def command(self, **settings: str) -> "subprocess.CompletedProcess[str]":
        ours = {name: value for name, value in os.environ.items() if "ORDERKEEP_" not in name}
        database = {"ORDERKEEP_DATABASE_URL": f"sqlite:///{self.folder / 'orderkeep.db'}"}
        return subprocess.run(
            [*COMMAND, "verify", "--mes", "--json"],
            env=ours | database | self.environment | settings,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def make_at_the_mes(self, reference: str) -> None:
        """Have the MES make something that nobody of us asked for."""
        wanted = {"external_id": reference, "positions": [{"position": 1, "quantity": 1}]}
        self.mes.ask("POST", "/api/orders", json=wanted)


def found(report: Any) -> set[tuple[str, str]]:
    return {(one["rule"], one["order_no"]) for one in report["violations"]}


async def _work(made: Made) -> None:
    async with made.open() as shop:
        file_id = await shop.file(1)
        for name in ("first", "second", "dropped", "waiting"):
            made.orders[name] = await shop.submit(name, file_id)
        await shop.settle()
        for name in ("first", "second"):
            await shop.do(made.orders[name], ApproveOrder())
        await shop.settle()
        await shop.do(made.orders["dropped"], ApproveOrder())
        await shop.do(made.orders["dropped"], CancelOrder("at once"))
        await shop.settle()
        await shop.do(made.orders["waiting"], ApproveOrder())


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    with PracticeMesProcess(tmp_path / "mes.jsonl") as mes:
        made = Made(tmp_path, mes)
        asyncio.run(_work(made))
        yield made


def test_a_mes_that_agrees_leaves_nothing_to_say(made: Made) -> None:
    code, report = made.verify()

    assert report["violations"] == []
    assert code == 0
    assert report["checked"]["rules"] == [
        "S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9", "S10",
    ]  # fmt: skip
    assert report["checked"]["mes_jobs"] == 2


@pytest.mark.parametrize("listing", ["on", "off"])
def test_a_doubled_effect_is_named(made: Made, listing: str) -> None:
    made.make_at_the_mes(made.orders["first"])
    assert made.mes.effects()[made.orders["first"]] == 2

    code, report = made.verify(ORDERKEEP_MES_LISTING=listing)

    assert found(report) == {("S3", made.orders["first"])}
    assert code == 1


def test_a_job_that_the_mes_recalled_in_its_own_word_is_no_double(made: Made) -> None:
    """The practice MES says ``accepted``: here it stands for a word that means recalled."""
    made.make_at_the_mes(made.orders["first"])

    code, report = made.verify(ORDERKEEP_MES_WORDS="accepted=recalled")

    assert found(report) == set()
    assert code == 0


@pytest.mark.parametrize("listing", ["on", "off"])
def test_a_false_delivered_is_named(made: Made, listing: str) -> None:
    asyncio.run(_claim_delivered(made))

    code, report = made.verify(ORDERKEEP_MES_LISTING=listing)

    assert found(report) == {("S4", made.orders["waiting"])}
    assert code == 1


async def _claim_delivered(made: Made) -> None:
    """Say of an order that it is at the MES, in every table, without having sent it."""
    number = made.orders["waiting"]
    async with made.open() as shop:
        await shop.settle("relay")
        inbox = next(one for one in shop.parts.inboxes if one.consumer == "bridge")
        await inbox.step()
        for state in (Delivered.SENDING, Delivered.CONFIRMED):
            await shop.do(number, RecordDelivery("mes", WorkOrderRef(number), state))
        store = shop.parts.store
        row = await store.read(lambda work: work.deliveries.get("mes", number))
        assert row is not None
        await store.write(lambda work: work.deliveries.change(row, state=Delivered.CONFIRMED))


@pytest.mark.parametrize("listing", ["on", "off"])
def test_a_sent_cancelled_order_is_a_ghost(made: Made, listing: str) -> None:
    made.make_at_the_mes(made.orders["dropped"])

    code, report = made.verify(ORDERKEEP_MES_LISTING=listing)

    assert found(report) == {("S9", made.orders["dropped"])}
    assert code == 1


@pytest.mark.parametrize("reference", [STRANGER, "SOMEBODY-1"])
def test_an_effect_without_an_order_is_a_ghost(made: Made, reference: str) -> None:
    made.make_at_the_mes(reference)

    code, report = made.verify()

    assert found(report) == {("S9", reference)}
    assert code == 1


def test_a_second_work_order_that_nobody_asked_for_is_a_ghost(made: Made) -> None:
    made.make_at_the_mes(f"{made.orders['first']}/2")

    _, report = made.verify()

    assert found(report) == {("S9", made.orders["first"])}


def test_a_mes_that_lost_its_memory_is_contradicted(made: Made) -> None:
    made.mes.stop()
    made.mes.journal.unlink()
    made.mes.start()

    _, report = made.verify()

    assert found(report) == {("S4", made.orders["first"]), ("S4", made.orders["second"])}


def test_a_fresh_job_that_the_mes_does_not_show_yet_is_looked_for_again(made: Made) -> None:
    asyncio.run(_settle(made))
    made.mes.behave(lag_seconds=2)

    _, report = made.verify(ORDERKEEP_MES_VISIBILITY_LAG="3s")

    assert report["violations"] == []


async def _settle(made: Made) -> None:
    async with made.open() as shop:
        await shop.settle()


def test_silence_proves_nothing(made: Made) -> None:
    made.mes.behave(faults=["500:op=find"])

    done = made.command(ORDERKEEP_MES_LISTING="off")

    report = json.loads(done.stdout)
    assert report["violations"] == []
    assert set(report["checked"]["mes_unanswered"]) >= {made.orders["first"]}
    assert done.returncode == 69


class EndlessMes(BaseHTTPRequestHandler):
    """Answers every page of its listing with no job and the same cursor."""

    def do_GET(self) -> None:
        body = b'{"items": [], "next": "again"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # The base's name.
        pass


def test_a_listing_without_an_end_is_told_in_a_sentence(made: Made) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), EndlessMes) as endless:
        Thread(target=endless.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{endless.server_port}"
        # Nothing can be looked up there: what was not shown is not called missing.
        code, report = made.verify(ORDERKEEP_MES_URL=address, ORDERKEEP_MES_LOOKUP="off")
        endless.shutdown()

    checked = report["checked"]
    assert checked["mes_unfinished"] == (
        "the MES's list does not end: it repeated the cursor 'again'"
    )
    assert checked["mes_unanswered"] == sorted([made.orders["first"], made.orders["second"]])
    assert report["violations"] == []
    assert code == 69


def test_the_tables_are_checked_also_while_the_mes_is_away(made: Made) -> None:
    made.mes.stop()
    with sqlite3.connect(made.folder / "orderkeep.db") as raw:
        raw.execute("UPDATE orders SET pieces = pieces + 1 WHERE client_ref = 'first'")

    code, report = made.verify()

    assert report["checked"]["orders"] == len(made.orders)
    assert report["checked"]["mes_unfinished"].startswith("the MES did not answer: ")
    assert {one["rule"] for one in report["violations"]} == {"S5"}
    assert code == 1  # What is wrong comes before what is not known.


def test_a_mes_that_is_away_is_told_in_a_sentence(made: Made) -> None:
    made.mes.stop()

    done = made.command()

    assert done.returncode == 69
    report = json.loads(done.stdout)
    assert report["violations"] == []
    assert report["checked"]["mes_jobs"] == 0
    assert report["checked"]["mes_unfinished"].startswith("the MES did not answer: ")


def test_a_mes_that_is_only_busy_is_waited_for(made: Made) -> None:
    """More refusals in a row than a MES that is away is asked for."""
    made.mes.behave(faults=["busy:op=list,times=8"])

    code, report = made.verify()

    assert (code, report["violations"]) == (0, [])
    assert report["checked"]["mes_jobs"] == 2
