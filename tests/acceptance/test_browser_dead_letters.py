"""The screen of dead letters, played by support in both languages, by keys and on a phone."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Route, expect

from orderkeep.testing.browser import NARROW, WIDE, Person, Shop, opened

LETTERS = "/dead-letters"
API = re.compile(r"/office/v1/dead-letters$")


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with opened(tmp_path_factory.mktemp("letters")) as shop:
        yield shop


DIES_AGAIN = (
    "CREATE TRIGGER IF NOT EXISTS dies_again AFTER UPDATE OF dead_at ON inbox"
    " WHEN NEW.dead_at IS NULL BEGIN"
    " UPDATE inbox SET dead_at = OLD.dead_at, why = OLD.why WHERE row = NEW.row; END"
)
"""The cause is not mended: whatever is sent again is put aside again at once."""


def bury(
    shop: Shop, count: int, why: str = "Broken: at place 7", kind: str = "price.wanted"
) -> None:
    """Letters that died at their receiver, and will die there again."""
    path = shop.office.folder / "var" / "orderkeep.db"
    body = json.dumps({"order_no": "OK-999996", "version": 1})
    with closing(sqlite3.connect(path, timeout=30)) as raw, raw:
        raw.execute(DIES_AGAIN)
        for n in range(count):
            raw.execute(
                "INSERT INTO inbox (consumer, message_id, kind, schema_version, order_key, at,"
                " trace_id, body, received_at, attempts, next_at, dead_at, why)"
                " VALUES ('quoting', ?, ?, 1, 'OK-999996', 1760000000000000, ?, ?,"
                " 1760000000000000, 8, 0, 1760000000000000, ?)",
                (f"dead-{why}-{n}", kind, "0" * 32, body.encode(), why),
            )


def fits(person: Person) -> bool:
    """Whether nothing sticks out at the side."""
    return bool(person.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def press(person: Person, name: str) -> None:
    """A button, with the keyboard alone."""
    button = person.main.get_by_role("button", name=name, exact=True).first
    expect(button).to_be_enabled()
    button.focus()
    person.presses("Enter")


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_group_is_looked_at_tried_dry_sent_and_stops_by_itself(shop: Shop, width: int) -> None:
    bury(shop, 3)
    with shop.person("vera", width=width) as support:
        support.goes(LETTERS)
        support.sees("Broken: at place …", "3 letters", "1 order", "quoting · price.wanted")
        press(support, "Look at it")
        support.sees("Samples", "OK-999996")
        press(support, "Dry run")
        support.sees("Nothing has been done yet", re.compile("3 will be sent"))
        support.main.get_by_label("Why", exact=True).fill("the receiver was mended")
        press(support, "Send again")

        # The first letter dies again, and the others stay where they are.
        replays = support.main.get_by_role("list", name="Replays")
        expect(replays).to_contain_text("Stopped", timeout=30_000)
        expect(replays).to_contain_text("waiting: 2")
        replays.get_by_text("What was done").click()
        expect(replays).to_contain_text("vera · begun: the receiver was mended")
        expect(replays).to_contain_text("stopped by itself: a letter died again")
        assert fits(support)
        press(support, "Give up")
        expect(replays).to_contain_text("Given up")
        assert support.complaints == []


def test_an_edit_is_checked_compared_and_approved_by_somebody_else(shop: Shop) -> None:
    bury(shop, 1)
    with shop.person("vera", "ru") as support:
        support.goes(LETTERS)
        press(support, "Посмотреть")
        press(support, "Исправить")
        body = support.main.get_by_label("Содержимое (JSON)")
        body.fill('{"order_no": "OK-999996"}')
        press(support, "Проверить и сравнить")
        expect(support.main.get_by_role("alert")).to_contain_text("version")
        body.fill('{"order_no": "OK-999996", "version": 2}')
        press(support, "Проверить и сравнить")
        support.sees("Всё как должно быть", '-   "version": 1', '+   "version": 2')
        support.main.get_by_label("Почему", exact=True).fill("спросили не ту цену")
        press(support, "Запросить подтверждение")
        support.sees("Ждёт второго человека", "Подтвердить должен кто-то другой")
        expect(support.main.get_by_role("button", name="Подтвердить", exact=True)).to_be_disabled()
        assert fits(support)

    with shop.person("admin", "ru") as second:
        second.goes(LETTERS)
        press(second, "Подтвердить")
        expect(second.main.get_by_role("list", name="Повторные отправки")).to_contain_text(
            re.compile("Остановлена|Закончена"), timeout=30_000
        )
        second.main.get_by_text("Что делали").click()
        second.sees("admin · подтверждение")


def test_letters_are_parked_and_taken_up_again(shop: Shop) -> None:
    bury(shop, 2)
    with shop.person("vera") as support:
        support.goes(LETTERS)
        press(support, "Look at it")
        press(support, "Park")
        support.sees("Parked")
        press(support, "Take up again")
        expect(support.main.get_by_text("Parked", exact=True)).to_have_count(0)


@pytest.mark.parametrize(
    "language, empty, failed", [("en", "No dead letters", "again"), ("ru", "Отложенных", "ещё раз")]
)
def test_the_screen_says_that_it_is_empty_or_that_it_failed(
    shop: Shop, language: str, empty: str, failed: str
) -> None:
    with shop.person("vera", language) as support:
        support.goes(LETTERS)
        support.sees(empty)
        support.page.route(API, refuse)
        support.page.reload()
        expect(support.main.get_by_role("alert")).to_contain_text(re.compile(failed))


def refuse(route: Route) -> None:
    """The office cannot answer."""
    route.fulfill(status=500, content_type="application/problem+json", body='{"status": 500}')


def test_who_may_not_look_sees_nothing(shop: Shop) -> None:
    with shop.person("olga") as seller:
        seller.goes(LETTERS)
        seller.sees("Your role")
