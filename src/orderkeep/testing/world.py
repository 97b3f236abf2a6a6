"""The road of some orders in one thread, where time and faults come from a seed.

The parts are the product's own, the store is its SQL in memory. Crashes strike at failpoints,
requests outlive the process that sent them, steps of all roles interleave, clients repeat what
they heard no answer to, and the clock jumps. Afterwards everything heals, and the promise is
checked against what the MES really did.
"""

import asyncio
from asyncio import AbstractEventLoop, Future, Task
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, cast

from orderkeep.adapters.embedded import EmbeddedTransport
from orderkeep.adapters.mes_floor import FloorMes
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bridge.dispatch import DESTINATION, Bridge, BridgeSettings
from orderkeep.bridge.ports import Capabilities, Mes
from orderkeep.delivery.inbox import InboxWorker
from orderkeep.delivery.relay import Relay
from orderkeep.floor.workshop import Workshop
from orderkeep.intake.ports import Submission
from orderkeep.kernel import failpoints
from orderkeep.kernel.errors import OrderkeepError, Unavailable, Uncertain
from orderkeep.kernel.ids import EnvelopeId, Ids, OrderNo, PartnerId, order_no, uuid7
from orderkeep.kernel.money import Money
from orderkeep.orders import commands as c
from orderkeep.orders.announce import routes
from orderkeep.orders.events import Actor, ActorKind, Cause, OrderSubmitted
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.order import FINAL, Delivered, Order, Position, PriceState, Stage
from orderkeep.orders.policy import Policy
from orderkeep.quoting.desk import PriceDesk
from orderkeep.quoting.measurement import Finding, Manual
from orderkeep.quoting.ports import EngineUnavailable, ModelFile
from orderkeep.quoting.price_book import example_book
from orderkeep.sla.watch import Watch
from orderkeep.testing.mes import LAG, SimMes
from orderkeep.testing.store import SimStore

PARTNER = PartnerId("partner")
SELLER = Actor(ActorKind.PERSON, "seller", "seller")
HEAD = Actor(ActorKind.PERSON, "head", "head")
OPERATOR = "operator"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

BOOK = example_book()
SKU = next(iter(BOOK.skus))
STEPS = 60
SETTLING_ROUNDS = 400
"""More than any history has needed by far; one that does not come to rest is a defect."""


class Crash(BaseException):
    """The process is gone: nothing after this runs."""


class SimClock:
    """A clock that the world moves."""

    def __init__(self) -> None:
        self.instant = NOON

    def now(self) -> datetime:
        return self.instant


class SimIds(Ids):
    """Identities from a seed."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance

    def envelope_id(self, now: datetime) -> EnvelopeId:
        return EnvelopeId(uuid7(now, self._chance.getrandbits(74)))

    def token(self, length: int = 26) -> str:
        return "".join(self._chance.choices("abcdefghijklmnopqrstuvwxyz", k=length))


class SimEngine:
    """Measures nothing: says what the world wants it to say."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance

    async def measure(self, file: ModelFile, deadline: timedelta) -> Manual:
        if self._chance.random() < 0.3:  # noqa: PLR2004  # Three in ten.
            raise EngineUnavailable("the worker is gone")
        return Manual((Finding("open", "The surface has a hole."),))


@dataclass
class Process:
    """The product between two crashes."""

    master: OrderMaster
    bridge: Bridge
    desk: PriceDesk
    workshop: Workshop
    steps: dict[str, Callable[[], Awaitable[Any]]]


@dataclass
class Client:
    """One order as its client knows it."""

    ref: str
    key: str
    file: bool
    number: OrderNo | None = None
    asked: int = 0


@dataclass
class Plan:
    """What goes wrong in a history: crashes by failpoint and passage, faults of the MES."""

    crashes: list[tuple[str, int]] = field(default_factory=list)
    mes_faults: list[str] = field(default_factory=list)
    jumps: list[timedelta] = field(default_factory=list)


