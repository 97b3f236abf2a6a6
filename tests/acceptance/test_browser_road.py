"""The road of one order as people walk it: a real office, a real browser, keys and words."""

import base64
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from orderkeep.practice.rings import open_surface, ring
from orderkeep.practice.seed import PASSWORD
from orderkeep.testing.browser import NARROW, WIDE, Person, Shop, opened

GOOD = ring("band", 7, triangles=3000)
BROKEN = open_surface(GOOD)
TABS = {
    "ru": ("Лента", "Сообщения", "Цена", "Файлы", "Сроки", "Связанные"),
    "en": ("Feed", "Messages", "Price", "Files", "Times", "Related"),
}
UNSAID = re.compile(r"\b(order|price|delivery|work|events|board|due|hops|stage)\.[a-z_]+\b|\{\w+\}")
"""A key that has no words, or a gap in a sentence that nothing filled."""
QUOTED = re.compile(r"«[A-Za-z]+(?: [a-z]+)+»")
"""An English sentence of ours that is shown as if somebody else had said it."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with opened(tmp_path_factory.mktemp("road")) as shop:
        yield shop


def test_a_newcomer_follows_one_order_from_the_model_file_to_the_closed_order(shop: Shop) -> None:
    with shop.person("", "ru") as olga:
        _sign_in(olga, "olga")
        no = _submit_by_hand(olga)
        _see_it_priced(olga)
        _approve_by_keyboard(olga, no)
        with shop.person("ivan", "ru") as ivan:
            _make_and_ship(ivan, no)
            assert ivan.complaints == []
        _close(olga, no)
        _read_everything(olga, "ru")
        assert olga.complaints == []


def test_whoever_reads_the_order_page_finds_every_tab_in_words(shop: Shop) -> None:
    with shop.person("olga") as seller:
        no = shop.approved(seller, note="A blue box, please")
        seller.does("Hold", Reason="Waiting for a stone")
        seller.does("Lift hold", Reason="It has come")

    for language in ("ru", "en"):
        for width in (WIDE, NARROW):
            with shop.person("olga", language, width) as reader:
                reader.opens(no)
                _read_everything(reader, language)
                assert reader.complaints == []


def test_all_faults_of_a_new_order_stand_at_their_fields_at_once(shop: Shop) -> None:
    with shop.person("olga") as seller:
        seller.goes("/submit")
        page = seller.page
        page.get_by_role("button", name="Ready-made piece").click()
        page.get_by_label("Quantity").fill("0")
        page.get_by_label("E-mail").fill("nobody")
        page.get_by_label("The client asks for").fill("2020-01-01")
        page.get_by_role("button", name="Submit order").click()

        expect(page.get_by_role("alert")).to_contain_text("5")
        for field in ("Piece", "Quantity", "Name", "E-mail", "The client asks for"):
            label = page.get_by_label(re.compile(f"^{field}"))
            expect(label).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_label("Piece")).to_be_focused()
        seller.sees("An address such as name@example.com", "This date has passed")
        page.get_by_role("button", name="Clear").click()
        expect(page.get_by_label("E-mail")).to_have_value("")


def test_the_office_finds_the_faults_that_the_page_cannot(shop: Shop) -> None:
    with shop.person("olga", "ru") as seller:
        seller.goes("/submit")
        page = seller.page
        page.get_by_role("button", name="Готовое изделие").click()
        page.get_by_label("Изделие").select_option(index=1)
        page.get_by_label("Сколько").fill("20000")
        page.get_by_label("Имя").fill("Борис")
        page.get_by_label("Телефон").fill("звоните жене")
        page.get_by_role("button", name="Отправить заказ").click()

        seller.sees("От 1 до 10 000", "Только цифры, пробелы, скобки и +")
        page.get_by_label("Сколько").fill("2")
        page.get_by_label("Телефон").fill("8 (900) 123-45-67")
        page.get_by_role("button", name="Отправить заказ").click()
        expect(page).to_have_url(re.compile(r"/orders/OK-"))


def test_an_open_model_waits_for_a_price_that_a_person_enters(shop: Shop) -> None:
    with shop.person("olga") as seller:
        seller.goes("/submit")
        _choose(seller, "Choose files", "open.stl", BROKEN)
        seller.page.get_by_label("Material").select_option(label="Silver 925")
        seller.page.get_by_label("Name").fill("Sofia Marchetti")
        seller.page.get_by_role("button", name="Submit order").click()

        seller.sees("Why there is no price", "The surface has gaps")
        seller.presses("e")
        seller.answers(Price="12 500,50", Reason="Measured by hand")
        seller.sees("₽12,500.50", "Needs your decision")
        seller.does("Price again", Reason="Try the machine once more")
        seller.sees("no price yet", "to be entered", "work out the price")


def test_a_quick_hand_keeps_the_field_it_has_gone_to(shop: Shop) -> None:
    with shop.person("olga") as seller:
        no = shop.order(seller)
        seller.opens(no)
        seller.presses("e")
        reason = seller.dialog.get_by_label("Reason")
        reason.focus()
        seller.page.wait_for_timeout(400)  # The dialog's animation is over by now.
        expect(reason).to_be_focused()


def test_asking_the_client_stops_the_clock_until_the_hold_is_lifted(shop: Shop) -> None:
    with shop.person("olga") as seller:
        no = shop.order(seller)
        seller.goes("/approvals")
        seller.page.get_by_role("option").filter(has_text=no).click()
        seller.presses("q")
        seller.answers()

        seller.opens(no)
        seller.sees("On hold: Agree the price with the client", "the client")
        seller.does("Lift hold", Reason="They agree")
        seller.does("Client agrees")
        expect(seller.page.get_by_role("note")).to_have_count(0)
        seller.sees("The client agreed to the price")


def test_an_order_that_nobody_started_is_cancelled_at_once(shop: Shop) -> None:
    with shop.person("olga") as seller:
        shop.approved(seller)
        seller.does("Cancel order", Reason="The client changed their mind")

        seller.sees("Cancelled: The client changed their mind", "Recalled")
        expect(seller.main.get_by_role("button", name="Hold")).to_have_count(0)


def test_cancelling_what_has_been_started_needs_the_head_of_operators(shop: Shop) -> None:
    with shop.person("olga") as seller:
        no = shop.approved(seller)
        with shop.person("maria") as operator:
            operator.opens(no)
            operator.does("Claim")
            operator.does("Start")
            operator.reads("In work")
        seller.reads("In work")
        seller.does("Cancel order", Reason="The client changed their mind")
        seller.sees("To be cancelled", "The workshop does not give it back")

    with shop.person("nikolai") as head:
        head.opens(no)
        head.does("Cancel anyway", Reason="Melted down")
        head.sees("Cancelled: Melted down", "Cancelled although work had been done", "Recalled")
        expect(head.main.get_by_role("alert")).to_have_count(0)


def test_a_flawed_piece_is_made_again_and_a_started_one_is_handed_back(shop: Shop) -> None:
    with shop.person("olga") as seller:
        no = shop.approved(seller)
    with shop.person("pyotr") as operator:
        operator.opens(no)
        operator.does("Claim")
        operator.does("Start")
        operator.does("Hand back unmade", Reason="No metal")
        operator.sees("Ready to take", "Handed back unmade: No metal")
        operator.does("Claim")
        operator.does("Start")
        operator.does("Done")
        operator.does("Rework", Reason="A flaw in the band")
        operator.reads("Rework 1", "In work")
        operator.does("Done")
        operator.reads("Made, to be packed")


def test_a_returned_order_is_replaced_by_another(shop: Shop) -> None:
    with shop.person("olga") as seller, shop.person("timur") as operator:
        no = shop.approved(seller)
        operator.opens(no)
        for action in ("Claim", "Start", "Done", "Pack"):
            operator.does(action)
        operator.does("Ship", Tracking="RU000000001")
        operator.reads("Shipped")

        seller.reads("Shipped")
        seller.does("Open a return", Reason="Too small")
        seller.does("Piece arrived")
        seller.does("Settle the return", Outcome="Make a replacement")
        seller.page.get_by_role("tab", name="Related").click()
        other = seller.main.get_by_role("link", name=re.compile(r"^OK-\d+"))
        new = other.inner_text()
        other.click()

        expect(seller.page.get_by_role("heading", name=new)).to_be_visible()
        assert new != no


def test_a_draft_outlives_the_page_and_is_sent_later(shop: Shop) -> None:
    with shop.person("olga") as seller:
        seller.goes("/submit")
        page = seller.page
        _choose(seller, "Choose files", "signet.stl", GOOD)
        seller.sees("Uploaded")
        page.get_by_label("Material").select_option(label="Brass")
        page.get_by_label("Name").fill("Half an order")
        page.reload()

        expect(page.get_by_label("Name")).to_have_value("Half an order")
        seller.sees("signet.stl", "Uploaded")
        page.get_by_role("button", name="Submit order").click()
        expect(page).to_have_url(re.compile(r"/orders/OK-"))
        seller.sees("Needs your decision")
        seller.goes("/submit")
        expect(page.get_by_label("Name")).to_have_value("")


def test_a_draft_is_found_again_in_another_browser_and_thrown_away_for_good(shop: Shop) -> None:
    with shop.person("admin") as here:
        here.goes("/submit")
        _choose(here, "Choose files", "signet.stl", GOOD)
        here.sees("Uploaded")
        here.page.get_by_label("Name").fill("Begun at the counter")
        here.sees("Draft saved at")

        with shop.person("admin") as there:
            there.goes("/submit")
            there.page.get_by_text("You have 1 draft").click()
            there.page.get_by_role("link", name="Begun at the counter").click()
            expect(there.page.get_by_label("Name")).to_have_value("Begun at the counter")
            there.sees("signet.stl", "Uploaded")
            there.page.get_by_label("Material").select_option(label="Brass")
            there.sees("Draft saved at")
            assert len(there.calls("GET", "/drafts")["items"]) == 1

        here.page.reload()
        expect(here.page.get_by_label("Material")).to_have_value("brass")
        here.page.get_by_label("Quantity").fill("2")
        here.page.get_by_role("button", name="Clear").click()
        expect(here.page.get_by_label("Name")).to_have_value("")
        here.page.reload()
        here.sees("Choose files")
        assert here.calls("GET", "/drafts")["items"] == []


# --- the steps of the road ------------------------------------------------------------------------


def _sign_in(person: Person, login: str) -> None:
    person.goes("/")
    person.page.get_by_label("Логин").fill(login)
    person.page.get_by_label("Пароль", exact=True).fill("a guess")
    person.page.get_by_role("button", name="Войти").click()
    expect(person.page.get_by_role("alert")).to_contain_text("не подошли")
    person.page.get_by_label("Пароль", exact=True).fill(PASSWORD)
    person.presses("Enter")
    expect(person.page).to_have_url(re.compile("/approvals"))
    person.page.get_by_role("radio", name="Рус").click()


def _submit_by_hand(olga: Person) -> str:
    page = olga.page
    page.get_by_role("link", name="Новый заказ").click()
    _choose(olga, "Выбрать файлы", "ring.stl", GOOD)
    _drop(olga, "second.stl", ring("twist", 3, triangles=3000))
    expect(page.get_by_text("Загружен", exact=True)).to_have_count(2)
    for line in page.get_by_label("Материал").all():
        line.select_option(label="Серебро 925")
    page.get_by_label("Гравировка").first.fill("Анна ♥ 2026")
    page.get_by_label("Сколько").last.fill("2")
    page.get_by_label("Имя").fill("Анна Петрова")
    page.get_by_role("button", name="Отправить заказ").click()
    expect(page).to_have_url(re.compile(r"/orders/OK-"))
    return page.get_by_role("heading", level=1).inner_text()


def _choose(person: Person, button: str, name: str, content: bytes) -> None:
    with person.page.expect_file_chooser() as chooser:
        person.page.get_by_role("button", name=button).click()
    chooser.value.set_files({"name": name, "mimeType": "model/stl", "buffer": content})


def _drop(person: Person, name: str, content: bytes) -> None:
    data = person.page.evaluate_handle(
        """([name, content]) => {
            const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0))
            const data = new DataTransfer()
            data.items.add(new File([bytes], name))
            return data
        }""",
        [name, base64.b64encode(content).decode()],
    )
    target = person.page.get_by_text("Перетащите файлы моделей сюда")
    target.dispatch_event("drop", {"dataTransfer": data})


def _see_it_priced(olga: Person) -> None:
    olga.sees("Нужно ваше решение", "Позиция 1 · ring.stl × 1", "Гравировка", "НДС", "Итого")


def _approve_by_keyboard(olga: Person, no: str) -> None:
    olga.page.get_by_role("link", name="Согласование").click()
    expect(olga.chosen).to_contain_text(no)
    olga.sees("Серебро 925 × 1, Серебро 925 × 2")
    olga.presses("ф")  # The key of A.
    olga.sees("Всё согласовано")


def _make_and_ship(ivan: Person, no: str) -> None:
    ivan.goes("/")
    expect(
        ivan.page.get_by_role("button", name=re.compile("Взять следующий")).first
    ).to_be_visible()
    ivan.sees(no)
    ivan.presses("т")  # N: take next
    expect(ivan.chosen).to_contain_text("вы, ещё")
    for key, name in (("ы", "Начать"), ("в", "Готово"), ("з", "Упаковать")):
        expect(ivan.chosen.get_by_role("button", name=name)).to_be_enabled()
        ivan.presses(key)  # S, D, P
    expect(ivan.chosen.get_by_role("button", name="Отгрузить")).to_be_enabled()
    ivan.presses("щ")  # O: ship
    ivan.answers(Номер="RU123456789")
    expect(ivan.main.get_by_role("listitem").filter(has_text=no)).to_have_count(0)


def _close(olga: Person, no: str) -> None:
    olga.opens(no)
    olga.reads("Отгружен")
    olga.sees("RU123456789")
    olga.does("Закрыть заказ", Почему="Вручено курьером")
    olga.sees("Заказ завершён", "Закрыт: Вручено курьером")


def _read_everything(reader: Person, language: str) -> None:
    for tab in TABS[language]:
        reader.page.get_by_role("tab", name=tab, exact=True).click()
        panel = reader.page.get_by_role("tabpanel", name=tab)
        expect(panel).to_contain_text(re.compile(r"\w{3}"))
        said = reader.main.inner_text()
        assert UNSAID.search(said) is None, UNSAID.search(said)
        assert QUOTED.search(said) is None, QUOTED.search(said)
        assert reader.fits()
