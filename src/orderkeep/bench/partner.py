"""The partner whose orders a benchmark sends over HTTP, and the key it comes with."""

from decimal import Decimal

from orderkeep.access.keys import ApiKey, Partner, Quota, key_hint, key_sha256, new_key
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bench.places import Place, migrated, opened
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.ids import Ids, PartnerId

PARTNER, NAME = PartnerId("bench"), "Bench"
_QUOTA = Quota(rate=1_000_000, per_seconds=1)


async def prepared(place: Place, auto_approve_below: Decimal | None = None) -> str:
    """Make the tables and let the partner in; returns its key."""
    key = new_key(Ids())
    await migrated(place)
    async with opened(place) as store:
        await store.write(lambda work: let_in(work, key, auto_approve_below))
    return key


def let_in(work: SqlWork, key: str, auto_approve_below: Decimal | None = None) -> None:
    """Keep one more key of the partner, who may be known already."""
    now = SystemClock().now()
    if work.access.partner_named(NAME) is None:
        work.access.add_partner(Partner(PARTNER, NAME, auto_approve_below, now))
    kept = ApiKey(Ids().token(16), PARTNER, key_hint(key), _QUOTA, now)
    work.access.add_key(kept, key_sha256(key))
