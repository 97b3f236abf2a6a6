"""What every MES behind the ``Mes`` port does; each implementation passes the same suite."""

import itertools
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from orderkeep.adapters.mes_http import MesHttp, MesHttpSettings
from orderkeep.bridge.ports import (
    Capabilities,
    Mes,
    MesJob,
    NotShown,
    RecallRefused,
    WorkOrder,
)
from orderkeep.kernel.ids import WorkOrderRef, order_no, order_no_of, work_order_ref
from orderkeep.testing.practice_mes import PracticeMesProcess

NUMBERS = itertools.count(1)


class FarSide(Protocol):
    """A MES and what a test knows of it besides its answers."""

    def open(self) -> AbstractAsyncContextManager[Mes]:
        """The MES as the bridge sees it."""
        ...

    def made(self, reference: str) -> int:
        """How many jobs it really has for a reference."""
        ...

    async def begin(self, job: MesJob) -> None:
        """Someone starts to work on a job."""
        ...


def a_work_order(reference: WorkOrderRef | None = None) -> WorkOrder:
    """A ring nobody has ordered before, unless a reference is given."""
    known = reference or work_order_ref(order_no(next(NUMBERS)), 1)
    position = {"position": 1, "material": "ag925", "quantity": 1, "file_id": "f1"}
    return WorkOrder(
        reference=known,
        order_no=order_no_of(known),
        positions=[{**position, "file_sha256": "0" * 64}],
        promise_at=datetime(2026, 12, 24, 12, tzinfo=UTC),
        body_sha256="1" * 64,
    )


class MesContract:
    """Subclass it and give it a ``far_side`` fixture."""

    async def test_what_was_taken_on_is_found_once_under_its_reference(
        self, far_side: FarSide
    ) -> None:
        order = a_work_order()

        async with far_side.open() as mes:
            job = await mes.submit(order)
            found = await mes.find(order.reference)

        assert job.reference == order.reference
        assert [(j.mes_id, j.reference) for j in found] == [(job.mes_id, order.reference)]
        assert far_side.made(order.reference) == 1

    async def test_what_was_never_sent_is_not_found(self, far_side: FarSide) -> None:
        async with far_side.open() as mes:
            assert list(await mes.find(a_work_order().reference)) == []

    async def test_work_orders_of_one_order_are_told_apart(self, far_side: FarSide) -> None:
        first = a_work_order()
        second = a_work_order(work_order_ref(first.order_no, 2))

        async with far_side.open() as mes:
            await mes.submit(second)
            absent = await mes.find(first.reference)
            await mes.submit(first)
            found = await mes.find(first.reference)

        assert list(absent) == []
        assert [job.reference for job in found] == [first.reference]

    async def test_sending_again_does_what_the_capabilities_say(self, far_side: FarSide) -> None:
        order = a_work_order()

        async with far_side.open() as mes:
            first = await mes.submit(order)
            second = await mes.submit(order)
            recognises_repeats = mes.capabilities.idempotency != "none"

        assert (first.mes_id == second.mes_id) == recognises_repeats
        assert far_side.made(order.reference) == (1 if recognises_repeats else 2)

    async def test_a_job_not_begun_can_be_taken_back_and_taken_back_again(
        self, far_side: FarSide
    ) -> None:
        order = a_work_order()

        async with far_side.open() as mes:
            before = await mes.submit(order)
            await mes.recall(order.reference)
            await mes.recall(order.reference)
            after = await mes.find(order.reference)

        assert all(job.status != before.status for job in after)
        assert far_side.made(order.reference) == 1

    async def test_a_job_begun_is_not_given_back(self, far_side: FarSide) -> None:
        order = a_work_order()

        async with far_side.open() as mes:
            await far_side.begin(await mes.submit(order))
            with pytest.raises(RecallRefused):
                await mes.recall(order.reference)

    async def test_taking_back_what_is_not_there_is_not_taken_for_done(
        self, far_side: FarSide
    ) -> None:
        async with far_side.open() as mes:
            with pytest.raises((RecallRefused, NotShown)):
                await mes.recall(a_work_order().reference)

    async def test_a_begun_job_shows_another_status(self, far_side: FarSide) -> None:
        order = a_work_order()

        async with far_side.open() as mes:
            before = await mes.submit(order)
            await far_side.begin(before)
            (after,) = await mes.find(order.reference)

        assert after.mes_id == before.mes_id
        assert after.status != before.status

    async def test_the_listing_shows_every_job_once(self, far_side: FarSide) -> None:
        orders = [a_work_order() for _ in range(12)]

        async with far_side.open() as mes:
            sent = {(await mes.submit(order)).mes_id for order in orders}
            listed = await everything(mes)

        assert len(listed) == len(set(listed))
        assert sent <= set(listed)


async def everything(mes: Mes) -> list[str]:
    """The ids of all jobs, page by page."""
    ids: list[str] = []
    cursor: str | None = None
    while True:
        page, cursor = await mes.list(cursor)
        ids += [job.mes_id for job in page]
        if cursor is None:
            return ids


class PracticeFarSide:
    """The HTTP adapter against the practice MES in a process of its own."""

    def __init__(self, process: PracticeMesProcess, idempotency: str) -> None:
        self._process = process
        self._settings = MesHttpSettings(
            base_url=process.address,
            capabilities=replace(ABLE, idempotency=idempotency),
        )

    def open(self) -> MesHttp:
        return MesHttp(self._settings)

    def made(self, reference: str) -> int:
        return self._process.effects()[reference]

    async def begin(self, job: MesJob) -> None:
        path = f"/api/orders/{job.mes_id}/status"
        self._process.ask("POST", path, json={"status": "started"})


ABLE = Capabilities(
    idempotency="none", lookup=True, recall=True, listing=True, visibility_lag=timedelta(0)
)


@pytest.fixture(scope="module")
def practice_mes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PracticeMesProcess]:
    with PracticeMesProcess(tmp_path_factory.mktemp("mes") / "journal.jsonl") as process:
        yield process


class TestMesHttp(MesContract):
    """Whatever a legacy MES does with repeats."""

    @pytest.fixture(params=["none", "key", "reference"])
    def far_side(self, practice_mes: PracticeMesProcess, request: pytest.FixtureRequest) -> FarSide:
        practice_mes.behave(idempotency=request.param)
        return PracticeFarSide(practice_mes, request.param)
