"""An admin takes a shop's database over on the page *Taking over*, step by step and back."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from orderkeep.testing import shared_shop
from orderkeep.testing.browser import NARROW, WIDE, Person, Shop, opened

API = re.compile(r"/office/v1/sources$")


@contextmanager
def a_shop(folder: Path) -> Iterator[Shop]:
    """An office beside a shop that hands its orders over through a database."""
    shared_shop.opens(folder)
    with opened(folder) as shop:
        yield shop


def takes(person: Person, button: str, reason: str, state: str) -> None:
    """A step with its reason; the page says where the source is then."""
    person.main.get_by_role("textbox").fill(reason)
    person.main.get_by_role("button", name=button, exact=True).click()
    expect(person.main.get_by_text(state, exact=True)).to_be_visible()
    assert person.fits()


def test_a_source_goes_live_and_back(tmp_path: Path) -> None:
    with a_shop(tmp_path) as shop, shop.person("admin", "ru", WIDE) as person:
        person.goes("/sources")
        expect(person.main.get_by_role("heading", name="shop")).to_be_visible()
        takes(person, "Только слушать", "первый шаг", "слушаем")
        takes(person, "Сравнивать", "всё понятно", "слушаем и сравниваем")
        person.main.get_by_role("textbox").fill("всё совпало")
        # Who else reads the database nobody can see: a person has to say it.
        expect(person.main.get_by_role("button", name="Начать приём")).to_be_disabled()
        person.main.get_by_role("checkbox").check()
        takes(person, "Начать приём", "прежний путь закрыт", "приём: заказы принимаем мы")

        shared_shop.sells(tmp_path)
        expect(person.main.get_by_text(re.compile("принято: *1"))).to_be_visible()
        takes(person, "Вернуть", "учения", "возвращена: прежнего получателя можно запускать")
        expect(person.main.get_by_text(re.compile("учения"))).to_be_visible()


@pytest.mark.parametrize(
    "language, empty, failed",
    [
        ("ru", "Действующие системы не настроены", "Не получилось загрузить"),
        ("en", "No present system is set up", "Could not load this"),
    ],
)
def test_the_page_says_that_there_is_none_and_that_it_failed(
    language: str, empty: str, failed: str, tmp_path: Path
) -> None:
    with opened(tmp_path) as shop, shop.person("admin", language, NARROW) as person:
        person.goes("/sources")
        expect(person.main.get_by_text(empty)).to_be_visible()

        def breaks(route: Route) -> None:
            route.fulfill(status=500, content_type="application/problem+json", body="{}")

        person.page.route(API, breaks)
        person.page.reload()
        expect(person.main.get_by_text(failed)).to_be_visible()
        person.page.unroute(API)
        person.main.get_by_role("alert").get_by_role("button").click()
        expect(person.main.get_by_text(empty)).to_be_visible()
