"""The screen of dead letters, played by support in both languages, by keys and on a phone."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Route, expect

from orderkeep.delivery.dead_letters import Source, fingerprint_of
from orderkeep.kernel.ids import order_n
from orderkeep.orders.messages import FLOOR_WORD
from orderkeep.testing.browser import NARROW, WIDE, Shop, opened

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
        group = fingerprint_of(Source.INBOX, "quoting", kind, why)
        for n in range(count):
            raw.execute(
                "INSERT INTO inbox (consumer, message_id, kind, schema_version, order_key, at,"
                " trace_id, body, received_at, attempts, next_at, dead_at, why, fingerprint)"
                " VALUES ('quoting', ?, ?, 1, 'OK-999996', 1760000000000000, ?, ?,"
                " 1760000000000000, 8, 0, 1760000000000000, ?, ?)",
                (f"dead-{why}-{n}", kind, "0" * 32, body.encode(), why, group),
            )


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_group_is_looked_at_tried_dry_sent_and_stops_by_itself(shop: Shop, width: int) -> None:
    bury(shop, 3)
    with shop.person("vera", width=width) as support:
        support.goes(LETTERS)
        support.sees("Broken: at place …", "3 letters", "1 order", "Pricing · Price question")
        support.strikes("Look at it")
        support.sees("Samples", "OK-999996")
        support.strikes("Dry run")
        support.sees("Nothing has been done yet", re.compile("3 will be sent"))
        support.main.get_by_label("Why", exact=True).fill("the receiver was mended")
        support.strikes("Send again")

        # The first letter dies again, and the others stay where they are.
        replays = support.main.get_by_role("list", name="Replays")
        expect(replays).to_contain_text("Stopped")
        expect(replays).to_contain_text("waiting: 2")
        replays.get_by_text("What was done").click()
        expect(replays).to_contain_text("vera · begun: the receiver was mended")
        expect(replays).to_contain_text("stopped by itself: a letter died again")
        assert support.fits()
        support.strikes("Give up")
        expect(replays).to_contain_text("Given up")
        support.strikes("Seen, put it away")
        support.main.get_by_text("1 earlier replay").click()
        support.sees("the receiver was mended")
        assert support.complaints == []


def test_an_edit_is_checked_compared_and_approved_by_somebody_else(shop: Shop) -> None:
    bury(shop, 1)
    with shop.person("vera", "ru") as support:
        support.goes(LETTERS)
        support.strikes("Посмотреть")
        support.strikes("Исправить")
        body = support.main.get_by_label("Содержимое (JSON)")
        body.fill('{"order_no": "OK-999996"}')
        support.strikes("Проверить и сравнить")
        expect(support.main.get_by_role("alert")).to_contain_text("version")
        body.fill('{"order_no": "OK-999996", "version": 2}')
        support.strikes("Проверить и сравнить")
        support.sees("Всё как должно быть", '-   "version": 1', '+   "version": 2')
        support.main.get_by_label("Почему", exact=True).fill("спросили не ту цену")
        support.strikes("Запросить подтверждение")
        support.sees("Ждёт второго человека", "Подтвердить должен кто-то другой")
        expect(support.main.get_by_role("button", name="Подтвердить", exact=True)).to_be_disabled()
        assert support.fits()

    with shop.person("admin", "ru") as second:
        second.goes(LETTERS)
        second.strikes("Подтвердить")
        expect(second.main.get_by_role("list", name="Повторные отправки")).to_contain_text(
            re.compile("Остановлена|Закончена")
        )
        second.main.get_by_text("Что делали").click()
        second.sees("admin · подтверждение")


def test_letters_are_parked_and_taken_up_again(shop: Shop) -> None:
    bury(shop, 2)
    with shop.person("vera") as support:
        support.goes(LETTERS)
        support.strikes("Look at it")
        support.strikes("Park")
        support.answers(Why="an old shop")
        support.sees("Parked", re.compile("Parked by vera, .+: an old shop"))
        support.strikes("Take up again")
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


@pytest.mark.parametrize(
    "language, words",
    [
        ("en", ("I take it", "Note", "Keep the note", "vera has it", "All as a table (CSV)")),
        (
            "ru",
            (
                "Беру на себя",
                "Заметка",
                "Сохранить заметку",
                "занимается vera",
                "Все таблицей (CSV)",
            ),
        ),
    ],
)
def test_a_group_has_an_owner_a_note_a_trend_and_is_taken_away(
    shop: Shop, language: str, words: tuple[str, ...]
) -> None:
    take, note, keep, owned, table = words
    bury(shop, 2)
    fail(shop)
    with shop.person("vera", language, width=NARROW) as support:
        support.goes(LETTERS)
        support.main.get_by_role("button", name=re.compile("Look at it|Посмотреть")).click()
        support.strikes(take)
        support.sees(owned)
        support.main.get_by_label(note, exact=True).fill("asked the shop")
        support.strikes(keep)
        support.sees(owned, "asked the shop", "KeyError")
        expect(support.main.get_by_role("img").first).to_have_accessible_name(
            re.compile("14 days|14 дн")
        )
        assert support.fits()
        with support.page.expect_download() as loading:
            support.main.get_by_role("link", name=table).click()
        told = loading.value.path().read_text(encoding="utf-8-sig")
        assert told.count("asked the shop,Broken: at place 7") == 2


@pytest.mark.parametrize(
    "language, words",
    [
        (
            "en",
            ("Look at it", "Release that mends the cause", "Keep the note", "release shop.test/7",
             "Dry run", "Send again", "Replays", "release 2026.11", "What was done"),
        ),
        (
            "ru",
            ("Посмотреть", "Выпуск, где причина устранена", "Сохранить заметку",
             "выпуск shop.test/7", "Пробный прогон", "Отправить снова",
             "Повторные отправки", "выпуск 2026.11", "Что делали"),
        ),
    ],
)  # fmt: skip
def test_the_release_that_mended_a_cause_is_shown_with_the_group_and_its_replay(
    shop: Shop, language: str, words: tuple[str, ...]
) -> None:
    look, release, keep, linked, dry, send, replays, sent, trail = words
    bury(shop, 2)
    with shop.person("vera", language, width=NARROW) as support:
        support.goes(LETTERS)
        support.strikes(look)
        support.main.get_by_label(release, exact=True).fill("https://shop.test/7")
        support.strikes(keep)
        link = support.main.get_by_role("link", name=linked)
        expect(link).to_have_attribute("href", "https://shop.test/7")
        assert support.fits()

        support.strikes(dry)
        fields = support.main.get_by_label(release, exact=True)
        expect(fields).to_have_count(2)  # The note's, and the replay's once it was tried dry.
        named = fields.last
        expect(named).to_have_value("https://shop.test/7")
        named.fill("2026.11")
        support.main.get_by_label(re.compile("^(Why|Почему)$")).fill("mended")
        support.strikes(send)

        run = support.main.get_by_role("list", name=replays)
        expect(run).to_contain_text(sent)
        run.get_by_text(trail).click()
        expect(run).to_contain_text("mended (release 2026.11)")
        assert support.fits()


def fail(shop: Shop) -> None:
    """A message that its receiver cannot handle, and that it will try again by itself."""
    path = shop.office.folder / "var" / "orderkeep.db"
    with closing(sqlite3.connect(path, timeout=30)) as raw, raw:
        raw.execute(
            "INSERT INTO inbox (consumer, message_id, kind, schema_version, order_key, at,"
            " trace_id, body, received_at, next_at)"
            " VALUES ('quoting', 'later', 'price.wanted', 1, 'OK-999996', 0, '', x'7b7d', 0, 0)"
        )


def set_aside(shop: Shop, order_no: str) -> None:
    """A message whose headers nobody could read."""
    path = shop.office.folder / "var" / "orderkeep.db"
    body = json.dumps({"order_no": order_no, "version": 1}).encode()
    with closing(sqlite3.connect(path, timeout=30)) as raw, raw:
        raw.execute(
            "INSERT INTO quarantine (consumer, message_id, at, why, body, fingerprint)"
            " VALUES ('quoting', 'q-1', 1760000000000000, 'a header is missing', ?, ?)",
            (body, "0123456789abcdef"),
        )


def test_what_could_not_be_read_is_made_whole_approved_and_sent(shop: Shop) -> None:
    with shop.person("olga") as seller:
        no = shop.approved(seller)
    set_aside(shop, no)
    with shop.person("vera", width=NARROW) as support:
        support.goes(LETTERS)
        support.strikes("Look at it")
        support.strikes("Make it whole")
        whole = support.main.get_by_label("The whole message (JSON)")
        expect(whole).to_have_value(re.compile(no))
        support.strikes("Check and compare")
        expect(support.main.get_by_role("alert")).to_contain_text("/kind")
        said = {"order_no": no, "reference": no, "seq": 9, "said": {"word": "started"}}
        head = {"kind": FLOOR_WORD, "schema_version": 1, "order_key": no}
        whole.fill(json.dumps(head | {"body": said}))
        support.strikes("Check and compare")
        support.sees("It is as it has to be")
        support.main.get_by_label("Why", exact=True).fill("the shop left a header out")
        support.strikes("Ask for approval")
        support.sees("Waits for a second person")
        assert support.fits()
    with shop.person("admin") as second:
        second.goes(LETTERS)
        second.strikes("Approve")
        replays = second.main.get_by_role("list", name="Replays")
        expect(replays).to_contain_text("1 of 1 handled")
        expect(second.main.get_by_text("a header is missing")).to_have_count(0)
        second.opens(no)
        second.reads("In work")


def stick(shop: Shop, order_no: str) -> None:
    """The MES never answered for this order's work order."""
    path = shop.office.folder / "var" / "orderkeep.db"
    number = order_n(order_no)
    with closing(sqlite3.connect(path, timeout=30)) as raw, raw:
        order = "mes_state = 'uncertain', needs_person = 'uncertain' WHERE n = ?"
        delivery = (
            "state = 'uncertain', detail = 'no answer came back', next_at = NULL WHERE order_n = ?"
        )
        for change in (f"UPDATE orders SET {order}", f"UPDATE deliveries SET {delivery}"):
            assert raw.execute(change, (number,)).rowcount == 1


