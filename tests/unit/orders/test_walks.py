"""Whatever people, machines and time do to an order, in whatever sequence."""

# ruff: noqa: ARG005  # The moves of one table share one signature, whether each needs all or not.

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from orderkeep.kernel.ids import FileId, OrderNo, WorkOrderRef, order_no_of
from orderkeep.kernel.money import Money
from orderkeep.orders import commands as c
from orderkeep.orders import events as e
from orderkeep.orders import home_words
from orderkeep.orders.evolve import evolve, rebuild
from orderkeep.orders.home import Home
from orderkeep.orders.lifecycle import decide
from orderkeep.orders.order import (
    ARRIVED,
    FINAL,
    MAKING,
    Delivered,
    ManualReason,
    Order,
    Position,
    Stage,
)
from orderkeep.orders.refusals import Context, TransitionRefused
from orderkeep.orders.timers import due, timer
from orderkeep.orders.transitions import is_a_step
from orderkeep.orders.view import ELSEWHERE, board_row
from orderkeep.testing.orders import (
    ADMIN,
    BRIDGE,
    CHAIN,
    DAY,
    ENGINE,
    HEAD,
    HOUR,
    MES,
    MINUTE,
    OPERATOR,
    OTHER_OPERATOR,
    PARTNER,
    POLICY,
    RING,
    ROAD,
    SELLER,
    SUPPORT,
    WATCH,
    Story,
    a_draft,
    a_story,
)

ACTORS = (PARTNER, SELLER, OPERATOR, OTHER_OPERATOR, HEAD, SUPPORT, ADMIN, ENGINE, MES, BRIDGE)
WORDS = [
    "accepted",
    "started",
    "completed",
    "packaging",
    "shipped",
    "handed_back",
    "scrapped",
    "recalled",
    "melted",
]
WORDS_AT_HOME = home_words.WORDS
PAUSES = (timedelta(0), timedelta(0), MINUTE, HOUR, DAY, 4 * DAY)

Move = Callable[[Story, Random], c.OrderCommand]


def _money(random: Random) -> Money:
    amount = random.choice(("0", "-1", "NaN", "100", "104", "108", "120", "80"))
    return Money(Decimal(amount), random.choice(("EUR", "EUR", "EUR", "USD")))


def _version(story: Story, random: Random) -> int:
    return story.order.price.version + random.choice((0, 0, 0, 0, -1, 1))


def _reference(story: Story, random: Random) -> WorkOrderRef:
    work_orders = [*story.order.earlier_work_orders]
    known = [work.reference for work in work_orders]
    if story.order.work_order:
        known += [story.order.work_order.reference] * 9
    return random.choice([*known, WorkOrderRef("OK-999990/7")])


def _positions(random: Random) -> list[Position]:
    return random.choice(([], [RING], [RING, CHAIN], [Position(1, 1, "ag925")]))


MOVES: dict[str, Move] = {
    "home": lambda s, r: c.RecordHomeWord("shop", r.choice((*WORDS_AT_HOME, "melted"))),
    "positions": lambda s, r: c.SetPositions(_positions(r), r.random() < 0.5),
    "submit": lambda s, r: c.SubmitDraft(_positions(r), "b" * 64, s.now + 21 * DAY),
    "start-pricing": lambda s, r: c.StartPricing(_version(s, r)),
    "price": lambda s, r: c.RecordPrice(_version(s, r), _money(r), [], "book"),
    "manual": lambda s, r: c.RecordManual(_version(s, r), [ManualReason(1, "open", "It is open.")]),
    "failed": lambda s, r: c.RecordPricingFailure(_version(s, r), "crash"),
    "enter-price": lambda s, r: c.EnterPrice(_money(r), "by hand"),
    "reprice": lambda s, r: c.Reprice("rates"),
    "accept-price": lambda s, r: c.AcceptPrice(r.choice((None, _version(s, r)))),
    "reject-file": lambda s, r: c.RejectFile(r.choice((1, 2)), "thin", "Too thin.", s.now + DAY),
    "replace-file": lambda s, r: c.ReplaceFile(
        r.choice((1, 2)), FileId(f"f{r.randrange(3)}"), str(r.randrange(3)) * 64
    ),
    "promise": lambda s, r: c.ChangePromise(s.now + r.choice((-1, 1, 9)) * DAY, "asked"),
    "priority": lambda s, r: c.ChangePriority(r.randrange(11), "asked"),
    "approve": lambda s, r: c.ApproveOrder(),
    "claim": lambda s, r: c.ClaimOrder(r.choice(("oleg", "olga"))),
    "release": lambda s, r: c.ReleaseClaim("lunch"),
    "reassign": lambda s, r: c.ReassignOrder(r.choice(("oleg", "olga")), "ill"),
    "word": lambda s, r: c.RecordMesWord(
        "mes",
        _reference(s, r),
        r.choice(WORDS),
        r.choice((None, "oleg", "olga")),
        "because",
        r.choice((None, "rework", "cannot_be_made")),
    ),
    "delivery": lambda s, r: c.RecordDelivery(
        "mes", _reference(s, r), r.choice(list(Delivered)), None, r.choice((None, "m1"))
    ),
    "rework": lambda s, r: c.OrderRework("scratched", r.choice(("", "scrapped, seen"))),
    "send-back": lambda s, r: c.SendBackToPricing("too thin", r.choice(("", "seen"))),
    "close": lambda s, r: c.CloseOrder("delivered"),
    "cancel": lambda s, r: c.CancelOrder("changed mind"),
    "recall-refused": lambda s, r: c.RecordRecallRefused(_reference(s, r), "being made"),
    "cancel-anyway": lambda s, r: c.CancelAnyway("scrap it"),
    "withdraw": lambda s, r: c.WithdrawCancel("go on"),
    "hold": lambda s, r: c.PlaceHold(
        "ask", r.choice(("client", "seller")), s.now + r.choice((0, 1, 3)) * DAY, r.random() < 0.5
    ),
    "lift": lambda s, r: c.LiftHold("answered"),
    "return-open": lambda s, r: c.OpenReturn("too small"),
    "return-inspect": lambda s, r: c.InspectReturn(),
    "return-resolve": lambda s, r: c.ResolveReturn(
        r.choice(("return", "repair", "replace", "refund", "reject", "?")),
        r.choice((None, None, OrderNo("OK-000022"))),
    ),
    "settle": lambda s, r: c.SettleDivergence("seen"),
    "note": lambda s, r: c.AddNote("called"),
    "tick": lambda s, r: c.Tick(),
}
"""Every command, with facts that are right more often than not."""

