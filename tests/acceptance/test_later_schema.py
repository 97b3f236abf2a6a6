"""A release runs on the tables of the next one, which only added to them."""

import asyncio
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import asyncpg

from orderkeep.adapters.sql.tables import metadata
from orderkeep.testing.postgres_server import PostgresServer
from orderkeep.testing.product import OPERATOR, Keys, Product, copy
from orderkeep.testing.shop import Shop, until

LATER = (
    *(f"ALTER TABLE {t} ADD COLUMN later TEXT NOT NULL DEFAULT 'x'" for t in metadata.tables),
    "CREATE TABLE later (id TEXT NOT NULL PRIMARY KEY)",
    "UPDATE alembic_version SET version_num = '0002-0001'",
)
"""What a next release may do: a column with a default in every table, and a table."""


def expand_sqlite(path: Path, statements: Iterable[str] = LATER) -> None:
    """Migrate as the next release would."""
    with closing(sqlite3.connect(path)) as raw, raw:
        for one in statements:
            raw.execute(one)


async def expand_postgres(url: str) -> None:
    """The same."""
    connection = await asyncpg.connect(url)
    await connection.execute(";".join(LATER))
    await connection.close()


def make_all(product: Product) -> None:
    """Orders come in, one is taken, started and made, and all promises hold."""
    assert product.start()
    shop = Shop(product, wanted=3, with_files=True)
    until(shop.at_rest, "the workshop has every order")
    taken = product.act(OPERATOR, "/board/take-next")
    assert taken.status_code == 200, taken.text
    no = taken.json()["order_no"]
    until(lambda: step(product, no, "start"), "it is started")
    until(lambda: step(product, no, "done"), "it is made")
    code, report = product.verify(ask_mes=False)
    assert code == 0, report


def step(product: Product, no: str, what: str) -> bool:
    """Whether the operator may do it now, and has."""
    version = product.act(OPERATOR, f"/orders/{no}", method="GET").json()["order"]["version"]
    return product.act(OPERATOR, f"/orders/{no}/{what}", {"version": version}).status_code == 200


def test_a_release_runs_on_the_tables_of_the_next(
    template: tuple[Path, Keys], tmp_path: Path
) -> None:
    folder, keys = template
    copy(folder, tmp_path / "product")
    expand_sqlite(tmp_path / "product" / "orderkeep.db")
    with Product(tmp_path / "product", keys) as product:
        make_all(product)


def test_a_release_runs_on_the_tables_of_the_next_on_postgres(
    shared_template: tuple[PostgresServer, str, Keys], tmp_path: Path
) -> None:
    server, name, keys = shared_template
    url = server.database(name)
    asyncio.run(expand_postgres(url))
    with Product(tmp_path, keys, database_url=url) as product:
        make_all(product)
    server.drop(url)
