"""What every CRM behind the ``Crm`` port does; each implementation passes the same suite."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orderkeep.adapters.crm_http import CrmHttp, CrmHttpSettings
from orderkeep.bridge.crm import Crm, CrmCapabilities
from orderkeep.bridge.tray import Unknown
from orderkeep.kernel.ids import OrderNo
from orderkeep.orders.messages import CrmSaid
from orderkeep.orders.news import News, news_after
from orderkeep.orders.order import Stage
from orderkeep.testing.crm import FakeCrm
from orderkeep.testing.orders import Story, a_story
from orderkeep.testing.practice_mes import PracticeCrmProcess


@dataclass
class FarSide:
    """A CRM, what it was told in truth, and how its people decide."""

    open: Callable[[], AbstractAsyncContextManager[Crm]]
    told: Callable[[], list[tuple[str, int]]]
    decide: Callable[[dict[str, Any]], Awaitable[None] | None]


class CrmContract:
    """Subclass it and give it a ``far_side`` fixture."""

    async def test_what_it_was_told_it_shows(self, far_side: FarSide) -> None:
        news = newest(a_story(Stage.PRICE_CALCULATED))

        async with far_side.open() as crm:
            answer = await crm.tell(news)
            shown = await crm.find(news.order_no)

        assert shown == answer
        assert (answer.order_no, answer.version) == (news.order_no, news.version)
        assert answer.stage == "PRICE_CALCULATED"

    async def test_of_what_it_was_never_told_it_shows_nothing(self, far_side: FarSide) -> None:
        async with far_side.open() as crm:
            assert await crm.find(OrderNo("OK-000013")) is None

    async def test_told_again_it_knows_no_more_than_before(self, far_side: FarSide) -> None:
        news = newest(a_story(Stage.SHIPPED))

        async with far_side.open() as crm:
            first = await crm.tell(news)
            second = await crm.tell(news)

        assert first == second
        assert far_side.told() == [(news.order_no, news.version)]

    async def test_older_news_takes_nothing_back(self, far_side: FarSide) -> None:
        story = a_story(Stage.SHIPPED)
        older, newer = first(story), newest(story)

        async with far_side.open() as crm:
            await crm.tell(newer)
            answer = await crm.tell(older)
            shown = await crm.find(newer.order_no)

        assert answer.version == newer.version
        assert shown is not None
        assert shown.version == newer.version

    async def test_what_its_people_decided_is_read_once_from_where_we_were(
        self, far_side: FarSide
    ) -> None:
        approve = CrmSaid(OrderNo("OK-000013"), "approve", "D-1")
        cancel = CrmSaid(OrderNo("OK-000013"), "cancel", "D-2", "changed my mind")

        async with far_side.open() as crm:
            nothing, cursor = await crm.commands(None)
            far_side.decide({"id": "D-1", "order_no": approve.order_no, "command": "approve"})
            one, cursor = await crm.commands(cursor)
            far_side.decide(
                {"id": "D-2", "order_no": cancel.order_no, "command": "cancel",
                 "reason": "changed my mind"},
            )  # fmt: skip
            two, _ = await crm.commands(cursor)

        assert [list(nothing), list(one), list(two)] == [[], [approve], [cancel]]


class TestFakeCrm(CrmContract):
    @pytest.fixture
    def far_side(self) -> FarSide:
        crm = FakeCrm()

        def decide(said: dict[str, Any]) -> None:
            crm.decided.append(CrmSaid(**said))

        return FarSide(
            lambda: nullcontext(crm), lambda: [(no, version) for no, _, version in crm.told], decide
        )


class TestCrmHttp(CrmContract):
    @pytest.fixture
    def far_side(self, practice: PracticeCrmProcess) -> FarSide:
        ways = CrmCapabilities(lookup=True, commands=True)
        settings = CrmHttpSettings(base_url=practice.address, capabilities=ways)

        def told() -> list[tuple[str, int]]:
            heard = [one for entries in practice.told().values() for one in entries]
            return [(one.reference or "", one.version or 0) for one in heard]

        def decide(said: dict[str, Any]) -> None:
            practice.decide(**said)

        return FarSide(lambda: CrmHttp(settings), told, decide)

    @pytest.fixture
    def practice(self, tmp_path: Path) -> Iterator[PracticeCrmProcess]:
        with PracticeCrmProcess(tmp_path / "crm.jsonl") as crm:
            yield crm

    async def test_an_entry_that_means_nothing_comes_back_as_it_was_said(
        self, far_side: FarSide
    ) -> None:
        far_side.decide({"id": "D-1", "hello": "there"})

        async with far_side.open() as crm:
            [said], _ = await crm.commands(None)

        assert isinstance(said, Unknown)
        assert (said.why, said.message_id) == ("unreadable: without order_no, command", "D-1")
        assert b'"hello":"there"' in said.body


def first(story: Story) -> News:
    """The first news of a story."""
    news = news_after(story.history, 0)
    assert news is not None
    return news


def newest(story: Story) -> News:
    """The newest."""
    news = first(story)
    while (following := news_after(story.history, news.version)) is not None:
        news = following
    return news
