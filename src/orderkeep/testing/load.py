"""Partners who send orders without a pause, on open connections and on new ones."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

DEADLINE_S = 150.0
PAUSE_S = 0.02
"""Between two orders of a sender: the processes under load share the machine with it."""


@dataclass
class Load:
    """What was sent, and what came of it; each sender adds to it from a thread of its own."""

    receipts: dict[str, str] = field(default_factory=dict)
    """The order's number by the reference it was sent under."""
    failures: list[str] = field(default_factory=list)
    """Every request that was not answered with a receipt, and how."""
    repeated: int = 0
    """How many were sent again, under the same key."""

    def __post_init__(self) -> None:
        self._over = threading.Event()

    def wait_for(self, more: int) -> None:
        """Return when so many more receipts are there."""
        wanted, ends = len(self.receipts) + more, threading.Event()
        for _ in range(int(DEADLINE_S / 0.02)):
            if len(self.receipts) >= wanted:
                return
            ends.wait(0.02)
        raise AssertionError(f"no {more} more receipts: {self.failures[:3]}")

    def send(self, address: str, key: str, name: str, *, anew: bool, again: bool) -> None:
        """Send one order after the other until the load is over.

        Args:
            address: where the door is.
            key: the partner's.
            name: what the references begin with.
            anew: on a new connection each time, not on one that stays open.
            again: send what failed once more, under its own key.
        """
        headers = {"Authorization": f"Bearer {key}"}
        limits = httpx.Limits(max_keepalive_connections=0 if anew else 1)
        with httpx.Client(
            base_url=address, headers=headers, limits=limits, trust_env=False, timeout=DEADLINE_S
        ) as client:
            number = 0
            while not self._over.wait(PAUSE_S):
                ref = f"{name}-{number}"
                if self._sent(client, ref) or not again:
                    number += 1
                else:
                    self.repeated += 1

    def _sent(self, client: httpx.Client, ref: str) -> bool:
        body = {
            "client_ref": ref,
            "items": [{"quantity": 1, "sku": "studs-ag"}],
            "customer": {"name": "Anna"},
        }
        try:
            answer = client.post("/v1/orders", json=body, headers={"Idempotency-Key": ref})
        except httpx.TransportError as error:
            self.failures.append(f"{ref}: {error!r}")
            return False
        if answer.status_code not in {200, 201}:
            self.failures.append(f"{ref}: {answer.status_code} {answer.text}")
            return False
        self.receipts[ref] = answer.json()["order_no"]
        return True

    def end(self) -> None:
        """Have every sender stop after the order it is sending."""
        self._over.set()


@contextmanager
def under_load(address: str, key: str, name: str, *, again: bool = False) -> Iterator[Load]:
    """Two senders on open connections and two on new ones, until the block ends.

    ``name`` is what all references begin with: no other load of this partner may have it.
    """
    load = Load()
    senders = [
        threading.Thread(
            target=load.send,
            args=(address, key, f"{name}-{n}"),
            kwargs={"anew": n >= 2, "again": again},
        )
        for n in range(4)
    ]
    for sender in senders:
        sender.start()
    try:
        yield load
    finally:
        load.end()
        for sender in senders:
            sender.join()