class World:
    """One history, wholly determined by its seed."""

    def __init__(self, seed: int, orders: int, store: SimStore, loop: AbstractEventLoop) -> None:
        self.chance = Random(seed)
        self.seed = seed
        self.clock = SimClock()
        self.ids = SimIds(self.chance)
        self.store = store
        self.loop = loop
        self.policy = Policy()
        self.hits: Counter[str] = Counter()
        self.passages: Counter[str] = Counter()
        self.crashes = 0
        self.asleep: list[Future[None]] = []
        self.tasks: set[Task[Any]] = set()
        self.died = False
        self.clients = [
            Client(f"ref-{n}", f"key-{n}", self.chance.random() < 0.15) for n in range(orders)
        ]
        self.floor = self.chance.random() < 0.4
        self.sim_mes = SimMes(self.chance, self.clock.now, self._sleep, self._ways())
        self.plan = self._plan()
        self.sim_mes.next_faults = list(self.plan.mes_faults)
        store.reset()
        store.write_now(_add_partner)
        failpoints.install(self._pass)
        self.process = self._start()

    # --- one history ----------------------------------------------------------------------------

    def run(self) -> None:
        """Live through faults, heal, and check the promise."""
        for _ in range(STEPS):
            self._one_step()
        self._heal()
        self._check()

    def _one_step(self) -> None:
        name, action = self.chance.choice(self._choices())
        self._do(action())
        if self.died:
            self._restart()

    def _choices(self) -> list[tuple[str, Callable[[], Coroutine[Any, Any, Any]]]]:
        """What may happen next; the road's own steps more often than people's."""
        people: list[tuple[str, Any]] = [
            ("submit", self._submit),
            ("approve", self._approve),
            ("work", self._work),
            ("work", self._work),
            ("cancel", self._cancel),
            ("price", self._enter_price),
            ("hold", self._hold),
            ("time", self._pass_time),
            ("wake", self._wake_one),
        ]
        machine = [*self.process.steps.items()] * 2
        return people + cast("list[tuple[str, Any]]", machine)

    # --- clients and people ---------------------------------------------------------------------

    async def _submit(self) -> None:
        client = self.chance.choice(self.clients)
        client.asked += 1
        if client.asked > 1 and self.chance.random() < 0.2:  # Another key for the same order.
            client = Client(client.ref, f"{client.key}-again", client.file, client.number)
        await self._accept(client)

    async def _accept(self, client: Client) -> None:
        lane = self.store.accepting(self.policy)
        try:
            acceptance = await lane.accept(self._submission(client))
        except (Unavailable, Uncertain):
            return
        known = next(one for one in self.clients if one.ref == client.ref)
        assert known.number in {None, acceptance.order_no}, "two numbers for one order"
        known.number = acceptance.order_no

    def _submission(self, client: Client) -> Submission:
        now = self.clock.now()
        position = (
            Position(1, 1, material="ag925", file_id=cast("Any", "f"), file_sha256="0" * 64)
            if client.file
            else Position(1, 1, sku=SKU)
        )
        event = OrderSubmitted(
            channel="api",
            positions=[position],
            body_sha256=client.ref.rjust(64, "0"),
            promise_at=now + self.policy.lead_time,
            partner_id=PARTNER,
            client_ref=client.ref,
        )
        return Submission(
            partner_id=PARTNER,
            client_ref=client.ref,
            key=client.key,
            body=client.ref.encode(),
            body_sha256=event.body_sha256,
            event=event,
            cause=Cause(Actor(ActorKind.PARTNER, PARTNER), "SubmitOrder", "door", "0" * 32),
            envelope_id=self.ids.envelope_id(now),
            at=now,
        )

    async def _approve(self) -> None:
        for order in self._orders():
            if order.stage is Stage.PRICE_CALCULATED:
                await self._tell(order, c.ApproveOrder())

    async def _enter_price(self) -> None:
        for order in self._orders():
            if order.price.state in {PriceState.MANUAL, PriceState.FAILED}:
                price = Money(BOOK.min_order * 2, BOOK.currency)
                await self._tell(order, c.EnterPrice(price, "by hand"))
            elif order.price.state is PriceState.EXPIRED:
                await self._tell(order, c.Reprice("expired"))

    async def _cancel(self) -> None:
        order = self._any_order()
        if order and self.chance.random() < 0.3:
            await self._tell(order, c.CancelOrder("changed my mind"))

    async def _hold(self) -> None:
        order = self._any_order()
        if order and order.hold:
            await self._tell(order, c.LiftHold("go on"))
        elif order and self.chance.random() < 0.3:
            until = self.clock.now() + timedelta(hours=1)
            await self._tell(order, c.PlaceHold("a question", "seller", until))

    async def _work(self) -> None:
        """Someone works: on our own floor, or at the foreign MES."""
        order = self._any_order()
        if order is None or order.work_order is None:
            return
        reference = order.work_order.reference
        if self.floor:
            action = self.chance.choice(("start", "done", "pack", "ship", "hand-back", "rework"))
            await self._try(
                self.process.workshop.act(reference, action, OPERATOR, tracking_no="T", reason="r")
            )
        elif reference in self.sim_mes.jobs:
            self.sim_mes.advance(reference)

    async def _tell(self, order: Order, command: c.OrderCommand, actor: Actor = SELLER) -> None:
        cause = Cause(actor, type(command).__name__, "office", "")
        await self._try(self.process.master.handle(order.no, command, cause))

    @staticmethod
    async def _try(doing: Awaitable[Any]) -> None:
        try:
            await doing
        except OrderkeepError:
            return  # A person reads the sentence and goes on.

    # --- time -----------------------------------------------------------------------------------

    async def _pass_time(self) -> None:
        self.clock.instant += timedelta(seconds=self.chance.choice((1, 5, 10, 60)))
        if self.plan.jumps and self.chance.random() < 0.3:
            self.clock.instant += self.plan.jumps.pop()
        self.sim_mes.catch_up()

    async def _wake_one(self) -> None:
        if self.asleep:
            sleeper = self.asleep.pop(self.chance.randrange(len(self.asleep)))
            if not sleeper.done():
                sleeper.set_result(None)

    def _sleep(self) -> "Future[None]":
        sleeper = self.loop.create_future()
        self.asleep.append(sleeper)
        return sleeper

    # --- the process ----------------------------------------------------------------------------

    def _ways(self) -> Capabilities:
        """How this history's MES can be relied on."""
        return Capabilities(
            idempotency=self.chance.choice(("none", "none", "key")),
            lookup=self.chance.random() < 0.85,
            recall=True,
            listing=True,
            visibility_lag=LAG,
        )

    def _plan(self) -> Plan:
        """At least two faults, of which at least one is a crash."""
        names = sorted(REACHABLE_ON_FLOOR if self.floor else REACHABLE)
        crashes = [
            (self.chance.choice(names), self.chance.choice((1, 1, 2, 3)))
            for _ in range(self.chance.choice((2, 3)))
        ]
        faults = self.chance.choices(SimMes.FAULTS, k=0 if self.floor else 2)
        jump = self.chance.choice((timedelta(hours=-1), timedelta(days=4), timedelta(minutes=5)))
        return Plan(crashes, faults, [jump])

    def _start(self) -> Process:
        clock, ids, store = self.clock, self.ids, self.store
        master = OrderMaster(store, clock, ids, self.policy)
        workshop = Workshop(store, clock, ids)
        mes: Mes = FloorMes(workshop, clock) if self.floor else self.sim_mes
        holder = f"process-{self.crashes}"
        pace = BridgeSettings(poll=timedelta(seconds=2), pause=timedelta(seconds=2))
        bridge = Bridge(store, master, mes, clock, pace, holder)
        transport = EmbeddedTransport(store, routes(floor=self.floor), clock)
        files = cast("Any", _SimFiles())
        engine = cast("Any", SimEngine(self.chance))
        desk = PriceDesk(store, master, engine, files, BOOK, lambda _work, _order: None, clock)
        handlers: dict[str, Callable[[Any, Any, datetime], None]] = {
            "quoting": desk.handle,
            "bridge": bridge.handle,
            "floor": workshop.order_cancelled,
        }
        steps: dict[str, Callable[[], Awaitable[Any]]] = {
            name: InboxWorker(store, name, handle, clock).step for name, handle in handlers.items()
        }
        steps |= {
            "relay": Relay(store, transport, clock).step,
            "price": desk.step,
            "send": bridge.step,
            "watch": Watch(store, master, clock).step,
        }
        return Process(master, bridge, desk, workshop, steps)

    def _restart(self) -> None:
        """The next process over the same disk; it may die at once."""
        while self.died:
            self.died = False
            self.crashes += 1
            self.process = self._start()
            self._do(self._recover())

    async def _recover(self) -> None:
        await self.process.bridge.recover()
        await self.process.desk.recover()
        await self.store.write(lambda work: work.outbox.release_all())

    def _do(self, doing: Awaitable[Any]) -> None:
        """Let something begin, and everything that can go on without being woken go on."""
        self.tasks.add(self.loop.create_task(_as_coroutine(doing)))
        self.loop.run_until_complete(self._until_quiet())

    async def _until_quiet(self) -> None:
        for _ in range(1000):
            await asyncio.sleep(0)
            self._bury()
            if self.died:
                await self._kill_all()
                return
            if len(self.tasks) <= len(self.asleep):
                return

    def _bury(self) -> None:
        for task in [task for task in self.tasks if task.done()]:
            self.tasks.discard(task)
            failure = None if task.cancelled() else task.exception()
            if isinstance(failure, Crash):
                self.died = True
            elif failure is not None:
                raise failure

    async def _kill_all(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()
        self.asleep.clear()

    def _pass(self, name: str) -> None:
        self.passages[name] += 1
        crash = (name, self.passages[name])
        if crash in self.plan.crashes:
            self.plan.crashes.remove(crash)
            self.hits[name] += 1
            self.died = True
            raise Crash(name)
        if self.died:
            raise Crash(name)  # A dead process passes nothing any more.

    # --- afterwards -----------------------------------------------------------------------------

    def _heal(self) -> None:
        """No more faults; everyone does their work until nothing changes."""
        self.plan = Plan()
        self.sim_mes.next_faults = []
        for client in self.clients:
            if client.asked:
                self._do(self._accept(client))
        for _ in range(SETTLING_ROUNDS):
            before = self._fingerprint()
            self._heal_round()
            if self._fingerprint() == before and not self._restless():
                return
        raise AssertionError(f"seed {self.seed} does not come to rest: {self._restless()}")

    def _heal_round(self) -> None:
        for sleeper in self.asleep:
            if not sleeper.done():
                sleeper.set_result(None)
        self.asleep.clear()
        self.clock.instant += timedelta(seconds=3)
        self.sim_mes.catch_up()
        for name, step in list(self.process.steps.items()):
            if name != "watch":
                self._do(step())
        for order in self._orders():
            self._do(self._move_on(order))

    async def _move_on(self, order: Order) -> None:
        """What a person who looks at the board would do now."""
        if order.hold:
            await self._tell(order, c.LiftHold("go on"))
        elif order.diverged:
            await self._tell(order, c.SettleDivergence("seen"))
        elif order.price.state in {PriceState.MANUAL, PriceState.FAILED, PriceState.EXPIRED}:
            await self._enter_price()
        elif order.cancel_request and order.cancel_request.refused:
            await self._tell(order, c.CancelAnyway("stop it"), HEAD)
        elif order.stage is Stage.PRICE_CALCULATED and order.price.state is PriceState.READY:
            if order.price.consent_needed or order.price.valid_until is None:
                await self._tell(order, c.AcceptPrice())
            elif order.price.valid_until <= self.clock.now():
                await self._tell(order, c.Reprice("expired"))
            await self._tell(order, c.ApproveOrder())
        elif order.work_order and order.work_order.delivered in {
            Delivered.UNCERTAIN,
            Delivered.REJECTED,
        }:
            await self._decide(order)

    async def _decide(self, order: Order) -> None:
        """Only what no machine can settle is asked of a person, who goes and looks."""
        row = self._delivery(order)
        if row is None or row.next_at is not None or order.work_order is None:
            return
        there = order.work_order.reference in self.sim_mes.jobs
        decision = "there" if there else "send_again"
        cause = Cause(HEAD, "Decide", "office", "")
        await self._try(self.process.bridge.decide(order.no, decision, cause))

    def _delivery(self, order: Order) -> Any:
        reference = order.work_order.reference if order.work_order else ""
        return self.store.read_now(lambda work: work.deliveries.get(DESTINATION, reference))

    def _fingerprint(self) -> tuple[Any, ...]:
        return tuple((order.no, order.version) for order in self._orders())

    def _restless(self) -> list[str]:
        """Orders that still have somewhere to go without anybody's wish."""
        return [
            f"{order.no} {order.stage} {order.price.state}"
            f" {order.work_order and order.work_order.delivered}"
            for order in self._orders()
            if not _at_rest(order)
        ]

    # --- the promise ----------------------------------------------------------------------------

    def _check(self) -> None:
        orders = {order.no: order for order in self._orders()}
        for client in self.clients:
            if client.number:
                assert client.number in orders, f"{client.number} is lost"
        refs = [order.client_ref for order in orders.values()]
        assert len(refs) == len(set(refs)), "made twice in the book"
        for order in orders.values():
            self._check_history(order)
            self._check_effects(order)
        made = set(self._effects())
        known = {
            work.reference
            for order in orders.values()
            for work in (*order.earlier_work_orders, order.work_order)
            if work
        }
        assert made <= known, f"ghosts: {made - known}"

    def _check_history(self, order: Order) -> None:
        history = self.store.read_now(lambda work: work.orders.history(order.no))
        assert [one.seq for one in history] == list(range(1, len(history) + 1))
        assert rebuild(history) == order
        row = self._delivery(order)
        if order.work_order and row:
            assert row.state == order.work_order.delivered, (order.no, row.state)

    def _check_effects(self, order: Order) -> None:
        effects = self._effects()
        for work in (*order.earlier_work_orders, order.work_order):
            if work:
                assert effects[work.reference] <= 1, f"{work.reference} is made twice"
        work = order.work_order
        if work and work.delivered in {
            Delivered.CONFIRMED,
            Delivered.RECEIVED,
            Delivered.APPLIED,
        }:
            assert effects[work.reference] == 1, f"{work.reference} is said to be there"
        if work and not self.floor and effects[work.reference]:
            assert self.sim_mes.bodies[work.reference] == order.body_sha256

    def _effects(self) -> Counter[str]:
        if not self.floor:
            return self.sim_mes.effects
        jobs = self.store.read_now(lambda work: work.floor.page(None, 1000))
        return Counter(job.reference for job in jobs)

    # --- looking --------------------------------------------------------------------------------

    def _orders(self) -> list[Order]:
        return self.store.read_now(_all_orders)

    def _any_order(self) -> Order | None:
        orders = self._orders()
        return self.chance.choice(orders) if orders else None


class _SimFiles:
    """Files that are there; what is in them is the engine's business."""

    def open(self, sha256: str) -> Any:
        return _Opened()


class _Opened:
    async def __aenter__(self) -> str:
        return "file"

    async def __aexit__(self, *_: object) -> None:
        return None


def _at_rest(order: Order) -> bool:
    if order.stage in FINAL or order.stage is Stage.SHIPPED:
        return True
    work = order.work_order
    return (
        work is not None
        and work.delivered in {Delivered.CONFIRMED, Delivered.RECEIVED, Delivered.APPLIED}
        and order.cancel_request is None
        and order.hold is None
        and order.diverged is None
    )


def _all_orders(work: SqlWork) -> list[Order]:
    numbers = work.raw.execute("SELECT n FROM orders ORDER BY n").fetchall()
    return [rebuild(work.orders.history(order_no(n))) for (n,) in numbers]


def _add_partner(work: SqlWork) -> None:
    work.raw.execute(
        "INSERT INTO partners (id, name, created_at) VALUES (?, ?, 0)", (PARTNER, PARTNER)
    )


async def _as_coroutine(doing: Awaitable[Any]) -> Any:
    return await doing


UNREACHABLE = frozenset(
    {
        "file.before_sync",  # uploads have their own test, with real processes
        "file.after_keep",
    }
)
_ONLY_HTTP = frozenset({"bridge.after_look", "bridge.after_recall"})
REACHABLE = frozenset(failpoints.FAILPOINTS) - UNREACHABLE
REACHABLE_ON_FLOOR = REACHABLE
