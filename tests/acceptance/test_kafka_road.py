"""The whole product over Kafka: on librdkafka's mock cluster, not on a real broker."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from orderkeep.adapters.kafka import TESTED
from orderkeep.testing.kafka_mock import KafkaMock
from orderkeep.testing.product import Keys, Product
from orderkeep.testing.shop import Shop, check, live_until_dead, running, until


@pytest.fixture
def cluster() -> Iterator[KafkaMock]:
    with KafkaMock() as running_cluster:
        yield running_cluster


def test_orders_are_accepted_without_the_cluster_and_go_on_when_it_is_back(
    cluster: KafkaMock, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with running(tmp_path, template, transport_url=cluster.url) as (product, mes):
        shop = Shop(product)
        assert product.start()
        until(shop.at_rest, "not every order came to rest")

        cluster.down()
        shop.wanted = 12
        shop.send_all()
        until(lambda: not connected(product), "nobody has seen that the cluster is gone")
        assert ask(product, "/readyz").status_code == 200
        cluster.up()

        until(shop.at_rest, "not every order came to rest")
        check(product, shop, mes.effects())
        assert product.verify()[0] == 0
        numbers = ask(product, "/metrics").text
        assert 'orderkeep_envelopes_total{place="quoting",what="received"}' in numbers
        assert 'orderkeep_broker_connected{link="publish"} 1.0' in numbers
        links = ask(product, "/readyz").json()["broker"]
        assert {link["tested"] for link in links.values()} == {TESTED}


def test_a_product_killed_between_its_inbox_and_the_offset_makes_every_order_once(
    cluster: KafkaMock, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with running(tmp_path, template, transport_url=cluster.url) as (product, mes):
        shop = Shop(product)
        product.start("transport.after_receive:kill@2")
        live_until_dead(product, shop, lambda: None)
        assert product.wait() == -9
        assert product.start()

        until(shop.at_rest, "not every order came to rest")
        check(product, shop, mes.effects())


def connected(product: Product) -> bool:
    broker = ask(product, "/readyz").json()["broker"]
    return all(link["connected_since"] for link in broker.values())


def ask(product: Product, path: str) -> httpx.Response:
    return httpx.get(product.office + path, trust_env=False, timeout=10)
