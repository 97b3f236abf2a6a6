"""The month that practice begins with."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orderkeep.config import load
from orderkeep.orders.events import Actor, ActorKind
from orderkeep.orders.order import Stage
from orderkeep.practice import seed as practice
from orderkeep.practice.month import Story, month
from orderkeep.roles.parts import build


def told(_done: int, _of: int) -> None:
    """Nobody watches."""


def the_first_draft(*asked: Any) -> list[Story]:
    return [one for one in month(*asked) if one.end is Stage.FILE_UPLOADED][:1]


async def test_what_is_written_by_hand_is_a_sellers_to_go_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(practice, "month", the_first_draft)
    monkeypatch.chdir(tmp_path)
    settings, _ = load({}, tmp_path)

    await practice.seed(settings, datetime.now(UTC), told)

    async with AsyncExitStack() as stack:
        parts = await build(settings, stack)
        [draft] = await parts.store.read(
            lambda work: work.submissions.drafts_of(practice.SELLER, 9)
        )
        history = await parts.store.read(lambda work: work.orders.history(draft.no))
    assert {one.cause.actor for one in history} == {Actor(ActorKind.PERSON, "olga", "seller")}
