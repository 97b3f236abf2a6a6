"""The office without a mouse, in any layout, and for those who listen to it."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from orderkeep.testing.browser import Shop, opened

NAMELESS = """() => [...document.querySelectorAll('button, a[href], input, select, textarea')]
    .filter((one) => !one.closest('[aria-hidden=true]') && one.getClientRects().length > 0)
    .filter((one) => !(one.getAttribute('aria-label') || one.textContent.trim() || one.title
        || one.labels?.length || one.getAttribute('aria-labelledby')))
    .map((one) => one.outerHTML.slice(0, 120))"""
PALE = """() => {
    const light = ([r, g, b]) => [r, g, b]
        .map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0)
    const paint = document.createElement('canvas').getContext('2d', { willReadFrequently: true })
    const rgba = (colour) => {
        paint.clearRect(0, 0, 1, 1); paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1)
        return [...paint.getImageData(0, 0, 1, 1).data]
    }
    const behind = (one) => {
        for (let at = one; at; at = at.parentElement) {
            const colour = rgba(getComputedStyle(at).backgroundColor)
            if (colour[3] > 250) return colour
        }
        return [255, 255, 255, 255]
    }
    const words = [...document.querySelectorAll('main *, aside *, nav *')].filter((one) =>
        [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())
        && one.getClientRects().length && !one.closest('[disabled]'))
    return words.filter((one) => {
        const ink = rgba(getComputedStyle(one).color)
        if (ink[3] < 250) return false
        const [a, b] = [light(ink), light(behind(one))].sort((x, y) => y - x)
        return (a + 0.05) / (b + 0.05) < 4.5
    }).map((one) => one.textContent.trim().slice(0, 60) + ' | ' + one.className)
}"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with opened(tmp_path_factory.mktemp("keyboard")) as shop:
        with shop.person("olga") as seller:
            for _ in range(3):
                shop.approved(seller)
            shop.order(seller)
        yield shop


def test_the_board_is_walked_and_worked_in_the_russian_layout(shop: Shop) -> None:
    with shop.person("maria", "ru") as maria:
        maria.goes("/board?view=table&stage=MANUFACTURING_APPROVED&claim=free")
        grid = maria.page.get_by_role("grid")
        expect(grid.get_by_role("row").nth(3)).to_be_visible()
        maria.presses("о", "о")  # J, J
        expect(grid).to_be_focused()
        second = grid.get_by_role("row").nth(2)
        expect(second).to_have_attribute("aria-selected", "true")
        expect(grid).to_have_attribute("aria-activedescendant", second.get_attribute("id") or "")

        maria.presses("с")  # C: claim
        expect(second).to_contain_text("вы")
        maria.presses("л", "Enter")  # K, and open
        expect(maria.page).to_have_url(re.compile("/orders/"))
        maria.presses("Escape")
        expect(grid.get_by_role("row").nth(1)).to_have_attribute("aria-selected", "true")
        expect(grid).to_be_focused()  # Where she stood, and the keys go on from there.
        maria.presses("о")
        expect(second).to_have_attribute("aria-selected", "true")


def test_back_from_an_order_the_own_work_stands_at_it_again(shop: Shop) -> None:
    with shop.person("olga") as seller:
        no = shop.approved(seller)
    with shop.person("timur") as operator:
        operator.goes("/board?view=work")
        card = operator.main.get_by_role("listitem").filter(has_text=no)
        card.get_by_role("link").click()
        operator.reads(no)
        operator.presses("Escape")
        expect(card).to_have_attribute("aria-current", "true")


def test_every_key_is_on_the_sheet_and_a_dialog_keeps_them_to_itself(shop: Shop) -> None:
    with shop.person("maria") as maria:
        maria.goes("/board?view=work")
        maria.sees("Up next")
        maria.presses("?")
        for word in ("Take next", "Start", "Done", "Ship", "Hold", "Search"):
            expect(maria.dialog).to_contain_text(word)
        maria.presses("n")
        maria.presses("Escape")
        expect(maria.dialog).to_be_hidden()
        maria.sees("Up next")
        maria.presses("/")
        expect(maria.page.get_by_role("combobox")).to_be_focused()
        maria.presses("n")
        expect(maria.page.get_by_role("combobox")).to_have_value("n")
        maria.presses("Escape", "g", "b")
        expect(maria.page).to_have_url(re.compile("view=table|/board"))


@pytest.mark.parametrize(
    "login, path",
    [
        ("", "/sign-in"),
        ("olga", "/approvals"),
        ("olga", "/submit"),
        ("nikolai", "/board?view=table"),
        ("ivan", "/board?view=work"),
        ("olga", "/orders/{no}"),
        ("vera", "/search?q=Anna"),
        ("vera", "/balance"),
        ("vera", "/balance/mes"),
        ("vera", "/balance/lost"),
        ("admin", "/people"),
        ("admin", "/partners"),
    ],
)
def test_every_control_has_a_name_every_word_a_contrast_and_focus_is_seen(
    shop: Shop, login: str, path: str
) -> None:
    with shop.person(login) as person:
        if "{no}" in path:
            path = path.format(no=person.calls("GET", "/board?limit=1")["items"][0]["order_no"])
        person.goes(path)
        expect(person.page.get_by_role("heading", level=1)).to_be_attached()
        expect(person.page.get_by_text("Loading")).to_have_count(0)
        person.stands_still()

        assert person.page.evaluate(NAMELESS) == []
        assert person.page.evaluate(PALE) == []
        for _ in range(4):
            person.presses("Tab")
            if person.page.evaluate("document.activeElement === document.body"):
                break  # Once round: there is less to reach than we meant to.
            seen = "getComputedStyle(document.activeElement)"
            shown = f"{seen}.outlineStyle !== 'none' || {seen}.boxShadow !== 'none'"
            assert person.page.evaluate(shown), person.page.evaluate(
                "document.activeElement.outerHTML"
            )
        assert person.complaints == []
