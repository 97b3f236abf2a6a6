"""`orderkeep import lost`, from a file and from another system's database."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from orderkeep.adapters.sql.foreign import rows_of
from orderkeep.kernel.errors import Invalid, Unavailable
from orderkeep.ledger.asking import Asking
from orderkeep.ledger.lost import read_csv
from orderkeep.ledger.worklist import LostLooks
from orderkeep.testing.counter import Shop
from orderkeep.testing.practice_mes import PracticeMesProcess

COMMAND = (sys.executable, "-c", "from orderkeep.cli import main; main()")
FILE = "number;дата;note\nref-a;02.03.2026;\nL-1;03.03.2026;wept\n"


class House:
    """A database with one order, and the command beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "lost.csv"
        self.file.write_text(FILE, encoding="utf-8")
        asyncio.run(self._open())

    async def _open(self) -> None:
        async with Shop(self.folder) as shop:
            self.no = await shop.submit("ref-a", await shop.file(1))

    def imports(self, *words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        ours = {name: value for name, value in os.environ.items() if "ORDERKEEP_" not in name}
        ours["ORDERKEEP_DATABASE_URL"] = f"sqlite:///{self.folder / 'orderkeep.db'}"
        return subprocess.run(
            [*COMMAND, "import", "lost", *words], env=ours | settings, cwd=self.folder,
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    def rows(self) -> list[Any]:
        with closing(sqlite3.connect(self.folder / "orderkeep.db")) as raw:
            query = "SELECT source, number, state, order_no FROM lost_orders ORDER BY row"
            return raw.execute(query).fetchall()


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_file_is_imported_once(house: House) -> None:
    dry = house.imports("lost.csv", "--source", "shop", "--dry-run", "--json")
    assert (json.loads(dry.stdout)["fresh"], house.rows()) == (1, [])

    first = house.imports("lost.csv", "--source", "shop", "--json")
    again = house.imports("lost.csv", "--source", "shop")

    told = json.loads(first.stdout)
    assert (told["fresh"], told["found_here"], told["known"]) == (1, 1, 0)
    assert "2 known already" in again.stdout
    assert house.rows() == [
        ("shop", "ref-a", "found_here", house.no),
        ("shop", "L-1", "open", None),
    ]
    assert (dry.returncode, first.returncode, again.returncode) == (0, 0, 0)


def test_one_bad_line_and_nothing_is_imported(house: House) -> None:
    house.file.write_text(FILE + ";04.03.2026;\nL-2;never;\n", encoding="utf-8")

    done = house.imports("lost.csv")

    assert "/4/number: every order needs its number" in done.stderr
    assert "/5/ordered_at" in done.stderr
    assert (done.returncode, house.rows()) == (64, [])


def test_a_view_of_another_database_is_read(house: House) -> None:
    shop = house.folder / "shop.db"
    with closing(sqlite3.connect(shop)) as raw, raw:
        raw.execute("CREATE TABLE sold (id TEXT, day TEXT)")
        raw.execute("INSERT INTO sold VALUES ('L-7', '2026-03-02')")
    view = {
        "ORDERKEEP_LOST_DATABASE_URL": f"sqlite:///{shop}",
        "ORDERKEEP_LOST_QUERY": "SELECT id AS number, day AS date FROM sold",
        "ORDERKEEP_LOST_SOURCE": "old shop",
    }

    done = house.imports("--view", **view)
    bare = house.imports("--view")

    assert house.rows() == [("old shop", "L-7", "open", None)]
    assert (done.returncode, bare.returncode) == (0, 69)
    assert "ORDERKEEP_LOST_QUERY" in bare.stderr


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM sold",
        "CREATE TABLE more (id TEXT)",
        "ATTACH 'other.db' AS other",
        "PRAGMA journal_mode=DELETE",
        "SELECT 1 AS number; DELETE FROM sold",
        "SELECT nothing FROM nowhere",
    ],
)
async def test_whatever_is_not_reading_is_refused(query: str, tmp_path: Path) -> None:
    shop = tmp_path / "shop.db"
    with closing(sqlite3.connect(shop)) as raw, raw:
        raw.execute("CREATE TABLE sold (id TEXT)")
        raw.execute("INSERT INTO sold VALUES ('L-7')")
    before = shop.read_bytes()

    with pytest.raises((Invalid, Unavailable)):
        await rows_of(f"sqlite:///{shop}", query, 10)

    assert shop.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["shop.db"]


async def test_a_postgresql_view_is_read_and_never_written(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE TABLE sold (id text)")
    await connection.execute("INSERT INTO sold VALUES ('L-7'), ('L-8'), ('L-9')")

    found = await rows_of(postgres_url, "SELECT id AS number FROM sold ORDER BY id", 1)
    for query in ("DELETE FROM sold RETURNING id", "SELECT 1; DELETE FROM sold"):
        with pytest.raises(Invalid):
            await rows_of(postgres_url, query, 1)
    left = await connection.fetchval("SELECT count(*) FROM sold")
    await connection.close()

    assert found == [{"number": "L-7"}, {"number": "L-8"}]
    assert left == 3


async def test_the_mes_is_asked_about_them(tmp_path: Path) -> None:
    with PracticeMesProcess(tmp_path / "mes.jsonl") as mes:
        settings = {"ORDERKEEP_MES": "http", "ORDERKEEP_MES_URL": mes.address}
        async with Shop(tmp_path, **settings) as shop:
            wanted = {"external_id": "M-1", "positions": [{"position": 1, "quantity": 1}]}
            mes.ask("POST", "/api/orders", json=wanted)
            table = read_csv(b"number,mes\nL-1,M-1\nL-2,M-2\n")
            await shop.parts.worklist.take(table, "shop", "vera", dry_run=False)
            looks = LostLooks(shop.parts.store, Asking(shop.parts.mes), shop.parts.clock)

            mes.behave(faults=["500:op=find,times=1"])
            await looks.step()
            unanswered = await shop.parts.store.read(lambda w: w.lost.page("open", None, 10))
            assert [one.mes for one in unanswered].count("unknown") == 1

            def hurry(work: Any) -> None:
                work.raw.execute("UPDATE lost_orders SET look_at = 0 WHERE look_at IS NOT NULL")

            await shop.parts.store.write(hurry)
            await looks.step()
            found = await shop.parts.store.read(lambda work: work.lost.page("open", None, 10))

    assert [one.mes for one in found] == ["there", "absent"]
    assert found[0].mes_detail is not None
    assert "accepted" in found[0].mes_detail
