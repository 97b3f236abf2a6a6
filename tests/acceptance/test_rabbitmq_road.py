"""The whole product over a RabbitMQ: the broker goes and comes, and every order is made."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orderkeep.intake import sentences as say
from orderkeep.kernel.ids import order_n
from orderkeep.testing.broker_road import (
    accepts_without_the_broker_and_goes_on_when_it_is_back,
    ask,
    connected,
    killed_between_its_inbox_and_the_answer_it_makes_every_order_once,
    said,
)
from orderkeep.testing.certificates import Authority
from orderkeep.testing.product import Keys, Product
from orderkeep.testing.rabbitmq_node import RabbitNode
from orderkeep.testing.shop import Shop, check, running, until


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def node(authority: Authority) -> Iterator[RabbitNode]:
    shown = authority.sign("broker")
    running_node = RabbitNode(tls=True)
    running_node.show(shown.certificate, shown.key)
    with running_node:
        yield running_node


def test_orders_are_accepted_without_the_broker_and_go_on_when_it_is_back(
    node: RabbitNode, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    def tells_no_password(product: Product) -> None:
        told = said(product) + ask(product, "/metrics").text + ask(product, "/readyz").text
        assert node.password not in told

    accepts_without_the_broker_and_goes_on_when_it_is_back(
        tmp_path, template, node.url, node.stop, node.start, tells_no_password
    )


def test_a_broker_that_hangs_is_not_waited_for_by_anybody_who_orders(
    node: RabbitNode, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    """Counted, not timed: every order is answered while the broker answers nobody."""
    with running(tmp_path, template, transport_url=node.url) as (product, mes):
        shop = Shop(product)
        assert product.start()
        until(shop.at_rest, "not every order came to rest")
        waiting = "SELECT count(*) FROM outbox WHERE sent_at IS NULL"
        # An order rests when the MES has it; what told it so may be confirmed a moment later.
        until(lambda: product.rows(waiting) == [(0,)], "something was never confirmed")
        node.pause()
        try:
            shop.wanted = 20
            shop.send_all()
            assert len(shop.receipts) == 20
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
        # It is counted once a minute, the first time while the first orders come in.
        none = "\norderkeep_flow_differences 0.0\n"
        until(lambda: none in ask(product, "/metrics").text, "a difference that nobody can explain")
        assert ask(product, "/readyz").json()["broker_drift"] == []


def test_a_product_killed_between_its_inbox_and_the_ack_makes_every_order_once(
    node: RabbitNode, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    killed_between_its_inbox_and_the_answer_it_makes_every_order_once(tmp_path, template, node.url)


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


def test_a_broker_that_cannot_be_believed_stops_no_order_from_coming_in(
    node: RabbitNode, authority: Authority, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(Authority(tmp_path, "stranger").file.read_bytes())
    opened = running(
        tmp_path,
        template,
        transport_url=node.tls_url,
        broker_management_url=node.management_tls_url,
        rabbitmq_ca_file=str(trusted),
    )
    with opened as (product, mes):
        shop = Shop(product)
        assert product.start()
        shop.send_all()
        until(lambda: say.CERTIFICATE_STRANGE() in said(product), "nobody was told what is wrong")
        assert len(shop.receipts) == shop.wanted
        assert not connected(product)
        assert ask(product, "/readyz").status_code == 200

        trusted.write_bytes(authority.file.read_bytes())

        until(shop.at_rest, "not every order came to rest")
        check(product, shop, mes.effects())
        told = said(product) + ask(product, "/metrics").text + ask(product, "/readyz").text
        assert node.password not in told
