"""Who may do what with which table: one database user per role, with the least it needs.

``GRANTS`` is the whole truth. What is not written there is not allowed, and a table that is missing
there stops a test. Passwords are none of this module's business, except to turn one into what the
server keeps in its place (``verifier``).
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from itertools import chain
from types import MappingProxyType

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from orderkeep.adapters.sql.connections import StoreMisconfigured
from orderkeep.adapters.sql.postgres.errors import driver_error
from orderkeep.adapters.sql.postgres.link import engine_for, open_link
from orderkeep.adapters.sql.postgres.migrate import MIGRATING, require_current
from orderkeep.kernel.errors import Fault, Invalid

ROLES = ("door", "office", "relay", "bridge", "courier", "quoter", "watch")
"""Whoever has a database user of its own; the names of ``orderkeep run --role``."""

PREFIX = "orderkeep_"
"""Users are called so, and then like their role."""

_WORDS = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE"}
"""The letters that PostgreSQL itself shows in ``\\dp``."""

_EVERYBODY_READS = dict.fromkeys(ROLES, "r")
_WHO_MOVES_ORDERS = ("door", "office", "bridge", "quoter", "watch")


def _movers(rights: str, **others: str) -> dict[str, str]:
    return dict.fromkeys(_WHO_MOVES_ORDERS, rights) | others


GRANTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "alembic_version": _EVERYBODY_READS,
        # --- orders: nobody deletes one, and what has happened is never written anew -------------
        "orders": _movers("raw", relay="r", courier="r"),
        "events": _movers("ra", courier="r"),
        "submissions": {"door": "ra", "office": "raw", "bridge": "ra", "watch": "r"},
        "idempotency": {"door": "ra", "office": "ra", "bridge": "ra", "watch": "r"},
        "counters": _movers("raw"),
        # --- delivery ----------------------------------------------------------------------------
        "outbox": _movers("ra", relay="rw", courier="ra"),
        "inbox": {"relay": "ra", "bridge": "raw", "quoter": "raw", "office": "r", "watch": "raw"},
        # The relay knows what is carried to whom; the watch counts it.
        "routes": {"relay": "rad", "office": "r", "watch": "r"},
        "quarantine": {
            "relay": "ra",
            "bridge": "ra",
            "quoter": "ra",
            "office": "rw",
            "watch": "rw",
        },
        "deliveries": {"bridge": "raw", "office": "rw", "watch": "rw"},
        "destinations": {"bridge": "raw", "office": "raw", "watch": "r"},
        # The public sees how far the CRM knows of an order, and nothing of the workshop's system.
        "crm_orders": {"door": "r", "bridge": "raw", "office": "rw", "watch": "r"},
        "crm_told": {"bridge": "raw", "office": "raw", "watch": "r"},
        # A call-back that nobody understands comes in at the door.
        "unknown_messages": {"door": "ra", "bridge": "raw", "office": "rw", "watch": "rd"},
        "destination_places": {"bridge": "raw"},
        # --- quoting, floor, files ---------------------------------------------------------------
        "price_jobs": {"quoter": "raw", "office": "r", "watch": "r"},
        "measurements": {"quoter": "ra"},
        "floor_work_orders": {"bridge": "raw", "office": "rw", "watch": "r"},
        "files": {"door": "ra", "office": "ra", "quoter": "r", "bridge": "r", "watch": "r"},
        # --- taking over: the bridge listens, a person says how far it may go ---------------------
        "arrivals": {"bridge": "raw", "office": "r", "watch": "r"},
        "sources": {"bridge": "raw", "office": "raw", "watch": "r"},
        "homes": {"door": "r", "office": "raw", "bridge": "r", "watch": "r"},
        "old_road_orders": {"bridge": "ra"},
        "shadow_orders": {"bridge": "raw", "office": "r", "watch": "r"},
        # --- access ------------------------------------------------------------------------------
        "partners": {
            "door": "r",
            "office": "raw",
            "quoter": "r",
            "bridge": "r",
            "courier": "r",
            "watch": "r",
        },
        "api_keys": {"door": "r", "office": "raw"},
        "people": {"office": "raw"},
        "sessions": {"office": "rawd"},
        "saved_views": {"office": "rawd"},
        "audit": {"office": "ra"},
        # --- ledger ------------------------------------------------------------------------------
        "balance_runs": {"watch": "rawd", "office": "rawd"},  # counted at once when a person asks
        "balance_differences": {"watch": "rawd", "office": "rawd"},
        "reconcile_passes": {"bridge": "rawd", "watch": "rawd", "office": "raw"},
        "reconcile_seen": {"bridge": "rawd", "watch": "rawd", "office": "r"},
        "reconcile_findings": {"bridge": "rawd", "watch": "rawd", "office": "rw"},
        "lost_orders": {"bridge": "rw", "watch": "rw", "office": "raw"},
        # --- dead letters: a person asks in the office, the watch sends them again ---------------
        "replays": {"office": "raw", "watch": "rw"},
        "replay_items": {"office": "ra", "watch": "rw"},
        "letter_groups": {"office": "raw", "watch": "r"},
        "parked_letters": {"office": "rad", "watch": "r"},
    }
)


def statements(database: str, prefix: str = PREFIX) -> Iterator[str]:
    """SQL that brings every role's user to exactly these rights, whatever it had before.

    To be run in one transaction by the owner of the tables; running it again changes nothing.
    """
    here = f"DATABASE {_quoted(database)}"
    yield f"REVOKE ALL ON {here} FROM PUBLIC"
    yield "REVOKE ALL ON SCHEMA public FROM PUBLIC"
    for role in ROLES:
        yield _if_missing(user(role, prefix))
    yield from chain.from_iterable(_rights(role, here, prefix) for role in ROLES)


def _rights(role: str, here: str, prefix: str) -> Iterator[str]:
    name = _quoted(user(role, prefix))
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name}"
    yield f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {name}"
    yield f"REVOKE ALL ON SCHEMA public FROM {name}"
    yield f"REVOKE ALL ON {here} FROM {name}"
    yield f"GRANT CONNECT ON {here} TO {name}"
    yield f"GRANT USAGE ON SCHEMA public TO {name}"
    for table, rights in GRANTS.items():
        if letters := rights.get(role):
            words = ", ".join(_WORDS[letter] for letter in letters)
            yield f"GRANT {words} ON {_quoted(table)} TO {name}"
            if "a" in letters:
                yield _numbering(table, name)


def user(role: str, prefix: str = PREFIX) -> str:
    """The database user of a role."""
    return prefix + role


def verifier(password: str, salt: bytes, rounds: int = 4096) -> str:
    """What the server keeps instead of a password: from it nobody can sign in (RFC 5802, 7677).

    Computed here, so that the password itself never travels, and is in no history and no log.

    Raises:
        Invalid: it holds something else than visible ASCII, which servers normalise differently.
    """
    if not password or not all("!" <= letter <= "~" for letter in password):
        sentence = "Letters, digits and signs of ASCII, at least one and without blanks."
        raise Invalid([Fault("password", "wrong", sentence)])
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    client = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    kept, stored, known = (base64.b64encode(one).decode() for one in (salt, client, server))
    return f"SCRAM-SHA-256${rounds}:{kept}${stored}:{known}"


def password_statement(role: str, kept: str, prefix: str = PREFIX) -> str:
    """SQL that gives a role's user its password, as ``verifier`` made it."""
    return f"ALTER ROLE {_quoted(user(role, prefix))} PASSWORD {_literal(kept)}"


