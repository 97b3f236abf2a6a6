"""Accepting what came in messages, on PostgreSQL: still one statement, and a whole transaction."""

from collections.abc import Sequence
from typing import Any

from orderkeep.adapters.sql.hot_postgres.accept import (
    GATES,
    NOT_YET,
    LookingBatch,
    Unnumbered,
    columns,
    kept,
    known,
    turned,
)
from orderkeep.adapters.sql.hot_postgres.work import PgWork
from orderkeep.adapters.sql.hot_sqlite.accept import Prepared
from orderkeep.adapters.sql.hot_sqlite.arrivals import ArrivalDesk, arrival_of, came_of
from orderkeep.adapters.sql.postgres.raw import Raw
from orderkeep.intake.modes import SourceOvertaken

_KNOWN = """
SELECT a.source, a.message_id, a.body_sha256, o.n, o.body_sha256, o.client_ref, o.created_at
FROM unnest($1::text[], $2::text[]) AS asked (source, message_id)
CROSS JOIN LATERAL (
    SELECT * FROM arrivals a
    WHERE a.source = asked.source AND a.message_id = asked.message_id LIMIT 1
) a
LEFT JOIN orders o ON o.n = a.order_n
"""
# What was put aside or ignored before is understood once the mapping has been mended.
_UPSERT = """
    ON CONFLICT (source, message_id)
    DO UPDATE SET fate = excluded.fate, order_n = excluded.order_n WHERE arrivals.order_n IS NULL
"""
_COUNT = "ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value"
# A look into a database that is not the newest keeps nothing. Shared: who begins another look, or
# takes a step, waits for this commit, and this one for theirs.
_HELD = """held AS (
    SELECT s.name FROM sources s JOIN unnest({0}::text[], {1}::int[]) AS one (name, token)
    ON s.name = one.name AND s.lease_token = one.token FOR SHARE OF s
),"""
_ALL_HELD = "WHERE (SELECT count(*) FROM held) = cardinality({0}::text[])"
# Beside the steps of every order; numbers above NOT_YET are moved down as theirs are.
_KEEP = f"""{kept(_HELD.format("$36", "$37"), _ALL_HELD.format("$36"))}, arrived AS (
    INSERT INTO arrivals (source, message_id, body_sha256, at, fate, order_n)
    SELECT source, message_id, sha256, at, fate, CASE WHEN n > {NOT_YET} THEN n + down ELSE n END
    FROM taken, unnest($28::text[], $29::text[], $30::text[], $31::timestamptz[], $32::text[],
        $33::bigint[]) AS one (source, message_id, sha256, at, fate, n)
    {_UPSERT}
), tallied AS (
    INSERT INTO counters (name, value)
    SELECT name, value FROM taken, unnest($34::text[], $35::bigint[]) AS one (name, value)
    {_COUNT}
)
SELECT last FROM taken
"""
_NAMES = f"""
WITH {_HELD.format("$14", "$15")} taken AS (
    SELECT {_ALL_HELD.format("$14")}
), named AS (
    INSERT INTO idempotency (partner_id, key, body_sha256, order_n, at)
    SELECT * FROM taken,
        unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[]) AS one
), arrived AS (
    INSERT INTO arrivals (source, message_id, body_sha256, at, fate, order_n)
    SELECT * FROM taken, unnest($6::text[], $7::text[], $8::text[], $9::timestamptz[],
        $10::text[], $11::bigint[]) AS one
    {_UPSERT}
)
INSERT INTO counters (name, value)
SELECT * FROM taken, unnest($12::text[], $13::bigint[]) AS one {_COUNT} RETURNING true
"""


class _Unnumbered(Unnumbered, ArrivalDesk):
    """Decides what is new before it has numbers to give."""


class ArrivalBatch(LookingBatch):
    """Keeps a batch of submissions that came in messages, and that they came."""

    unnumbered = _Unnumbered
    numbered = ArrivalDesk

    def known(self, pg: Raw, items: Sequence[Prepared]) -> Sequence[dict[Any, Any]]:
        asked = [(one.source, one.message_id) for one in map(arrival_of, items)]
        return *known(pg, items), dict(map(came_of, pg.fetch(_KNOWN, *turned(asked))))

    def keep(self, work: PgWork, desk: ArrivalDesk) -> int:
        return int(_first(work.keep(GATES, _KEEP, *columns(desk), *_beside(desk)))[0])

    def keep_names(self, work: PgWork, desk: ArrivalDesk) -> None:
        _first(work.keep(GATES, _NAMES, *turned(desk.key_rows), *_beside(desk)))


def _beside(desk: ArrivalDesk) -> list[list[Any]]:
    """The messages' rows and their counters, sorted: nobody waits for another in a circle."""
    leases = turned(sorted(desk.leases)) or [[], []]
    return [*turned(desk.rows), *turned(sorted(desk.fates.items())), *leases]


def _first(found: Sequence[Any]) -> Any:
    """The first row of what a statement answered.

    Raises:
        SourceOvertaken: there is none; nothing was kept.
    """
    if not found:
        raise SourceOvertaken("Somebody has taken a source over meanwhile.")
    return found[0]
