"""Small things that a look at every screen has found, each where it was."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from orderkeep.testing.browser import NARROW, WIDE, Shop, opened

CUT = """bar => [bar, ...bar.querySelectorAll('span')].filter((one) => {
    const box = one.getBoundingClientRect()
    return one.scrollWidth > one.clientWidth && one.clientWidth > 0 || box.right > innerWidth
        || one.tagName == 'SPAN' && box.width > one.parentElement.clientWidth
}).map((one) => one.textContent)"""
"""Words of a bar that have no room in it."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with opened(tmp_path_factory.mktemp("screens")) as shop:
        yield shop


@pytest.mark.parametrize("language, word", [("ru", "принято"), ("en", "accepted")])
def test_the_balance_keeps_a_gap_between_the_number_and_its_word(
    shop: Shop, language: str, word: str
) -> None:
    with shop.person("admin", language) as admin:
        admin.goes("/balance")
        said = admin.main.get_by_text(word, exact=True).locator("..").inner_text().split()

        assert said == [said[0], word]


def test_the_office_itself_is_not_among_its_partners(shop: Shop) -> None:
    with shop.person("admin") as admin:
        admin.goes("/partners")
        admin.sees("Aurum Gallery")

        expect(admin.main).not_to_contain_text("orderkeep office")


def test_a_draft_is_gone_on_with_from_its_page_by_its_writer_alone(shop: Shop) -> None:
    with shop.person("olga") as seller:
        first, _newer = (
            seller.calls("POST", "/drafts", {"customer": {"name": name}})["order_no"]
            for name in ("Begun first", "Begun later")
        )
        seller.opens(first)
        seller.page.get_by_role("link", name="Continue the draft").click()
        expect(seller.page.get_by_label("Name")).to_have_value("Begun first")
        seller.page.get_by_label("Note").fill("gold leaf")
        seller.sees("Draft saved at")
        kept = {one["order_no"]: one["body"] for one in seller.calls("GET", "/drafts")["items"]}
        assert kept[first] == {"customer": {"name": "Begun first"}, "note": "gold leaf"}

    with shop.person("admin") as admin:
        admin.opens(first)
        admin.sees("This is a draft by Ольга Смирнова")
        expect(admin.page.get_by_role("link", name="Continue the draft")).to_have_count(0)
        admin.goes(f"/submit?draft={first}")
        admin.sees(f"Draft {first} cannot be opened")


@pytest.mark.parametrize("language", ["ru", "en"])
@pytest.mark.parametrize("width", [320, NARROW])
def test_every_section_is_reached_on_a_phone(shop: Shop, language: str, width: int) -> None:
    more, partners = {"ru": ("Ещё", "Партнёры"), "en": ("More", "Partners")}[language]
    with shop.person("admin", language, width) as admin:
        page = admin.page
        admin.goes("/people")
        bar = page.get_by_role("navigation").filter(has=page.get_by_role("button", name=more))
        expect(bar.get_by_role("link")).to_have_count(4)
        admin.stands_still()
        assert bar.evaluate(CUT) == []
        bar.get_by_role("button", name=more).focus()
        admin.presses("Enter")
        expect(admin.dialog.get_by_role("link")).to_have_count(9)
        expect(admin.dialog.locator("[aria-current=page]")).to_have_count(1)
        admin.presses("Escape")
        expect(admin.dialog).to_be_hidden()
        expect(bar.get_by_role("button", name=more)).to_be_focused()
        admin.presses("Enter")
        admin.dialog.get_by_role("link", name=partners).press("Enter")

        expect(page.get_by_role("heading", name=partners)).to_be_visible()
        expect(admin.dialog).to_be_hidden()


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_the_messages_of_an_order_are_words_within_the_screen(shop: Shop, width: int) -> None:
    with shop.person("olga", width=width) as seller:
        seller.opens(shop.approved(seller), "hops")
        told = seller.page.get_by_role("list", name="Messages between systems")
        diagram = seller.page.get_by_role("region", name="Messages between systems")

        seller.sees("Request to make it")
        expect(seller.main).not_to_contain_text("work_order.wanted")
        expect(told).to_have_count(int(width == NARROW))
        expect(diagram).to_have_count(int(width != NARROW))
        assert seller.fits()
