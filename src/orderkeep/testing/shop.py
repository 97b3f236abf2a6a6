"""A partner and a MES around the whole product, and what has to hold whatever was done to it."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from orderkeep.practice.rings import ring
from orderkeep.testing.practice_mes import PracticeMesProcess
from orderkeep.testing.product import Gone, Keys, Product, copy

ARRIVED = {"confirmed", "received", "applied"}
ORDERS = 6
DEADLINE_S = 150.0
STL = ring("band", 1, triangles=200)
MES = {
    "mes": "http",
    "mes_visibility_lag": "400ms",
    "mes_poll": "300ms",
    "mes_pause": "200ms",
    "mes_recall": "on",
    "mes_connect_timeout": "1s",
    "mes_read_timeout": "1s",
    "mes_total_timeout": "2s",
}
UNHURRIED = {"mes_read_timeout": "5s", "mes_total_timeout": "8s"}
"""Where the MES counts its calls: one that we gave up too early is still under way there."""


@dataclass
class Shop:
    """A partner that sends orders until each is answered, and remembers the answers."""

    product: Product
    receipts: dict[str, str] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    files: dict[int, str] = field(default_factory=dict)
    wanted: int = ORDERS
    with_files: bool = False

    def send_all(self) -> None:
        """Send what has no answer yet, each under its own key.

        Raises:
            Gone: the product died.
        """
        for n in range(self.wanted):
            if f"ref-{n}" not in self.receipts:
                self._send(n)

    def _send(self, n: int) -> None:
        item: dict[str, object] = {"quantity": 1, "sku": "studs-ag"}
        if self.with_files and n % 3 == 0:
            item = {"quantity": 1, "material": "ag925", "file_id": self._file(n)}
        body = {"client_ref": f"ref-{n}", "items": [item], "customer": {"name": "Anna"}}
        headers = {"Idempotency-Key": f"key-{n}"}
        answer = self.product.ask("POST", "/v1/orders", json=body, headers=headers)
        assert answer.status_code in {200, 201}, answer.text
        self.receipts[f"ref-{n}"] = answer.json()["order_no"]

    def _file(self, n: int) -> str:
        if n not in self.files:
            answer = self.product.ask("POST", "/v1/files?name=ring.stl", content=STL)
            assert answer.status_code in {200, 201}, answer.text
            self.files[n] = answer.json()["file_id"]
        return self.files[n]

    def order(self, ref: str) -> dict[str, object]:
        """What the partner is shown.

        Raises:
            Gone: the product died.
        """
        answer = self.product.ask("GET", f"/v1/orders/{self.receipts[ref]}")
        assert answer.status_code == 200, f"{ref} is lost: {answer.text}"
        shown: dict[str, object] = answer.json()
        assert shown["client_ref"] == ref
        return shown

    def at_rest(self) -> bool:
        """Whether every order is where it stays without anybody's help."""
        self.send_all()
        return all(rests(self.order(ref)) for ref in list(self.receipts))


def rests(order: dict[str, object]) -> bool:
    """Whether the MES has it, or it is cancelled."""
    delivery = order["delivery"]
    state = delivery["mes"] if isinstance(delivery, dict) else None
    return order["stage"] == "CANCELLED" or state in ARRIVED


def until(seen: Callable[[], bool], what: str, within_s: float = DEADLINE_S) -> None:
    """Look again and again, with a deadline."""
    ends = time.monotonic() + within_s
    while not seen():
        assert time.monotonic() < ends, f"never: {what}"
        time.sleep(0.05)


@contextmanager
def running(
    folder: Path, template: tuple[Path, Keys], *flags: str, floor: bool = False, **settings: str
) -> Iterator[tuple[Product, PracticeMesProcess]]:
    """A fresh product, not started yet, and the MES it works for."""
    path, keys = template
    copy(path, folder / "product")
    with PracticeMesProcess(folder / "journal.jsonl", "--lag", "0.2", *flags) as mes:
        far = {} if floor else {**MES, "mes_url": mes.address}
        with Product(folder / "product", keys, **{**far, **settings}) as product:
            yield product, mes


def live_until_dead(product: Product, shop: Shop, act: Callable[[], None]) -> None:
    """Send orders and work on them until the process dies of its failpoint."""
    try:
        until(lambda: _busy(shop, act, product), "the failpoint was not reached")
    except Gone:
        until(lambda: product.dead, "no answer, and not dead")


def _busy(shop: Shop, act: Callable[[], None], product: Product) -> bool:
    shop.send_all()
    act()
    return product.dead


def check(product: Product, shop: Shop, effects: Counter[str]) -> None:
    """The promise, told by the MES's own journal and by the tables."""
    numbers = Counter(shop.receipts.values())
    assert max(numbers.values()) == 1, "one number for two orders"
    for ref, no in shop.receipts.items():
        stage = shop.order(ref)["stage"]
        made = effects.pop(no, 0)
        assert made == 1 or (stage == "CANCELLED" and made <= 1), f"{no} is made {made} times"
    assert not effects, f"ghosts: {effects}"
    gaps = product.rows(
        "SELECT order_n FROM events GROUP BY order_n HAVING max(seq) <> count(*) OR min(seq) <> 1"
    )
    assert not gaps
    assert product.rows("SELECT count(*) FROM orders") == [(len(shop.receipts),)]
    code, report = product.verify()
    assert code == 0, report
