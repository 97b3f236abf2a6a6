"""What every foreign system behind HTTP has: an address, and bounds for its answers."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar

import httpx


@dataclass(frozen=True, slots=True, kw_only=True)
class FarHttpSettings:
    """Where a foreign system is, and how long and how much we let it answer.

    ``total_timeout`` ends every call. ``pool_timeout`` bounds the wait for a free connection; both
    it and ``connect_timeout`` have to end sooner, so that a call that never left is known as such.
    ``idle_connection``: connections unused for longer are closed by us, before the far side does so
    under a request. ``auth_header`` is a name and its value, such as ``Authorization``.
    """

    who: ClassVar[str]

    base_url: str
    auth_header: tuple[str, str] | None = field(default=None, repr=False)
    connect_timeout: timedelta = timedelta(seconds=3)
    pool_timeout: timedelta = timedelta(seconds=5)
    read_timeout: timedelta = timedelta(seconds=30)
    total_timeout: timedelta = timedelta(seconds=60)
    max_connections: int = 32
    idle_connection: timedelta = timedelta(seconds=4)
    answer_cap_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        url = httpx.URL(self.base_url)
        if url.scheme not in ("http", "https") or not url.host:
            wanted = "has to begin with http:// or https:// and a host"
            raise ValueError(f"the {self.who}'s address {wanted}")
        if max(self.connect_timeout, self.pool_timeout) >= self.total_timeout:
            raise ValueError("the whole call has to last longer than connecting or waiting to")
