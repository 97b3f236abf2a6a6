"""Every screen, in both languages and at both widths, as axe-core judges what people cannot use."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from orderkeep.testing.browser import NARROW, WIDE, Person, Shop, opened

AXE = Path(__file__).parents[2] / "web/node_modules/axe-core/axe.min.js"
FINDINGS = """async () => {
    const { violations } = await axe.run(document, { resultTypes: ['violations'] })
    return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
        .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 200)}`))
}"""
SCREENS = {
    "": ["/sign-in"],
    "olga": [
        "/approvals",
        "/submit",
        "/orders/{no}",
        *(f"/orders/{{no}}?tab={tab}" for tab in ("hops", "price", "files", "times", "related")),
        "/board?view=table",
    ],
    "ivan": ["/board?view=work", "/board?view=table", "/board?view=table&q=nobody-has-this"],
    "vera": [
        "/search",
        "/search?q=Anna",
        "/balance",
        "/balance/mes",
        "/balance/lost",
        "/dead-letters",
        "/destinations",
        "/unknown",
        "/no-such-page",
    ],
    "admin": ["/people", "/partners", "/sources"],
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with opened(tmp_path_factory.mktemp("axe")) as shop:
        with shop.person("olga") as seller:
            shop.approved(seller)
            shop.order(seller)
        yield shop


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("language", ["ru", "en"])
@pytest.mark.parametrize("login", SCREENS)
def test_no_screen_has_a_serious_finding(shop: Shop, login: str, language: str, width: int) -> None:
    with shop.person(login, language, width) as person:
        found = {path: _findings(person, path) for path in SCREENS[login]}

    assert {path: what for path, what in found.items() if what} == {}


@pytest.mark.parametrize("language", ["ru", "en"])
def test_nothing_that_opens_has_a_serious_finding(shop: Shop, language: str) -> None:
    with shop.person("olga", language) as seller:
        no = _an_order(seller)
        seller.opens(no)
        seller.presses("?")
        expect(seller.dialog).to_be_visible()
        sheet = _judged(seller)
        seller.presses("Escape")
        expect(seller.dialog).to_be_hidden()
        seller.presses("m")
        expect(seller.dialog).to_be_visible()
        note = _judged(seller)
        seller.presses("Escape")
        expect(seller.dialog).to_be_hidden()
        seller.main.locator("[aria-haspopup=menu]").first.click()
        expect(seller.page.get_by_role("menu")).to_be_visible()
        menu = _judged(seller)

    assert {"sheet": sheet, "note": note, "menu": menu} == {"sheet": [], "note": [], "menu": []}


def _findings(person: Person, path: str) -> list[str]:
    person.goes(path.format(no=_an_order(person) if "{no}" in path else ""))
    expect(person.page.get_by_role("heading", level=1)).to_be_attached()
    expect(person.page.locator(".animate-pulse")).to_have_count(0)
    return _judged(person)


def _an_order(person: Person) -> str:
    return str(person.calls("GET", "/board?limit=1")["items"][0]["order_no"])


def _judged(person: Person) -> list[str]:
    person.stands_still()
    person.page.evaluate(AXE.read_text("utf-8"))
    found: list[str] = person.page.evaluate(FINDINGS)
    return found
