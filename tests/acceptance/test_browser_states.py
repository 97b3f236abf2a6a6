"""What people see when others work too, when the line breaks, and when they look for something."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Route, expect

from orderkeep.practice.seed import PASSWORD
from orderkeep.testing.browser import NARROW, Person, Shop, opened

READY = "/board?view=table&stage=MANUFACTURING_APPROVED"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with opened(tmp_path_factory.mktemp("states")) as shop:
        yield shop


def test_a_claim_shows_on_the_other_screen_and_no_row_moves_for_a_new_order(shop: Shop) -> None:
    with shop.person("olga") as seller, shop.person("nikolai") as head:
        shop.approved(seller)
        no = shop.approved(seller)
        head.goes(READY)
        row = head.page.get_by_role("row").filter(has_text=no)
        row.click()
        # The bars above and below have come, and nothing is to push the rows aside any more.
        expect(head.page.get_by_role("toolbar")).to_be_visible()
        expect(
            head.page.get_by_role("button", name=re.compile(r"^Ready to take *\d"))
        ).to_be_visible()
        head.stands_still()
        before = row.bounding_box()

        with shop.person("ivan") as operator:
            operator.opens(no)
            operator.does("Claim")
            expect(row).to_contain_text("Иван К.")
        new = shop.approved(seller)
        pill = head.page.get_by_role("button", name=re.compile("^1 new"))
        expect(pill).to_be_visible()

        head.stands_still()
        assert row.bounding_box() == before
        expect(head.page.get_by_role("row").filter(has_text=new)).to_have_count(0)
        pill.click()
        expect(head.page.get_by_role("row").filter(has_text=new)).to_be_visible()
        expect(head.chosen).to_contain_text(no)


def test_a_filter_is_an_address_and_a_view_is_kept(shop: Shop) -> None:
    with shop.person("olga") as seller:
        no = shop.order(seller)
    with shop.person("nikolai") as head:
        page = head.page
        head.goes("/board?view=table")
        head.sees(no)
        page.get_by_role("button", name=re.compile("^On hold")).first.click()
        head.sees("No orders match these filters")
        assert "held=1" in page.url
        page.reload()
        head.sees("No orders match these filters")
        page.go_back()
        head.sees(no)
        page.go_forward()
        head.sees("No orders match these filters")
        page.get_by_role("button", name="Free", exact=True).click()
        page.get_by_role("button", name="Save view").click()
        page.get_by_label("Name of the view").fill("Morning round")
        page.get_by_label("Name of the view").press("Enter")
        # Kept at the office; who leaves before the answer leaves before it was asked.
        expect(page.get_by_role("button", name="Morning round", exact=True)).to_be_visible()
        head.goes("/board?view=table")
        page.get_by_role("button", name="Morning round", exact=True).click()
        head.sees("No orders match these filters")
        page.get_by_role("button", name=re.compile("Delete view")).click()
        expect(page.get_by_role("button", name="Morning round", exact=True)).to_have_count(0)


@pytest.mark.parametrize("said", ["number", "phone"])
def test_an_order_is_found_by_what_a_client_says(shop: Shop, said: str) -> None:
    with shop.person("olga") as seller:
        customer = {"name": "Anna Petrova", "phone": f"+7 900 555-{len(said)}1-73"}
        no = shop.order(seller, customer=customer)
    words = {"number": no, "phone": f"{len(said)}173"}
    with shop.person("vera") as support:
        support.goes("/search")
        support.main.get_by_role("searchbox").fill(words[said])
        support.presses("Enter")

        expect(support.main.get_by_role("link", name=re.compile(no))).to_be_visible()


def test_a_misread_number_is_called_so_before_another_order_is_read_out(shop: Shop) -> None:
    with shop.person("olga") as seller:
        no = shop.order(seller)
    with shop.person("vera") as support:
        support.goes(f"/search?q={no[:-1]}{(int(no[-1]) + 1) % 10}")

        support.sees("One digit of this number is wrong")


def test_the_balance_adds_up_and_says_so(shop: Shop) -> None:
    with shop.person("olga") as seller:
        shop.approved(seller)
    with shop.person("vera") as support:
        support.goes("/balance")
        count = support.main.get_by_role("button", name="Count now")
        count.click()

        support.sees("At the workshop or further", "Waiting for a person")
        expect(count).to_be_enabled()  # Once it has counted: no number is of another time.
        expect(support.main.locator("dd").first).not_to_have_text("0")
        counts = [int(one) for one in support.main.locator("dd").all_inner_texts()]
        accepted = support.main.get_by_text("accepted", exact=True).locator("..").inner_text()
        assert sum(counts) == int(accepted.removesuffix("accepted")) > 0


def test_a_partners_key_is_shown_once_and_a_new_colleague_can_sign_in(shop: Shop) -> None:
    with shop.person("admin") as admin:
        page = admin.page
        admin.goes("/partners")
        partner = page.get_by_role("listitem").filter(has_text="Aurum Gallery").first
        partner.get_by_role("button", name="Make a key").click()
        expect(admin.dialog).to_contain_text("okp_")
        key = admin.dialog.locator("code").inner_text()
        admin.dialog.get_by_role("button", name="Done").click()
        page.reload()
        admin.sees("Aurum Gallery")
        assert key not in admin.main.inner_text()

        admin.goes("/people")
        page.get_by_role("button", name="Add a person").click()
        admin.dialog.get_by_label("Name").fill("Дарья Ли")
        admin.dialog.get_by_label("Login").fill("Дарья")
        admin.dialog.get_by_label("Password").fill("a long password")
        page.get_by_role("button", name="Save").click()
        expect(admin.dialog.get_by_role("alert")).to_contain_text("Small Latin letters")
        admin.dialog.get_by_label("Login").fill("darya")
        page.get_by_role("button", name="Save").click()
        admin.sees("Дарья Ли")
    with shop.person("") as darya:
        darya.goes("/")
        darya.page.get_by_label("Логин").or_(darya.page.get_by_label("Login")).fill("darya")
        darya.page.locator("input[name=password]").fill("a long password")
        darya.presses("Enter")
        expect(darya.page).to_have_url(re.compile("/board"))


def test_whose_session_has_ended_signs_in_and_comes_back(shop: Shop) -> None:
    with shop.person("svetlana") as operator:
        operator.goes("/board?view=table&claim=free")
        operator.sees("Ready to take")
        operator.page.context.clear_cookies()
        operator.page.reload()
        expect(operator.page).to_have_url(re.compile("/sign-in"))
        operator.page.get_by_label("Login").fill("svetlana")
        operator.page.get_by_label("Password", exact=True).fill("practice-only")
        operator.presses("Enter")

        operator.sees("Take next")
        expect(operator.page).to_have_url(re.compile(r":\d+/board\?.*claim=free"))
        operator.page.get_by_role("radio", name="Рус").click()
        operator.sees("Взять следующий")
        operator.page.get_by_role("button", name="Выйти").first.click()
        expect(operator.page).to_have_url(re.compile("/sign-in"))


def test_a_narrow_board_draws_and_asks_only_for_what_is_looked_at(shop: Shop) -> None:
    with shop.person("olga") as seller:
        shop.order(seller)
    with shop.person("nikolai", width=NARROW) as head:
        seed = head.calls("GET", "/board?limit=1")
        asked: list[int] = []

        def many(route: Route) -> None:
            page = seed | {"as_of": "2026-11-23T12:00:00Z"}
            query = parse_qs(urlsplit(route.request.url).query)
            first = int(query.get("after", ["0"])[0])
            numbers = range(first + 1, first + 51)
            items = [{**seed["items"][0], "order_no": f"OK-{n:06}"} for n in numbers]
            asked.append(first)
            route.fulfill(json={**page, "items": items, "next": str(first + 50)})

        head.page.route(re.compile(r"/office/v1/board\?"), many)
        head.goes("/board?view=table&sort=due")
        expect(head.page.get_by_role("row").filter(has_text="OK-000001")).to_be_visible()
        expect(head.page.get_by_role("row").filter(has_text="OK-000049")).to_have_count(0)
        head.page.mouse.wheel(0, 92 * 40)
        expect(head.page.get_by_role("row").filter(has_text="OK-000045")).to_be_visible()

        assert head.page.get_by_role("row").count() < 40
        assert len(asked) <= 3


def test_the_language_chosen_while_signing_in_is_kept_for_the_person(shop: Shop) -> None:
    with shop.person("timur", "ru") as before:
        assert before.calls("GET", "/me")["locale"] == "ru"
    with shop.person("", "ru") as timur:
        timur.goes("/")
        timur.page.get_by_role("radio", name="Eng").click()
        timur.page.get_by_label("Login").fill("timur")
        timur.page.get_by_label("Password", exact=True).fill(PASSWORD)
        timur.presses("Enter")

        timur.sees("Take next")
        assert timur.calls("GET", "/me")["locale"] == "en"


def test_a_language_chosen_on_a_device_is_spoken_by_whoever_signs_in_there(shop: Shop) -> None:
    for login in ("pyotr", "svetlana"):
        with shop.person(login, "ru"):
            pass  # The office knows: Russian.
    with shop.person("", "ru") as device:
        device.goes("/")
        device.page.get_by_role("radio", name="Eng").click()
        for login in ("pyotr", "svetlana"):
            device.page.get_by_label("Login").fill(login)
            device.page.get_by_label("Password", exact=True).fill(PASSWORD)
            device.presses("Enter")
            device.sees("Take next")
            device.page.get_by_role("button", name="Sign out").first.click()
            expect(device.page.get_by_role("heading", name="Staff sign-in")).to_be_visible()


@pytest.fixture
def claiming(shop: Shop) -> Iterator[tuple[Person, str, list[Route]]]:
    """An operator whose claim of an order has been sent, and whose answer is held back."""
    with shop.person("olga") as seller:
        no = shop.approved(seller)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    with shop.person("ivan") as operator:
        operator.opens(no)
        operator.reads("Ready to take")
        operator.page.route(f"**/orders/{no}/claim", hold)
        operator.presses("c")
        expect(operator.main.get_by_role("button", name=re.compile("^Claim"))).to_be_disabled()
        operator.waits(lambda: held)
        yield operator, no, held


def test_a_key_pressed_while_the_step_before_is_under_way_comes_right_after_it(
    claiming: tuple[Person, str, list[Route]],
) -> None:
    operator, no, held = claiming
    operator.presses("c")
    operator.told(f"{no}: Claim is still under way")
    operator.presses("s")
    operator.told(f"{no}: Start comes right after")
    held[0].continue_()

    operator.reads("In work")
    assert len(held) == 1


def test_a_key_that_waited_is_dropped_when_the_step_before_is_refused(
    claiming: tuple[Person, str, list[Route]],
) -> None:
    operator, no, held = claiming
    operator.presses("s")
    operator.told(f"{no}: Start comes right after")
    held[0].fulfill(status=503, json={"type": "/problems/busy", "title": "Busy", "status": 503})

    expect(operator.main.get_by_role("button", name=re.compile("^Claim"))).to_be_enabled()
    assert operator.calls("GET", f"/orders/{no}")["order"]["stage"] == "MANUFACTURING_APPROVED"


def test_a_key_that_waited_for_what_is_impossible_by_then_says_so(
    claiming: tuple[Person, str, list[Route]],
) -> None:
    operator, no, held = claiming
    operator.presses("p")
    operator.told(f"{no}: Pack comes right after")
    held[0].continue_()

    operator.told(f"{no}: Pack is not possible now")
    operator.reads("Ready to take")


def test_a_page_that_waits_or_fails_says_so(shop: Shop) -> None:
    with shop.person("nikolai") as head:
        head.page.route("**/office/v1/board?*", _never)
        head.goes("/board?view=table")
        expect(head.main.get_by_text("Loading")).to_be_attached()
        head.page.unroute_all(behavior="ignoreErrors")

        head.page.route("**/office/v1/board?*", lambda route: route.fulfill(status=500, body="{}"))
        head.goes("/board?view=table&risk=late")
        expect(head.main.get_by_role("alert")).to_contain_text("It is on record")
        head.page.unroute_all(behavior="ignoreErrors")
        head.main.get_by_role("button", name="Try again").click()
        expect(head.main.get_by_role("alert")).to_have_count(0)


def _never(_: Route) -> None:
    """Leave a request without an answer."""
