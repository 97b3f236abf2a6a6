"""How many connections each peer holds: one stranger must not take all of them."""

from collections import Counter
from ipaddress import IPv4Address, IPv6Address, ip_address

LOOPBACK = "127.0.0.1"
_OURS = frozenset({LOOPBACK, "::1"})
_NETWORK_BITS = 64
"""What one customer of a provider is given: any address in it is as much theirs as the next."""


class Peers:
    """Counts connections by where they come from; bounded by the connections there are."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()

    def arrived(self, address: str) -> str:
        """Count a connection; returns the peer it is counted for."""
        peer = peer_of(address)
        self._held[peer] += 1
        return peer

    def left(self, peer: str) -> None:
        """It has ended."""
        self._held[peer] -= 1
        if not self._held[peer]:
            del self._held[peer]

    def exceeds(self, peer: str, limit: int) -> bool:
        """Whether a peer holds more than ``limit``; 0 is no limit, and we ourselves have none."""
        return peer not in _OURS and 0 < limit < self._held[peer]


def peer_of(address: str) -> str:
    """Whom an address belongs to: an IPv4 address itself, of IPv6 the network of 64 bits."""
    if ":" not in address:
        return address
    parsed: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    if parsed.is_loopback:
        return str(parsed)
    return f"{IPv6Address(int(parsed) >> _NETWORK_BITS << _NETWORK_BITS)}/{_NETWORK_BITS}"
