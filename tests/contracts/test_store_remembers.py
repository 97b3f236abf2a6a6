"""What every store remembers for as long as it must, and counts no more than once."""

from datetime import UTC, datetime, timedelta

from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import Tried
from orderkeep.kernel.ids import EnvelopeId
from orderkeep.testing.stores import Store

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SOON = timedelta(minutes=1)


def an_envelope(name: str, order_key: str) -> Envelope:
    return Envelope(EnvelopeId(name), "price.wanted", 1, order_key, NOON, "0" * 32, b"{}")


async def test_a_row_behind_which_others_went_ahead_is_not_passed_over(store: Store) -> None:
    """Rows are given their numbers before they are committed, and carried in any order."""
    posted = [an_envelope("slow", "a"), an_envelope("quick", "b")]
    await store.write(lambda work: work.outbox.post(posted))
    slow, quick = await store.write(lambda work: work.outbox.lease(NOON, NOON + SOON, 10))

    await store.write(lambda work: work.outbox.sent([quick], NOON))
    free_at_once = Tried(carried=False, rest=timedelta(0))
    await store.write(lambda work: work.outbox.settle([(slow, free_at_once)], NOON))

    due = await store.write(lambda work: work.outbox.lease(NOON + SOON, NOON + 2 * SOON, 10))
    assert [one.envelope.id for one in due] == ["slow"]


async def test_an_envelope_that_comes_again_after_a_year_has_no_second_effect(store: Store) -> None:
    """An outage over the holidays with a replay behind it is longer than any window."""
    one, other = an_envelope("e1", "a"), an_envelope("e2", "b")
    await store.write(lambda work: work.inbox.receive("quoting", [one], NOON))
    [row] = await store.read(lambda work: work.inbox.due("quoting", NOON, 10))
    await store.write(lambda work: work.inbox.handled(row.row, NOON))
    much_later = NOON + timedelta(days=366)

    new = await store.write(lambda work: work.inbox.receive("quoting", [one, other], much_later))

    due = await store.read(lambda work: work.inbox.due("quoting", much_later, 10))
    assert (new, [one.envelope.id for one in due]) == (1, ["e2"])
