"""The whole product over Kafka: on librdkafka's mock cluster, not on a real broker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orderkeep.adapters.kafka import TESTED
from orderkeep.testing.broker_road import (
    accepts_without_the_broker_and_goes_on_when_it_is_back,
    ask,
    killed_between_its_inbox_and_the_answer_it_makes_every_order_once,
)
from orderkeep.testing.kafka_mock import KafkaMock
from orderkeep.testing.product import Keys, Product


@pytest.fixture
def cluster() -> Iterator[KafkaMock]:
    with KafkaMock() as running_cluster:
        yield running_cluster


def test_orders_are_accepted_without_the_cluster_and_go_on_when_it_is_back(
    cluster: KafkaMock, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    def says_what_it_was_tested_on(product: Product) -> None:
        links = ask(product, "/readyz").json()["broker"]
        assert {link["tested"] for link in links.values()} == {TESTED}

    accepts_without_the_broker_and_goes_on_when_it_is_back(
        tmp_path, template, cluster.url, cluster.down, cluster.up, says_what_it_was_tested_on
    )


def test_a_product_killed_between_its_inbox_and_the_offset_makes_every_order_once(
    cluster: KafkaMock, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    killed_between_its_inbox_and_the_answer_it_makes_every_order_once(
        tmp_path, template, cluster.url
    )
