"""Fills an empty installation with a workshop's month, through the product's own front doors.

Nothing is written past the product: every order is accepted, priced, approved and made by the same
code as a real one, only under a clock that runs through the month.
"""

import heapq
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from random import Random
from shutil import rmtree
from typing import Any, Final

import msgspec

from orderkeep.access.keys import OFFICE, Quota
from orderkeep.access.registry import Registry
from orderkeep.adapters.passwords import Argon2Passwords
from orderkeep.config import Settings, database_path, files_path
from orderkeep.files.upload import Uploader
from orderkeep.http.office.by_hand import Person
from orderkeep.intake.accept import Sender
from orderkeep.intake.drafts import Drafts
from orderkeep.kernel.errors import OrderkeepError
from orderkeep.kernel.ids import OrderNo, PartnerId
from orderkeep.kernel.money import Money
from orderkeep.orders import commands as c
from orderkeep.orders.events import Actor, ActorKind, Cause
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.order import Order, PriceState, Stage
from orderkeep.practice.month import GALLERY, SHOP, Line, Story, month
from orderkeep.practice.rings import DEFECTS, KINDS, ring
from orderkeep.roles.parts import Parts, build
from orderkeep.roles.rules import catalogue, promise
from orderkeep.roles.workers import workers

PASSWORD: Final = "practice-only"
SELLER: Final = "olga"
HEAD: Final = "nikolai"
OPERATORS: Final = ("ivan", "maria", "pyotr", "svetlana", "timur")
PEOPLE: Final = (
    (SELLER, "Ольга Смирнова", "seller"),
    *(
        (login, name, "operator")
        for login, name in zip(
            OPERATORS,
            ("Иван Кузьмин", "Мария Яковлева", "Пётр Громов", "Светлана Ким", "Тимур Алиев"),
            strict=True,
        )
    ),
    (HEAD, "Николай Чернов", "head"),
    ("vera", "Вера Полякова", "support"),
    ("admin", "Администратор", "admin"),
)
SEED: Final = 925

Progress = Callable[[int, int], None]


class MonthClock:
    """A clock that the seeding moves through the month."""

    def __init__(self, instant: datetime) -> None:
        self.instant = instant

    def now(self) -> datetime:
        return self.instant


@dataclass(frozen=True, slots=True)
class Seeded:
    """What there is now: the partners' keys, told this once."""

    orders: int
    keys: dict[str, str]


async def seed(settings: Settings, now: datetime, told: Progress) -> Seeded | None:
    """Make an installation with a month in it; None when there is one already.

    It is made aside and moved into place whole, so that an interrupted seeding leaves nothing.
    """
    place, files = database_path(settings), files_path(settings)
    if place.exists():
        return None
    aside = place.parent / "seeding"
    rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    seeded = await _seed(
        replace(
            settings,
            mes="floor",
            database_url=f"sqlite:///{aside / place.name}",
            files_url=f"file://{(aside / 'files').resolve()}",
        ),
        now,
        told,
    )
    rmtree(files, ignore_errors=True)
    (aside / "files").rename(files)
    (aside / place.name).rename(place)
    rmtree(aside)
    return seeded


async def _seed(settings: Settings, now: datetime, told: Progress) -> Seeded:
    chance = Random(SEED)
    clock = MonthClock(now - timedelta(days=31))
    async with AsyncExitStack() as stack:
        parts = await build(settings, stack, clock)
        keys = await people_and_partners(parts)
        stories = month(now, chance, tuple(KINDS), tuple(parts.book.skus), OPERATORS)
        await _Month(parts, clock, stories, now, told).live()
    return Seeded(len(stories), keys)


async def people_and_partners(parts: Parts) -> dict[str, str]:
    registry = Registry(parts.store, Argon2Passwords(), parts.clock, parts.ids)
    await registry.ensure_house()
    for login, name, role in PEOPLE:
        await registry.add_person(
            "practice", login=login, name=name, role=role, locale="ru", password=PASSWORD
        )
    keys = {}
    for name in (SHOP, GALLERY):
        keys[name], _ = await registry.create_key_for("practice", name, Quota(), None)
    return keys


