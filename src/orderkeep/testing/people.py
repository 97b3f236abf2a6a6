"""Everyone around the product: clients, sellers, operators, and whoever works at the MES."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from orderkeep.bridge.telling import DESTINATION
from orderkeep.files.upload import Uploader
from orderkeep.intake.accept import Sender
from orderkeep.intake.ports import ClientRefTaken
from orderkeep.kernel.errors import OrderkeepError
from orderkeep.kernel.ids import FileId, OrderNo, PartnerId
from orderkeep.kernel.money import Money
from orderkeep.orders import commands as c
from orderkeep.orders.events import Actor, ActorKind, Cause
from orderkeep.orders.order import (
    ARRIVED,
    MAKING,
    Delivered,
    Order,
    PriceState,
    Stage,
    return_is_open,
)
from orderkeep.testing.mes import LAG
from orderkeep.testing.process import BOOK, MATERIAL, SKUS, hash_of

if TYPE_CHECKING:
    from orderkeep.testing.world import World

PARTNER = PartnerId("partner")
SENDER = Sender(PARTNER, "api", "door", "key-1", "0" * 32)
SELLER = Actor(ActorKind.PERSON, "seller", "seller")
HEAD = Actor(ActorKind.PERSON, "head", "head")
OPERATORS = ("op-1", "op-2", "op-3")
_NEXT = {
    Stage.MANUFACTURING_STARTED: "done",
    Stage.MANUFACTURING_COMPLETED: "pack",
    Stage.PACKAGING: "ship",
}
STUCK = frozenset({Delivered.UNCERTAIN, Delivered.REJECTED, Delivered.DEAD, Delivered.DIVERGED})


@dataclass
class Client:
    """One order as its client knows it; ``keys`` are those that were answered."""

    ref: str
    key: str
    by_hand: bool = False
    content: bytes | None = None
    file_id: str | None = None
    number: OrderNo | None = None
    submitted: bool = False
    asked: int = 0
    keys: dict[str, OrderNo] = field(default_factory=dict)
    bodies: dict[OrderNo, str] = field(default_factory=dict)

    def body(self) -> bytes:
        """The submission; the same bytes every time."""
        if self.file_id:
            item = {"quantity": 1, "material": MATERIAL, "file_id": self.file_id}
        else:
            item = {"quantity": 1 + len(self.ref) % 2, "sku": SKUS[int(self.ref[-1]) % len(SKUS)]}
        customer = {"name": "Anna"}
        return msgspec.json.encode({"client_ref": self.ref, "items": [item], "customer": customer})


class People:
    """What people do in a world; whatever is refused, they read the sentence and go on."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._chance = world.chance

    def choices(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """What somebody may do next; doubled what orders need most."""
        return [
            self.submit,
            self.submit,
            self.approve,
            self.approve,
            self.race_for_work,
            self.work,
            self.work,
            self.work,
            self.fuss,
            self.cancel,
        ]

    # --- clients --------------------------------------------------------------------------------

    async def submit(self) -> None:
        """Somebody sends an order in, for the first time or again."""
        clients = self._world.clients
        fresh = [client for client in clients if not client.asked]
        client = self._chance.choice(fresh or clients)
        await self.ask(client, another_key=bool(client.asked) and self._chance.random() < 0.2)

    async def ask(self, client: Client, *, another_key: bool = False) -> None:
        """A client asks until it is answered; it knows nothing but its own answers."""
        client.asked += 1
        if client.content is not None and client.file_id is None:
            await self.attempt(self._upload(client, client.content))
            if client.file_id is None:
                return
        if client.by_hand:
            await self.attempt(self._write_by_hand(client))
        else:
            key = f"{client.key}-again" if another_key else client.key
            await self.attempt(self._send(client, key))

    async def _send(self, client: Client, key: str) -> None:
        accepted = await self._world.process.intake.accept(SENDER, key, client.body())
        assert client.number in {None, accepted.order_no}, f"{client.ref} has two numbers"
        if client.number is None and accepted.replayed:
            self._world.faults.struck["client repeats"] += 1
        client.number, client.submitted = accepted.order_no, True
        client.keys[key] = accepted.order_no
        client.bodies[accepted.order_no] = accepted.body_sha256

    async def _upload(self, client: Client, content: bytes) -> None:
        files = self._world.process.files
        if files is None:
            client.file_id = None
            return
        uploader = Uploader(PARTNER, "key-1")
        stored = await files.take(uploader, "ring.stl", _in_chunks(content), None)
        client.file_id = stored.id
        self._world.kept_files[stored.id] = stored.sha256

    async def _write_by_hand(self, client: Client) -> None:
        """A draft that was opened and got no answer stays behind: its writer begins anew."""
        drafts = self._world.process.drafts
        order = next((one for one in self._world.orders() if one.no == client.number), None)
        if order and order.submitted_at:
            client.submitted = True  # The answer was lost; the order page shows it.
            return
        if order is None or order.stage is Stage.CANCELLED:
            order = await drafts.open(SENDER, msgspec.json.encode({"note": "by hand"}))
            client.number = order.no
        try:
            accepted = await drafts.submit(order.no, SENDER, client.body())
        except ClientRefTaken as taken:
            # An answer was lost, and a second draft begun: the first one is the order.
            client.number, client.submitted = taken.facts["order_no"], True
            return
        client.submitted = True
        client.bodies[accepted.order_no] = accepted.body_sha256

    # --- the office -----------------------------------------------------------------------------

    async def approve(self) -> None:
        """A seller goes through the inbox."""
        for order in self._world.orders():
            if order.stage in {Stage.SUBMITTED, Stage.PRICE_CALCULATED}:
                await self._see_to_price(order)

    async def cancel(self) -> None:
        """Somebody changes their mind."""
        recalling = self._world.aim == "bridge.after_recall"
        order = self._any(lambda one: not recalling or _is_there(one))
        if order and self._chance.random() < self._world.cancelling:
            await self.tell(order, c.CancelOrder("changed my mind"))

    async def fuss(self) -> None:
        """Somebody does something with an order, sensible or not."""
        order = self._any()
        if order is None:
            return
        now = self._world.clock.now()
        hour, name = timedelta(hours=1), self._chance.choice(OPERATORS)
        command = self._chance.choice(
            (
                c.PlaceHold("a question", "seller", now + hour),
                c.PlaceHold("for the client", "client", now + hour, stops_clock=True),
                c.LiftHold("go on"),
                c.Reprice("asked"),
                c.EnterPrice(self._price(self._chance.choice((2, 3))), "by hand"),
                c.AcceptPrice(order.price.version),
                c.ReplaceFile(1, FileId("other"), hash_of(self._chance.randbytes(2))),
                c.RejectFile(1, "thin", "A wall is too thin.", now + hour),
                c.ReassignOrder(name, "on holiday"),
                c.ReleaseClaim("not mine"),
                c.WithdrawCancel("after all"),
                c.CancelAnyway("stop it"),
                c.ChangePriority(self._chance.randint(1, 9), "urgent"),
                c.OpenReturn("too small"),
                c.InspectReturn(),
                c.ResolveReturn("refund"),
                c.CloseOrder("delivered"),
                c.AddNote("seen"),
            )
        )
        if isinstance(command, c.ReplaceFile) and self._world.folder:
            return  # Real files are replaced by real files only.
        await self.tell(order, command, self._chance.choice((SELLER, HEAD)))

    async def replace_measured(self) -> None:
        """The client sends another file while the old one is being measured."""
        order = self._any(_is_being_measured)
        if order and not self._world.folder:
            another = hash_of(self._chance.randbytes(2))
            await self.tell(order, c.ReplaceFile(1, FileId("other"), another))

    async def race_for_work(self) -> None:
        """Operators take the next order at the same instant, or the same one."""
        order = self._any()
        for name in OPERATORS:
            cause = Cause(
                Actor(ActorKind.PERSON, name, "operator"), "ClaimOrder", "office", "1" * 32
            )
            wanted = order if self._chance.random() < 0.5 else None
            self._world.begin(self._claim(wanted, name, cause))

    async def _claim(self, order: Order | None, name: str, cause: Cause) -> None:
        claims, now = self._world.process.claims, self._world.clock.now()
        until = now + self._world.policy.claim
        if order:
            await self.attempt(claims.claim(order.no, name, now, until, cause))
        else:
            await self.attempt(claims.claim_next(name, now, until, cause))

    # --- where it is made -----------------------------------------------------------------------

    async def work(self) -> None:
        """Somebody works: on our own floor, or at the foreign MES."""
        if self._world.aim == "bridge.after_recall" and self._world.faults.open:
            return  # What is begun is not given back.
        order = self._any(lambda one: one.work_order is not None)
        if order is None or order.work_order is None:
            return
        reference = order.work_order.reference
        if self._world.sim_mes is None:
            await self._on_floor(reference, self._next_step(order))
        elif reference in self._world.sim_mes.jobs:
            self._world.sim_mes.advance(reference)
            if order.stage in MAKING and self._chance.random() < 0.15:
                await self._make_again(order, reference)

    async def _make_again(self, order: Order, reference: str) -> None:
        """The head has a foreign work order thrown away, and only then says so."""
        mes = self._world.sim_mes
        if mes is None or order.cancel_request or mes.jobs[reference].status == "shipped":
            return
        mes.scrap(reference)
        if order.stage is Stage.MANUFACTURING_STARTED:
            await self.tell(order, c.SendBackToPricing("too thin", "scrapped"), HEAD)
        else:
            await self.tell(order, c.OrderRework("scratched", "scrapped by the head"), HEAD)

    def _next_step(self, order: Order) -> str:
        """Mostly what comes next; sometimes what goes wrong, or what is not possible."""
        if self._chance.random() < 0.2:
            return self._chance.choice(("hand-back", "rework", "cannot-be-made", "start"))
        return _NEXT.get(order.stage, "start")

    async def _on_floor(self, reference: str, step: str) -> None:
        name = self._chance.choice(OPERATORS)
        act = self._world.process.workshop.act(reference, step, name, tracking_no="T", reason="r")
        await self.attempt(act)

    # --- whoever looks at the board after the storm ---------------------------------------------

    async def see_to(self, order: Order) -> None:
        """What the person on duty would do with an order now."""
        if order.stage in {Stage.INITIATED, Stage.FILE_UPLOADED}:
            await self.tell(order, c.CancelOrder("left behind"))
        elif order.hold:
            await self.tell(order, c.LiftHold("go on"))
        elif order.diverged:
            await self.tell(order, c.SettleDivergence("seen"), HEAD)
        elif order.cancel_request:
            if order.cancel_request.refused or order.stage in MAKING:
                await self.tell(order, c.CancelAnyway("stop it"), HEAD)
        elif order.stage in {Stage.SUBMITTED, Stage.PRICE_CALCULATED}:
            await self._see_to_price(order)
        elif return_is_open(order):
            await self.tell(order, c.ResolveReturn("refund"))
        delivered = order.work_order.delivered if order.work_order else None
        if delivered is Delivered.RECALLED and order.stage in MAKING:
            # Scrapped once too often to be made again, unless the seller says so.
            again = order.rework_no == self._world.policy.rework_limit
            await self.tell(order, c.ApproveOrder() if again else c.CancelOrder("cannot be made"))
        elif delivered in STUCK | {Delivered.RECALLED}:
            await self._decide(order)

    async def _see_to_price(self, order: Order) -> None:
        if order.file_rejected:
            position = next(iter(order.file_rejected))
            kept = order.positions[position - 1].file_id or FileId("other")
            sha256 = order.positions[position - 1].file_sha256 or ""
            await self.tell(order, c.ReplaceFile(position, kept, sha256))
        elif order.price.state in {PriceState.MANUAL, PriceState.FAILED}:
            await self.tell(order, c.EnterPrice(self._price(2), "by hand"))
        elif order.price.state is PriceState.EXPIRED:
            await self.tell(order, c.Reprice("expired"))
        elif order.price.state is PriceState.READY:
            if order.price.consent_needed:
                await self.tell(order, c.AcceptPrice(order.price.version))
            elif order.price.valid_until and order.price.valid_until <= self._world.clock.now():
                await self.tell(order, c.Reprice("expired"))
            await self.tell(order, c.ApproveOrder())

    async def _decide(self, order: Order) -> None:
        """Only what no machine can settle is asked of a person, who goes to the MES and looks."""
        row = self._world.delivery(order)
        if row is None or row.next_at is not None:
            return
        sent = row.last_sent_at or row.since
        if row.state is Delivered.UNCERTAIN and sent + 2 * LAG > self._world.clock.now():
            return  # What is still on its way there is not to be seen yet.
        mes = self._world.sim_mes
        there = mes is not None and row.reference in mes.jobs
        decision = "there" if there else "send_again"
        cause = Cause(HEAD, "Decide", "office", "")
        await self.attempt(self._world.process.bridge.decide(order.no, decision, cause))

    # --- talking --------------------------------------------------------------------------------

    async def tell(self, order: Order, command: c.OrderCommand, actor: Actor = SELLER) -> None:
        cause, process = Cause(actor, type(command).__name__, "office", ""), self._world.process
        if isinstance(command, c.CancelAnyway) and self._world.sim_mes is None:
            await self.attempt(
                process.workshop.cancel_anyway(process.master, order.no, command, cause)
            )
        else:
            await self.attempt(process.master.handle(order.no, command, cause))

    @staticmethod
    async def attempt(doing: Awaitable[Any]) -> None:
        """Try; what we refuse on purpose, a person understands."""
        try:
            await doing
        except OrderkeepError:
            return

    def _any(self, wanted: Callable[[Order], bool] = lambda _: True) -> Order | None:
        orders = [order for order in self._world.orders() if wanted(order)]
        return self._chance.choice(orders) if orders else None

    @staticmethod
    def _price(times: int) -> Money:
        return Money(BOOK.min_order * times, BOOK.currency)


def _is_being_measured(order: Order) -> bool:
    running = order.price.state is PriceState.RUNNING
    return running and bool(order.positions and order.positions[0].file_id)


def _is_there(order: Order) -> bool:
    return order.work_order is not None and order.work_order.delivered in ARRIVED


async def _in_chunks(content: bytes) -> AsyncIterator[bytes]:
    half = len(content) // 2
    yield content[:half]
    yield content[half:]


__all__ = ["DESTINATION", "Client", "People"]
