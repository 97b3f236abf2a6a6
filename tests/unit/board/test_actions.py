"""What is offered agrees with what the lifecycle does, wherever orders wander."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orderkeep.access.rights import ACTION_RIGHTS, Role, may_act
from orderkeep.board.actions import FLOOR_ACTIONS, Viewer, order_actions, row_actions
from orderkeep.kernel.ids import FileId, PartnerId, WorkOrderRef, order_no
from orderkeep.kernel.money import Money
from orderkeep.orders import commands as c
from orderkeep.orders import events as e
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.lifecycle import decide
from orderkeep.orders.master import record_all
from orderkeep.orders.order import Delivered, ManualReason, Order, Position, Stage
from orderkeep.orders.policy import Policy
from orderkeep.orders.refusals import Context, TransitionRefused
from orderkeep.orders.view import board_row

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
POLICY = Policy()
LOGINS = ("olga", "oleg")
SOON = NOON + timedelta(days=1)

viewers = st.builds(Viewer, st.sampled_from(LOGINS), st.sampled_from(list(Role)), st.booleans())


def cause(viewer: Viewer) -> e.Cause:
    return e.Cause(viewer.actor, "test", "office", "0" * 32)


def fresh() -> Order:
    """An order just accepted: a model file and a ready-made piece."""
    engine = e.Cause(e.Actor(e.ActorKind.PARTNER, "p"), "test", "door", "0" * 32)
    lines = [
        Position(1, 1, "ag925", FileId("f"), "0" * 64, "ring.stl"),
        Position(2, 2, sku="BAND-1"),
    ]
    submitted = e.OrderSubmitted("api", lines, "0" * 64, NOON + timedelta(days=21), PartnerId("p"))
    recorded, _ = record_all(None, [submitted], engine, NOON, no=order_no(1))
    return rebuild(recorded)


def steps(order: Order) -> dict[str, c.OrderCommand]:
    """Whatever anybody or any system may come up with."""
    work = order.work_order.reference if order.work_order else WorkOrderRef("none")
    version = order.price.version

    def word(text: str, purpose: str | None = None) -> c.RecordMesWord:
        return c.RecordMesWord("floor", work, text, "olga", "why", purpose, "T-1")

    def delivered(state: Delivered) -> c.RecordDelivery:
        return c.RecordDelivery("mes", work, state)

    return {
        "price": c.RecordPrice(version, Money(Decimal(100), "RUB"), [], "b"),
        "dear": c.EnterPrice(Money(Decimal(900), "RUB"), "dear"),
        "manual": c.RecordManual(version, [ManualReason(1, "open", "open")]),
        "failed": c.RecordPricingFailure(version, "crash"),
        "reprice": c.Reprice("again"),
        "accept": c.AcceptPrice(),
        "reject": c.RejectFile(1, "open", "open", SOON),
        "replace": c.ReplaceFile(1, FileId("g"), "1" * 64),
        "approve": c.ApproveOrder(),
        "sending": delivered(Delivered.SENDING),
        "confirmed": delivered(Delivered.CONFIRMED),
        "uncertain": delivered(Delivered.UNCERTAIN),
        "rejected": delivered(Delivered.REJECTED),
        "shown twice": delivered(Delivered.DIVERGED),
        "dead": delivered(Delivered.DEAD),
        "claim": c.ClaimOrder("olga"),
        "release": c.ReleaseClaim("back"),
        "started": word("started"),
        "completed": word("completed"),
        "packaging": word("packaging"),
        "shipped": word("shipped"),
        "handed_back": word("handed_back"),
        "scrapped": word("scrapped", "rework"),
        "gone": word("scrapped"),
        "nonsense": word("exploded"),
        "hold": c.PlaceHold("wait", "seller", SOON),
        "lift": c.LiftHold("go on"),
        "cancel": c.CancelOrder("no more"),
        "recall refused": c.RecordRecallRefused(work, "being made"),
        "return": c.OpenReturn("broken"),
        "inspect": c.InspectReturn(),
        "close": c.CloseOrder("there"),
    }


_names = sorted(steps(fresh()))
_road = ["price", "approve", "confirmed", "claim", "started", "completed", "packaging", "shipped"]
walks = st.builds(
    lambda ahead, rest: [*_road[:ahead], *rest],
    st.integers(0, len(_road)),
    st.lists(st.sampled_from(_names), max_size=6),
)


def walked(names: list[str], viewer: Viewer) -> Order:
    """The order after these steps; what is refused is left out."""
    order = fresh()
    for name in names:
        try:
            events = decide(order, steps(order)[name], Context(viewer.actor, NOON, POLICY))
        except TransitionRefused:
            continue
        if events:
            _, order = record_all(order, events, cause(viewer), NOON)
    return order


def commands(order: Order, viewer: Viewer) -> dict[str, c.OrderCommand]:
    """The command of every action that is one."""
    currency = order.price.total.currency if order.price.total else "RUB"
    return {
        "approve": c.ApproveOrder(),
        "enter-price": c.EnterPrice(Money(Decimal(77), currency), "by hand"),
        "reprice": c.Reprice("again"),
        "accept-price": c.AcceptPrice(),
        "promise": c.ChangePromise(NOON + timedelta(days=60), "later"),
        "priority": c.ChangePriority(order.priority % 9 + 1, "matters"),
        "hold": c.PlaceHold("wait", "seller", SOON),
        "lift": c.LiftHold("go on"),
        "cancel": c.CancelOrder("no more"),
        "cancel-anyway": c.CancelAnyway("no more"),
        "cancel-withdraw": c.WithdrawCancel("after all"),
        "note": c.AddNote("seen"),
        "return-open": c.OpenReturn("broken"),
        "return-inspect": c.InspectReturn(),
        "return-resolve": c.ResolveReturn("refund"),
        "close": c.CloseOrder("there"),
        "settle": c.SettleDivergence("accept"),
        "release": c.ReleaseClaim("back"),
        "reassign": c.ReassignOrder("ivan", "ill"),
        "replace-file": c.ReplaceFile(1, FileId("h"), "2" * 64),
        "claim": c.ClaimOrder(viewer.login),
    }


def refused(order: Order, command: c.OrderCommand, viewer: Viewer) -> bool:
    try:
        decide(order, command, Context(viewer.actor, NOON, POLICY))
    except TransitionRefused:
        return True
    return False


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=200)
@given(names=walks, viewer=viewers)
def test_what_is_offered_is_not_refused(names: list[str], viewer: Viewer) -> None:
    order = walked(names, viewer)
    row = board_row(order, POLICY, NOON)

    on_the_page = order_actions(order, viewer, POLICY, NOON)
    in_the_list = row_actions(row, viewer)

    for action, command in commands(order, viewer).items():
        if action in {*on_the_page, *in_the_list}:
            assert not refused(order, command, viewer), (action, order.stage)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=200)
@given(names=walks, viewer=viewers)
def test_a_list_never_offers_more_than_the_orders_own_page(
    names: list[str], viewer: Viewer
) -> None:
    order = walked(names, viewer)

    in_the_list = set(row_actions(board_row(order, POLICY, NOON), viewer))

    # Asking twice for what is so already is no error, and nothing to offer on the page.
    idle = {"cancel", "accept-price"}
    on_the_page = set(order_actions(order, viewer, POLICY, NOON))
    assert in_the_list - idle <= on_the_page


def test_a_second_return_is_offered_nowhere_while_the_first_is_open() -> None:
    """From a list it was: the second reason was taken, and forgotten."""
    seller = Viewer("olga", Role.SELLER)
    order = walked([*_road, "return"], seller)

    offered = {
        *order_actions(order, seller, POLICY, NOON),
        *row_actions(board_row(order, POLICY, NOON), seller),
    }

    assert "return-open" not in offered
    assert "return-open" in row_actions(board_row(walked(_road, seller), POLICY, NOON), seller)


_MADE = _road[:6]
_AGAIN = ["scrapped", "confirmed", "completed"]
HEAD = Viewer("oleg", Role.HEAD)


@pytest.mark.parametrize("times", [0, 1, 2, 3])
@pytest.mark.parametrize("limit", [1, 3])
def test_a_list_offers_rework_as_often_as_the_maker_allows(times: int, limit: int) -> None:
    """After the last one it was offered still, and refused whoever took it."""
    policy, viewer = Policy(rework_limit=limit), replace(HEAD, rework_limit=limit)
    order = walked([*_MADE, *_AGAIN * times], viewer)
    assert (order.stage, order.rework_no) == (Stage.MANUFACTURING_COMPLETED, times)

    row = row_actions(board_row(order, policy, NOON), viewer)

    assert ("rework" in row) is (times < limit)
    assert ("rework" in order_actions(order, viewer, policy, NOON)) is (times < limit)


@pytest.mark.parametrize("stuck", ["uncertain", "rejected", "dead", "shown twice"])
def test_whatever_is_stuck_at_the_mes_has_a_persons_decision(stuck: str) -> None:
    """Two jobs for one work order waited for a person who was offered nothing that helped."""
    viewer = Viewer("sasha", Role.SUPPORT)
    order = walked(["price", "approve", "sending", stuck], viewer)

    row = board_row(order, POLICY, NOON)

    assert "delivery-decide" in order_actions(order, viewer, POLICY, NOON)
    assert "delivery-decide" in row_actions(row, viewer)


def test_what_is_scrapped_is_approved_anew_or_cancelled_and_nothing_else_is_done_with_it() -> None:
    seller = Viewer("sara", Role.ADMIN)
    order = walked([*_MADE, *_AGAIN * 3, "scrapped"], seller)
    _, order = record_all(order, [e.DivergenceSettled("seen")], cause(seller), NOON)

    page = set(order_actions(order, seller, POLICY, NOON))
    row = set(row_actions(board_row(order, POLICY, NOON), seller))

    for offered in (page, row):
        assert {"approve", "cancel"} <= offered
        assert not offered & {"pack", "ship", "rework", "done", "cannot-be-made"}


@settings(deadline=None, max_examples=100)
@given(names=walks, viewer=viewers)
def test_nobody_is_offered_what_their_role_may_not(names: list[str], viewer: Viewer) -> None:
    order = walked(names, viewer)

    offered = order_actions(order, viewer, POLICY, NOON)

    assert all(may_act(viewer.role, action, own_hold=True) for action in offered)


@settings(deadline=None, max_examples=100)
@given(names=walks, viewer=viewers)
def test_with_a_foreign_mes_no_work_is_offered(names: list[str], viewer: Viewer) -> None:
    watcher = replace(viewer, read_only=True)
    order = walked(names, watcher)

    offered = {
        *order_actions(order, watcher, POLICY, NOON),
        *row_actions(board_row(order, POLICY, NOON), watcher),
    }

    assert not offered & (FLOOR_ACTIONS | {"claim", "release", "reassign"})


def test_every_action_of_the_table_of_rights_can_be_offered() -> None:
    reachable = {
        action
        for ahead in range(len(_road) + 1)
        for extra in (
            [],
            ["hold"],
            ["cancel"],
            ["cancel", "recall refused"],
            ["return"],
            ["nonsense"],
            ["uncertain"],
            ["reject"],
            ["dear"],
        )
        for login in LOGINS
        for action in order_actions(
            walked([*_road[:ahead], *extra], Viewer("oleg", Role.SELLER)),
            Viewer(login, Role.ADMIN),
            POLICY,
            NOON,
        )
    }

    assert reachable == set(ACTION_RIGHTS)
