"""The whole product and a CRM that misbehaves: told of everything, in order, whoever is killed."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from orderkeep.http.door.callbacks import sign
from orderkeep.testing.crm_house import CRM, House
from orderkeep.testing.practice_mes import PracticeCrmProcess
from orderkeep.testing.product import HEAD, Keys, Product
from orderkeep.testing.shop import Shop, live_until_dead, running, until

SECRET = "a secret that only the CRM knows"  # Of this test's own CRM.
TRAY = "SELECT source, why FROM unknown_messages ORDER BY row"


@contextmanager
def house(
    folder: Path, template: tuple[Path, Keys], *faults: str, **settings: str
) -> Iterator[House]:
    flags = [flag for fault in faults for flag in ("--fault", fault)]
    with PracticeCrmProcess(folder / "crm.jsonl", *flags) as crm:
        far = {**CRM, "crm_url": crm.address, **settings}
        with running(folder, template, floor=True, **far) as (product, _):
            yield House(product, crm, Shop(product, wanted=4))


def test_each_order_is_told_of_in_its_sequence(template: tuple[Path, Keys], tmp_path: Path) -> None:
    with house(tmp_path, template) as one:
        one.product.start()

        until(one.told_all, "the CRM does not know all")

        one.check()
        exported = one.product.rows("SELECT DISTINCT state FROM crm_orders")
        assert exported == [("applied",)]


BEFORE = ("500", "502", "reset", "garbage", "html", "bad-json", "hang", "busy")
AFTER = ("500", "502", "reset", "garbage", "html", "bad-json", "hang", "truncated", "wrong-ref")


def test_whatever_goes_wrong_it_knows_all_in_the_end(
    template: tuple[Path, Keys], tmp_path: Path
) -> None:
    """Each fault in its turn, before the CRM has heard the news and after it."""
    kinds = [*(f"{kind}-before" for kind in BEFORE), *(f"{kind}-after" for kind in AFTER)]
    faults = [f"{kind}:nth={n},op=tell" for n, kind in enumerate(kinds, start=1)]
    with house(tmp_path, template, *faults) as one:
        one.product.start()

        until(one.told_all, "the CRM does not know all")

        assert {entry.fault for entry in one.crm.entries() if entry.fault} == set(kinds)
        one.check()


POINTS = (
    "crm.before_intent",
    "crm.after_intent",
    "crm.before_send",
    "crm.after_send",
    "crm.after_outcome",
)


def test_killed_at_each_failpoint_nothing_is_kept_from_it_or_overtaken(
    template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with house(tmp_path, template) as one:
        for name in POINTS:
            one.shop.wanted += 1  # An order that has news for this one.
            one.product.start(f"{name}:kill@2")
            live_until_dead(one.product, one.shop, lambda: None)
            assert one.product.wait() == -9
        assert one.product.start()

        until(one.told_all, "the CRM does not know all")

        one.check()


def test_killed_while_it_reads_commands_each_counts_once(
    template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with house(tmp_path, template) as one:
        one.shop.wanted = 2
        one.product.start()
        until(one.told_all, "the CRM does not know all")
        for n, name in enumerate(("feed.before_keep", "feed.after_keep")):
            one.product.signal(signal.SIGKILL)
            one.product.wait()
            no = one.shop.receipts[f"ref-{n}"]
            one.crm.decide(order_no=no, command="cancel", reason="changed my mind")
            one.crm.decide(order_no=no, command="dance")
            one.product.start(f"{name}:kill@1")
            until(lambda: one.product.dead, "the failpoint was not reached")
            one.product.wait()
            one.product.start()
            until(lambda: cancelled(one, n), "it is not cancelled")  # noqa: B023  # At once.

        asked = "SELECT count(*) FROM events WHERE kind IN ('order.cancel_requested')"
        until(lambda: len(one.product.rows(TRAY)) == 2, "nonsense is not in the tray")
        assert one.product.rows(TRAY) == [("crm", "unknown-command: dance")] * 2
        assert one.product.rows(asked) == [(2,)]
        until(one.told_all, "the CRM does not know all")


def cancelled(one: House, n: int) -> bool:
    return one.shop.order(f"ref-{n}")["stage"] == "CANCELLED"


def call_back(product: Product, said: object, event_id: str | None = None) -> httpx.Response:
    body, at = msgspec.json.encode(said), int(time.time())
    headers = {"Orderkeep-Signature": f"t={at},v1={sign(SECRET, at, body)}"}
    if event_id is not None:
        headers["Event-Id"] = event_id
    return product.ask("POST", "/callbacks/crm", content=body, headers=headers)


def test_its_people_cancel_by_a_call_back_once_and_nonsense_is_kept(
    template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with house(tmp_path, template, crm_callback_secret=SECRET) as one:
        one.product.start()
        until(one.told_all, "the CRM does not know all")
        no = one.shop.receipts["ref-1"]

        cancel = {"order_no": no, "command": "cancel", "reason": "changed my mind"}
        said = [call_back(one.product, cancel, "E-1").json() for _ in range(3)]
        odd = call_back(one.product, {"hello": 1}, "E-2")
        unsigned = one.product.ask("POST", "/callbacks/crm", content=b"{}")

        assert said == [{"status": "kept"}] * 3
        assert odd.json() == {"status": "not understood"}
        assert unsigned.status_code == 401
        until(lambda: one.shop.order("ref-1")["stage"] == "CANCELLED", "it is not cancelled")
        asked = "SELECT actor_kind, command FROM events WHERE kind = 'order.cancel_requested'"
        assert one.product.rows(asked) == [("crm", "cancel:E-1")]
        until(one.told_all, "the CRM does not know that it is cancelled")
        one.check()


def test_paused_or_away_it_costs_orders_nothing_and_hears_everything_afterwards(
    template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with house(tmp_path, template) as one:
        one.product.start()
        paused = one.product.act(HEAD, "/destinations/crm/pause", {"reason": "stocktaking"})
        assert paused.status_code == 200, paused.text
        until(one.shop.at_rest, "orders do not go on without the CRM")

        # The MES and the CRM hear of an order each in their own time.
        until(lambda: said_of_crm(one, "waiting") == 4, "not all news waits")
        assert said_of_crm(one, "condition") == "paused"
        assert [entry for entry in one.crm.entries() if entry.op == "tell"] == []
        one.crm.kill()
        one.product.act(HEAD, "/destinations/crm/resume", {"reason": "done"})
        until(lambda: said_of_crm(one, "condition") == "away", "nobody has seen that it is away")
        states = "SELECT DISTINCT state, attempts FROM crm_orders"
        until(lambda: one.product.rows(states) == [("pending", 0)], "it costs attempts")
        one.crm.start()

        until(one.told_all, "the CRM does not know all")
        one.check()


def said_of_crm(one: House, what: str) -> Any:
    items = one.product.act(HEAD, "/destinations", method="GET").json()["items"]
    return next(item[what] for item in items if item["name"] == "crm")
