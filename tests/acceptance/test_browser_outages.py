"""What people see when the office or the MES behind it is away, each in an office of its own."""

import contextlib
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from orderkeep.testing.browser import opened
from orderkeep.testing.practice_mes import PracticeMesProcess


def test_while_the_office_is_away_the_last_known_stays_and_says_how_old_it_is(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as shop, shop.person("olga") as seller:
        no = shop.order(seller)
        seller.goes("/board?view=table")
        seller.sees(no)

        shop.office.stop()
        seller.sees("connection lost, showing the last known", no)
        shop.office.start()
        expect(seller.main.get_by_text("connection lost")).to_have_count(0)
        seller.sees("Live", no)


SCREENS = (
    "/people",
    "/partners",
    "/balance",
    "/balance/mes",
    "/balance/lost",
    "/sources",
    "/search?q={no}",
    "/orders/{no}?tab=price",
    "/submit",
)


@pytest.mark.parametrize("language", ["ru", "en"])
def test_every_screen_says_that_the_connection_is_lost_and_asks_again(
    language: str, tmp_path: Path
) -> None:
    lost, shown, kept = {
        "ru": ("вязь потеряна", "Данные на", "остаётся в этом браузере"),
        "en": ("onnection lost", "Data as of", "stays in this browser"),
    }[language]
    with opened(tmp_path) as shop, contextlib.ExitStack() as people:
        admins = [people.enter_context(shop.person("admin", language)) for _ in SCREENS]
        no = shop.order(admins[0])
        for admin, path in zip(admins, SCREENS, strict=True):
            admin.goes(path.format(no=no))
            expect(admin.main.get_by_role("heading").first).to_be_visible()
            expect(admin.main.get_by_text(re.compile("^(Loading|Загружаем)"))).to_have_count(0)

        shop.office.stop()
        for admin, path in zip(admins, SCREENS, strict=True):
            bar = admin.main.get_by_role("status").filter(has_text=lost)
            expect(bar).to_have_count(1)
            expect(bar).to_contain_text(kept if path == "/submit" else shown)
        admins[-1].page.locator("#field-note").fill("typed while it was away")

        shop.office.start()
        for admin in admins:
            expect(admin.main.get_by_text(lost)).to_have_count(0)
        admins[-1].page.reload()
        expect(admins[-1].page.locator("#field-note")).to_have_value("typed while it was away")


def test_an_order_that_the_mes_may_have_is_decided_by_a_person_in_one_go(tmp_path: Path) -> None:
    mes = PracticeMesProcess(tmp_path / "mes.jsonl", "--no-lookup", "--fault", "hang-after")
    with mes, opened(
        tmp_path, mes="http", mes_url=mes.address, mes_lookup="off", mes_listing="off",
        mes_read_timeout="1s", mes_total_timeout="2s", mes_connect_timeout="1s",
    ) as shop, shop.person("olga") as seller:  # fmt: skip
        no = shop.order(seller)
        seller.opens(no)
        seller.sees("Needs your decision")
        seller.presses("a")
        seller.sees("Unclear")
        with shop.person("vera") as support:
            support.opens(no)
            support.does("Decide on delivery", Decision="The work is there")
            support.sees("Sent and confirmed")
        assert mes.effects()[no] == 1
