"""The whole product over a RabbitMQ: the broker goes and comes, and every order is made."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from orderkeep.kernel.ids import order_n
from orderkeep.testing.product import Keys, Product
from orderkeep.testing.rabbitmq_node import RabbitNode
from orderkeep.testing.shop import Shop, check, live_until_dead, running, until


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    with RabbitNode() as running_node:
        yield running_node


def test_orders_are_accepted_without_the_broker_and_go_on_when_it_is_back(
    node: RabbitNode, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with running(tmp_path, template, transport_url=node.url) as (product, mes):
        shop = Shop(product)
        assert product.start()
        until(shop.at_rest, "not every order came to rest")

        node.stop()
        shop.wanted = 12
        shop.send_all()
        until(lambda: not connected(product), "nobody has seen that the broker is gone")
        assert ask(product, "/readyz").status_code == 200
        node.start()

        until(shop.at_rest, "not every order came to rest")
        check(product, shop, mes.effects())
        assert product.verify()[0] == 0
        numbers = ask(product, "/metrics").text
        assert 'orderkeep_envelopes_total{place="quoting",what="received"}' in numbers
        assert 'orderkeep_broker_connected{link="publish"} 1.0' in numbers
        assert node.password not in said(product) + numbers + ask(product, "/readyz").text


def test_a_broker_that_hangs_is_not_waited_for_by_anybody_who_orders(
    node: RabbitNode, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    """Counted, not timed: every order is answered while the broker answers nobody."""
    with running(tmp_path, template, transport_url=node.url) as (product, mes):
        shop = Shop(product)
        assert product.start()
        until(shop.at_rest, "not every order came to rest")
        node.pause()
        try:
            shop.wanted = 20
            shop.send_all()
            assert len(shop.receipts) == 20
            waiting = "SELECT count(*) FROM outbox WHERE sent_at IS NULL"
            assert product.rows(waiting) == [(14,)]
        finally:
            node.resume()

        until(shop.at_rest, "not every order came to rest")
        check(product, shop, mes.effects())


def test_what_was_published_is_what_the_mes_has_made_and_one_trace_leads_there(
    node: RabbitNode, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    """Our rows, the broker's own books and the MES's journal say the same."""
    asked = node.management_url
    with running(tmp_path, template, transport_url=node.url, broker_management_url=asked) as (
        product,
        mes,
    ):
        shop = Shop(product)
        assert product.start()
        until(shop.at_rest, "not every order came to rest")

        wanted = "SELECT count(*), min(answer) FROM outbox WHERE kind = 'work_order.wanted'"
        assert product.rows(wanted) == [(len(shop.receipts), "confirmed")]
        assert sorted(mes.effects().values()) == [1] * len(shop.receipts)
        handled = "SELECT count(*) FROM outbox WHERE id IN (SELECT message_id FROM inbox)"
        until(lambda: product.rows(handled) == product.rows("SELECT count(*) FROM outbox"), "lost")
        # From the request to the MES's answer, over the broker both ways.
        for no in shop.receipts.values():
            traces = (
                f"SELECT trace_id FROM events WHERE order_n = {order_n(no)}"
                f" UNION SELECT trace_id FROM outbox WHERE order_key = '{no}'"
                f" UNION SELECT trace_id FROM inbox WHERE order_key = '{no}'"
            )
            assert len(product.rows(traces)) == 1, no
        assert product.verify()[0] == 0
        flows = [line for line in ask(product, "/metrics").text.splitlines() if "_flow_" in line]
        assert "orderkeep_flow_differences 0.0" in flows
        assert ask(product, "/readyz").json()["broker_drift"] == []


def test_a_product_killed_between_its_inbox_and_the_ack_makes_every_order_once(
    node: RabbitNode, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with running(tmp_path, template, transport_url=node.url) as (product, mes):
        shop = Shop(product)
        product.start("transport.after_receive:kill@2")
        live_until_dead(product, shop, lambda: None)
        assert product.wait() == -9
        assert product.start()

        until(shop.at_rest, "not every order came to rest")
        check(product, shop, mes.effects())


def test_a_wrong_password_stops_no_order_from_coming_in_and_is_told_nobody(
    node: RabbitNode, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    url = f"amqp://maker:not-the-secret@127.0.0.1:{node.port}/"
    with running(tmp_path, template, transport_url=url) as (product, _):
        shop = Shop(product)
        assert product.start()
        shop.send_all()
        until(lambda: "ACCESS_REFUSED" in said(product), "nobody was told what is wrong")

        assert not connected(product)
        assert "not-the-secret" not in said(product) + ask(product, "/readyz").text


def connected(product: Product) -> bool:
    broker = ask(product, "/readyz").json()["broker"]
    return all(link["connected_since"] for link in broker.values())


def ask(product: Product, path: str) -> httpx.Response:
    return httpx.get(product.office + path, trust_env=False, timeout=10)


def said(product: Product) -> str:
    return (product.folder / "orderkeep.log").read_text(encoding="utf-8")
