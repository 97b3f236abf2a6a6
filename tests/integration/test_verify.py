"""`orderkeep verify` as people run it: every planted defect is named by its order number."""

import asyncio
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from orderkeep.intake.accept import Sender
from orderkeep.intake.drafts import Drafts
from orderkeep.kernel.ids import order_n
from orderkeep.orders.commands import ApproveOrder, CancelOrder, OpenReturn, PlaceHold
from orderkeep.orders.reissue import replace_piece
from orderkeep.roles.rules import catalogue, promise
from orderkeep.testing.counter import PARTNER, Shop

COMMAND = (sys.executable, "-c", "from orderkeep.cli import main; main()")
PROGRESS = re.compile(r"^[a-z ]+: \d+ of \d+\n", re.MULTILINE)
"""What is said of work that takes longer than a second, as on a busy machine."""
DATABASE = "orderkeep.db"
DAY = timedelta(days=1)


class Answer(NamedTuple):
    """What the command left behind."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> Any:
        return json.loads(self.out)

    @property
    def found(self) -> set[tuple[str, str | None]]:
        return {(one["rule"], one["order_no"]) for one in self.report["violations"]}


def orderkeep(folder: Path, *words: str, **environment: str) -> Answer:
    """Run the command on a folder's database as a process of its own."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ORDERKEEP_")}
    database = {"ORDERKEEP_DATABASE_URL": f"sqlite:///{folder / DATABASE}"}
    done = subprocess.run(
        [*COMMAND, *words],
        env=ours | database | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


Orders = Mapping[str, str]


async def a_day(folder: Path) -> Orders:
    """Orders at every kind of place; returns their numbers by what became of them."""
    async with Shop(folder, ORDERKEEP_MES_POLL="1ms") as shop:
        files = [await shop.file(seed) for seed in range(4)]
        named = ("priced", "shipped", "made", "dropped", "held", "recalled", "cancelled")
        numbers = {
            name: await shop.submit(f"ref-{name}", files[at % 3]) for at, name in enumerate(named)
        }
        numbers["manual"] = await shop.submit("ref-manual", await shop.odd_file())
        await shop.settle()
        for name in ("shipped", "made", "recalled"):
            await shop.do(numbers[name], ApproveOrder())
        await shop.do(numbers["dropped"], CancelOrder("not any more"))
        until = shop.parts.clock.now() + DAY
        await shop.do(numbers["held"], PlaceHold("asked", "seller", until, stops_clock=False))
        await shop.settle()
        for step in ("start", "done", "pack", "ship"):
            await shop.parts.workshop.act(numbers["shipped"], step, "ivan", tracking_no="T1")
            await shop.settle()
        await shop.do(numbers["recalled"], CancelOrder("changed my mind"))
        await shop.settle()
        await shop.do(numbers["cancelled"], ApproveOrder())
        await shop.do(numbers["cancelled"], CancelOrder("at once"))
        await shop.settle()
        numbers["approved"] = await shop.submit("ref-approved", files[3])
        await shop.settle()
        await shop.do(numbers["approved"], ApproveOrder())
        numbers["fresh"] = await shop.submit("ref-fresh", files[0])
        return numbers


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Orders]:
    folder = tmp_path_factory.mktemp("day")
    return folder, asyncio.run(a_day(folder))


@pytest.fixture
def shop(day: tuple[Path, Orders], tmp_path: Path) -> "Planted":
    """A copy of the day, to be damaged."""
    shutil.copytree(day[0], tmp_path, dirs_exist_ok=True)
    return Planted(tmp_path, day[1])


