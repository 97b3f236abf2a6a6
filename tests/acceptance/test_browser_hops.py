"""The way of an order's messages on its page: every hop with its time, over a real RabbitMQ."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import expect

from orderkeep.testing.browser import WIDE, Shop, opened
from orderkeep.testing.rabbitmq_node import RabbitNode
from orderkeep.testing.shop import until

PLACES = (
    ("published", "work_order.wanted"),
    ("confirmed", "work_order.wanted"),
    ("delivered", "bridge"),
    ("received", "bridge"),
    ("handled", "price.wanted"),
)
HOPS = ("publish", "confirm", "receive", "handle")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("hops")
    with RabbitNode(plugins=()) as node, opened(folder, transport_url=node.url) as shop:
        yield shop


@pytest.mark.parametrize(
    "language, name, words",
    [
        (
            "en",
            "Messages between systems",
            ("Broker", "Request to make it · handed over", "Request to make it · handled"),
        ),
        (
            "ru",
            "Сообщения между системами",
            ("Брокер", "Просьба сделать · передан", "Просьба сделать · обработан"),
        ),
    ],
)
def test_every_hop_over_the_broker_is_shown_within_the_panel(
    shop: Shop, language: str, name: str, words: tuple[str, ...]
) -> None:
    with shop.person("olga") as seller:
        order_no = shop.approved(seller)
    with shop.person("admin", language, WIDE) as admin:
        admin.opens(order_no, "hops")
        panel = admin.main.get_by_role("region", name=name)

        for word in words:
            expect(panel.get_by_text(word).first).to_be_attached()
        admin.stands_still()
        assert panel.evaluate("one => one.scrollWidth - one.clientWidth") <= 0
        # Nothing is written beyond the edge, where it could not be read.
        assert (
            panel.evaluate("""one => {
            const edge = one.querySelector('svg').getBoundingClientRect()
            return [...one.querySelectorAll('svg text')].filter((text) => {
                const box = text.getBoundingClientRect()
                return box.right > edge.right + 1 || box.left < edge.left - 1
            }).map((text) => text.textContent)
        }""")
            == []
        )


def test_every_hop_is_counted_and_timed(shop: Shop) -> None:
    with shop.person("olga") as seller:
        shop.approved(seller)

    wanted = {
        *(f'orderkeep_envelopes_total{{place="{place}",what="{what}"}}' for what, place in PLACES),
        *(f'orderkeep_hop_seconds_count{{hop="{hop}",kind="price.wanted"}}' for hop in HOPS),
    }
    # The broker may say that it has a message when that has been handled already.
    until(lambda: not uncounted(shop, wanted), f"not counted: {uncounted(shop, wanted)}")


def uncounted(shop: Shop, wanted: set[str]) -> set[str]:
    told = httpx.get(f"{shop.office.address}/metrics", trust_env=False, timeout=60).text
    return {one for one in wanted if one not in told}