STARTS = (*ROAD[:3] * 3, *ROAD)
OFTEN = [*MOVES, *["word"] * 8, *["claim"] * 4, *["delivery", "release", "tick", "cancel"] * 2]

# Random moves alone rarely leave the first stages: now and then the order goes on as it should.


def _onward(story: Story) -> tuple[c.OrderCommand, e.Actor]:
    """What would bring the order a step further along the road."""
    order = story.order
    if order.home is Home.MIRRORED and order.stage in ROAD[1:-1]:
        return c.RecordHomeWord("shop", WORDS_AT_HOME[ROAD.index(order.stage)]), BRIDGE
    match order.stage:
        case Stage.INITIATED | Stage.FILE_UPLOADED:
            return c.SubmitDraft([RING, CHAIN], "b" * 64, story.now + 21 * DAY), SELLER
        case Stage.SUBMITTED:
            price = Money(Decimal(100), "EUR")
            return c.RecordPrice(order.price.version, price, [], "book"), ENGINE
        case Stage.PRICE_CALCULATED if order.price.consent_needed:
            return c.AcceptPrice(), PARTNER
        case Stage.PRICE_CALCULATED:
            return c.ApproveOrder(), SELLER
        case Stage.SHIPPED:
            return c.CloseOrder("delivered"), HEAD
        case Stage.CLOSED | Stage.CANCELLED:
            return c.OpenReturn("too small"), SUPPORT
        case _:
            return _onward_at_mes(story)


def _onward_at_mes(story: Story) -> tuple[c.OrderCommand, e.Actor]:
    work = story.order.work_order
    assert work is not None
    if work.delivered is Delivered.PENDING:
        return c.RecordDelivery("mes", work.reference, Delivered.SENDING), BRIDGE
    if work.delivered not in ARRIVED:
        return c.RecordDelivery("mes", work.reference, Delivered.CONFIRMED), BRIDGE
    word = {
        Stage.MANUFACTURING_APPROVED: "started",
        Stage.MANUFACTURING_STARTED: "completed",
        Stage.MANUFACTURING_COMPLETED: "packaging",
        Stage.PACKAGING: "shipped",
    }[story.order.stage]
    return c.RecordMesWord("mes", work.reference, word, "oleg"), MES


def _beginning(random: Random) -> Story:
    if random.random() < 0.1:
        return a_draft()
    if random.random() < 0.1:
        return a_story(random.choice(STARTS[:2]), home=Home.MIRRORED)
    return a_story(random.choice(STARTS))


def a_walk(seed: int, steps: int = 40) -> Iterator[tuple[Order | None, Story]]:
    """A story in which anything is tried; yields the order before and the story after a step."""
    random = Random(seed)
    story = _beginning(random)
    yield None, story
    eagerness = random.random()
    for _ in range(steps):
        story.now += random.choice(PAUSES)
        when = timer(story.order, POLICY)
        if when and random.random() < 0.1:
            story.now = max(story.now, when)
        command, actor = (
            _onward(story)
            if random.random() < eagerness
            else (MOVES[random.choice(OFTEN)](story, random), random.choice(ACTORS))
        )
        before = story.order
        try:
            story.do(command, actor)
        except TransitionRefused:
            assert story.order is before
            continue
        yield before, story


