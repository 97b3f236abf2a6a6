"""Stories that the simulated world told: each was a seed that failed once."""

from datetime import timedelta

import pytest

from orderkeep.bridge.work import LeaseLost
from orderkeep.intake.ports import ClientRefTaken
from orderkeep.kernel.errors import StoreBusy
from orderkeep.kernel.ids import WorkOrderRef
from orderkeep.orders import commands as c
from orderkeep.orders.events import Actor, ActorKind, Cause
from orderkeep.orders.order import Delivered, Stage
from orderkeep.testing.people import HEAD, SENDER, Client
from orderkeep.testing.town import Town


async def test_an_outcome_that_the_full_disk_did_not_take_is_found_out_without_a_restart() -> None:
    # Seed 54 of the first simulation: the MES had answered, the store was busy, and the work order
    # stayed "sending" until somebody restarted the process.
    town = Town()
    no = await town.order()
    town.store.busy_writes = iter((False, True))  # The intent is kept, the outcome is not.

    with pytest.raises(StoreBusy):
        await town.process.steps["send"]()
    assert town.delivered(no) is Delivered.SENDING
    for _ in range(4):
        await town.later()

    assert town.delivered(no) is not Delivered.SENDING
    assert town.mes.effects == {no: 1}


async def test_a_no_to_a_repeat_does_not_prove_that_the_first_try_did_nothing() -> None:
    # Seed 611: the MES made it, its answer was lost, the repeat was refused, and the order was
    # cancelled as "never there" while it was being made.
    town = Town(idempotency="key")
    no = await town.order()
    town.faults.mes = ["refuse", "done_then_lost"]

    await town.process.steps["send"]()
    await town.later()

    assert town.delivered(no) is Delivered.UNCERTAIN
    cause = Cause(HEAD, "CancelOrder", "office", "")
    await town.process.master.handle(no, c.CancelOrder("changed my mind"), cause)
    assert town.see(no).cancel_request is not None


async def test_a_second_draft_under_the_same_number_is_told_the_first() -> None:
    # Seed 24: the answer to the first draft was lost; the second one failed in the database.
    town = Town()
    client = Client("ref-1", "key-1")
    first = await town.process.drafts.open(SENDER, b"{}")
    await town.process.drafts.submit(first.no, SENDER, client.body())
    second = await town.process.drafts.open(SENDER, b"{}")

    with pytest.raises(ClientRefTaken) as taken:
        await town.process.drafts.submit(second.no, SENDER, client.body())

    assert taken.value.facts["order_no"] == first.no


async def test_claiming_what_the_head_gave_me_changes_nothing() -> None:
    # Seed 796: there was no claim to answer with, and the refusal broke every claim of its batch.
    town = Town()
    no = await town.order()
    await town.process.steps["send"]()
    town.mes.advance(no)
    await town.later(timedelta(seconds=30))
    cause = Cause(HEAD, "ReassignOrder", "office", "")
    await town.process.master.handle(no, c.ReassignOrder("op-2", "on holiday"), cause)
    version = town.see(no).version

    mine = Cause(Actor(ActorKind.PERSON, "op-2", "operator"), "ClaimOrder", "office", "1" * 32)
    now = town.clock.now()
    await town.process.claims.claim(no, "op-2", now, now + timedelta(hours=4), mine)

    assert town.see(no).version == version


async def test_a_work_order_taken_back_may_still_say_that_it_had_come() -> None:
    # Seed 9337: recalled before its first word was heard, its "accepted" called a person.
    town = Town()
    no = await town.order()
    cause = Cause(HEAD, "test", "office", "")
    tell = town.process.master.handle
    for state in (Delivered.SENDING, Delivered.CONFIRMED):
        await tell(no, c.RecordDelivery("mes", WorkOrderRef(no), state), cause)
    await tell(no, c.RecordMesWord("mes", WorkOrderRef(no), "started"), cause)
    await tell(no, c.RecordMesWord("mes", WorkOrderRef(no), "completed"), cause)
    await tell(no, c.OrderRework("scratched", "scrapped"), cause)

    await tell(no, c.RecordMesWord("floor", WorkOrderRef(no), "accepted"), cause)
    assert town.see(no).diverged is None
    await tell(no, c.RecordMesWord("mes", WorkOrderRef(no), "accepted"), cause)
    assert town.see(no).diverged is not None  # Of a foreign MES it is news: it might be made twice.


async def test_a_wish_to_have_it_back_is_not_forgotten_by_a_step_that_read_before() -> None:
    # Seed 2979: the bridge had read the row, a cancellation was heard, and then the bridge wrote
    # that there was nothing more to do: nobody ever asked for the work order back.
    town = Town()
    no = await town.order()
    await town.process.steps["send"]()
    row = town.store.read_now(lambda work: work.deliveries.get("mes", no))
    assert row is not None
    cause = Cause(HEAD, "CancelOrder", "office", "")
    await town.process.master.handle(no, c.CancelOrder("changed my mind"), cause)
    for name in ("relay", "inbox bridge"):
        await town.process.steps[name]()

    with pytest.raises(LeaseLost):
        town.store.write_now(lambda work: work.deliveries.change(row, next_at=None))
    await town.later()

    assert town.mes.jobs[no].status == "recalled"
    assert town.see(no).stage is Stage.CANCELLED
