"""Questions that wait for a price, where several processes answer them."""

from orderkeep.adapters.sql import price_jobs as sqlite


class SqlPriceJobs(sqlite.SqlPriceJobs):
    """Implements ``quoting.work.PriceJobs``."""

    held = " FOR UPDATE SKIP LOCKED"

    def release_all(self) -> int:
        # Another process may hold them just now; leases run out by themselves.
        return 0