seeds = st.integers(0, 2**40)


@settings(max_examples=300)
@given(seed=seeds)
def test_history_alone_makes_the_order_again(seed: int) -> None:
    """A refusal is the only thing a decision may raise, or this walk would stop."""
    for _, story in a_walk(seed):
        assert rebuild(story.history) == story.order
        assert [one.seq for one in story.history] == list(range(1, len(story.history) + 1))
        assert story.order.version == len(story.history)


@settings(max_examples=300)
@given(seed=seeds)
def test_every_step_is_one_of_the_published_lifecycle(seed: int) -> None:
    *_, (_, story) = a_walk(seed)

    order: Order | None = None
    for recorded in story.history:
        before = order.stage if order else None
        order = evolve(order, recorded)
        assert recorded.stage is order.stage
        assert is_a_step(before, recorded.event, order.stage), (before, recorded.event)


@settings(max_examples=300)
@given(seed=seeds)
def test_every_event_survives_being_stored(seed: int) -> None:
    *_, (_, story) = a_walk(seed)

    for recorded in story.history:
        assert e.decode(e.encode(recorded.event)) == recorded.event


@settings(max_examples=300)
@given(seed=seeds)
def test_the_row_shows_the_order_as_it_is(seed: int) -> None:
    for _, story in a_walk(seed):
        order, row = story.order, board_row(story.order, POLICY, story.now)
        assert (row.order_no, row.version, row.stage) == (order.no, order.version, order.stage)
        assert row.timer_at == timer(order, POLICY)
        owed = due(order, POLICY)
        assert (row.due_owner, row.due_at) == ((owed.owner, owed.at) if owed else (None, None))
        assert (row.claim_operator is None) == (order.claim is None)
        made_there = order.home is Home.MIRRORED and order.stage in {*ROAD[2:]}
        made_here = order.work_order.delivered if order.work_order else None
        assert row.mes_state == (ELSEWHERE if made_there else made_here)
        if row.is_claimable:
            story_before = order
            assert decide(
                story_before, c.ClaimOrder("nobody"), Context(OPERATOR, story.now, POLICY)
            )
        if order.stage not in FINAL:
            assert row.is_open
            assert row.due_at is not None  # somebody owes the next step


@settings(max_examples=300)
@given(seed=seeds)
def test_the_watch_comes_back_exactly_when_time_has_something_to_say(seed: int) -> None:
    for _, story in a_walk(seed):
        order, when = story.order, timer(story.order, POLICY)
        if when is None:
            assert tick(story, story.now + 1000 * DAY) == []
            continue
        assert tick(story, max(when, story.now)) != []  # or the watch would come back for ever
        if story.now < when:
            assert tick(story, story.now) == []
            assert tick(story, when - timedelta(microseconds=1)) == []
        assert story.order is order


@settings(max_examples=300)
@given(seed=seeds, pause=st.sampled_from(PAUSES))
def test_the_watch_may_say_it_as_often_as_it_likes(seed: int, pause: timedelta) -> None:
    *_, (_, story) = a_walk(seed)

    for _ in range(20):
        story.do(c.Tick(), WATCH, after=pause)
        assert tick(story, story.now) == []


@settings(max_examples=300)
@given(seed=seeds)
def test_a_repeated_command_changes_nothing_or_is_refused(seed: int) -> None:
    random = Random(seed)
    for _, story in a_walk(seed, steps=25):
        name = random.choice([name for name in MOVES if name != "note"])
        command, actor = MOVES[name](story, random), random.choice(ACTORS)
        try:
            story.do(command, actor)
            again = story.do(command, actor)
        except TransitionRefused:
            continue
        assert again == [], command


@settings(max_examples=300)
@given(seed=seeds)
def test_references_are_used_once_and_one_at_a_time(seed: int) -> None:
    for before, story in a_walk(seed):
        order = story.order
        current = [order.work_order] if order.work_order else []
        references = [work.reference for work in (*order.earlier_work_orders, *current)]
        assert len(references) == len(set(references))
        assert {order_no_of(reference) for reference in references} <= {order.no}
        generations = [work.generation for work in (*order.earlier_work_orders, *current)]
        assert generations == list(range(1, len(generations) + 1))
        for work in order.earlier_work_orders:
            assert work.delivered is Delivered.RECALLED  # proven gone before the next was wanted
        if before and before.work_order and order.work_order is None:
            assert order.earlier_work_orders[-1].reference == before.work_order.reference


