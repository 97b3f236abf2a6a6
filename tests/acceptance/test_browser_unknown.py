"""The tray of unknown messages, worked through by support in both languages and on a phone."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Route, expect

from orderkeep.testing.browser import NARROW, WIDE, Shop, opened

TRAY = "/unknown"
API = re.compile(r"/office/v1/unknown\?")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with opened(tmp_path_factory.mktemp("tray")) as shop:
        yield shop


@pytest.fixture
def shop(house: Shop) -> Shop:
    tell(house, "DELETE FROM unknown_messages")
    return house


def tell(shop: Shop, statement: str, *values: object) -> None:
    path = shop.office.folder / "var" / "orderkeep.db"
    with closing(sqlite3.connect(path, timeout=30)) as raw, raw:
        raw.execute(statement, values)


def comes_in(shop: Shop, name: str, body: str, why: str) -> None:
    """A message that nobody understands, as the bridge keeps it."""
    tell(
        shop,
        "INSERT INTO unknown_messages"
        " (source, message_id, body_sha256, received_at, why, body, size_bytes, headers, state)"
        " VALUES ('crm', ?, '', 1760000000000000, ?, ?, ?, '{}', 'open')",
        name, why, body.encode(), len(body.encode()),
    )  # fmt: skip


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_message_is_read_and_given_to_its_order(shop: Shop, width: int) -> None:
    comes_in(shop, "D-7", '{"command": "dance", "note": "<b>bold</b>"}', "unknown-command: dance")
    with shop.person("olga") as seller:
        no = shop.order(seller)
    with shop.person("vera", width=width) as support:
        support.goes(TRAY)
        support.sees("no command that we know: “dance”", "from CRM", "D-7", "<b>bold</b>")
        assert support.fits()
        support.strikes("Give to an order")
        expect(support.dialog.get_by_label("Order number")).to_be_focused()
        support.dialog.get_by_label("Order number").fill(no)
        support.dialog.get_by_label("Note for the order").fill("they want it sooner")
        support.dialog.get_by_role("button", name="Done").click()

        support.sees("Everything was understood")
        support.strikes("Given to an order 1")
        support.sees(no, "vera", "they want it sooner")
        support.opens(no)
        support.sees("they want it sooner (crm #")
        assert support.complaints == []


def test_a_message_is_put_aside_with_a_reason_and_taken_up_again(shop: Shop) -> None:
    comes_in(shop, "D-8", "<html>", "unreadable")
    with shop.person("vera", "ru") as support:
        support.goes(TRAY)
        support.sees("не читается", "источник: CRM", "<html>")
        support.strikes("Отложить")
        support.dialog.get_by_label("Почему").fill("их проверка связи")
        support.dialog.get_by_role("button", name="Готово").click()

        support.sees("Всё понято")
        support.strikes("Отложены 1")
        support.sees("их проверка связи")
        support.strikes("Вернуть в работу")
        support.dialog.get_by_label("Почему").fill("всё-таки заказ")
        support.dialog.get_by_role("button", name="Готово").click()
        support.strikes("Открытые 1")
        support.sees("не читается")
        assert support.fits()


def test_an_order_that_does_not_exist_is_refused_and_the_message_stays(shop: Shop) -> None:
    comes_in(shop, "D-9", "?", "unreadable")
    with shop.person("vera") as support:
        support.goes(TRAY)
        support.strikes("Give to an order")
        support.dialog.get_by_label("Order number").fill("OK-999996")
        support.dialog.get_by_label("Note for the order").fill("whose is it")
        support.dialog.get_by_role("button", name="Done").click()

        expect(support.dialog).to_be_visible()
        support.page.keyboard.press("Escape")
        support.sees("cannot be read", "Open 1")


@pytest.mark.parametrize(
    "language, empty, failed",
    [("en", "Everything was understood", "again"), ("ru", "Всё понято", "ещё раз")],
)
def test_the_screen_says_that_it_is_empty_loading_or_that_it_failed(
    shop: Shop, language: str, empty: str, failed: str
) -> None:
    with shop.person("vera", language) as support:
        support.goes(TRAY)
        support.sees(empty)
        held: list[Route] = []

        def hold(route: Route) -> None:
            held.append(route)

        support.page.route(API, hold)
        support.page.reload()
        expect(support.main.get_by_role("status").first).to_be_visible()
        support.waits(lambda: held)
        refuse(held[0])
        support.page.unroute(API)
        support.page.route(API, refuse)
        expect(support.main.get_by_role("alert")).to_contain_text(re.compile(failed))


def refuse(route: Route) -> None:
    """The office cannot answer."""
    route.fulfill(status=500, content_type="application/problem+json", body='{"status": 500}')


def test_who_may_only_look_is_offered_nothing_and_a_seller_does_not_see_it(shop: Shop) -> None:
    comes_in(shop, "D-10", "?", "unreadable")
    with shop.person("nikolai") as head:
        head.goes(TRAY)
        head.sees("cannot be read")
        expect(head.main.get_by_role("button", name="Put aside", exact=True)).to_have_count(0)
    with shop.person("olga") as seller:
        seller.goes(TRAY)
        seller.sees("Your role")
