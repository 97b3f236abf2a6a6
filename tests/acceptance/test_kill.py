"""Kill -9 of the whole product at every failpoint of the road: nothing is lost, nothing twice."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import orderkeep.roles.run  # noqa: F401  # Every failpoint of the product registers itself.
from orderkeep.kernel.failpoints import FAILPOINTS
from orderkeep.kernel.ids import order_no
from orderkeep.testing.product import OPERATOR, Keys, Product
from orderkeep.testing.shop import Shop, check, live_until_dead, rests, running, until

ROAD = (
    "file.before_sync",
    "file.after_keep",
    "accept.before_commit",
    "accept.after_commit",
    "store.before_commit",
    "store.after_commit",
    "relay.after_lease",
    "transport.before_receive",
    "transport.after_receive",
    "relay.after_publish",
    "relay.after_mark",
    "inbox.before_handle",
    "inbox.after_handle",
    "quoting.after_take",
    "quoting.after_measure",
    "quoting.after_answer",
    "order.before_append",
    "order.after_append",
    "bridge.before_intent",
    "bridge.after_intent",
    "bridge.before_send",
    "bridge.after_send",
    "bridge.after_outcome",
    "bridge.after_look",
    "bridge.after_recall",
    "pace.before_keep",
    "pace.after_keep",
    "feed.before_keep",
    "feed.after_keep",
    "crm.before_intent",
    "crm.after_intent",
    "crm.before_send",
    "crm.after_send",
    "crm.after_outcome",
    "callback.before_keep",
    "callback.after_keep",
    "claim.before_commit",
    "claim.after_commit",
    "floor.before_step",
    "floor.after_step",
    "watch.after_tick",
    "balance.before_keep",
    "balance.after_keep",
    "reconcile.after_page",
    "reconcile.before_repair",
    "reconcile.after_repair",
    "lost.before_import",
    "lost.after_import",
    "lost.after_look",
    "replay.before_batch",
    "replay.after_batch",
    "source.before_keep",
    "source.after_keep",
    "source.after_ack",
    "source.before_settle",
    "source.after_settle",
)
ELSEWHERE = (
    *("floor.", "claim.", "callback.", "balance.", "reconcile.", "lost.", "replay.", "crm."),
    "source.",
)
"""Killed at in tests of their own: here, in ``test_kill_ledger``, ``test_mes_says`` and so on."""
PASSAGE = {"store.before_commit": 12, "store.after_commit": 15, "order.after_append": 4}
"""Which passage kills, where the first is too early to be interesting."""
FAULT = {
    "bridge.after_look": "reset-after:times=2",
    "pace.before_keep": "busy:times=3",
    "pace.after_keep": "busy:times=3",
}
"""What has to go wrong at the MES, so that a failpoint is reached."""


def test_the_road_names_every_failpoint_of_the_product() -> None:
    assert set(ROAD) == set(FAILPOINTS)


def nobody_acts() -> None:
    """Nothing but orders coming in."""


@pytest.mark.parametrize("name", [name for name in ROAD if not name.startswith(ELSEWHERE)])
def test_kill_at_a_failpoint_with_a_foreign_mes(
    name: str, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    faults = ("--fault", FAULT[name]) if name in FAULT else ()
    lead_time = "1s" if name == "watch.after_tick" else "21d"
    changes = "on" if name.startswith("feed.") else "off"
    with running(tmp_path, template, *faults, rules_lead_time=lead_time, mes_changes=changes) as (
        product,
        mes,
    ):
        shop = Shop(product, with_files=name.startswith(("file.", "quoting.")))

        product.start(f"{name}:kill@{PASSAGE.get(name, 1)}")
        act = _cancelling(shop) if name == "bridge.after_recall" else nobody_acts
        live_until_dead(product, shop, act)
        assert product.wait() == -9
        assert product.start()

        until(shop.at_rest, "not every order came to rest")
        check(product, shop, mes.effects())


def _cancelling(shop: Shop) -> Callable[[], None]:
    def act() -> None:
        no = shop.receipts["ref-1"]
        if rests(shop.order("ref-1")) and no not in shop.cancelled:
            shop.cancelled.add(no)
            shop.product.ask("POST", f"/v1/orders/{no}/cancel", json={"reason": "changed my mind"})

    return act


@pytest.mark.parametrize(
    "name", ["claim.before_commit", "claim.after_commit", "floor.before_step", "floor.after_step"]
)
def test_kill_at_a_failpoint_with_our_own_floor(
    name: str, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with running(tmp_path, template, floor=True) as (product, _):
        shop = Shop(product)

        product.start(f"{name}:kill@1")
        live_until_dead(product, shop, _working(product))
        assert product.wait() == -9
        assert product.start()

        until(shop.at_rest, "not every order came to rest")
        until(_made_one(product, shop, _working(product)), "nobody can go on working")
        check(product, shop, _on_the_floor(product))


def _working(product: Product) -> Callable[[], None]:
    def act() -> None:
        taken = product.act(OPERATOR, "/board/take-next")
        if taken.status_code != 200:
            return
        for row in product.rows("SELECT n FROM orders WHERE claim_operator IS NOT NULL"):
            _start(product, row[0])

    return act


def _start(product: Product, n: int) -> None:
    no = order_no(n)
    page = product.act(OPERATOR, f"/orders/{no}", method="GET").json()
    product.act(OPERATOR, f"/orders/{no}/start", {"version": page["order"]["version"]})


def _made_one(product: Product, shop: Shop, act: Callable[[], None]) -> Callable[[], bool]:
    def seen() -> bool:
        act()
        return any(shop.order(ref)["stage"] == "MANUFACTURING_STARTED" for ref in shop.receipts)

    return seen


def _on_the_floor(product: Product) -> Counter[str]:
    return Counter(one for (one,) in product.rows("SELECT reference FROM floor_work_orders"))