class Planted:
    """A shop whose tables and files can be damaged."""

    def __init__(self, folder: Path, orders: Orders) -> None:
        self.folder = folder
        self.orders = orders

    def run(self, statement: str, *values: Any) -> None:
        """Change the tables behind everybody's back."""
        with closing(sqlite3.connect(self.folder / DATABASE)) as raw:
            raw.execute("PRAGMA foreign_keys=OFF")
            changed = raw.execute(statement, values).rowcount
            raw.commit()
        assert changed, f"nothing was damaged by {statement}"

    def ask(self, question: str, *values: Any) -> Any:
        with closing(sqlite3.connect(self.folder / DATABASE)) as raw:
            return raw.execute(question, values).fetchone()[0]

    def n(self, name: str) -> int:
        return order_n(self.orders[name]) or 0

    def without_constraints(self, table: str) -> None:
        """Replace a table by a copy that lets everything in."""
        with closing(sqlite3.connect(self.folder / DATABASE)) as raw:
            raw.execute("PRAGMA legacy_alter_table=ON")
            raw.execute(f"CREATE TABLE copied AS SELECT * FROM {table}")
            raw.execute(f"DROP TABLE {table}")
            raw.execute(f"ALTER TABLE copied RENAME TO {table}")
            raw.commit()

    def tell(self, name: str, stage: str, event: Mapping[str, Any], **row: Any) -> None:
        """Append an event that nobody decided, and make the order's row agree with it."""
        n = self.n(name)
        seq = self.ask("SELECT max(seq) FROM events WHERE order_n = ?", n) + 1
        self.run(
            "INSERT INTO events (order_n, seq, partner_id, kind, schema_version, stage, at,"
            " actor_kind, actor_id, command, source, trace_id, data) SELECT order_n, ?, partner_id,"
            " ?, 1, ?, at, actor_kind, actor_id, command, source, trace_id, ? FROM events"
            " WHERE order_n = ? AND seq = ?",
            *(seq, event["kind"], stage, json.dumps(event), n, seq - 1),
        )
        for column, value in {"version": seq, "stage": stage, **row}.items():
            self.run(f"UPDATE orders SET {column} = ? WHERE n = ?", value, n)

    def bytes_of(self, name: str) -> Path:
        """Where the bytes of an order's model file are."""
        sha256 = self.ask(
            "SELECT data ->> '$.positions[0].file_sha256' FROM events WHERE order_n = ?",
            self.n(name),
        )
        return self.folder.joinpath("files", "sha256", sha256[:2], sha256)


# --- a clean shop ---------------------------------------------------------------------------------


def test_a_clean_shop_has_no_violations(shop: Planted) -> None:
    answer = orderkeep(shop.folder, "verify", "--json")

    assert answer.report["violations"] == []
    assert answer.code == 0
    checked = answer.report["checked"]
    assert checked["rules"] == ["S1", "S2", "S5", "S6", "S7", "S8", "S10"]
    assert checked["orders"] == len(shop.orders)
    assert checked["files_hashed"] == checked["files"] == 5
    assert checked["mes_jobs"] is None
    assert checked["balance"] == {
        "accepted": 10, "cancelled": 3, "at_mes": 2, "uncertain": 0, "quarantined": 0,
        "waiting": 3, "in_flight": 2,
        "received_not_yet": 0, "not_understood": 0,
    }  # fmt: skip


def test_a_clean_shop_agrees_with_its_own_floor(shop: Planted) -> None:
    answer = orderkeep(shop.folder, "verify", "--mes", "--json")

    assert answer.report["violations"] == []
    assert answer.report["checked"]["mes_jobs"] == 3


def test_people_read_a_sentence(shop: Planted) -> None:
    answer = orderkeep(shop.folder, "verify")

    assert answer.code == 0
    assert answer.out.endswith("every promise holds\n")
    assert PROGRESS.sub("", answer.err) == ""


async def test_it_works_beside_a_running_shop_and_changes_nothing(tmp_path: Path) -> None:
    async with Shop(tmp_path) as shop:
        number = await shop.submit("a", await shop.file(1))

        answer = await asyncio.to_thread(orderkeep, tmp_path, "verify", "--json")

        assert answer.report["violations"] == []
        await shop.settle()
        assert (await shop.order(number)).price.total is not None