Step = Callable[[], Awaitable[None]]


class _Month:
    """Plays the stories in the order of their instants."""

    def __init__(
        self,
        parts: Parts,
        clock: MonthClock,
        stories: list[Story],
        now: datetime,
        told: Progress,
    ) -> None:
        self._now = now
        self._parts = parts
        self._clock = clock
        self._stories = stories
        self._told = told
        self._agenda: list[tuple[datetime, int, Step]] = []
        self._turn = count()
        self._files: dict[tuple[str, int, str], str] = {}
        self._partners: dict[str, PartnerId] = {}
        self._done = 0
        self._drafts = Drafts(
            parts.store,
            parts.master,
            lambda: catalogue(parts.book),
            promise(parts.policy),
            clock,
        )

    async def live(self) -> None:
        known = await self._parts.store.read(lambda work: work.access.partners())
        self._partners = {partner.name: partner.id for partner in known}
        for story in self._stories:
            self._at(story.at, partial(self._begin, story))
        while self._agenda:
            at, _, step = heapq.heappop(self._agenda)
            self._clock.instant = max(self._clock.instant, at)
            await step()
            await self._settle()
        self._clock.instant = self._now
        while await self._parts.watch.step():
            continue

    def _at(self, instant: datetime, step: Step) -> None:
        heapq.heappush(self._agenda, (instant, next(self._turn), step))

    async def _settle(self) -> None:
        """Let every role do what there is to do."""
        loops = [worker for worker in workers(self._parts) if worker.name != "watch"]
        while any([await worker.step() for worker in loops]):
            continue

    # --- one order ------------------------------------------------------------------------------

    async def _begin(self, story: Story) -> None:
        self._done += 1
        self._told(self._done, len(self._stories))
        body = await self._body(story)
        if story.end in {Stage.INITIATED, Stage.FILE_UPLOADED}:
            if story.end is Stage.INITIATED:
                body["items"] = [{"material": "ag925", "quantity": 1}]
            await self._drafts.open(self._sender(story), msgspec.json.encode(body))
            return
        key = f"practice-{story.number}"
        accepted = await self._parts.intake.accept(
            self._sender(story), key, msgspec.json.encode(body)
        )
        self._at(
            self._clock.now() + min(story.pace, timedelta(hours=20)),
            lambda: self._price(story, accepted.order_no),
        )

    def _next(self, story: Story, step: Step) -> None:
        self._at(self._clock.now() + story.pace, step)

    async def _price(self, story: Story, no: OrderNo) -> None:
        order = await self._order(no)
        if story.end is Stage.SUBMITTED:
            return
        if order.price.state in {PriceState.MANUAL, PriceState.FAILED}:
            price = Money(self._parts.book.min_order * 2, self._parts.book.currency)
            await self._tell(order, c.EnterPrice(price, "Посчитано вручную по чертежу."))
        if story.held:
            until = self._clock.now() + timedelta(days=12)
            hold = c.PlaceHold("Уточняем размер у клиента", "client", until, stops_clock=True)
            await self._tell(await self._order(no), hold)
        elif story.end is Stage.CANCELLED:
            await self._tell(order, c.CancelOrder("Клиент передумал"))
        elif story.end is not Stage.PRICE_CALCULATED:
            await self._tell(await self._order(no), c.ApproveOrder())
            self._next(story, lambda: self._take(story, no))

    async def _take(self, story: Story, no: OrderNo) -> None:
        if story.end is Stage.MANUFACTURING_APPROVED:
            if story.number % 6 == 0:
                self._at(self._now - timedelta(hours=1), lambda: self._claim(story, no))
            return
        await self._claim(story, no)
        await self._floor(story, no, "start")
        self._walk(story, no, "done", Stage.MANUFACTURING_STARTED)

    async def _claim(self, story: Story, no: OrderNo) -> None:
        order = await self._order(no)
        if order.claim is None:
            await self._tell(order, c.ClaimOrder(story.operator), story.operator, "operator")

    def _walk(self, story: Story, no: OrderNo, action: str, stays_at: Stage) -> None:
        if story.end is not stays_at or story.rework:
            self._next(story, lambda: self._step(story, no, action))

    async def _step(self, story: Story, no: OrderNo, action: str) -> None:
        await self._floor(story, no, action)
        match action:
            case "done" if story.rework:
                await self._settle()
                await self._floor(story, no, "rework")
                await self._settle()
                await self._floor(story, no, "start")
                plain = replace(story, rework=False)
                self._walk(plain, no, "done", Stage.MANUFACTURING_STARTED)
            case "done":
                self._walk(story, no, "pack", Stage.MANUFACTURING_COMPLETED)
            case "pack":
                self._walk(story, no, "ship", Stage.PACKAGING)
            case "ship" if story.end is Stage.CLOSED:
                self._next(story, lambda: self._close(no))

    async def _close(self, no: OrderNo) -> None:
        await self._tell(await self._order(no), c.CloseOrder("Вручено курьером"))

    async def _floor(self, story: Story, no: OrderNo, action: str) -> None:
        order = await self._order(no)
        if order.work_order is None:
            return
        await self._parts.workshop.act(
            order.work_order.reference,
            action,
            story.operator,
            reason="Раковина на шинке" if action == "rework" else None,
            tracking_no=f"RU{story.number:09d}" if action == "ship" else None,
            carrier="СДЭК" if action == "ship" else None,
        )

    # --- the front doors ------------------------------------------------------------------------

    async def _order(self, no: OrderNo) -> Order:
        return await self._parts.store.read(lambda work: rebuild(work.orders.history(no)))

    async def _tell(
        self, order: Order, command: c.OrderCommand, login: str = SELLER, role: str = "seller"
    ) -> None:
        actor = Actor(ActorKind.PERSON, login, role)
        cause = Cause(actor, type(command).__name__, "office", "")
        try:
            await self._parts.master.handle(order.no, command, cause)
        except OrderkeepError as refused:
            sentence = f"{order.no}: {refused}"
            raise RuntimeError(sentence) from refused

    def _sender(self, story: Story) -> Sender:
        trace_id = self._parts.ids.envelope_id(self._clock.now()).replace("-", "")
        if story.partner is None:
            return Person(
                partner_id=OFFICE,
                channel="office",
                source="office",
                via=f"person:{SELLER}",
                trace_id=trace_id,
                login=SELLER,
                role="seller",
            )
        return Sender(self._partners[story.partner], "api", "door", "key:practice", trace_id)

    async def _body(self, story: Story) -> dict[str, Any]:
        body = {
            "client_ref": f"{'NS' if story.partner == SHOP else 'AG'}-{20260 + story.number}",
            "items": [await self._item(story, line) for line in story.lines],
            "customer": {"name": story.customer, "phone": f"+7 900 {story.number:03d}-00-00"},
            "delivery_address": f"{story.city}, улица Мастеров, {story.number % 90 + 1}",
        }
        return body | ({"note": story.note} if story.note else {})

    async def _item(self, story: Story, line: Line) -> dict[str, Any]:
        item: dict[str, Any] = {"quantity": line.quantity}
        if line.sku:
            return item | {"sku": line.sku}
        if line.engraving:
            item["engraving"] = line.engraving
        return item | {"material": line.material, "file_id": await self._file(story, line)}

    async def _file(self, story: Story, line: Line) -> str:
        kind, number = line.ring or ("band", 0)
        owner = OFFICE if story.partner is None else self._partners[story.partner]
        known = self._files.get((kind, number, owner))
        if known is not None:
            return known
        spoil = DEFECTS.get(kind)
        sound = ring("band" if spoil else kind, number, triangles=6000)
        stl = spoil(sound) if spoil else sound

        async def chunks() -> AsyncIterator[bytes]:
            yield stl

        uploader = Uploader(owner, "practice")
        stored = await self._parts.files.take(uploader, f"{kind}-{number}.stl", chunks())
        self._files[kind, number, owner] = stored.id
        return stored.id
