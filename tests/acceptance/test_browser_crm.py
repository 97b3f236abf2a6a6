"""The order's page says what the CRM was told, and takes a person's word on what it refuses."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from orderkeep.testing.browser import opened
from orderkeep.testing.practice_mes import PracticeCrmProcess


@pytest.mark.parametrize(
    "language, refused, why, again, taken",
    [
        ("en", "Refused", "Why", "Tell it again", "Known there"),
        ("ru", "Отказано", "Почему", "Сообщить ещё раз", "Учтено"),
    ],
)
def test_refused_news_is_told_again_from_the_orders_page(
    language: str, refused: str, why: str, again: str, taken: str, tmp_path: Path
) -> None:
    with PracticeCrmProcess(tmp_path / "crm.jsonl") as crm:
        crm.behave(refuses=["SUBMITTED", "PRICE_CALCULATED"])
        with opened(tmp_path, crm_url=crm.address, crm_pause="200ms") as shop:
            with shop.person("olga") as seller:
                no = shop.order(seller)
            with shop.person("vera", language) as support:
                support.opens(no, "related")
                support.sees(refused, "there is no stage PRICE_CALCULATED here")
                crm.behave()
                support.main.get_by_label(why).fill("they know it now")
                support.main.get_by_role("button", name=again).click()

                support.sees(taken)
                expect(support.main.get_by_label(why)).to_have_count(0)
                assert support.complaints == []
        assert crm.told()[no][-1].status == "PRICE_CALCULATED"