async def test_drafts_and_replaced_pieces_are_in_order_too(tmp_path: Path) -> None:
    async with Shop(tmp_path) as shop:
        drafts = _drafts(shop)
        sender = Sender(PARTNER, "office", "office", "olga", "c" * 32)
        await drafts.open(sender, b'{"client_ref":"later"}')
        draft = await drafts.open(sender, b"{}")
        line = {"file_id": await shop.file(1), "material": "ag925", "quantity": 1}
        body = {"client_ref": "by hand", "items": [line], "customer": {"name": "Anna"}}
        await drafts.submit(draft.no, sender, json.dumps(body).encode())
        await shop.settle()
        await shop.do(draft.no, ApproveOrder())
        await shop.settle()
        for step in ("start", "done", "pack", "ship"):
            await shop.parts.workshop.act(draft.no, step, "ivan", tracking_no="T1")
            await shop.settle()
        await shop.do(draft.no, OpenReturn("too small"))
        now, cause = shop.parts.clock.now(), sender.cause
        await shop.parts.store.write(
            lambda work: replace_piece(work, shop.parts.master, draft.no, cause, now)
        )
        await shop.settle()

        answer = await asyncio.to_thread(orderkeep, tmp_path, "verify", "--mes", "--json")

        assert answer.report["violations"] == []
        assert answer.report["checked"]["orders"] == 3
        assert answer.report["checked"]["balance"]["accepted"] == 2


def _drafts(shop: Shop) -> Drafts:
    parts = shop.parts
    known = catalogue(parts.book)
    promised = promise(parts.policy)
    return Drafts(parts.store, parts.master, lambda: known, promised, parts.clock)


# --- planted defects ------------------------------------------------------------------------------

Plant = Callable[[Planted], None]


def _sql(name: str, statement: str, *values: Any) -> Plant:
    return lambda shop: shop.run(statement, *values, shop.n(name))


def _vanish(shop: Planted) -> None:
    n = shop.n("shipped")
    for table in ("events", "submissions", "idempotency", "deliveries", "price_jobs"):
        shop.run(f"DELETE FROM {table} WHERE order_n = ?", n)
    shop.run("DELETE FROM orders WHERE n = ?", n)


def _double_key(shop: Planted) -> None:
    shop.without_constraints("idempotency")
    shop.run(
        "INSERT INTO idempotency SELECT partner_id, 'key-ref-made', body_sha256, order_n, at"
        " FROM idempotency WHERE order_n = ?",
        shop.n("shipped"),
    )


def _double_reference(shop: Planted) -> None:
    shop.without_constraints("orders")
    shop.run("UPDATE orders SET client_ref = 'ref-made' WHERE n = ?", shop.n("shipped"))


def _skip_to_shipped(shop: Planted) -> None:
    event = {"kind": "order.shipped", "tracking_no": "T9"}
    shop.tell("priced", "SHIPPED", event, due_owner="carrier")


def _approve_while_held(shop: Planted) -> None:
    reference = shop.orders["held"]
    event = {"kind": "order.approved", "reference": reference, "generation": 1}
    shop.tell("held", "MANUFACTURING_APPROVED", event, work_order_ref=reference)


def _send_after_cancel(shop: Planted) -> None:
    event = {
        "kind": "delivery.changed", "system": "mes", "state": "sending",
        "reference": shop.orders["cancelled"],
    }  # fmt: skip
    shop.tell("cancelled", "CANCELLED", event, mes_state="sending")


def _make_cancelled(shop: Planted) -> None:
    shop.run(
        "INSERT INTO floor_work_orders (reference, order_no, body_sha256, positions, status,"
        " status_since, seq, created_at) SELECT ?1, ?1, body_sha256, '[]', 'queued', 0, 1, 0"
        " FROM orders WHERE n = ?2",
        shop.orders["cancelled"],
        shop.n("cancelled"),
    )


def _forget_announcement(shop: Planted) -> None:
    shop.run("DELETE FROM outbox WHERE order_key = ?", shop.orders["fresh"])


def _forget_work_order(shop: Planted) -> None:
    wanted = "DELETE FROM outbox WHERE order_key = ? AND kind = 'work_order.wanted'"
    shop.run(wanted, shop.orders["approved"])


