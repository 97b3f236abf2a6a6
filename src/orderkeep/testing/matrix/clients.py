"""Partners who send orders whatever happens, ask again until they have a receipt, and keep it."""

import time
from collections.abc import Callable
from itertools import count
from random import Random
from threading import Event, Lock, Thread
from typing import Any, Self

import httpx

from orderkeep.testing.product import Product
from orderkeep.testing.shop import STL

PATIENCE_S = 5.0
"""How long a partner waits for an answer before it asks again."""
PAUSE_S, PACE_S = 0.2, 0.6
"""Before a partner asks again; before it sends its next order, at most."""
RECEIPTS_WITHIN_S = 150.0
FEWEST, MOST = 8, 24
"""Orders of a cell: as many as there is time for, between these."""
REPEATED = 0.2
"""How often a partner asks once more although it has its receipt."""


class Clients:
    """Three at once; ``receipts`` are the answers by the partner's own reference."""

    AT_ONCE = 3

    def __init__(self, product: Product, chance: Random, *, with_files: bool = False) -> None:
        self.receipts: dict[str, str] = {}
        self.complaints: list[str] = []
        self.turned_away = 0
        """How often somebody was told to come back."""
        self._product = product
        self._seed = chance.getrandbits(32)
        self._with_files = with_files
        self._most = MOST
        self._numbers, self._lock = count(), Lock()
        self._enough, self._gone = Event(), Event()
        self._threads = [Thread(target=self._live, args=(n,)) for n in range(self.AT_ONCE)]

    def __enter__(self) -> Self:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._gone.set()
        for one in self._threads:
            one.join()

    def wait_after(self, number: int) -> None:
        """Begin no more than so many orders, until more are let come."""
        self._most = number

    def let_come(self, number: int) -> None:
        """Let so many more orders come in."""
        self._most += number

    def more(self, number: int = 3) -> None:
        """Let so many more orders come in, and return once they have their receipts.

        Raises:
            TimeoutError: they have none.
        """
        wanted = len(self.receipts) + number
        self.let_come(number)
        ends = time.monotonic() + RECEIPTS_WITHIN_S
        while len(self.receipts) < wanted:
            if time.monotonic() > ends:
                raise TimeoutError("no orders come in")
            time.sleep(0.02)

    def finish(self) -> None:
        """Begin no more orders; return when each that was begun has its receipt.

        Raises:
            TimeoutError: one has none.
        """
        self._enough.set()
        ends = time.monotonic() + RECEIPTS_WITHIN_S
        for one in self._threads:
            one.join(max(0.0, ends - time.monotonic()))
            if one.is_alive():
                raise TimeoutError("a partner asks in vain for its receipt")

    # --- one partner ----------------------------------------------------------------------------

    def _live(self, place: int) -> None:
        chance = Random(f"{self._seed}:{place}")
        with httpx.Client(trust_env=False, timeout=PATIENCE_S) as http:
            while (n := self._next()) is not None:
                self._order(http, n, chance)
                self._gone.wait(PACE_S * chance.random())

    def _next(self) -> int | None:
        """The next order's number; waits when there are many; None when there are enough."""
        with self._lock:
            n = next(self._numbers)
        while n >= self._most and not self._enough.is_set():
            self._enough.wait(PAUSE_S)
        over = self._gone.is_set() or (self._enough.is_set() and n >= FEWEST)
        return None if over else n

    def _order(self, http: httpx.Client, n: int, chance: Random) -> None:
        item: dict[str, Any] = {"quantity": 1, "sku": "studs-ag"}
        if self._with_files and n % 3 == 0:
            uploaded = self._insist(http, "/v1/files?name=ring.stl", content=STL)
            item = {"quantity": 1, "material": "ag925", "file_id": (uploaded or {}).get("file_id")}
        body = {"client_ref": f"ref-{n}", "items": [item], "customer": {"name": "Anna"}}

        def ask() -> Any:
            return self._insist(http, "/v1/orders", json=body, key=f"key-{n}")

        answers = [ask()] + ([ask()] if chance.random() < REPEATED else [])
        for answer in filter(None, answers):
            first = self.receipts.setdefault(f"ref-{n}", answer["order_no"])
            if first != answer["order_no"]:
                self.complaints.append(f"S2: {first} and {answer['order_no']} for one key")

    def _insist(self, http: httpx.Client, path: str, key: str = "", **what: Any) -> Any:
        """Ask until there is an answer; None when nobody wants it any more."""
        headers = {"Authorization": f"Bearer {self._product.keys.partner}"}
        headers |= {"Idempotency-Key": key} if key else {}
        while not self._gone.is_set():
            answer = _tried(lambda: http.post(self._product.door + path, headers=headers, **what))
            if answer is not None and answer.status_code in {200, 201}:
                return answer.json()
            if answer is not None and answer.status_code < 500 and answer.status_code != 429:
                self.complaints.append(f"{answer.status_code} for {path}: {answer.text[:200]}")
                return None
            self.turned_away += answer is not None
            self._gone.wait(PAUSE_S)
        return None


def _tried(request: Callable[[], httpx.Response]) -> httpx.Response | None:
    try:
        return request()
    except httpx.TransportError:
        return None
