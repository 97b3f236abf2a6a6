"""The balance, comparisons and explanations as people read them, in both languages and by keys."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import FilePayload, Route, expect

from orderkeep.kernel.ids import order_n, order_no
from orderkeep.testing.browser import NARROW, Person, Shop, opened
from orderkeep.testing.shop import until


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with opened(tmp_path_factory.mktemp("ledger")) as shop:
        yield shop


def tamper(shop: Shop, statement: str, *values: object) -> None:
    """Somebody changes a table by hand, beside the running office."""
    path = shop.office.folder / "var" / "orderkeep.db"
    with closing(sqlite3.connect(path, timeout=30)) as raw, raw:
        raw.execute(statement, values)


def counts(person: Person) -> None:
    person.main.get_by_role("button", name=re.compile("Count now|Подсчитать сейчас")).click()


@pytest.mark.parametrize(
    "language, agreed, differs, proof",
    [
        ("en", "It adds up", "nothing moves it", "Last proof"),
        ("ru", "Всё сходится", "ничто его не двигает", "Последнее доказательство"),
    ],
)
def test_a_lost_order_is_named_with_its_age_and_its_last_proof(
    shop: Shop, language: str, agreed: str, differs: str, proof: str
) -> None:
    with shop.person("olga") as seller:
        no = shop.order(seller)
        seller.opens(no)
        seller.sees("Needs your decision")
    with shop.person("vera", language, NARROW) as support:
        support.goes("/balance")
        counts(support)
        support.sees(agreed)
        tamper(shop, "UPDATE orders SET price_state = 'queued' WHERE n = ?", order_n(no))

        counts(support)

        support.sees(no, differs, proof)
        assert support.fits()
        tamper(shop, "UPDATE orders SET price_state = 'ready' WHERE n = ?", order_n(no))
        counts(support)
        support.sees(agreed)


def test_a_balance_that_nobody_counts_any_more_is_called_old(shop: Shop) -> None:
    with shop.person("vera") as support:
        support.page.clock.install()
        support.goes("/balance")
        support.sees("It adds up")

        support.page.route("**/office/v1/balance", _as_of_old)
        support.page.clock.run_for(40_000)

        support.sees("The balance is old")


def _as_of_old(route: Route) -> None:
    answer = route.fetch()
    told = answer.json() | {"at": "2026-01-01T00:00:00Z"}
    route.fulfill(response=answer, json=told)


def _failing(route: Route) -> None:
    route.fulfill(status=500, body="{}")


def test_the_balance_says_when_it_cannot_be_had_and_tries_again(shop: Shop) -> None:
    with shop.person("vera") as support:
        support.page.route("**/office/v1/balance", _failing)
        support.goes("/balance")
        support.sees("Try again")

        support.page.unroute("**/office/v1/balance")
        support.main.get_by_role("button", name="Try again").click()

        support.sees("accepted")


@pytest.mark.parametrize(
    "language, question, title, owner",
    [
        ("en", "Why is it here", "It waits for a person", "the seller"),
        ("ru", "Почему он здесь", "Ждёт человека", "продавец"),
    ],
)
def test_an_order_explains_itself_by_a_key(
    shop: Shop, language: str, question: str, title: str, owner: str
) -> None:
    with shop.person("olga", language, NARROW) as seller:
        no = shop.order(seller)
        seller.opens(no)
        expect(seller.main.get_by_role("button", name=question)).to_be_visible()
        expect(seller.main.get_by_text(title)).to_have_count(0)

        seller.presses("x")

        seller.sees(title, owner)
        assert seller.fits()


def test_an_order_that_was_never_given_out_says_what_to_do(shop: Shop) -> None:
    with shop.person("vera") as support:
        support.goes(f"/orders/{order_no(99_999)}")

        support.sees("There is no such order here", "one digit may be wrong")


@pytest.mark.parametrize(
    "language, start, agreed, kind, dismiss, settled",
    [
        ("en", "Compare now", "Both sides agree", "we do not know of it", "It is fine", "Settled"),
        ("ru", "Сверить сейчас", "сходятся", "а у нас нет", "Так и должно быть", "Решённые"),
    ],
)
def test_a_job_that_nobody_asked_for_is_found_and_settled(
    shop: Shop, language: str, start: str, agreed: str, kind: str, dismiss: str, settled: str
) -> None:
    with shop.person("olga") as seller:
        no = shop.approved(seller)
    columns = "order_no, body_sha256, positions, status, status_since, seq, created_at"
    with shop.person("vera", language, NARROW) as support:
        support.goes("/balance/mes")
        support.main.get_by_role("button", name=start).click()
        support.sees(agreed)
        # It is said of the comparison just asked for, so that the next press begins another.
        assert support.calls("GET", "/reconciliation")["running"] is None
        tamper(
            shop,
            f"INSERT INTO floor_work_orders (reference, {columns})"
            f" SELECT ? || '/7', {columns} FROM floor_work_orders WHERE reference = ?",
            no,
            no,
        )

        support.main.get_by_role("button", name=start).click()

        support.sees(f"{no}/7", kind)
        assert support.fits()
        support.main.get_by_role("textbox").fill("a test of theirs")
        support.main.get_by_role("button", name=dismiss).click()
        support.sees(agreed)
        support.main.get_by_role("button", name=settled).click()
        support.sees(f"{no}/7", "a test of theirs", "vera")


def test_the_head_looks_and_does_not_settle(shop: Shop) -> None:
    with shop.person("nikolai") as head:
        head.goes("/balance/mes")

        head.sees("Compare with the MES")
        expect(head.main.get_by_role("button", name="Compare now")).to_have_count(0)


TABLE = "number,note\n{0}-1,lost\n{0}-2,lost\n"


@pytest.mark.parametrize(
    "language, words",
    [
        ("en", ("Import a table", "Check the table", "Import it", "Give up", "Save", "Given up")),
        ("ru", ("Загрузить таблицу", "Проверить", "Загрузить", "Закрыть", "Сохранить", "Закрыты")),
    ],
)
def test_a_table_of_lost_orders_is_checked_imported_and_worked_through(
    shop: Shop, language: str, words: tuple[str, ...]
) -> None:
    start, check, do, give_up, save, given_up = words

    def table(content: str) -> FilePayload:
        return {"name": "lost.csv", "mimeType": "text/csv", "buffer": content.encode()}

    with shop.person("vera", language, NARROW) as support:
        support.goes("/balance/lost")
        support.main.get_by_role("button", name=start).click()
        dialog = support.dialog
        dialog.locator("#lost-source").fill(f"shop {language}")
        dialog.locator("input[type=file]").set_input_files([table("number,date\nL-9,never\n")])
        dialog.get_by_role("button", name=check).click()
        expect(dialog.get_by_role("alert")).to_contain_text(re.compile("(Line|Строка) 2"))

        whole = TABLE.format(f"L-{language}")
        dialog.locator("input[type=file]").set_input_files([table(whole)])
        dialog.get_by_role("button", name=check).click()
        expect(dialog.get_by_role("status")).to_contain_text("2")
        assert support.fits()
        dialog.get_by_role("button", name=re.compile(f"^{do}$")).click()
        expect(dialog).to_be_hidden()

        support.sees(f"L-{language}-1", f"L-{language}-2")
        assert support.fits()
        row = support.main.get_by_role("listitem").filter(has_text=f"L-{language}-2")
        row.get_by_role("button", name=give_up).click()
        support.dialog.locator("#lost-reason").fill("too old")
        support.dialog.get_by_role("button", name=save).click()
        expect(support.dialog).to_be_hidden()
        expect(support.main).not_to_contain_text(f"L-{language}-2")
        support.main.get_by_role("button", name=given_up).click()
        support.sees(f"L-{language}-2", "too old", "vera")


def test_a_lost_order_that_is_entered_under_its_number_is_recognised(shop: Shop) -> None:
    with shop.person("vera") as support:
        support.page.context.request.post(
            f"{support.address}/office/v1/lost/import?source=old",
            data=b"number\nL-77\n",
            headers={"X-Requested-With": "orderkeep", "Content-Type": "text/csv"},
        )
    with shop.person("olga") as seller:
        seller.goes("/balance/lost")
        row = seller.main.get_by_role("listitem").filter(has_text="L-77")
        row.get_by_role("link", name="Bring it back").click()
        expect(seller.main.get_by_label(re.compile("number", re.IGNORECASE)).first).to_have_value(
            "L-77"
        )
        no = shop.order(seller, client_ref="L-77")

        seller.goes("/balance/lost?show=brought_back")

        def recognised() -> bool:
            found = seller.calls("GET", "/lost?show=brought_back")["items"]
            return [one["order_no"] for one in found if one["number"] == "L-77"] == [no]

        until(recognised, "it was not recognised")
        seller.page.reload()
        seller.sees("L-77", no, "recognised by itself")
