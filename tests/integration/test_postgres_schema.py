"""The first migration leads to the same tables on PostgreSQL as on SQLite."""

import asyncio
from collections.abc import Callable, Iterator

import asyncpg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orderkeep.adapters.sql.hot_postgres.accept import _KNOWN
from orderkeep.adapters.sql.tables import metadata
from orderkeep.kernel.ids import order_no
from orderkeep.testing.postgres_server import TEMPLATE, PostgresServer

Named = Callable[[int], str]

ONLY_HERE = {("events", "tx")}
NOT_ASKED_FOR_EACH_ORDER = {
    ("events", "order_n"),
    ("submissions", "order_n"),
    ("idempotency", "order_n"),
}
COLUMNS = (
    "SELECT table_name, column_name, is_nullable, data_type FROM information_schema.columns"
    " WHERE table_schema = 'public' AND table_name <> 'alembic_version'"
)
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
CONSTRAINTS = (
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace"
)
KINDS = {
    "UtcDateTime": "timestamp with time zone",
    "ExactDecimal": "numeric",
    "LargeBinary": "bytea",
    "Boolean": "boolean",
    "BigInteger": "bigint",
    "Integer": "integer",
    "SmallInteger": "smallint",
    "Text": "text",
    "String": "character varying",
}


@pytest.fixture(scope="module")
def numbers(postgres: PostgresServer) -> Iterator[Named]:
    """What the database calls the n-th order."""
    with asyncio.Runner() as runner:
        url = postgres.database(TEMPLATE)
        connection = runner.run(asyncpg.connect(url))
        yield lambda n: str(runner.run(connection.fetchval("SELECT order_no($1)", n)))
        runner.run(connection.close())
        postgres.drop(url)


async def test_every_column_is_there_with_its_type(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    found = {tuple(record)[:2]: tuple(record)[2:] for record in await connection.fetch(COLUMNS)}
    await connection.close()

    expected = {
        (table.name, column.name): (
            "YES" if column.nullable else "NO",
            KINDS[type(column.type).__name__],
        )
        for table in metadata.tables.values()
        for column in table.columns
    }
    assert {name: kind for name, kind in found.items() if name not in ONLY_HERE} == expected


async def test_every_promise_of_a_constraint_is_there(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    indexes = dict(await connection.fetch(INDEXES))
    said = " ".join(text for _, text in await connection.fetch(CONSTRAINTS))
    await connection.close()

    for table in metadata.tables.values():
        for index in table.indexes:
            partial = index.dialect_options["postgresql"]["where"] is not None
            assert (" WHERE " in indexes[str(index.name)]) is partial
    foreign = {
        (table.name, key.parent.name)
        for table in metadata.tables.values()
        for key in table.foreign_keys
    }
    assert said.count("FOREIGN KEY") == len(foreign - NOT_ASKED_FOR_EACH_ORDER)
    for promise in ("UNIQUE (partner_id, client_ref)", "PRIMARY KEY (partner_id, key)"):
        assert promise in said


@given(n=st.integers(1, 10**15))
@example(n=1)
@example(n=99_999)
@example(n=100_000)
def test_the_database_and_the_program_call_an_order_the_same(numbers: Named, n: int) -> None:
    assert numbers(n) == order_no(n)


async def test_looking_up_what_is_known_never_reads_a_whole_table(postgres_url: str) -> None:
    """Not even with a plan that was made while there was no order, and that is then kept."""
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute(f"PREPARE known AS {_KNOWN}")

    asked = "EXPLAIN EXECUTE known(ARRAY['p'], ARRAY['k'], ARRAY['r'])"
    plan = "\n".join(record[0] for record in await connection.fetch(asked))

    await connection.close()
    assert "Seq Scan" not in plan
    assert "uq_orders_client_ref" in plan
    assert "ix_orders_partner" not in plan
