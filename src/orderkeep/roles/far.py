"""What every foreign system's adapter over HTTP is told alike."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from orderkeep.bridge.windows import Maintenance, read_windows
from orderkeep.config import FarSettings


def far_terms(given: FarSettings) -> dict[str, Any]:
    """Time limits, credentials, and the names of paths and fields, for its adapter's settings."""
    name, _, value = (given.auth_header or "").partition(":")
    return {
        "connect_timeout": given.connect_timeout,
        # Waiting for a free connection must not eat up the whole call.
        "pool_timeout": min(timedelta(seconds=5), given.total_timeout / 2),
        "read_timeout": given.read_timeout,
        "total_timeout": given.total_timeout,
        "auth_header": (name.strip(), value.strip()) if name else None,
        **given.names,
    }


def maintenance_of(given: FarSettings, time_zone: str) -> Maintenance:
    """When it is being worked on, by the clock on its wall."""
    return Maintenance(read_windows(given.maintenance or ""), ZoneInfo(time_zone))