@pytest.mark.parametrize(
    "language, title, state",
    [
        ("en", "Work orders that stand still", "Unclear if the MES has it: no answer came back"),
        ("ru", "Наряды, которые стоят", "Неясно, дошёл ли до MES: ответ не пришёл"),
    ],
)
def test_work_orders_that_stand_still_are_on_the_same_list(
    shop: Shop, language: str, title: str, state: str
) -> None:
    with shop.person("olga") as seller:
        no = shop.approved(seller)
    stick(shop, no)
    with shop.person("vera", language, width=NARROW) as support:
        support.goes(LETTERS)
        standing = support.main.get_by_role("list", name=title)
        expect(standing).to_contain_text(state)
        assert support.fits()
        standing.get_by_role("link", name=no).press("Enter")
        expect(support.page.get_by_role("heading", name=no, exact=True)).to_be_visible()


@pytest.mark.parametrize(
    "language, told, look",
    [
        ("en", "2 messages were put aside within the last hour", "Look"),
        ("ru", "За последний час отложено 2 сообщения", "Посмотреть"),
    ],
)
def test_what_was_put_aside_is_said_on_every_screen(
    shop: Shop, language: str, told: str, look: str
) -> None:
    bury(shop, 2)
    path = shop.office.folder / "var" / "orderkeep.db"
    with closing(sqlite3.connect(path, timeout=30)) as raw, raw:
        raw.execute("UPDATE inbox SET dead_at = CAST(unixepoch() AS INTEGER) * 1000000")
    with shop.person("vera", language, width=NARROW) as support:
        support.goes("/search")
        banner = support.page.get_by_role("status").filter(has_text=told)
        expect(banner).to_be_visible()
        assert support.fits()
        banner.get_by_role("link", name=look).press("Enter")
        support.sees("Broken: at place …")
    with shop.person("olga", language) as seller:
        seller.goes("/board?view=table")
        seller.sees(re.compile(r"\S"))
        expect(seller.page.get_by_text(told)).to_have_count(0)
