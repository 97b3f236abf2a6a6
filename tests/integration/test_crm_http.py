"""What the answers of a CRM behind HTTP prove, and what it is told, byte for byte."""

import socket
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from orderkeep.adapters.crm_http import CrmHttp, CrmHttpSettings
from orderkeep.adapters.crm_http.shapes import body_of
from orderkeep.bridge.crm import CrmOutcomeUnknown, CrmRejected, CrmUnavailable
from orderkeep.config import CRM_NAMES
from orderkeep.orders import commands as c
from orderkeep.orders.news import News, news_after
from orderkeep.orders.order import Stage
from orderkeep.testing.orders import SELLER, Story, a_story
from orderkeep.testing.practice_mes import PracticeCrmProcess

SETTINGS = CrmHttpSettings(
    base_url="http://crm.local",
    connect_timeout=timedelta(seconds=10),
    pool_timeout=timedelta(seconds=10),
    read_timeout=timedelta(seconds=30),
    total_timeout=timedelta(seconds=50),
)
"""Nobody gives up an answer that is only slow to come, on a busy machine."""
SOON = timedelta(seconds=1)


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PracticeCrmProcess]:
    with PracticeCrmProcess(tmp_path_factory.mktemp("crm") / "journal.jsonl") as crm:
        yield crm


def at(practice: PracticeCrmProcess, **changes: Any) -> CrmHttp:
    return CrmHttp(replace(SETTINGS, base_url=practice.address, **changes))


def the_news(story: Story) -> News:
    news = news_after(story.history, 0)
    assert news is not None
    return news


UNKNOWN_AFTER = (
    "500", "502", "503", "hang", "reset", "garbage", "bad-json", "truncated", "html", "redirect",
    "huge", "wrong-ref",
)  # fmt: skip


@pytest.mark.parametrize(
    "fault", [*(f"{kind}-before" for kind in UNKNOWN_AFTER[:-1]), *UNKNOWN_AFTER]
)
async def test_what_is_no_clear_answer_proves_nothing(
    practice: PracticeCrmProcess, fault: str
) -> None:
    practice.behave(faults=[f"{fault}:op=tell"])
    waits = {"read_timeout": SOON} if fault.startswith("hang") else {}
    async with at(practice, **waits) as crm:
        with pytest.raises(CrmOutcomeUnknown):
            await crm.tell(the_news(a_story()))


async def test_no_room_and_no_connection_are_surely_not_told(
    practice: PracticeCrmProcess,
) -> None:
    practice.behave(faults=["busy:op=tell"])
    news = the_news(a_story())
    async with at(practice) as crm:
        with pytest.raises(CrmUnavailable) as full:
            await crm.tell(news)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # Bound, so that nobody else takes it, and not listening.
        settings = replace(SETTINGS, base_url=f"http://127.0.0.1:{closed.getsockname()[1]}")
        async with CrmHttp(settings) as crm:
            with pytest.raises(CrmUnavailable):
                await crm.tell(news)

    assert full.value.retry_after == timedelta(seconds=1)


async def test_a_refusal_says_why(practice: PracticeCrmProcess) -> None:
    practice.behave(refuses=["SUBMITTED"])
    async with at(practice) as crm:
        with pytest.raises(CrmRejected, match="there is no stage SUBMITTED here"):
            await crm.tell(the_news(a_story()))


async def test_a_wrong_path_refuses_no_news(practice: PracticeCrmProcess) -> None:
    """It is a setting that is wrong; an order must not be put aside for that."""
    practice.behave()
    async with at(practice, tell_path="/elsewhere/{order_no}") as crm:
        with pytest.raises(CrmUnavailable):
            await crm.tell(the_news(a_story()))


def test_a_crm_that_does_not_know_cancelled_is_told_closed_and_the_reason() -> None:
    story = a_story(Stage.PRICE_CALCULATED)
    story.do(c.CancelOrder("too expensive"), SELLER)
    news = the_news(story)
    while news.kind != "cancelled":
        news = news_after(story.history, news.version) or news
    settings = replace(
        SETTINGS, stages={"CANCELLED": "CLOSED"}, reasons={"too expensive": "price"},
        event_id_field="eventId",
    )  # fmt: skip

    told = msgspec.json.decode(body_of(news, settings))

    assert (told["stage"], told["cancelled"], told["cancel_reason"]) == ("CLOSED", True, "price")
    assert told["eventId"] == news.id
    unmapped = msgspec.json.decode(body_of(news, replace(settings, reasons={})))
    assert unmapped["cancel_reason"] == "other"


def test_what_is_engraved_is_not_told() -> None:
    news = the_news(a_story())
    engraved = [msgspec.structs.replace(one, engraving="Anna") for one in news.order.positions]
    order = msgspec.structs.replace(news.order, positions=tuple(engraved))

    assert b"Anna" not in body_of(msgspec.structs.replace(news, order=order), SETTINGS)


def test_every_path_and_field_of_a_crm_may_have_another_name() -> None:
    texts = {one.name for one in fields(CrmHttpSettings) if one.type is str}

    assert texts - {"base_url"} == CRM_NAMES
