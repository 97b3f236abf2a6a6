"""A MES that says by itself how far it has come: read from its feed, or called back, and signed."""

import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from orderkeep.http.door.callbacks import sign
from orderkeep.testing.practice_mes import PracticeMesProcess
from orderkeep.testing.product import Gone, Keys, Product
from orderkeep.testing.shop import UNHURRIED, Shop, check, running, until

TRAY = "SELECT source, why FROM unknown_messages ORDER BY row"
SECRET = "a secret that only the MES knows"  # Of this test's own MES.


def call_back(
    product: Product,
    said: Any,
    *,
    secret: str = SECRET,
    seconds: int | None = None,
    event_id: str | None = None,
) -> httpx.Response:
    body = msgspec.json.encode(said)
    at = int(time.time()) if seconds is None else seconds
    headers = {"Orderkeep-Signature": f"t={at},v1={sign(secret, at, body)}"}
    if event_id is not None:
        headers["Event-Id"] = event_id
    return product.ask("POST", "/callbacks/mes", content=body, headers=headers)


def stages(shop: Shop) -> set[object]:
    return {shop.order(ref)["stage"] for ref in shop.receipts}


def asked(mes: PracticeMesProcess, op: str) -> int:
    return sum(1 for one in mes.entries() if one.kind == "request" and one.op == op)


def test_what_the_feed_tells_is_not_asked_for(template: tuple[Path, Keys], tmp_path: Path) -> None:
    flags = ("--autopilot", "--pace", "0.2")
    with running(tmp_path, template, *flags, floor=False, mes_changes="on", **UNHURRIED) as (
        product,
        mes,
    ):
        shop = Shop(product)
        product.start()

        until(lambda: shop.at_rest() and stages(shop) == {"SHIPPED"}, "it is not all shipped")

        assert asked(mes, "find") == 0
        check(product, shop, mes.effects())
        assert product.rows("SELECT count(*) FROM events WHERE kind = 'delivery.diverged'") == [
            (0,)
        ]


def test_a_word_that_nobody_knows_is_shown_and_not_dropped(
    template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with running(tmp_path, template, mes_changes="on") as (product, mes):
        shop = Shop(product, wanted=1)
        product.start()
        until(shop.at_rest, "the order does not rest")
        [made] = [one for one in mes.entries() if one.effect == "created"]

        mes.ask("POST", f"/api/orders/{made.mes_id}/status", json={"status": "GALVANIK"})

        until(
            lambda: product.rows("SELECT needs_person FROM orders") == [("diverged",)],
            "nobody is shown the word",
        )


def test_it_calls_back_and_each_word_has_its_effect_once(
    template: tuple[Path, Keys], tmp_path: Path
) -> None:
    far = {"mes_callback_secret": SECRET, **UNHURRIED}
    with running(tmp_path, template, floor=False, **far) as (product, mes):
        shop = Shop(product, wanted=1)
        product.start()
        until(shop.at_rest, "the order does not rest")
        said = {"id": "M-000001", "ref": shop.receipts["ref-0"], "status": "started"}

        answers = [call_back(product, said, event_id="e-1").status_code for _ in range(3)]
        other = call_back(product, {**said, "status": "completed"}, event_id="e-1")

        assert answers == [202, 202, 202]
        assert other.status_code == 202
        until(lambda: stages(shop) == {"MANUFACTURING_STARTED"}, "the word is not heard")
        # The same event with another body is nobody's word: a person looks at it.
        until(
            lambda: product.rows("SELECT count(*) FROM quarantine") == [(1,)],
            "the second body is not set aside",
        )
        started = "SELECT count(*) FROM events WHERE kind = 'order.started'"
        assert product.rows(started) == [(1,)]
        assert asked(mes, "find") == 0


def test_only_what_is_signed_now_and_with_the_secret_counts(
    template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with running(tmp_path, template, mes_callback_secret=SECRET) as (product, _):
        product.start()
        said = {"id": "M-1", "ref": "OK-000013", "status": "started"}

        wrong = call_back(product, said, secret="another")  # A wrong one.
        old = call_back(product, said, seconds=int(time.time()) - 3600)
        bare = product.ask("POST", "/callbacks/mes", content=b"{}")
        looked = product.ask("GET", "/callbacks/mes")
        stranger = call_back(product, {**said, "ref": "ERP-77"})

        refused = [wrong, old, bare, looked]
        assert [one.status_code for one in refused] == [401, 401, 401, 405]
        assert stranger.status_code == 202
        until(
            lambda: product.rows(TRAY) == [("mes", "unknown-order: ERP-77")],
            "what is not ours is not in the tray",
        )


def test_what_is_signed_and_means_nothing_is_kept_in_the_tray(
    template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with running(tmp_path, template, mes_callback_secret=SECRET) as (product, _):
        product.start()

        odd = [call_back(product, {"ref": "OK-000013"}), call_back(product, ["?"])]
        mute = call_back(product, {"id": "M-1", "ref": "OK-000013"})
        again = call_back(product, ["?"])

        assert [one.json() for one in (*odd, mute, again)] == [{"status": "not understood"}] * 4
        assert product.rows(TRAY) == [
            ("mes", "unreadable"), ("mes", "unreadable"), ("mes", "no-status"),
        ]  # fmt: skip


def test_without_a_secret_there_is_nothing_to_call_back(
    template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with running(tmp_path, template) as (product, _):
        product.start()

        assert call_back(product, {"id": "M-1", "ref": "OK-000013"}).status_code == 404


@pytest.mark.parametrize("name", ["callback.before_keep", "callback.after_keep"])
def test_killed_at_a_call_back_the_repeat_has_its_effect_once(
    name: str, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with running(tmp_path, template, mes_callback_secret=SECRET) as (product, mes):
        shop = Shop(product, wanted=1)
        product.start(f"{name}:kill@1")
        until(shop.at_rest, "the order does not rest")
        said = {"id": "M-000001", "ref": shop.receipts["ref-0"], "status": "started"}

        with pytest.raises(Gone):
            call_back(product, said, event_id="e-1")
        assert product.wait() == -9
        product.start()

        assert call_back(product, said, event_id="e-1").status_code == 202
        until(lambda: stages(shop) == {"MANUFACTURING_STARTED"}, "the word is not heard")
        assert product.rows("SELECT count(*) FROM events WHERE kind = 'order.started'") == [(1,)]
        check(product, shop, mes.effects())
