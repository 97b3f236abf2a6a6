"""The whole product over a RabbitMQ: the broker goes and comes, and every order is made."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from orderkeep.testing.product import Keys, Product
from orderkeep.testing.rabbitmq_node import RabbitNode
from orderkeep.testing.shop import Shop, check, live_until_dead, running, until


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitNode]:
    with RabbitNode(plugins=()) as running_node:
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