@settings(max_examples=300)
@given(seed=seeds)
def test_what_is_not_to_be_made_is_never_sent(seed: int) -> None:
    for _, story in a_walk(seed):
        order = story.order
        if not order.work_order:
            continue
        sending = c.RecordDelivery("mes", order.work_order.reference, Delivered.SENDING)
        unwanted = order.stage is Stage.CANCELLED or order.cancel_request or order.hold
        there = order.work_order.delivered in ARRIVED | {Delivered.RECALLED, Delivered.DEAD}
        if unwanted or there:
            assert is_refused(story, sending, BRIDGE)


@settings(max_examples=300)
@given(seed=seeds)
def test_a_started_order_never_leaves_its_operator_by_itself(seed: int) -> None:
    for _, story in a_walk(seed):
        if story.order.stage in MAKING and story.order.claim:
            later = story.now + 1000 * DAY
            ended = [event for event in tick(story, later) if isinstance(event, e.ClaimEnded)]
            assert ended == []


@settings(max_examples=60)
@given(seed=seeds)
def test_every_order_can_come_to_an_end(seed: int) -> None:
    """No dead ends: six steps of people, time and MES suffice from wherever an order may be."""
    for _, story in a_walk(seed, steps=25):
        assert shortest_end(story) is not None, story.order


def test_a_walk_goes_everywhere() -> None:
    """The properties above would prove little if the walks stayed at the gate."""
    stages: Counter[Stage] = Counter()
    kinds: Counter[str] = Counter()
    for seed in range(1000):
        *_, (_, story) = a_walk(seed)
        stages.update({one.stage for one in story.history})
        kinds.update({e.kind_of(one.event) for one in story.history})

    assert {stage for stage in Stage if stages[stage] < 10} == set()
    every = {kind.__struct_config__.tag for kind in e.Event.__subclasses__()}
    assert {kind for kind in every if kinds[str(kind)] < 5} == set()


# --- helpers ------------------------------------------------------------------------------------


def tick(story: Story, at: datetime) -> list[e.OrderEvent]:
    return decide(story.order, c.Tick(), Context(WATCH, at, POLICY))


def is_refused(story: Story, command: c.OrderCommand, actor: e.Actor) -> bool:
    try:
        decide(story.order, command, Context(actor, story.now, POLICY))
    except TransitionRefused:
        return True
    return False


def shortest_end(story: Story, most: int = 6) -> int | None:
    """How few steps lead to CLOSED or CANCELLED; None when ``most`` do not suffice."""
    waiting = deque([(story, 0)])
    seen: set[object] = set()
    while waiting:
        here, steps = waiting.popleft()
        if here.order.stage in FINAL:
            return steps
        if steps == most:
            continue
        for there in _neighbours(here):
            key = _shape(there.order)
            if key not in seen:
                seen.add(key)
                waiting.append((there, steps + 1))
    return None


def _shape(order: Order) -> object:
    """What of an order decides how it may end."""
    return (
        order.stage,
        order.work_order and order.work_order.delivered,
        order.hold is None,
        order.cancel_request and (order.cancel_request.by, order.cancel_request.refused is None),
        order.return_case and order.return_case.state,
    )


def _neighbours(story: Story) -> Iterator[Story]:
    for command, actor in _ways_out(story.order):
        there = replace(story, history=[])
        try:
            if there.do(command, actor):
                yield there
        except TransitionRefused:
            continue


def _ways_out(order: Order) -> Iterator[tuple[c.OrderCommand, e.Actor]]:
    yield c.CancelOrder("no way"), SELLER
    yield c.CancelAnyway("no way"), HEAD
    yield c.CancelAnyway("no way"), ADMIN
    yield c.LiftHold("on"), SELLER
    yield c.CloseOrder("delivered"), HEAD
    yield c.ResolveReturn("reject"), SELLER
    if order.work_order:
        yield from _ways_of(order.work_order.reference, order.work_order.delivered)


def _ways_of(reference: WorkOrderRef, at: Delivered) -> Iterator[tuple[c.OrderCommand, e.Actor]]:
    """What bridge, MES and people may truthfully do with a work order; nothing miraculous."""
    if at is Delivered.PENDING:
        yield c.RecordDelivery("mes", reference, Delivered.RECALLED, "never sent"), BRIDGE
    if at in {Delivered.SENDING, Delivered.UNCERTAIN}:
        yield c.RecordDelivery("mes", reference, Delivered.PENDING, "absent"), BRIDGE
        yield c.RecordDelivery("mes", reference, Delivered.CONFIRMED, "found"), BRIDGE
    if at in ARRIVED:
        yield c.RecordRecallRefused(reference, "being made"), BRIDGE
        for word in ("completed", "shipped"):
            yield c.RecordMesWord("mes", reference, word), MES