def _if_missing(name: str) -> str:
    # CREATE ROLE knows no IF NOT EXISTS. Without a password nobody signs in by one.
    return (
        f"DO $$ BEGIN CREATE ROLE {_quoted(name)} LOGIN NOINHERIT; "
        "EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )


def _numbering(table: str, name: str) -> str:
    """Leave to take the next number of a table that numbers its rows by itself."""
    return (
        "DO $$ DECLARE numbers regclass; BEGIN FOR numbers IN"
        " SELECT d.objid FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'"
        f" WHERE d.refobjid = {_literal(_quoted(table))}::regclass AND d.deptype IN ('a', 'i')"
        f" LOOP EXECUTE 'GRANT USAGE ON SEQUENCE ' || numbers || ' TO {_doubled(name)}';"
        " END LOOP; END $$"
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + _doubled(text) + "'"


def _doubled(text: str) -> str:
    return text.replace("'", "''")


async def grant(url: str, prefix: str, passwords: Mapping[str, str]) -> None:
    """Bring the users of every role to their rights, all or none; ``url`` is the owner's.

    Args:
        url: the database, as whoever owns its tables and may create users.
        prefix: what users' names begin with.
        passwords: what ``verifier`` made, by role, for those whose password is to change.

    Raises:
        SchemaBehind: the tables have to be made first.
        StoreMisconfigured: the server does not let us, and says why.
    """
    try:
        await _grant(url, prefix, passwords)
    except (asyncpg.PostgresError, SQLAlchemyError) as error:
        raise StoreMisconfigured(f"PostgreSQL says: {driver_error(error)}") from error


async def _grant(url: str, prefix: str, passwords: Mapping[str, str]) -> None:
    engine = engine_for(url, "orderkeep grants")
    link = await open_link(engine)
    try:
        await require_current(link)
        await link.bare.execute("BEGIN")
        await link.bare.execute(f"SELECT pg_advisory_xact_lock({MIGRATING})")
        database = await link.bare.fetchval("SELECT current_database()")
        for statement in statements(database, prefix):
            await link.bare.execute(statement)
        for role, kept in passwords.items():
            await link.bare.execute(password_statement(role, kept, prefix))
        await link.bare.execute("COMMIT")
    finally:
        await link.connection.close()
        await engine.dispose()
