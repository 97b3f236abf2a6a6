"""The first schema."""

import sqlalchemy as sa
from alembic import op

from orderkeep.adapters.sql.types import ExactDecimal, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


_ONLY_POSTGRES = (
    # Which transaction wrote an event: several write at once, and positions are given out before
    # the commit. The partners' feed ends before the oldest transaction that still runs.
    "ALTER TABLE events ADD COLUMN tx xid8 NOT NULL DEFAULT pg_current_xact_id()",
    # Every accepting process locks this row first, so it has to be there.
    "INSERT INTO counters (name, value) VALUES ('orders', 0)",
    # Looking three times for each new order whether it is there cost as much as all the rest. What
    # is written beside an order is written by the same statement, or under the lock of its row; no
    # role may delete an order; and `verify` looks again (decision 8).
    "ALTER TABLE events DROP CONSTRAINT events_order_n_fkey",
    "ALTER TABLE submissions DROP CONSTRAINT submissions_order_n_fkey",
    "ALTER TABLE idempotency DROP CONSTRAINT idempotency_order_n_fkey",
    # What people call the n-th order, as kernel/ids.py says it, for the statement that gives out
    # numbers; and for whoever looks into the tables. The digits are Damm's quasigroup, row by row.
    """
    CREATE FUNCTION order_no(n bigint) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
    DECLARE
        digits text := lpad(n::text, greatest(5, length(n::text)), '0');
        damm constant text := '03175986427092154863420687135917509834266123045978'
            '36742095815869720134894536201794386172052581436790';
        interim int := 0;
    BEGIN
        FOR i IN 1 .. length(digits) LOOP
            interim := substr(damm, 1 + 10 * interim + substr(digits, i, 1)::int, 1)::int;
        END LOOP;
        RETURN 'OK-' || digits || interim;
    END $$
    """,
)


