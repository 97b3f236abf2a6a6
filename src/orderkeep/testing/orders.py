"""Orders for tests: told as stories, event by event, so that none exists that could not."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from orderkeep.kernel.ids import FileId, OrderNo, PartnerId, WorkOrderRef, order_no
from orderkeep.kernel.money import Money
from orderkeep.orders import commands as c
from orderkeep.orders import events as e
from orderkeep.orders.home import Home
from orderkeep.orders.lifecycle import decide
from orderkeep.orders.master import record_all
from orderkeep.orders.order import Delivered, Order, Position, Stage
from orderkeep.orders.policy import Policy
from orderkeep.orders.refusals import Context

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
POLICY = Policy()

PARTNER = e.Actor(e.ActorKind.PARTNER, "shop")
SELLER = e.Actor(e.ActorKind.PERSON, "sonya", "seller")
OPERATOR = e.Actor(e.ActorKind.PERSON, "oleg", "operator")
OTHER_OPERATOR = e.Actor(e.ActorKind.PERSON, "olga", "operator")
HEAD = e.Actor(e.ActorKind.PERSON, "hanna", "head")
SUPPORT = e.Actor(e.ActorKind.PERSON, "sasha", "support")
ADMIN = e.Actor(e.ActorKind.PERSON, "anton", "admin")
ENGINE = e.Actor(e.ActorKind.ENGINE, "quoter")
MES = e.Actor(e.ActorKind.MES, "mes")
BRIDGE = e.Actor(e.ActorKind.BRIDGE, "mes")
WATCH = e.Actor(e.ActorKind.WATCH, "watch")

PRICE = Money(Decimal("129.50"), "EUR")
RING = Position(1, 1, "au585_yellow", FileId("ring"), "1" * 64, "ring.stl")
CHAIN = Position(2, 2, sku="CHAIN-45")
ROAD = (
    Stage.SUBMITTED,
    Stage.PRICE_CALCULATED,
    Stage.MANUFACTURING_APPROVED,
    Stage.MANUFACTURING_STARTED,
    Stage.MANUFACTURING_COMPLETED,
    Stage.PACKAGING,
    Stage.SHIPPED,
    Stage.CLOSED,
)


@dataclass
class Story:
    """What happens to one order; ``do`` decides and records, at the story's own time."""

    now: datetime = NOON
    policy: Policy = POLICY
    history: list[e.Recorded] = field(default_factory=list)
    _order: Order | None = None

    @property
    def order(self) -> Order:
        """The order as it is now."""
        if self._order is None:
            raise ValueError("the story has not begun")
        return self._order

    def happen(
        self, *events: e.OrderEvent, actor: e.Actor = PARTNER, no: OrderNo | None = None
    ) -> list[e.OrderEvent]:
        """Record events as they are."""
        cause = e.Cause(actor, "Story", "test", "t" * 32)
        recorded, self._order = record_all(self._order, events, cause, self.now, no=no)
        self.history += recorded
        return list(events)

    def do(
        self,
        command: c.OrderCommand,
        actor: e.Actor = SELLER,
        *,
        after: timedelta = timedelta(0),
    ) -> list[e.OrderEvent]:
        """Let time pass, then decide and record.

        Raises:
            TransitionRefused: as the lifecycle says.
        """
        self.now += after
        events = decide(self.order, command, Context(actor, self.now, self.policy))
        return self.happen(*events, actor=actor) if events else []

    # --- shorthands for what happens often ------------------------------------------------------

    def price(self, amount: str = "129.50", currency: str = "EUR") -> list[e.OrderEvent]:
        """The engine answers the question that is open."""
        total, version = Money(Decimal(amount), currency), self.order.price.version
        return self.do(c.RecordPrice(version, total, [], "book"), ENGINE)

    def delivered(self, *states: Delivered) -> list[e.OrderEvent]:
        """The bridge tells how far the current work order came; returns the last decision."""
        events: list[e.OrderEvent] = []
        for state in states:
            events = self.do(c.RecordDelivery("mes", self.reference, state), BRIDGE)
        return events

    def mes_says(self, word: str, **facts: str) -> list[e.OrderEvent]:
        """The MES says a word of the current work order."""
        return self.do(c.RecordMesWord("mes", self.reference, word, **facts), MES)

    @property
    def reference(self) -> WorkOrderRef:
        """Of the current work order."""
        if self.order.work_order is None:
            raise ValueError("the order has no work order")
        return self.order.work_order.reference


def a_draft(policy: Policy = POLICY) -> Story:
    """An order opened by hand, with nothing in it yet."""
    story = Story(policy=policy)
    story.happen(e.OrderDrafted("office"), actor=SELLER, no=order_no(1))
    return story


def a_story(
    stage: Stage = Stage.SUBMITTED,
    *,
    positions: Sequence[Position] = (RING, CHAIN),
    policy: Policy = POLICY,
    home: Home = Home.MASTERED,
) -> Story:
    """A partner's order that went straight to a stage of the road; the work order is applied."""
    story = Story(policy=policy)
    story.happen(a_submission(positions=positions, home=home), no=order_no(1))
    for reached in ROAD[1 : ROAD.index(stage) + 1]:
        _go_on(story, reached)
    return story


def an_order(stage: Stage = Stage.SUBMITTED, *, positions: Sequence[Position] = (RING,)) -> Order:
    """The order of such a story."""
    return a_story(stage, positions=positions).order


def a_submission(
    *,
    positions: Sequence[Position] = (RING, CHAIN),
    promise_at: datetime = NOON + 21 * DAY,
    home: Home = Home.MASTERED,
) -> e.OrderSubmitted:
    """A partner's submission, accepted."""
    return e.OrderSubmitted(
        channel="api",
        positions=list(positions),
        body_sha256="b" * 64,
        promise_at=promise_at,
        partner_id=PartnerId("shop"),
        client_ref="R-1",
        home=home,
    )


def _go_on(story: Story, stage: Stage) -> None:
    match stage:
        case Stage.PRICE_CALCULATED:
            story.price()
        case Stage.MANUFACTURING_APPROVED:
            story.do(c.ApproveOrder())
            story.delivered(Delivered.SENDING, Delivered.CONFIRMED)
            story.mes_says("accepted")
        case Stage.MANUFACTURING_STARTED:
            story.do(c.ClaimOrder("oleg"), OPERATOR)
            story.mes_says("started", operator="oleg")
        case Stage.MANUFACTURING_COMPLETED:
            story.mes_says("completed")
        case Stage.PACKAGING:
            story.mes_says("packaging")
        case Stage.SHIPPED:
            story.mes_says("shipped", tracking_no="T1")
        case _:
            story.do(c.CloseOrder("delivered"), HEAD)
