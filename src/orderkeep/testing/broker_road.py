"""What the whole product has to do over any broker: the stories, told once for all of them."""

from collections.abc import Callable
from pathlib import Path

import httpx

from orderkeep.testing.product import Keys, Product
from orderkeep.testing.shop import Shop, check, live_until_dead, running, until

Template = tuple[Path, Keys]


def ask(product: Product, path: str) -> httpx.Response:
    """What the office answers to whoever is not signed in."""
    return httpx.get(product.office + path, trust_env=False, timeout=60)


def said(product: Product) -> str:
    """All that it has logged."""
    return (product.folder / "orderkeep.log").read_text(encoding="utf-8")


def connected(product: Product) -> bool:
    """Whether every link to the broker is up."""
    broker = ask(product, "/readyz").json()["broker"]
    return all(link["connected_since"] for link in broker.values())


def accepts_without_the_broker_and_goes_on_when_it_is_back(
    folder: Path,
    template: Template,
    url: str,
    down: Callable[[], None],
    up: Callable[[], None],
    also: Callable[[Product], None],
) -> None:
    """``also`` looks at the product once everything is well again."""
    with running(folder, template, transport_url=url) as (product, mes):
        shop = Shop(product)
        assert product.start()
        until(shop.at_rest, "not every order came to rest")

        down()
        shop.wanted = 12
        shop.send_all()
        until(lambda: not connected(product), "nobody has seen that the broker is gone")
        assert ask(product, "/readyz").status_code == 200
        up()

        until(shop.at_rest, "not every order came to rest")
        check(product, shop, mes.effects())
        assert product.verify()[0] == 0
        numbers = ask(product, "/metrics").text
        assert 'orderkeep_envelopes_total{place="quoting",what="received"}' in numbers
        assert 'orderkeep_broker_connected{link="publish"} 1.0' in numbers
        also(product)


def killed_between_its_inbox_and_the_answer_it_makes_every_order_once(
    folder: Path, template: Template, url: str
) -> None:
    """The answer is the ack, or the offset: the broker delivers again what was kept."""
    with running(folder, template, transport_url=url) as (product, mes):
        shop = Shop(product)
        product.start("transport.after_receive:kill@2")
        live_until_dead(product, shop, lambda: None)
        assert product.wait() == -9
        assert product.start()

        until(shop.at_rest, "not every order came to rest")
        check(product, shop, mes.effects())