def upgrade() -> None:
    postgres = op.get_bind().dialect.name == "postgresql"
    # Searched by its beginning: an index in a language's order would be of no use for that.
    client_ref = sa.String(length=200, collation="C" if postgres else None)
    # SQLite puts empty values first; PostgreSQL has to be told, or the lists would differ.
    due_at = sa.text("due_at NULLS FIRST") if postgres else "due_at"
    op.create_table(
        "audit",
        sa.Column("row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("row"),
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "floor_work_orders",
        sa.Column("row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("reference", sa.String(length=64), nullable=False),
        sa.Column("order_no", sa.String(length=32), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("positions", sa.Text(), nullable=False),
        sa.Column("promise_at", UtcDateTime(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_since", UtcDateTime(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("operator", sa.String(length=64), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("row"),
        sa.UniqueConstraint("reference"),
    )
    op.create_index("ix_floor_order", "floor_work_orders", ["order_no"], unique=False)
    op.create_table(
        "inbox",
        sa.Column("row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("consumer", sa.String(length=32), nullable=False),
        sa.Column("message_id", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("schema_version", sa.SmallInteger(), nullable=False),
        sa.Column("order_key", sa.String(length=64), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=False),
        sa.Column("handled_at", UtcDateTime(), nullable=True),
        sa.Column("dead_at", UtcDateTime(), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.String(length=16), nullable=True),
        sa.Column("replays", sa.SmallInteger(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "dead_at IS NULL OR fingerprint IS NOT NULL", name="ck_inbox_dead_group"
        ),
        sa.PrimaryKeyConstraint("row"),
        sa.UniqueConstraint("consumer", "message_id", name="uq_inbox_message"),
    )
    op.create_index(
        "ix_inbox_due",
        "inbox",
        ["consumer", "row"],
        unique=False,
        sqlite_where=sa.text("handled_at IS NULL AND dead_at IS NULL"),
        postgresql_where=sa.text("handled_at IS NULL AND dead_at IS NULL"),
    )
    op.create_table(
        "measurements",
        sa.Column("file_sha256", sa.String(length=64), nullable=False),
        sa.Column("unit", sa.String(length=4), nullable=False),
        sa.Column("kernel_version", sa.String(length=32), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("file_sha256", "unit", "kernel_version"),
    )
    op.create_table(
        "outbox",
        sa.Column("row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("schema_version", sa.SmallInteger(), nullable=False),
        sa.Column("order_key", sa.String(length=64), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("lease_token", sa.Integer(), server_default="0", nullable=False),
        sa.Column("leased_until", UtcDateTime(), nullable=True),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.Column("published_at", UtcDateTime(), nullable=True),
        sa.Column("answered_at", UtcDateTime(), nullable=True),
        sa.Column("answer", sa.String(length=16), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("row"),
    )
    op.create_index(
        "ix_outbox_unsent",
        "outbox",
        ["row"],
        unique=False,
        sqlite_where=sa.text("sent_at IS NULL"),
        postgresql_where=sa.text("sent_at IS NULL"),
    )
    op.create_table(
        "partners",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("auto_approve_below", ExactDecimal(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("disabled_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "people",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("login", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("locale", sa.String(length=5), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("disabled_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("login"),
    )
    op.create_table(
        "quarantine",
        sa.Column("row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("consumer", sa.String(length=32), nullable=False),
        sa.Column("message_id", sa.String(length=200), nullable=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("settled_at", UtcDateTime(), nullable=True),
        sa.Column("fingerprint", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("row"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("partner_id", sa.String(length=32), nullable=False),
        sa.Column("key_sha256", sa.String(length=64), nullable=False),
        sa.Column("hint", sa.String(length=12), nullable=False),
        sa.Column("rate", sa.Integer(), nullable=False),
        sa.Column("per_seconds", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["partner_id"],
            ["partners.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key_sha256"),
    )
    op.create_table(
        "files",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("partner_id", sa.String(length=32), nullable=True),
        sa.Column("uploaded_by", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["partner_id"],
            ["partners.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_files_sha256", "files", ["sha256"], unique=False)
    op.create_table(
        "orders",
        sa.Column(
            "n",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("partner_id", sa.String(length=32), nullable=True),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("client_ref", client_ref, nullable=True),
        sa.Column("body_sha256", sa.String(length=64), nullable=True),
        sa.Column("stage", sa.String(length=32), nullable=False),
        sa.Column("stage_since", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=True),
        sa.Column("due_owner", sa.String(length=32), nullable=True),
        sa.Column("timer_at", UtcDateTime(), nullable=True),
        sa.Column("risk", sa.String(length=16), nullable=False),
        sa.Column("promise_at", UtcDateTime(), nullable=True),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("pieces", sa.Integer(), nullable=False),
        sa.Column("price_state", sa.String(length=16), nullable=False),
        sa.Column("price_total", ExactDecimal(), nullable=True),
        sa.Column("price_currency", sa.String(length=3), nullable=True),
        sa.Column("hold_reason", sa.Text(), nullable=True),
        sa.Column("hold_until", UtcDateTime(), nullable=True),
        sa.Column("claim_operator", sa.String(length=64), nullable=True),
        sa.Column("claim_until", UtcDateTime(), nullable=True),
        sa.Column("work_order_ref", sa.String(length=64), nullable=True),
        sa.Column("mes_state", sa.String(length=16), nullable=True),
        sa.Column("needs_person", sa.String(length=16), nullable=True),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("is_claimable", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["partner_id"],
            ["partners.id"],
        ),
        sa.PrimaryKeyConstraint("n"),
        sa.UniqueConstraint("partner_id", "client_ref", name="uq_orders_client_ref"),
    )
    op.create_index(
        "ix_orders_claimable",
        "orders",
        ["priority", due_at, "n"],
        unique=False,
        sqlite_where=sa.text("is_claimable"),
        postgresql_where=sa.text("is_claimable"),
    )
    op.create_index(
        "ix_orders_done",
        "orders",
        ["stage", sa.literal_column("stage_since DESC"), "n"],
        unique=False,
        sqlite_where=sa.text("NOT is_open"),
        postgresql_where=sa.text("NOT is_open"),
    )
    op.create_index("ix_orders_partner", "orders", ["partner_id", "n"], unique=False)
    op.create_index(
        "ix_orders_held",
        "orders",
        ["hold_until", "n"],
        unique=False,
        sqlite_where=sa.text("hold_until IS NOT NULL AND is_open"),
        postgresql_where=sa.text("hold_until IS NOT NULL AND is_open"),
    )
    op.create_index(
        "ix_orders_open",
        "orders",
        ["priority", due_at, "n"],
        unique=False,
        sqlite_where=sa.text("is_open"),
        postgresql_where=sa.text("is_open"),
    )
    op.create_index(
        "ix_orders_operator",
        "orders",
        ["claim_operator", "priority", due_at, "n"],
        unique=False,
        sqlite_where=sa.text("claim_operator IS NOT NULL AND is_open"),
        postgresql_where=sa.text("claim_operator IS NOT NULL AND is_open"),
    )
    op.create_index(
        "ix_orders_person",
        "orders",
        ["needs_person", "priority", due_at, "n"],
        unique=False,
        sqlite_where=sa.text("needs_person IS NOT NULL"),
        postgresql_where=sa.text("needs_person IS NOT NULL"),
    )
    op.create_index(
        "ix_orders_risk",
        "orders",
        ["risk", "priority", due_at, "n"],
        unique=False,
        sqlite_where=sa.text("risk <> 'ok' AND is_open"),
        postgresql_where=sa.text("risk <> 'ok' AND is_open"),
    )
    op.create_index(
        "ix_orders_stage",
        "orders",
        ["stage", "priority", due_at, "n"],
        unique=False,
        sqlite_where=sa.text("is_open"),
        postgresql_where=sa.text("is_open"),
    )
    op.create_index(
        "ix_orders_timer",
        "orders",
        ["timer_at"],
        unique=False,
        sqlite_where=sa.text("timer_at IS NOT NULL"),
        postgresql_where=sa.text("timer_at IS NOT NULL"),
    )
    op.create_table(
        "saved_views",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("person_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["people.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("person_id", "name", name="uq_saved_views_name"),
    )
    op.create_table(
        "sessions",
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.String(length=32), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["people.id"],
        ),
        sa.PrimaryKeyConstraint("token_sha256"),
    )
    op.create_table(
        "deliveries",
        sa.Column("row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("destination", sa.String(length=32), nullable=False),
        sa.Column("reference", sa.String(length=64), nullable=False),
        sa.Column("order_n", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=True),
        sa.Column("absent_seen", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_sent_at", UtcDateTime(), nullable=True),
        sa.Column("holder", sa.String(length=64), nullable=True),
        sa.Column("lease_token", sa.Integer(), server_default="0", nullable=False),
        sa.Column("recall_wanted", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("mes_id", sa.String(length=200), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["order_n"],
            ["orders.n"],
        ),
        sa.PrimaryKeyConstraint("row"),
        sa.UniqueConstraint("destination", "reference", name="uq_deliveries_reference"),
    )
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["destination", "next_at"],
        unique=False,
        sqlite_where=sa.text("next_at IS NOT NULL"),
        postgresql_where=sa.text("next_at IS NOT NULL"),
    )
    not_there = "next_at IS NOT NULL AND state NOT IN ('applied', 'confirmed', 'received')"
    op.create_index(
        "ix_deliveries_to_send",
        "deliveries",
        ["destination", "next_at"],
        unique=False,
        sqlite_where=sa.text(not_there),
        postgresql_where=sa.text(not_there),
    )
    op.create_index("ix_deliveries_order", "deliveries", ["order_n"], unique=False)
    op.create_index(
        "ix_deliveries_held",
        "deliveries",
        ["destination", "holder"],
        unique=False,
        sqlite_where=sa.text("holder IS NOT NULL AND next_at IS NULL"),
        postgresql_where=sa.text("holder IS NOT NULL AND next_at IS NULL"),
    )
    op.create_table(
        "events",
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("order_n", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("partner_id", sa.String(length=32), nullable=True),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("schema_version", sa.SmallInteger(), nullable=False),
        sa.Column("stage", sa.String(length=32), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor_kind", sa.String(length=16), nullable=False),
        sa.Column("actor_id", sa.String(length=64), nullable=False),
        sa.Column("actor_role", sa.String(length=16), nullable=True),
        sa.Column("command", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_n"],
            ["orders.n"],
        ),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("order_n", "seq", name="uq_events_seq"),
    )
    op.create_index(
        "ix_events_partner",
        "events",
        ["partner_id", "position"],
        unique=False,
        sqlite_where=sa.text("partner_id IS NOT NULL"),
        postgresql_where=sa.text("partner_id IS NOT NULL"),
    )
    op.create_table(
        "idempotency",
        sa.Column("partner_id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("order_n", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_n"],
            ["orders.n"],
        ),
        sa.PrimaryKeyConstraint("partner_id", "key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "price_jobs",
        sa.Column("row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("order_n", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("leased_until", UtcDateTime(), nullable=True),
        sa.Column("lease_token", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["order_n"],
            ["orders.n"],
        ),
        sa.PrimaryKeyConstraint("row"),
        sa.UniqueConstraint("order_n", "version", name="uq_price_jobs_version"),
    )
    op.create_index(
        "ix_price_jobs_waiting",
        "price_jobs",
        ["row"],
        unique=False,
        sqlite_where=sa.text("state IN ('queued','running')"),
        postgresql_where=sa.text("state IN ('queued','running')"),
    )
    op.create_table(
        "submissions",
        sa.Column(
            "order_n",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_n"],
            ["orders.n"],
        ),
        sa.PrimaryKeyConstraint("order_n"),
    )
    _ledger(postgres=postgres)
    _taking_over()
    if postgres:
        for statement in _ONLY_POSTGRES:
            op.execute(statement)


def _row() -> "sa.Column[int]":
    return sa.Column("row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(
        name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )


def _taking_over() -> None:
    """Orders that come out of existing queues and databases."""
    op.create_table(
        "arrivals",
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("message_id", sa.String(length=200), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("fate", sa.String(length=16), nullable=False),
        sa.Column("order_n", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("source", "message_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sources",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("by", sa.String(length=80), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("takes", sa.String(length=16), nullable=True),
        sa.Column("settled_at", UtcDateTime(), nullable=True),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("seen_at", UtcDateTime(), nullable=True),
        sa.Column("last_at", UtcDateTime(), nullable=True),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.Column("lease_token", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "homes",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("home", sa.String(length=16), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("by", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name"),
    )
    op.create_table(
        "routes",
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("consumer", sa.String(length=32), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "consumer"),
    )
    op.create_table(
        "old_road_orders",
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("client_ref", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("source", "client_ref"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "shadow_orders",
        _row(),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("client_ref", sa.String(length=200), nullable=False),
        sa.Column("message_id", sa.String(length=200), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("look_at", UtcDateTime(), nullable=True),
        sa.Column("looks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("mes_id", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("row"),
        sa.UniqueConstraint("source", "client_ref", name="uq_shadow_orders_ref"),
    )
    _partial("ix_shadow_orders_look", "shadow_orders", ["look_at"], "look_at IS NOT NULL")
    op.create_index("ix_shadow_orders_state", "shadow_orders", ["source", "state", "row"])


def _ledger(*, postgres: bool) -> None:
    """Balance, reconciliation, orders held elsewhere."""
    _partial("ix_orders_rest", "orders", ["stage", "partner_id", "is_open"], "NOT is_open")
    unborn = "NOT is_open AND body_sha256 IS NULL"
    _partial("ix_orders_unborn", "orders", ["n"], unborn)
    found = "strpos" if postgres else "instr"
    made = f"kind = 'order.cancelled' AND {found}(data, '\"made\"') > 0"
    _partial("ix_events_scrapped", "events", ["order_n"], made)
    _partial("ix_inbox_parked", "inbox", ["order_key", "kind"], "dead_at IS NOT NULL")
    op.create_table(
        "balance_runs",
        _row(),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("took_ms", sa.Integer(), nullable=False),
        sa.Column("sums", sa.Text(), nullable=False),
        sa.Column("partners", sa.Text(), nullable=True),
        sa.Column("differences", sa.Integer(), nullable=False),
        sa.Column("first_of_hour", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("row"),
    )
    op.create_index("ix_balance_runs_at", "balance_runs", ["at"])
    op.create_table(
        "balance_differences",
        _row(),
        sa.Column("system", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("order_no", sa.String(length=32), nullable=True),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("proof", sa.Text(), nullable=True),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("gone_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("row"),
        sa.UniqueConstraint("system", "kind", "subject", name="uq_balance_differences_subject"),
    )
    op.create_table(
        "reconcile_passes",
        _row(),
        sa.Column("destination", sa.String(length=32), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("by", sa.String(length=80), nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("shown", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("ours", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("compared", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("unanswered", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("moved_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("row"),
    )
    op.create_table(
        "reconcile_seen",
        sa.Column("destination", sa.String(length=32), nullable=False),
        sa.Column("reference", sa.String(length=200), nullable=False),
        sa.Column("mes_id", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("destination", "reference", "mes_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "reconcile_findings",
        _row(),
        sa.Column("destination", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("reference", sa.String(length=200), nullable=False),
        sa.Column("order_no", sa.String(length=32), nullable=True),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("pass_row", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("decision", sa.String(length=32), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("decided_by", sa.String(length=80), nullable=True),
        sa.Column("decided_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("row"),
        sa.UniqueConstraint(
            "destination", "kind", "reference", name="uq_reconcile_findings_reference"
        ),
    )
    op.create_table(
        "lost_orders",
        _row(),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("number", sa.String(length=200), nullable=False),
        sa.Column("partner", sa.String(length=400), nullable=True),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("imported_at", UtcDateTime(), nullable=False),
        sa.Column("imported_by", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("order_no", sa.String(length=32), nullable=True),
        sa.Column("mes", sa.String(length=16), nullable=False),
        sa.Column("mes_detail", sa.String(length=400), nullable=True),
        sa.Column("look_at", UtcDateTime(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("decided_by", sa.String(length=80), nullable=True),
        sa.Column("decided_at", UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.PrimaryKeyConstraint("row"),
        sa.UniqueConstraint("source", "number", name="uq_lost_orders_number"),
    )
    op.create_index("ix_lost_orders_state", "lost_orders", ["state", "row"])
    _partial("ix_lost_orders_look", "lost_orders", ["look_at"], "look_at IS NOT NULL")
    op.create_table(
        "destinations",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("pace", sa.Text(), nullable=True),
        sa.Column("paused_by", sa.String(length=80), nullable=True),
        sa.Column("paused_because", sa.Text(), nullable=True),
        sa.Column("paused_since", UtcDateTime(), nullable=True),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "destination_places",
        sa.Column("destination", sa.String(length=32), nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=True),
        sa.Column("beat", sa.Integer(), server_default="0", nullable=False),
        sa.Column("asked_by", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("destination", "n"),
    )
    op.create_table(
        "crm_orders",
        sa.Column("order_n", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("told", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=True),
        sa.Column("holder", sa.String(length=64), nullable=True),
        sa.Column("lease_token", sa.Integer(), server_default="0", nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("news_since", UtcDateTime(), nullable=False),
        sa.Column("differs", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["order_n"], ["orders.n"]),
        sa.PrimaryKeyConstraint("order_n"),
    )
    _partial("ix_crm_orders_due", "crm_orders", ["next_at"], "next_at IS NOT NULL")
    held = "next_at IS NULL AND state = 'sending'"
    _partial("ix_crm_orders_held", "crm_orders", ["since"], held)
    odd = "differs IS NOT NULL OR state NOT IN ('applied', 'confirmed', 'sending')"
    _partial("ix_crm_orders_odd", "crm_orders", ["order_n"], f"next_at IS NULL AND ({odd})")
    op.create_table(
        "crm_told",
        sa.Column("order_n", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("order_n", "version"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "unknown_messages",
        sa.Column("row", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("message_id", sa.String(length=200), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("order_no", sa.String(length=32), nullable=True),
        sa.Column("handled_by", sa.String(length=80), nullable=True),
        sa.Column("handled_at", UtcDateTime(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("row"),
        sa.UniqueConstraint(
            "source", "message_id", "body_sha256", name="uq_unknown_messages_message"
        ),
    )
    op.create_index("ix_unknown_messages_state", "unknown_messages", ["state", "source"])
    _partial("ix_inbox_dead", "inbox", ["row"], "dead_at IS NOT NULL AND handled_at IS NULL")
    dead = "dead_at IS NOT NULL AND handled_at IS NULL"
    _partial("ix_inbox_dead_consumer", "inbox", ["consumer"], dead)
    counted = ["order_key", "received_at", "dead_at", "replays", "handled_at"]
    _partial("ix_inbox_dead_group", "inbox", ["fingerprint", "row", *counted], dead)
    aside = ["fingerprint", "row", "at", "settled_at"]
    _partial("ix_quarantine_group", "quarantine", aside, "settled_at IS NULL")
    failed = "attempts > 0 AND handled_at IS NULL AND dead_at IS NULL"
    _partial("ix_inbox_failed", "inbox", ["next_at"], failed)
    op.create_table(
        "replays",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=24), nullable=False),
        sa.Column("cutoff", sa.BigInteger(), nullable=False),
        sa.Column("per_minute", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("edited", sa.Boolean(), nullable=False),
        sa.Column("started_by", sa.String(length=80), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=False),
        sa.Column("trail", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.String(length=80), nullable=True),
        sa.Column("redirect_to", sa.String(length=32), nullable=True),
        sa.Column("seen_by", sa.String(length=80), nullable=True),
        sa.Column("release", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "replay_items",
        sa.Column("replay_id", sa.String(length=32), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("letter_row", sa.BigInteger(), nullable=False),
        sa.Column("order_key", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.Column("body_before", sa.LargeBinary(), nullable=True),
        sa.Column("body_after", sa.LargeBinary(), nullable=True),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("sent_as", sa.String(length=200), nullable=True),
        sa.ForeignKeyConstraint(["replay_id"], ["replays.id"]),
        sa.PrimaryKeyConstraint("replay_id", "place"),
    )
    op.create_index("ix_replay_items_letter", "replay_items", ["letter_row"])
    op.create_index("ix_replay_items_state", "replay_items", ["replay_id", "state", "place"])
    op.create_table(
        "letter_groups",
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=80), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("by", sa.String(length=80), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("release", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("fingerprint"),
    )
    op.create_table(
        "parked_letters",
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("letter_row", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(length=80), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("source", "letter_row"),
    )
