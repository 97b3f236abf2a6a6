"""Whom a refusal is counted for: only a proxy that we were told of may say who asks."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from orderkeep.access.keys import Quota
from orderkeep.http.door import DoorSettings
from orderkeep.http.edge import EdgeLimits
from orderkeep.http.peers import Proxies, peer_of
from orderkeep.testing.door import DoorUnderTest

ALLOWED = 3
PROXY, STRANGER = "127.0.0.9", "127.0.0.2"
PROXIES = Proxies(f"{PROXY}, 10.0.0.0/8, 2001:db8:5::/64")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorUnderTest]:
    settings = DoorSettings(proxies=PROXIES, wrong_keys=Quota(rate=ALLOWED, per_seconds=3600))
    limits = EdgeLimits(connections_per_peer=1, proxies=PROXIES)
    door = DoorUnderTest(Path(tmp_path_factory.mktemp("door")), limits, settings=settings)
    door.start()
    yield door
    door.stop()


def refused_for(door: DoorUnderTest, peer: str, *said: str) -> int:
    """The status of a call with a wrong key, from an address, with ``X-Forwarded-For`` lines."""
    headers = [("Authorization", "Bearer wrong"), *(("X-Forwarded-For", one) for one in said)]
    transport = httpx.HTTPTransport(local_address=peer)
    with httpx.Client(transport=transport, trust_env=False, timeout=60) as client:
        url = f"http://127.0.0.1:{door.port}/v1/orders/OK-000001"
        return client.get(url, headers=headers).status_code


def test_a_stranger_cannot_name_another_address_to_go_on_guessing(door: DoorUnderTest) -> None:
    guesses = [refused_for(door, STRANGER, f"192.0.2.{n}") for n in range(ALLOWED + 1)]

    assert guesses == [401] * ALLOWED + [429]


def test_behind_a_proxy_each_is_counted_alone_whatever_it_claims(door: DoorUnderTest) -> None:
    mallory = [refused_for(door, PROXY, f"192.0.2.{n}, 198.51.100.7") for n in range(ALLOWED + 1)]
    # Some proxies add a line of their own, and leave the one that the client wrote.
    mallory.append(refused_for(door, PROXY, "192.0.2.99", "198.51.100.7"))
    through_two = refused_for(door, PROXY, "198.51.100.7, 10.1.2.3")

    assert mallory == [401] * ALLOWED + [429, 429]
    assert through_two == 429
    assert refused_for(door, PROXY, "198.51.100.8") == 401


@pytest.mark.parametrize(
    "said, caller",
    [
        ([b"203.0.113.5"], "203.0.113.5"),
        ([b"1.1.1.1, 203.0.113.5"], "203.0.113.5"),
        ([b"1.1.1.1", b"203.0.113.5 "], "203.0.113.5"),
        ([b"1.1.1.1, 203.0.113.5, 10.9.9.9"], "203.0.113.5"),
        ([b"203.0.113.5:4711"], "203.0.113.5"),
        ([b"[2001:db8:1::7]:443"], "2001:db8:1::7"),
        ([b"2001:db8:1::7"], "2001:db8:1::7"),
        ([b"::ffff:203.0.113.5"], "203.0.113.5"),
        ([b"1.1.1.1, 2001:db8:5::1"], "1.1.1.1"),
        ([b"1.1.1.1, unknown"], PROXY),
        ([b"1.1.1.1, "], PROXY),
        ([b"\xff\xfe"], PROXY),
        ([], PROXY),
        ([b"10.0.0.1"], "10.0.0.1"),
        ([b",".join([b"10.0.0.1"] * 1000)], "10.0.0.1"),
    ],
)
def test_the_rightmost_that_is_no_proxy_of_ours_asks(said: list[bytes], caller: str) -> None:
    headers = [(b"x-forwarded-for", one) for one in said]

    assert PROXIES.caller(PROXY, headers) == caller
    assert PROXIES.caller("192.0.2.1", headers) == "192.0.2.1"
    assert Proxies().caller(PROXY, headers) == PROXY
    assert peer_of(caller)


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="does not appear"):
        Proxies("10.0.0.5, proxy.local")


def test_a_proxy_brings_as_many_connections_as_it_has(door: DoorUnderTest) -> None:
    limits = httpx.Limits(max_keepalive_connections=5)
    for peer, allowed in ((PROXY, [200] * 3), (STRANGER, [200, 429, 429])):
        transports = [httpx.HTTPTransport(local_address=peer, limits=limits) for _ in range(3)]
        clients = [httpx.Client(transport=one, trust_env=False, timeout=60) for one in transports]
        url = f"http://127.0.0.1:{door.port}/healthz"

        assert [client.get(url).status_code for client in clients] == allowed
        for client in clients:
            client.close()
