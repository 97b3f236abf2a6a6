"""What of an order's history its sellers' CRM is told, piece by piece and in order."""

import pytest

from orderkeep.orders import commands as c
from orderkeep.orders import events as e
from orderkeep.orders.news import KINDS, last_news, news_after
from orderkeep.orders.order import Stage
from orderkeep.testing.orders import HOUR, ROAD, SELLER, Story, a_story


def told(story: Story) -> list[tuple[int, str, Stage]]:
    """All news of a story, as a CRM hears it that is told one piece after the other."""
    heard, version = [], 0
    while (news := news_after(story.history, version)) is not None:
        version = news.version
        heard.append((version, news.kind, news.order.stage))
    return heard


def test_the_whole_road_is_told_in_its_order() -> None:
    story = a_story(Stage.CLOSED)

    heard = told(story)

    assert [kind for _, kind, _ in heard] == [
        "accepted", "priced", "approved", "started", "completed", "packed", "shipped", "closed",
    ]  # fmt: skip
    assert [stage for _, _, stage in heard] == list(ROAD)
    versions = [version for version, _, _ in heard]
    assert versions == sorted(set(versions))
    assert last_news(story.history) == versions[-1]


@pytest.mark.parametrize("stage", [*ROAD])
def test_no_step_of_the_stage_is_kept_back(stage: Stage) -> None:
    """A CRM that was told all there is shows the stage that the order is in."""
    story = a_story(stage)

    assert told(story)[-1][2] is story.order.stage


def test_a_hold_and_its_end_are_told() -> None:
    story = a_story(Stage.PRICE_CALCULATED)
    story.do(c.PlaceHold("stone is missing", "client", story.now + HOUR), SELLER)
    story.do(c.LiftHold("it came"), SELLER)

    assert [kind for _, kind, _ in told(story)][-2:] == ["held", "resumed"]


def test_the_same_news_says_the_same_however_late_it_is_asked_for() -> None:
    story = a_story(Stage.PRICE_CALCULATED)
    early = news_after(story.history, 0)
    story.do(c.CancelOrder("no"), SELLER)

    late = news_after(story.history, 0)

    assert early is not None
    assert early == late
    assert early.id == f"{story.order.no}.1"


def test_a_note_is_nobodys_news() -> None:
    story = a_story(Stage.SUBMITTED)
    before = last_news(story.history)

    story.do(c.AddNote("called the client"), SELLER)

    assert last_news(story.history) == before
    assert news_after(story.history, before) is None
    assert e.NoteAdded not in KINDS
