"""What a partner asks about its orders, where several processes write at once."""

from orderkeep.adapters.sql import tracking as sqlite

# Positions are given out when an event is written, not when it is committed: a feed that has shown
# position 8 would for ever pass over a 7 whose transaction took longer. So the feed ends before the
# oldest transaction that still runs: whatever has a position up to there is to be seen. Every event
# carries the transaction that wrote it (``tx``, filled by the database).
_SETTLED = " WHERE e.tx < pg_snapshot_xmin(pg_current_snapshot()) AND e.partner_id"


class SqlTracking(sqlite.SqlTracking):
    """Implements ``orders.tracking.TrackingStore``."""

    EVENTS = sqlite.SqlTracking.EVENTS.replace(" WHERE e.partner_id", _SETTLED)
