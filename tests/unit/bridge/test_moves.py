"""What the bridge does next: never a second effect, never a look that proves nothing."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderkeep.bridge.moves import Delivery, Do, Move, next_move, proven_absent
from orderkeep.bridge.ports import Capabilities
from orderkeep.kernel.ids import OrderNo, WorkOrderRef
from orderkeep.orders.order import ARRIVED, Delivered

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LAG = timedelta(seconds=30)


def a_mes(
    idempotency: str = "none", *, lookup: bool = True, tells: bool = False, lag: timedelta = LAG
) -> Capabilities:
    return Capabilities(
        idempotency=idempotency,
        lookup=lookup,
        recall=True,
        listing=True,
        visibility_lag=lag,
        tells=tells,
    )


def a_row(state: Delivered, **columns: object) -> Delivery:
    row = Delivery(
        destination="mes",
        reference=WorkOrderRef("OK-000013"),
        order_no=OrderNo("OK-000013"),
        state=state,
        since=NOON,
        attempts=0,
        next_at=NOON,
        absent_seen=0,
        last_sent_at=None,
        holder=None,
        lease_token=0,
        recall_wanted=False,
        mes_id=None,
        detail=None,
    )
    return msgspec.structs.replace(row, **columns)


LOOKS, KEY, BLIND = a_mes(), a_mes("key", lookup=False), a_mes(lookup=False)
TELLS = a_mes("reference", tells=True)
LATER = NOON + LAG


@pytest.mark.parametrize(
    "row,mes,now,move",
    [
        (a_row(Delivered.PENDING), LOOKS, NOON, Move(Do.SEND)),
        (a_row(Delivered.PENDING), BLIND, NOON, Move(Do.SEND)),
        (a_row(Delivered.SENDING, holder="gone"), KEY, NOON, Move(Do.SUSPECT)),
        (a_row(Delivered.UNCERTAIN), KEY, NOON, Move(Do.SEND)),
        (a_row(Delivered.UNCERTAIN), a_mes("reference"), NOON, Move(Do.SEND)),
        (a_row(Delivered.UNCERTAIN), LOOKS, NOON, Move(Do.WAIT, LATER)),
        (a_row(Delivered.UNCERTAIN), LOOKS, LATER, Move(Do.LOOK)),
        (a_row(Delivered.UNCERTAIN), BLIND, LATER, Move(Do.WAIT)),
        (
            a_row(Delivered.UNCERTAIN, last_sent_at=LATER),
            LOOKS,
            LATER,
            Move(Do.WAIT, LATER + LAG),
        ),
        (a_row(Delivered.UNCERTAIN, recall_wanted=True), KEY, LATER, Move(Do.WAIT)),
        (a_row(Delivered.UNCERTAIN, recall_wanted=True), LOOKS, LATER, Move(Do.LOOK)),
        (a_row(Delivered.CONFIRMED), LOOKS, NOON, Move(Do.ASK)),
        (a_row(Delivered.APPLIED), LOOKS, NOON, Move(Do.ASK)),
        (a_row(Delivered.CONFIRMED), TELLS, NOON, Move(Do.WAIT)),
        (a_row(Delivered.CONFIRMED), BLIND, NOON, Move(Do.WAIT)),
        (a_row(Delivered.CONFIRMED, recall_wanted=True), TELLS, NOON, Move(Do.RECALL)),
        (a_row(Delivered.APPLIED, recall_wanted=True), BLIND, NOON, Move(Do.RECALL)),
        (a_row(Delivered.REJECTED), LOOKS, NOON, Move(Do.WAIT)),
        (a_row(Delivered.DIVERGED), LOOKS, NOON, Move(Do.WAIT)),
        (a_row(Delivered.DEAD, recall_wanted=True), LOOKS, NOON, Move(Do.WAIT)),
        (a_row(Delivered.RECALLED), LOOKS, NOON, Move(Do.WAIT)),
    ],
)
def test_the_next_move(row: Delivery, mes: Capabilities, now: datetime, move: Move) -> None:
    assert next_move(row, mes, now) == move


instants = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # The strategy adds the zone.
lags = st.timedeltas(timedelta(0), timedelta(hours=2))
ways = st.builds(
    Capabilities,
    idempotency=st.sampled_from(["none", "key", "reference"]),
    lookup=st.booleans(),
    recall=st.booleans(),
    listing=st.booleans(),
    visibility_lag=lags,
    tells=st.booleans(),
)
rows = st.builds(
    a_row,
    st.sampled_from(list(Delivered)),
    since=instants,
    attempts=st.integers(0, 9),
    absent_seen=st.integers(0, 3),
    last_sent_at=st.none() | instants,
    recall_wanted=st.booleans(),
)


@given(row=rows, mes=ways, now=instants)
def test_what_may_have_been_done_is_repeated_only_where_that_is_harmless(
    row: Delivery, mes: Capabilities, now: datetime
) -> None:
    move = next_move(row, mes, now)

    if move.do is Do.SEND:
        harmless = row.state is Delivered.UNCERTAIN and mes.idempotency != "none"
        assert row.state is Delivered.PENDING or harmless


@given(row=rows, mes=ways, now=instants)
def test_nobody_looks_before_an_effect_must_be_visible(
    row: Delivery, mes: Capabilities, now: datetime
) -> None:
    move = next_move(row, mes, now)

    if move.do is Do.LOOK:
        assert mes.lookup
        assert now - (row.last_sent_at or row.since) >= mes.visibility_lag
    if move.until:
        assert next_move(row, mes, move.until).do is Do.LOOK  # it waits for a reason


@given(row=rows, mes=ways, now=instants)
def test_what_is_wanted_back_is_not_repeated(
    row: Delivery, mes: Capabilities, now: datetime
) -> None:
    """A pending one is stopped by the order itself, in the commit that would say ``sending``."""
    wanted_back = msgspec.structs.replace(row, recall_wanted=True)

    move = next_move(wanted_back, mes, now)

    assert move.do is not Do.SEND or row.state is Delivered.PENDING
    assert move.do is not Do.ASK


@given(row=rows, mes=ways, now=instants)
def test_what_is_over_rests(row: Delivery, mes: Capabilities, now: datetime) -> None:
    over = {Delivered.RECALLED, Delivered.REJECTED, Delivered.DEAD, Delivered.DIVERGED}

    if row.state in over:
        assert next_move(row, mes, now) == Move(Do.WAIT)


@given(row=rows, mes=ways, now=instants)
def test_only_what_is_there_is_taken_back(row: Delivery, mes: Capabilities, now: datetime) -> None:
    if next_move(row, mes, now).do is Do.RECALL:
        assert row.state in ARRIVED
        assert row.recall_wanted


def test_one_denial_proves_nothing() -> None:
    assert [proven_absent(seen) for seen in (0, 1, 2, 3)] == [False, False, True, True]
