"""The office for tests: the real store, order master, floor and bridge behind a real server."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from orderkeep.access.rights import Role
from orderkeep.adapters.embedded import EmbeddedTransport
from orderkeep.adapters.files import LocalFiles
from orderkeep.adapters.mes_floor import FloorMes
from orderkeep.adapters.passwords import Argon2Passwords
from orderkeep.adapters.sql.explain import facts_of
from orderkeep.adapters.sql.ledger import ledger_of
from orderkeep.adapters.sql.migrate import migrate
from orderkeep.adapters.sql.store import SqliteStore, open_store
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bridge.dispatch import Bridge, BridgeSettings
from orderkeep.bridge.hearing import WORDS, Hearing
from orderkeep.bridge.pausing import Pausing, Terms
from orderkeep.bridge.sorting import Sorting
from orderkeep.bridge.telling import Teller
from orderkeep.config import Settings
from orderkeep.delivery.inbox import InboxWorker
from orderkeep.delivery.relay import Relay
from orderkeep.files.upload import Files
from orderkeep.floor.workshop import Workshop
from orderkeep.http.office.app import OfficeApp, build_office
from orderkeep.http.office.parts import (
    Catalogue,
    DeadLetterDesk,
    LedgerDesk,
    LostDesk,
    OfficeSettings,
    SourceDesk,
)
from orderkeep.http.serve import Served, serve
from orderkeep.http.sockets import listen
from orderkeep.intake.accept import Intake
from orderkeep.intake.checks import Catalogue as Checked
from orderkeep.intake.drafts import Drafts
from orderkeep.intake.homes import Moving
from orderkeep.intake.mapping import Source
from orderkeep.intake.roads import QueueRoad
from orderkeep.intake.taking_over import TakingOver
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.ids import Ids, OrderNo
from orderkeep.kernel.money import Money
from orderkeep.ledger.already_done import schema_of
from orderkeep.ledger.asking import Asking
from orderkeep.ledger.keeping import Keeper, Tables
from orderkeep.ledger.reconcile import Ways
from orderkeep.ledger.reconciler import Reconciler, ReconcileSettings
from orderkeep.ledger.repairing import Repairs
from orderkeep.ledger.worklist import Worklist
from orderkeep.orders import commands as c
from orderkeep.orders.announce import routes
from orderkeep.orders.events import Actor, ActorKind, Cause
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.order import Order, Stage
from orderkeep.orders.policy import Policy
from orderkeep.roles.replaying import replayer_of
from orderkeep.testing.clock import TestClock

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PASSWORD = "correct horse battery"
SOURCES = {
    "shop": Source(
        "shop",
        "Web shop",
        "plain",
        {},
        {},
        QueueRoad("x", ("k",), "mes.orders", "amqp://u:secret@h/"),
    ),
}
ENGINE = Cause(Actor(ActorKind.ENGINE, "test"), "test", "quoting", "0" * 32)


@dataclass
class Desk:
    """One signed-in person's browser."""

    http: httpx.AsyncClient
    me: dict[str, Any]

    async def get(self, path: str, **query: Any) -> Any:
        """A successful answer's JSON."""
        answer = await self.http.get(f"/office/v1{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def send(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        """Whatever comes back."""
        return await self.http.request(method, f"/office/v1{path}", json=body, headers=headers)

    async def act(self, no: str, action: str, version: int | None = None, **args: Any) -> Any:
        """Do an action at the order's present version; whatever comes back."""
        if version is None:
            version = (await self.get(f"/orders/{no}"))["order"]["version"]
        return await self.send("POST", f"/orders/{no}/{action}", {"version": version, **args})


@dataclass
class TestOffice:
    """A running office, and the hands of everything around it."""

    __test__ = False
    store: SqliteStore
    master: OrderMaster
    workshop: Workshop
    bridge: Bridge
    app: OfficeApp
    url: str
    clock: TestClock
    ids: Ids
    policy: Policy
    steps: Sequence[Any]
    desks: AsyncExitStack
    people: dict[str, str] = field(default_factory=dict)
    one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def settle(self) -> None:
        """Carry and handle everything that waits."""
        async with self.one_at_a_time:
            while sum([await step() for step in self.steps]):
                continue

    async def add_person(self, login: str, role: Role) -> None:
        """Somebody who can sign in with ``PASSWORD``."""
        registry = self.app.office.registry
        await registry.add_person(
            "test", login=login, name=login.title(), role=role, locale="ru", password=PASSWORD
        )

    def client(self) -> httpx.AsyncClient:
        """A browser that nobody has signed in with."""
        headers = {"x-requested-with": "orderkeep"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=120)

    async def desk(self, role: Role, login: str | None = None) -> Desk:
        """A signed-in person of a role, added if need be."""
        login = login or str(role)
        if login not in self.people:
            await self.add_person(login, role)
            self.people[login] = role
        http = await self.desks.enter_async_context(self.client())
        answer = await http.post("/office/v1/session", json={"login": login, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return Desk(http, answer.json())

    # --- orders at any stage --------------------------------------------------------------------

    async def order(self, ref: str, stage: Stage = Stage.SUBMITTED, **body: Any) -> OrderNo:
        """An order brought to a stage the ordinary way."""
        seller = await self.desk(Role.SELLER, "maker")
        whole = {
            "client_ref": ref,
            "items": [{"sku": "BAND-1", "quantity": 2}],
            "customer": {"name": "Анна Петрова", "phone": "+7 900 123-45-67"},
            **body,
        }
        key = {"Idempotency-Key": f"key-{ref}"}
        answer = await seller.send("POST", "/orders", whole, **key)
        assert answer.status_code == 201, answer.text
        no = OrderNo(answer.json()["order_no"])
        await self.bring(no, stage)
        return no

    async def bring(self, no: OrderNo, stage: Stage) -> None:
        """Move a fresh order on until it is at a stage."""
        for reached, step in self._road(no):
            if (await self.load(no)).stage is stage:
                return
            await step()
            await self.settle()
            assert (await self.load(no)).stage is reached
        assert (await self.load(no)).stage is stage

    async def load(self, no: OrderNo) -> Order:
        """The order as it is."""
        order: Order = await self.store.read(lambda work: rebuild(work.orders.history(no)))
        return order

    async def do(self, no: OrderNo, command: c.OrderCommand, cause: Cause = ENGINE) -> Order:
        """A command straight to the master."""
        return (await self.master.handle(no, command, cause)).order

    async def price(self, no: OrderNo, total: str = "129.50") -> None:
        """What the engine would answer."""
        version = (await self.load(no)).price.version
        money = Money(Decimal(total), "RUB")
        await self.do(no, c.RecordPrice(version, money, [], "example-1"))

    async def floor(self, no: OrderNo, action: str, operator: str = "op") -> None:
        """A step on the floor."""
        work_order = (await self.load(no)).work_order
        assert work_order is not None
        await self.workshop.act(work_order.reference, action, operator, tracking_no="T-1")

    def _road(self, no: OrderNo) -> list[tuple[Stage, Any]]:
        async def claim_and_start() -> None:
            await self.do(no, c.ClaimOrder("op"))
            await self.floor(no, "start")

        return [
            (Stage.PRICE_CALCULATED, lambda: self.price(no)),
            (Stage.MANUFACTURING_APPROVED, lambda: self.do(no, c.ApproveOrder())),
            (Stage.MANUFACTURING_STARTED, claim_and_start),
            (Stage.MANUFACTURING_COMPLETED, lambda: self.floor(no, "done")),
            (Stage.PACKAGING, lambda: self.floor(no, "pack")),
            (Stage.SHIPPED, lambda: self.floor(no, "ship")),
            (Stage.CLOSED, lambda: self.do(no, c.CloseOrder("delivered"))),
        ]


@asynccontextmanager
async def running_office(
    folder: Path, *, follow: bool = True, settings: OfficeSettings | None = None
) -> AsyncIterator[TestOffice]:
    """An office on a free loopback port; with ``follow`` orders follow the floor by themselves."""
    async with AsyncExitStack() as stack:
        office = await _build(folder, stack, settings or OfficeSettings())
        stop = asyncio.Event()
        bound = listen("127.0.0.1", 0)
        office.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        ready = asyncio.Event()
        server = asyncio.create_task(
            serve([Served("office", office.app, bound)], stop, started=ready.set)
        )
        await ready.wait()
        follower = asyncio.create_task(_follow(office)) if follow else None
        try:
            yield office
        finally:
            if follower:
                follower.cancel()
            await office.desks.aclose()
            office.app.drain()
            stop.set()
            await server


async def _follow(office: TestOffice) -> None:
    while True:
        await office.settle()
        await asyncio.sleep(0.01)


async def _build(folder: Path, stack: AsyncExitStack, settings: OfficeSettings) -> TestOffice:
    url = f"sqlite:///{folder}/office.db"
    migrate(url)
    clock, ids, policy = TestClock(NOON), Ids(), Policy()
    store = await stack.enter_async_context(open_store(url, Bells()))
    master = OrderMaster(store, clock, ids, policy)
    workshop = Workshop(store, clock, ids)
    replayer = replayer_of(Settings(), store, clock, ids)
    bridge = Bridge(
        store, master, FloorMes(workshop, clock), clock, BridgeSettings(), holder="test"
    )
    relay = Relay(store, EmbeddedTransport(store, routes(floor=True), clock), clock)
    inboxes: list[InboxWorker[SqlWork]] = [
        InboxWorker(store, "bridge", bridge.handle, clock),
        InboxWorker(store, "floor", workshop.order_cancelled, clock),
    ]
    checked = Checked({"ag925", "brass"}, {"BAND-1"})
    facts = partial(facts_of, policy=policy)
    intake = Intake(
        store,
        store.accepting(policy),
        lambda: checked,
        lambda _, now: now + policy.lead_time,
        clock,
        ids,
    )
    app = build_office(
        store=store,
        master=master,
        claims=store.claiming(),
        passwords=Argon2Passwords(time_cost=1, memory_kib=64),
        clock=clock,
        ids=ids,
        policy=policy,
        settings=settings,
        floor=workshop,
        decisions=bridge,
        intake=intake,
        drafts=Drafts(store, master, lambda: checked, lambda _, now: now + policy.lead_time, clock),
        files=Files(store, LocalFiles(folder / "files"), clock, ids),
        catalogue=lambda: Catalogue("example-1", "example"),
        lost=LostDesk(Worklist(store, clock, asks=False)),
        ledger=LedgerDesk(
            balances=Keeper(
                store,
                Tables(lambda work, now: ledger_of(work).balance(now), facts),
                clock,
                lambda: 0.0,
            ),
            reconciler=_reconciler(store, master, workshop, clock),
            facts=facts,
        ),
        dead_letters=DeadLetterDesk(replayer, schema_of),
        sorting=Sorting(store, master, clock),
        pausing=Pausing(store, clock, {"mes": Terms(bridge.gate.bounds, title="MES")}),
        sources=SourceDesk(TakingOver(store, SOURCES, clock, ids), Moving(store, SOURCES, clock)),
    )
    return TestOffice(
        store=store,
        master=master,
        workshop=workshop,
        bridge=bridge,
        app=app,
        url="",
        clock=clock,
        ids=ids,
        policy=policy,
        steps=[relay.step, bridge.step, replayer.step, *[inbox.step for inbox in inboxes]],
        desks=AsyncExitStack(),
    )


def _reconciler(
    store: SqliteStore, master: OrderMaster, workshop: Workshop, clock: TestClock
) -> Reconciler:
    words, mes = dict(WORDS), FloorMes(workshop, clock)
    ways, teller = Ways(timedelta(0), words), Teller(master, clock)
    hearing = Hearing(teller, words, timedelta(hours=1), timedelta(0))
    repairs = Repairs(store, teller, hearing, ways)
    gentle = ReconcileSettings(every=timedelta(0))
    return Reconciler(store, Asking(mes), "mes", ways, gentle, repairs, clock)
