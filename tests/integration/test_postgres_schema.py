"""The first migration leads to the same tables on PostgreSQL as on SQLite."""

import asyncpg

from orderkeep.adapters.sql.tables import metadata

ONLY_HERE = {("events", "tx")}
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
    foreign = sum(len(table.foreign_keys) for table in metadata.tables.values())
    assert said.count("FOREIGN KEY") == foreign
    for promise in ("UNIQUE (partner_id, client_ref)", "PRIMARY KEY (partner_id, key)"):
        assert promise in said
