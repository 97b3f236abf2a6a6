"""Whom a connection or a request is counted for, and how many connections each peer holds."""

from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

LOOPBACK = "127.0.0.1"
_OURS = frozenset({LOOPBACK, "::1"})
_HOPS = 16
"""So many proxies one behind the other are believed; nobody has more."""
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


class Proxies:
    """The reverse proxies whose word on where a request comes from is believed.

    ``networks`` names addresses and networks, with commas between. Raises ValueError for others.
    """

    def __init__(self, networks: str = "") -> None:
        self._networks: list[IPv4Network | IPv6Network] = [
            ip_network(one.strip()) for one in networks.split(",") if one.strip()
        ]

    def trust(self, address: str) -> bool:
        """Whether this is one of them."""
        if not self._networks:
            return False
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def caller(self, address: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Who asks: ``address``, unless it is a proxy; then whom the proxies name.

        Every proxy adds at the right whom it was called by, and what is left of the last one that
        we trust anybody may have written. What is no address ends the search: the proxy that
        passed it on is then the one who asks.
        """
        if not self.trust(address):
            return address
        said = b",".join(value for name, value in headers if name == b"x-forwarded-for")
        for named in reversed(said.decode("latin-1").split(",")[-_HOPS:]):
            parsed = _parsed(named)
            if parsed is None:
                return address
            address = str(parsed)
            if not self.trust(address):
                return address
        return address


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An address, without the port that some write behind it; None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


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