def _change_line(shop: Planted) -> None:
    shop.run(
        "UPDATE events SET data = json_set(data, '$.positions[0].quantity', 7)"
        " WHERE order_n = ? AND seq = 1",
        shop.n("priced"),
    )


def _lose_bytes(shop: Planted) -> None:
    shop.bytes_of("approved").unlink()


def _flip_a_byte(shop: Planted) -> None:
    path = shop.bytes_of("approved")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut_bytes(shop: Planted) -> None:
    path = shop.bytes_of("approved")
    path.write_bytes(path.read_bytes()[:-1])


_EVENT = "UPDATE events SET {} WHERE order_n = ? AND seq = 2"
DEFECTS: Mapping[str, tuple[str, str, Plant]] = {
    "a deleted order": ("S1", "made", _sql("made", "DELETE FROM orders WHERE n = ?")),
    "a vanished order": ("S1", "shipped", _vanish),
    "lost events": ("S1", "dropped", _sql("dropped", "DELETE FROM events WHERE order_n = ?")),
    "a lost submission": (
        "S1", "made", _sql("made", "DELETE FROM submissions WHERE order_n = ?"),
    ),
    "a lost key": ("S1", "made", _sql("made", "DELETE FROM idempotency WHERE order_n = ?")),
    "a number never given out": (
        "S1", "fresh", lambda s: s.run("UPDATE counters SET value = 9 WHERE name = 'orders'"),
    ),
    "a doubled key": ("S2", "shipped", _double_key),
    "a doubled reference": ("S2", "shipped", _double_reference),
    "a key of another submission": (
        "S2", "made", _sql("made", "UPDATE idempotency SET body_sha256 = 'x' WHERE order_n = ?"),
    ),
    "an illegal step": ("S5", "priced", _skip_to_shipped),
    "an approval of a held order": ("S5", "held", _approve_while_held),
    "a gap": ("S5", "shipped", _sql("shipped", "DELETE FROM events WHERE order_n = ? AND seq = 2")),
    "an event that says another stage": (
        "S5", "made", _sql("made", _EVENT.format("stage = 'PACKAGING'")),
    ),
    "an event filed as another kind": (
        "S5", "made", _sql("made", _EVENT.format("kind = 'note.added'")),
    ),
    "an event whose number is none": ("S5", "made", _sql("made", _EVENT.format("seq = 'two'"))),
    "an unreadable event": ("S5", "made", _sql("made", _EVENT.format("""data = '{"kind":"?"}'"""))),
    "an event under another partner": (
        "S5", "made", _sql("made", _EVENT.format("partner_id = 'other'")),
    ),
    "a stage on the board": (
        "S5", "priced", _sql("priced", "UPDATE orders SET stage = 'CLOSED' WHERE n = ?"),
    ),
    "a price on the board": (
        "S5", "priced", _sql("priced", "UPDATE orders SET price_total = '1' WHERE n = ?"),
    ),
    "a version": ("S5", "made", _sql("made", "UPDATE orders SET version = 99 WHERE n = ?")),
    "a timer that was lost": (
        "S5", "held", _sql("held", "UPDATE orders SET timer_at = NULL WHERE n = ?"),
    ),
    "a price nobody is asked for": ("S6", "fresh", _forget_announcement),
    "a work order nobody will send": ("S6", "approved", _forget_work_order),
    "a lost delivery row": (
        "S6", "made", _sql("made", "DELETE FROM deliveries WHERE order_n = ?"),
    ),
    "a delivery row that says less": (
        "S6", "made", _sql("made", "UPDATE deliveries SET state = 'pending' WHERE order_n = ?"),
    ),
    "a changed body": (
        "S7", "made",
        _sql("made", "UPDATE submissions SET body = '{\"items\":[]}' WHERE order_n = ?"),
    ),
    "a changed line": ("S7", "priced", _change_line),
    "another hash on the floor": (
        "S7", "made",
        lambda s: s.run(
            "UPDATE floor_work_orders SET body_sha256 = 'x' WHERE reference = ?", s.orders["made"]
        ),
    ),
    "other lines on the floor": (
        "S7", "made",
        lambda s: s.run(
            "UPDATE floor_work_orders SET positions = '[]' WHERE reference = ?", s.orders["made"]
        ),
    ),
    "a lost file": ("S8", "approved", _lose_bytes),
    "a changed file": ("S8", "approved", _flip_a_byte),
    "a file cut short": ("S8", "approved", _cut_bytes),
    "a file nobody knows": (
        "S8", "approved",
        lambda s: s.run("DELETE FROM files WHERE sha256 = ?", s.bytes_of("approved").name),
    ),
    "an order sent after its cancellation": ("S10", "cancelled", _send_after_cancel),
    "a cancelled order on the floor": ("S10", "cancelled", _make_cancelled),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_named_by_its_order(shop: Planted, defect: str) -> None:
    rule, name, plant = DEFECTS[defect]
    plant(shop)

    answer = orderkeep(shop.folder, "verify", "--json")

    assert (rule, shop.orders[name]) in answer.found
    assert answer.code == 1
    # Nobody else is accused; a double has two sides.
    others = {"made"} if rule == "S2" else set()
    allowed = {shop.orders[one] for one in {name, *others}} | {None}
    assert {number for _, number in answer.found} <= allowed


def test_people_read_the_order_number(shop: Planted) -> None:
    _skip_to_shipped(shop)

    answer = orderkeep(shop.folder, "verify")

    assert answer.code == 1
    assert "S5" in answer.out
    assert shop.orders["priced"] in answer.out
    assert answer.out.endswith("violations\n")


def test_a_wrong_counter_is_told_without_a_number(shop: Planted) -> None:
    shop.run("UPDATE counters SET value = value + 1 WHERE name = 'stage:SHIPPED'")

    answer = orderkeep(shop.folder, "verify", "--json")

    assert answer.found == {("S6", None)}


def test_large_files_are_hashed_when_asked_and_never_silently_left_out(
    shop: Planted,
) -> None:
    answer = orderkeep(shop.folder, "verify", "--files", "--json")

    assert answer.report["checked"]["bytes_hashed"] > 0


# --- the built-in floor as the MES ----------------------------------------------------------------


def test_a_false_delivered_is_named(shop: Planted) -> None:
    shop.run("DELETE FROM floor_work_orders WHERE reference = ?", shop.orders["made"])

    assert orderkeep(shop.folder, "verify", "--json").found == set()
    answer = orderkeep(shop.folder, "verify", "--mes", "--json")

    assert answer.found == {("S4", shop.orders["made"])}
    assert answer.code == 1


def test_a_cancelled_order_on_the_floor_is_a_ghost(shop: Planted) -> None:
    _make_cancelled(shop)

    answer = orderkeep(shop.folder, "verify", "--mes", "--json")

    assert ("S9", shop.orders["cancelled"]) in answer.found


# --- what cannot be checked -----------------------------------------------------------------------


def test_a_database_that_is_not_there_is_told_in_a_sentence(tmp_path: Path) -> None:
    answer = orderkeep(tmp_path, "verify", "--json")

    assert answer.code == 69
    assert answer.out == ""
    assert answer.err.count("\n") == 1
    assert not (tmp_path / DATABASE).exists()


def test_a_database_of_another_schema_is_told_in_a_sentence(shop: Planted) -> None:
    shop.run("UPDATE alembic_version SET version_num = '0000'")

    answer = orderkeep(shop.folder, "verify")

    assert answer.code == 69
    assert "orderkeep migrate" in answer.err


def test_every_wrong_setting_is_listed(tmp_path: Path) -> None:
    answer = orderkeep(tmp_path, "verify", ORDERKEEP_MES="fax", ORDERKEEP_PORT="many")

    assert answer.code == 64
    assert "ORDERKEEP_MES" in answer.err
    assert "ORDERKEEP_PORT" in answer.err
