"""Every table, with the promise each constraint carries."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from orderkeep.adapters.sql.types import ExactDecimal, UtcDateTime

metadata = MetaData()
# SQLite numbers rows by itself only in a column typed exactly INTEGER.
_RowId = BigInteger().with_variant(Integer, "sqlite")

# --- orders -----------------------------------------------------------------------------------

orders = Table(
    "orders",
    metadata,
    Column("n", _RowId, primary_key=True, autoincrement=False),  # order_no(n), gapless
    Column("version", Integer, nullable=False),  # = seq of the last event
    Column("partner_id", String(32), ForeignKey("partners.id")),
    Column("channel", String(32), nullable=False),
    Column("client_ref", String(200)),
    Column("body_sha256", String(64)),
    Column("stage", String(32), nullable=False),
    Column("stage_since", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("due_at", UtcDateTime),
    Column("due_owner", String(32)),
    Column("timer_at", UtcDateTime),
    Column("risk", String(16), nullable=False),
    Column("promise_at", UtcDateTime),
    Column("summary", Text, nullable=False),
    Column("pieces", Integer, nullable=False),
    Column("price_state", String(16), nullable=False),
    Column("price_total", ExactDecimal),
    Column("price_currency", String(3)),
    Column("hold_reason", Text),
    Column("hold_until", UtcDateTime),
    Column("claim_operator", String(64)),
    Column("claim_until", UtcDateTime),
    Column("work_order_ref", String(64)),
    Column("mes_state", String(16)),
    Column("needs_person", String(16)),
    Column("is_open", Boolean, nullable=False),
    Column("is_claimable", Boolean, nullable=False),
    # The client's own number means one order for ever (NULLs, the office's drafts, do not clash).
    UniqueConstraint("partner_id", "client_ref", name="uq_orders_client_ref"),
)
# One index per list that is offered; the partial ones stay small however many orders are closed.
Index(
    "ix_orders_stage",
    orders.c.stage,
    orders.c.priority,
    orders.c.due_at,
    orders.c.n,
    sqlite_where=text("is_open"),
    postgresql_where=text("is_open"),
)
Index(
    "ix_orders_open",
    orders.c.priority,
    orders.c.due_at,
    orders.c.n,
    sqlite_where=text("is_open"),
    postgresql_where=text("is_open"),
)
Index(
    "ix_orders_claimable",
    orders.c.priority,
    orders.c.due_at,
    orders.c.n,
    sqlite_where=text("is_claimable"),
    postgresql_where=text("is_claimable"),
)
Index(
    "ix_orders_operator",
    orders.c.claim_operator,
    orders.c.priority,
    orders.c.due_at,
    orders.c.n,
    sqlite_where=text("claim_operator IS NOT NULL AND is_open"),
    postgresql_where=text("claim_operator IS NOT NULL AND is_open"),
)
Index(
    "ix_orders_held",
    orders.c.hold_until,
    orders.c.n,
    sqlite_where=text("hold_until IS NOT NULL AND is_open"),
    postgresql_where=text("hold_until IS NOT NULL AND is_open"),
)
Index(
    "ix_orders_risk",
    orders.c.risk,
    orders.c.priority,
    orders.c.due_at,
    orders.c.n,
    sqlite_where=text("risk <> 'ok' AND is_open"),
    postgresql_where=text("risk <> 'ok' AND is_open"),
)
Index(
    "ix_orders_person",
    orders.c.needs_person,
    orders.c.priority,
    orders.c.due_at,
    orders.c.n,
    sqlite_where=text("needs_person IS NOT NULL"),
    postgresql_where=text("needs_person IS NOT NULL"),
)
Index(
    "ix_orders_timer",
    orders.c.timer_at,
    sqlite_where=text("timer_at IS NOT NULL"),
    postgresql_where=text("timer_at IS NOT NULL"),
)
Index(
    "ix_orders_done",
    orders.c.stage,
    orders.c.stage_since.desc(),
    orders.c.n,
    sqlite_where=text("NOT is_open"),
    postgresql_where=text("NOT is_open"),
)
Index("ix_orders_partner", orders.c.partner_id, orders.c.n)  # a partner's own list

events = Table(
    "events",
    metadata,
    Column("position", _RowId, primary_key=True),  # commit order on SQLite: the pull feed's cursor
    Column("order_n", BigInteger, ForeignKey("orders.n"), nullable=False),
    Column("seq", Integer, nullable=False),  # 1, 2, 3 … without a gap
    Column("partner_id", String(32)),
    Column("kind", String(40), nullable=False),
    Column("schema_version", SmallInteger, nullable=False),
    Column("stage", String(32), nullable=False),  # the stage it led to
    Column("at", UtcDateTime, nullable=False),
    Column("actor_kind", String(16), nullable=False),
    Column("actor_id", String(64), nullable=False),
    Column("actor_role", String(16)),
    Column("command", String(64), nullable=False),
    Column("source", String(32), nullable=False),
    Column("trace_id", String(32), nullable=False),
    Column("data", Text, nullable=False),  # JSON, see orders/events.py
    UniqueConstraint("order_n", "seq", name="uq_events_seq"),
)
Index(
    "ix_events_partner",
    events.c.partner_id,
    events.c.position,
    sqlite_where=text("partner_id IS NOT NULL"),
    postgresql_where=text("partner_id IS NOT NULL"),
)

# The acknowledged body, canonical; the only place with the client's personal data.
submissions = Table(
    "submissions",
    metadata,
    Column("order_n", _RowId, ForeignKey("orders.n"), primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)

# One key, one order, for ever: also when the key was a second one for the same client_ref.
idempotency = Table(
    "idempotency",
    metadata,
    Column("partner_id", String(32), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("body_sha256", String(64), nullable=False),
    Column("order_n", BigInteger, ForeignKey("orders.n"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    sqlite_with_rowid=False,
)

# ``name``: ``orders`` = the last n given out; ``stage:SUBMITTED`` … = orders in that stage now.
counters = Table(
    "counters",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

# --- delivery ---------------------------------------------------------------------------------

outbox = Table(
    "outbox",
    metadata,
    Column("row", _RowId, primary_key=True),
    Column("id", String(36), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("schema_version", SmallInteger, nullable=False),
    Column("order_key", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("trace_id", String(32), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("lease_token", Integer, nullable=False, server_default="0"),
    Column("leased_until", UtcDateTime),
    Column("sent_at", UtcDateTime),
    # The last try at a broker: when it left, when its answer came, which, and how many there were.
    Column("published_at", UtcDateTime),
    Column("answered_at", UtcDateTime),
    Column("answer", String(16)),
    Column("tries", Integer, nullable=False, server_default="0"),
)
Index(
    "ix_outbox_unsent",  # a sent row costs no more reading, however many there are
    outbox.c.row,
    sqlite_where=text("sent_at IS NULL"),
    postgresql_where=text("sent_at IS NULL"),
)

inbox = Table(
    "inbox",
    metadata,
    Column("row", _RowId, primary_key=True),
    Column("consumer", String(32), nullable=False),
    Column("message_id", String(200), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("schema_version", SmallInteger, nullable=False),
    Column("order_key", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("trace_id", String(32), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_at", UtcDateTime, nullable=False),
    Column("handled_at", UtcDateTime),
    Column("dead_at", UtcDateTime),
    Column("why", Text),
    Column("fingerprint", String(16)),  # of what it died of; stays when it is sent again
    Column("replays", SmallInteger, nullable=False, server_default="0"),  # how often that was
    # A dead letter without its group would be counted nowhere.
    CheckConstraint("dead_at IS NULL OR fingerprint IS NOT NULL", name="ck_inbox_dead_group"),
    # Kept for ever: a replay next year must still be recognised.
    UniqueConstraint("consumer", "message_id", name="uq_inbox_message"),
)
Index(
    "ix_inbox_due",
    inbox.c.consumer,
    inbox.c.row,
    sqlite_where=text("handled_at IS NULL AND dead_at IS NULL"),
    postgresql_where=text("handled_at IS NULL AND dead_at IS NULL"),
)

# What could not be taken as an order or message: kept with its reason, never dropped.
quarantine = Table(
    "quarantine",
    metadata,
    Column("row", _RowId, primary_key=True),
    Column("consumer", String(32), nullable=False),
    Column("message_id", String(200)),
    Column("at", UtcDateTime, nullable=False),
    Column("why", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("settled_at", UtcDateTime),
    Column("fingerprint", String(16), nullable=False),
)

# A work order's way to a foreign system; the order's events say the same, in the same commit.
deliveries = Table(
    "deliveries",
    metadata,
    Column("row", _RowId, primary_key=True),
    Column("destination", String(32), nullable=False),
    Column("reference", String(64), nullable=False),
    Column("order_n", BigInteger, ForeignKey("orders.n"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_at", UtcDateTime),  # when the bridge has something to do with it
    Column("absent_seen", Integer, nullable=False, server_default="0"),
    Column("last_sent_at", UtcDateTime),
    Column("holder", String(64)),  # who is sending; taken over only when proven gone
    Column("lease_token", Integer, nullable=False, server_default="0"),
    Column("recall_wanted", Boolean, nullable=False, server_default=text("false")),
    Column("mes_id", String(200)),
    Column("detail", Text),
    UniqueConstraint("destination", "reference", name="uq_deliveries_reference"),
)
Index(
    "ix_deliveries_due",
    deliveries.c.destination,
    deliveries.c.next_at,
    sqlite_where=text("next_at IS NOT NULL"),
    postgresql_where=text("next_at IS NOT NULL"),
)
_NOT_THERE = text("next_at IS NOT NULL AND state NOT IN ('applied', 'confirmed', 'received')")
Index(
    "ix_deliveries_to_send",  # not behind thousands of looks at how what is there gets on
    deliveries.c.destination,
    deliveries.c.next_at,
    sqlite_where=_NOT_THERE,
    postgresql_where=_NOT_THERE,
)
Index("ix_deliveries_order", deliveries.c.order_n)
_IN_HAND = text("holder IS NOT NULL AND next_at IS NULL")
Index(
    "ix_deliveries_held",  # every second somebody asks who holds any
    deliveries.c.destination,
    deliveries.c.holder,
    sqlite_where=_IN_HAND,
    postgresql_where=_IN_HAND,
)

# --- quoting ----------------------------------------------------------------------------------

price_jobs = Table(
    "price_jobs",
    metadata,
    Column("row", _RowId, primary_key=True),
    Column("order_n", BigInteger, ForeignKey("orders.n"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", String(16), nullable=False),  # queued running done cancelled
    Column("at", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("leased_until", UtcDateTime),
    Column("lease_token", Integer, nullable=False, server_default="0"),
    UniqueConstraint("order_n", "version", name="uq_price_jobs_version"),
)
Index(
    "ix_price_jobs_waiting",
    price_jobs.c.row,
    sqlite_where=text("state IN ('queued','running')"),
    postgresql_where=text("state IN ('queued','running')"),
)

measurements = Table(
    "measurements",
    metadata,
    Column("file_sha256", String(64), primary_key=True),
    Column("unit", String(4), primary_key=True),
    Column("kernel_version", String(32), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("data", Text, nullable=False),
)

# --- the built-in workshop floor ----------------------------------------------------------------

floor_work_orders = Table(
    "floor_work_orders",
    metadata,
    Column("row", _RowId, primary_key=True),
    Column("reference", String(64), nullable=False, unique=True),  # at most one effect each
    Column("order_no", String(32), nullable=False),
    Column("body_sha256", String(64), nullable=False),
    Column("positions", Text, nullable=False),
    Column("promise_at", UtcDateTime),
    Column("status", String(16), nullable=False),
    Column("status_since", UtcDateTime, nullable=False),
    Column("seq", Integer, nullable=False),  # of its messages, gapless
    Column("operator", String(64)),
    Column("created_at", UtcDateTime, nullable=False),
)
Index("ix_floor_order", floor_work_orders.c.order_no)

# --- files --------------------------------------------------------------------------------------

files = Table(
    "files",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("partner_id", String(32), ForeignKey("partners.id")),  # NULL: uploaded in the office
    Column("uploaded_by", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("name", String(200), nullable=False),
    Column("state", String(16), nullable=False),
    Column("at", UtcDateTime, nullable=False),
)
Index("ix_files_sha256", files.c.sha256)

# --- access -------------------------------------------------------------------------------------

partners = Table(
    "partners",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("auto_approve_below", ExactDecimal),
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("partner_id", String(32), ForeignKey("partners.id"), nullable=False),
    Column("key_sha256", String(64), nullable=False, unique=True),  # the key itself is never kept
    Column("hint", String(12), nullable=False),  # its first characters, to tell keys apart
    Column("rate", Integer, nullable=False),
    Column("per_seconds", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
)

people = Table(
    "people",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("login", String(64), nullable=False, unique=True),
    Column("name", String(200), nullable=False),
    Column("role", String(16), nullable=False),
    Column("password_hash", String(200), nullable=False),
    Column("locale", String(5), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("person_id", String(32), ForeignKey("people.id"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

saved_views = Table(
    "saved_views",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("person_id", String(32), ForeignKey("people.id"), nullable=False),
    Column("name", String(80), nullable=False),
    Column("query", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("person_id", "name", name="uq_saved_views_name"),
)

# What people did that is not an order's event: sign-ins, keys, rights.
audit = Table(
    "audit",
    metadata,
    Column("row", _RowId, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("detail", Text),
)

# --- the ledger: balance, reconciliation, orders held elsewhere ---------------------------------

# What rests is counted from these alone: they are written once in an order's life, at its end.
Index(
    "ix_orders_rest",
    orders.c.stage,
    orders.c.partner_id,
    orders.c.is_open,  # always false here; without it SQLite looks into every row
    sqlite_where=text("NOT is_open"),
    postgresql_where=text("NOT is_open"),
)
Index(
    "ix_orders_unborn",  # drafts that were given up: nobody has a receipt for them
    orders.c.n,
    sqlite_where=text("NOT is_open AND body_sha256 IS NULL"),
    postgresql_where=text("NOT is_open AND body_sha256 IS NULL"),
)
Index(
    "ix_events_scrapped",  # cancelled after something had been made
    events.c.order_n,
    sqlite_where=text("kind = 'order.cancelled' AND instr(data, '\"made\"') > 0"),
    postgresql_where=text("kind = 'order.cancelled' AND strpos(data, '\"made\"') > 0"),
)
Index(
    "ix_inbox_parked",  # an order's dead letters, without reading all that ever came
    inbox.c.order_key,
    inbox.c.kind,
    sqlite_where=text("dead_at IS NOT NULL"),
    postgresql_where=text("dead_at IS NOT NULL"),
)

balance_runs = Table(
    "balance_runs",
    metadata,
    Column("row", _RowId, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("took_ms", Integer, nullable=False),
    Column("sums", Text, nullable=False),  # JSON: the classes and what is beside them
    Column("partners", Text),  # JSON: the same by partner; of the newest run only
    Column("differences", Integer, nullable=False),
    Column("first_of_hour", Boolean, nullable=False),  # kept for longer than the others
)
Index("ix_balance_runs_at", balance_runs.c.at)

balance_differences = Table(
    "balance_differences",
    metadata,
    Column("row", _RowId, primary_key=True),
    Column("system", String(16), nullable=False),  # own mes crm broker
    Column("kind", String(32), nullable=False),
    Column("subject", String(200), nullable=False),  # an order's number, or what stands for it
    Column("order_no", String(32)),
    Column("what", Text, nullable=False),
    Column("proof", Text),  # JSON: the last proven hop
    Column("since", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("gone_at", UtcDateTime),
    UniqueConstraint("system", "kind", "subject", name="uq_balance_differences_subject"),
)

reconcile_passes = Table(
    "reconcile_passes",
    metadata,
    Column("row", _RowId, primary_key=True),
    Column("destination", String(32), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("by", String(80), nullable=False),
    Column("phase", String(16), nullable=False),  # listing looking done failed
    Column("cursor", Text),
    Column("shown", BigInteger, nullable=False, server_default="0"),  # jobs the MES showed
    Column("ours", BigInteger, nullable=False, server_default="0"),  # work orders to compare
    Column("compared", BigInteger, nullable=False, server_default="0"),
    Column("unanswered", BigInteger, nullable=False, server_default="0"),
    Column("moved_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("note", Text),
)

# What the running pass was shown of work orders that are not at rest; emptied at its end.
reconcile_seen = Table(
    "reconcile_seen",
    metadata,
    Column("destination", String(32), primary_key=True),
    Column("reference", String(200), primary_key=True),
    Column("mes_id", String(200), primary_key=True),
    Column("status", String(200)),
    sqlite_with_rowid=False,
)

reconcile_findings = Table(
    "reconcile_findings",
    metadata,
    Column("row", _RowId, primary_key=True),
    Column("destination", String(32), nullable=False),
    Column("kind", String(16), nullable=False),  # missing_here missing_there differs stuck
    Column("reference", String(200), nullable=False),
    Column("order_no", String(32)),
    Column("facts", Text, nullable=False),  # JSON: what each side says
    Column("since", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("pass_row", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),  # open gone repaired dismissed
    Column("decision", String(32)),
    Column("note", Text),
    Column("decided_by", String(80)),
    Column("decided_at", UtcDateTime),
    UniqueConstraint("destination", "kind", "reference", name="uq_reconcile_findings_reference"),
)

lost_orders = Table(
    "lost_orders",
    metadata,
    Column("row", _RowId, primary_key=True),
    Column("source", String(64), nullable=False),  # the system that holds or lost it
    Column("number", String(200), nullable=False),  # what that system calls it
    Column("partner", String(400)),  # whose it is, as the table says: numbers are each one's own
    Column("facts", Text, nullable=False),  # JSON: the columns that were imported
    Column("imported_at", UtcDateTime, nullable=False),
    Column("imported_by", String(80), nullable=False),
    Column("state", String(16), nullable=False),  # open found_here brought_back given_up
    Column("order_no", String(32)),
    Column("mes", String(16), nullable=False),  # unknown there absent unasked
    Column("mes_detail", String(400)),
    Column("look_at", UtcDateTime),  # when the MES is to be asked about it
    Column("reason", Text),
    Column("decided_by", String(80)),
    Column("decided_at", UtcDateTime),
    Column("version", Integer, nullable=False, server_default="1"),
    UniqueConstraint("source", "number", name="uq_lost_orders_number"),
)
Index("ix_lost_orders_state", lost_orders.c.state, lost_orders.c.row)
Index(
    "ix_lost_orders_look",
    lost_orders.c.look_at,
    sqlite_where=text("look_at IS NOT NULL"),
    postgresql_where=text("look_at IS NOT NULL"),
)

# --- foreign systems ------------------------------------------------------------------------------

# How each is doing and whether a person has paused it: a new process must not begin all over.
destinations = Table(
    "destinations",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("version", Integer, nullable=False, server_default="0"),  # of ``pace``
    Column("pace", Text),  # JSON, see bridge/pace.py
    Column("paused_by", String(80)),
    Column("paused_because", Text),
    Column("paused_since", UtcDateTime),
    Column("cursor", Text),  # how far its feed of changes has been read
)

# An order's way to the CRM: one row an order, so that no news overtakes an older one.
crm_orders = Table(
    "crm_orders",
    metadata,
    Column("order_n", _RowId, ForeignKey("orders.n"), primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("told", Integer, nullable=False, server_default="0"),  # the version told last
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_at", UtcDateTime),  # when the bridge has something to do with it
    Column("holder", String(64)),  # who is sending; taken over only when proven gone
    Column("lease_token", Integer, nullable=False, server_default="0"),
    Column("detail", Text),
    Column("news_since", UtcDateTime, nullable=False),  # since when the news behind it waits
    Column("differs", Text),  # what the CRM shows else, when it was last asked
)
Index(
    "ix_crm_orders_due",
    crm_orders.c.next_at,
    sqlite_where=text("next_at IS NOT NULL"),
    postgresql_where=text("next_at IS NOT NULL"),
)
Index(
    "ix_crm_orders_held",
    crm_orders.c.since,
    sqlite_where=text("next_at IS NULL AND state = 'sending'"),
    postgresql_where=text("next_at IS NULL AND state = 'sending'"),
)

_ODD = text(
    "next_at IS NULL AND (differs IS NOT NULL OR state NOT IN ('applied', 'confirmed', 'sending'))"
)
Index(
    "ix_crm_orders_odd",  # what the balance names, however many orders are as they should be
    crm_orders.c.order_n,
    sqlite_where=_ODD,
    postgresql_where=_ODD,
)

# What became of each piece of news that the CRM was told.
crm_told = Table(
    "crm_told",
    metadata,
    Column("order_n", BigInteger, primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("detail", Text),
    sqlite_with_rowid=False,
)

# What a foreign system said and nobody understood: kept as it came, until a person has read it.
unknown_messages = Table(
    "unknown_messages",
    metadata,
    Column("row", _RowId, primary_key=True),
    Column("source", String(64), nullable=False),
    Column("message_id", String(200), nullable=False),  # empty where it has none
    Column("body_sha256", String(64), nullable=False),  # of the whole body
    Column("received_at", UtcDateTime, nullable=False),
    Column("why", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),  # its beginning, see bridge/tray.py
    Column("size_bytes", BigInteger, nullable=False),
    Column("headers", Text, nullable=False),  # JSON, without what could let anybody in
    Column("state", String(16), nullable=False),  # open given aside
    Column("order_no", String(32)),
    Column("handled_by", String(80)),
    Column("handled_at", UtcDateTime),
    Column("note", Text),
    UniqueConstraint("source", "message_id", "body_sha256", name="uq_unknown_messages_message"),
)
Index("ix_unknown_messages_state", unknown_messages.c.state, unknown_messages.c.source)

# The rights to one call each at once, which all bridges share: see bridge/places.py.
destination_places = Table(
    "destination_places",
    metadata,
    Column("destination", String(32), primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("holder", String(64)),
    Column("beat", Integer, nullable=False, server_default="0"),  # grows while its holder moves
    Column("asked_by", String(64)),  # who gets it next
)

# --- dead letters ---------------------------------------------------------------------------------

Index(
    "ix_inbox_dead",
    inbox.c.row,
    sqlite_where=text("dead_at IS NOT NULL AND handled_at IS NULL"),
    postgresql_where=text("dead_at IS NOT NULL AND handled_at IS NULL"),
)

Index(
    "ix_inbox_dead_consumer",  # counted for every scrape of the metrics
    inbox.c.consumer,
    sqlite_where=text("dead_at IS NOT NULL AND handled_at IS NULL"),
    postgresql_where=text("dead_at IS NOT NULL AND handled_at IS NULL"),
)
Index(
    "ix_inbox_failed",  # tried in vain, and to be tried again: few, however long the backlog
    inbox.c.next_at,
    sqlite_where=text("attempts > 0 AND handled_at IS NULL AND dead_at IS NULL"),
    postgresql_where=text("attempts > 0 AND handled_at IS NULL AND dead_at IS NULL"),
)

# Groups are counted, and their letters found in the order they came, without reading what lies in
# the rows. SQLite looks only into an index that has every column it is asked of.
Index(
    "ix_inbox_dead_group",
    inbox.c.fingerprint,
    inbox.c.row,
    inbox.c.order_key,
    inbox.c.received_at,
    inbox.c.dead_at,
    inbox.c.replays,
    inbox.c.handled_at,
    sqlite_where=text("dead_at IS NOT NULL AND handled_at IS NULL"),
    postgresql_where=text("dead_at IS NOT NULL AND handled_at IS NULL"),
)
Index(
    "ix_quarantine_group",
    quarantine.c.fingerprint,
    quarantine.c.row,
    quarantine.c.at,
    quarantine.c.settled_at,
    sqlite_where=text("settled_at IS NULL"),
    postgresql_where=text("settled_at IS NULL"),
)

replays = Table(
    "replays",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("fingerprint", String(32), nullable=False),
    Column("state", String(24), nullable=False),
    Column("cutoff", BigInteger, nullable=False),  # the newest letter of the frozen set
    Column("per_minute", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("edited", Boolean, nullable=False),
    Column("started_by", String(80), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("next_at", UtcDateTime, nullable=False),
    Column("trail", Text, nullable=False),  # JSON: who did what when
    Column("approved_by", String(80)),
    Column("redirect_to", String(32)),
    Column("seen_by", String(80)),
    Column("release", String(200)),
)

replay_items = Table(
    "replay_items",
    metadata,
    Column("replay_id", String(32), ForeignKey("replays.id"), primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("letter_row", BigInteger, nullable=False),
    Column("order_key", String(64)),
    Column("state", String(16), nullable=False),
    Column("sent_at", UtcDateTime),
    Column("body_before", LargeBinary),  # of an edited letter only, and for ever
    Column("body_after", LargeBinary),
    Column("source", String(16), nullable=False),  # inbox, or quarantine: then body_after is whole
    Column("sent_as", String(200)),  # the id of what was made of a message in quarantine
)
Index("ix_replay_items_letter", replay_items.c.letter_row)
Index(  # counted, and gone on with, while it is under way
    "ix_replay_items_state", replay_items.c.replay_id, replay_items.c.state, replay_items.c.place
)

# What people know about a group, for when it comes again, too.
letter_groups = Table(
    "letter_groups",
    metadata,
    Column("fingerprint", String(32), primary_key=True),
    Column("owner", String(80), nullable=False),
    Column("note", Text, nullable=False),
    Column("by", String(80), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("release", String(200)),
)

parked_letters = Table(
    "parked_letters",
    metadata,
    Column("source", String(16), primary_key=True),
    Column("letter_row", BigInteger, primary_key=True, autoincrement=False),
    Column("by", String(80), nullable=False),
    Column("why", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

# --- taking over from existing queues -------------------------------------------------------------

# Every message of a source, for ever: its row is written with the order that it became.
arrivals = Table(
    "arrivals",
    metadata,
    Column("source", String(32), primary_key=True),
    Column("message_id", String(200), primary_key=True),
    Column("body_sha256", String(64), nullable=False),  # of the bytes as they came
    Column("at", UtcDateTime, nullable=False),
    Column("fate", String(16), nullable=False),  # see intake/arrivals.py
    Column("order_n", BigInteger),
    sqlite_with_rowid=False,
)

# How far a source is taken over, who said so, and how its connection is doing.
sources = Table(
    "sources",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("mode", String(16), nullable=False),  # off tap shadow live back
    Column("since", UtcDateTime, nullable=False),
    Column("by", String(80), nullable=False),
    Column("because", Text, nullable=False),
    Column("takes", String(16)),  # live: copies, or the original queue
    Column("settled_at", UtcDateTime),  # the way back: nothing of ours is at the broker any more
    Column("cursor", Text),  # how far a database has been read
    Column("seen_at", UtcDateTime),  # when somebody last looked after it
    Column("last_at", UtcDateTime),  # of its last message
    Column("trouble", Text),  # why it is not connected
    # Grows with every step and every look into its database; what an older look read is not kept.
    Column("lease_token", Integer, nullable=False, server_default="0"),
)

# Where the home of a partner's or a channel's orders is; whoever has none is mastered here.
homes = Table(
    "homes",
    metadata,
    Column("kind", String(16), primary_key=True),  # partner channel
    Column("name", String(64), primary_key=True),
    Column("home", String(16), nullable=False),  # mirrored co_mastered mastered
    Column("since", UtcDateTime, nullable=False),
    Column("by", String(80), nullable=False),
)

# Since when a consumer has received a kind: what was carried before was never meant for it.
routes = Table(
    "routes",
    metadata,
    Column("kind", String(40), primary_key=True),
    Column("consumer", String(32), primary_key=True),
    Column("since", UtcDateTime, nullable=False),
)

# Numbers of a shared database that went the old road before we took anything; kept for ever.
old_road_orders = Table(
    "old_road_orders",
    metadata,
    Column("source", String(32), primary_key=True),
    Column("client_ref", String(200), primary_key=True),
    sqlite_with_rowid=False,
)

# What a shadow would have accepted, and what really happened to it.
shadow_orders = Table(
    "shadow_orders",
    metadata,
    Column("row", _RowId, primary_key=True),
    Column("source", String(32), nullable=False),
    Column("client_ref", String(200), nullable=False),
    Column("message_id", String(200), nullable=False),
    Column("body_sha256", String(64), nullable=False),  # canonical, as an order's
    Column("at", UtcDateTime, nullable=False),
    Column("verdict", String(16), nullable=False),  # accept refuse
    Column("why", Text),
    Column("state", String(16), nullable=False),  # waiting same missing differs
    Column("detail", Text),
    Column("look_at", UtcDateTime),  # when to look for it, or again
    Column("looks", Integer, nullable=False, server_default="0"),
    Column("mes_id", String(200)),  # the MES has it, by the old road
    UniqueConstraint("source", "client_ref", name="uq_shadow_orders_ref"),
)
Index(
    "ix_shadow_orders_look",
    shadow_orders.c.look_at,
    sqlite_where=text("look_at IS NOT NULL"),
    postgresql_where=text("look_at IS NOT NULL"),
)
Index("ix_shadow_orders_state", shadow_orders.c.source, shadow_orders.c.state, shadow_orders.c.row)
