"""The product between two crashes: its own parts, over a store, files and a MES of the world's."""

from asyncio import Future
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, cast

from orderkeep.adapters.embedded import EmbeddedTransport
from orderkeep.adapters.files import LocalFiles
from orderkeep.adapters.mes_floor import FloorMes
from orderkeep.adapters.sql.hot_sqlite.claim import SqlClaimLane
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bridge.dispatch import Bridge, BridgeSettings
from orderkeep.bridge.ports import Mes
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.inbox import InboxWorker
from orderkeep.delivery.ports import Received, Tried
from orderkeep.delivery.relay import Relay, TransportAway
from orderkeep.files.upload import Files
from orderkeep.floor.workshop import Workshop
from orderkeep.intake.accept import Intake
from orderkeep.intake.checks import Catalogue
from orderkeep.intake.drafts import Drafts
from orderkeep.kernel.ids import EnvelopeId, Ids, uuid7
from orderkeep.orders.announce import routes
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.order import Order, PriceState, Stage
from orderkeep.orders.policy import Policy
from orderkeep.quoting.desk import PriceDesk
from orderkeep.quoting.measurement import Finding, Manual, Measurement, Outcome
from orderkeep.quoting.ports import EngineUnavailable, ModelFile
from orderkeep.quoting.price_book import example_book
from orderkeep.sla.watch import Watch
from orderkeep.testing.faults import Faults
from orderkeep.testing.store import SimStore

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BOOK = example_book()
SKUS = sorted(BOOK.skus)
MATERIAL = min(BOOK.materials)
PACE = BridgeSettings(poll=timedelta(seconds=20), pause=timedelta(seconds=2))


class SimClock:
    """Our clock: the true time, and how far ours is off."""

    def __init__(self) -> None:
        self.true = NOON
        self.off = timedelta(0)

    def now(self) -> datetime:
        """What our process believes."""
        return self.true + self.off

    def truly(self) -> datetime:
        """What everyone else believes."""
        return self.true


class SimIds(Ids):
    """Identities from a seed."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance

    def envelope_id(self, now: datetime) -> EnvelopeId:
        return EnvelopeId(uuid7(now, self._chance.getrandbits(74)))

    def token(self, length: int = 26) -> str:
        return "".join(self._chance.choices("abcdefghijklmnopqrstuvwxyz", k=length))


class SimEngine:
    """Measures the name of a file: another file, another volume."""

    def __init__(self, faults: Faults, pause: "Callable[[], Future[None]]") -> None:
        self._faults = faults
        self._pause = pause

    async def measure(self, file: ModelFile, deadline: timedelta) -> Outcome:
        if self._faults.strikes("engine slow", self._faults.odds.engine_slow):
            await self._pause()
        if self._faults.strikes("engine away", self._faults.odds.transport_away):
            raise EngineUnavailable("the worker is gone")
        return outcome_of(str(file.source).rpartition("/")[2])


def outcome_of(sha256_hex: str) -> Outcome:
    """What the engine says of a file: every fourth needs a person."""
    size = int(sha256_hex[:4], 16)
    if size % 4 == 0:
        return Manual((Finding("open", "The surface has a hole."),))
    volume = Decimal(500 + size)
    return Measurement(
        volume, volume, Decimal(600), (10.0, 10.0, 10.0), 12, True, True, True, 0, shells=1
    )


class SimFiles:
    """Files that are there under any hash, when a history does not keep real ones."""

    def open(self, sha256_hex: str) -> "_Opened":
        return _Opened(sha256_hex)


class _Opened:
    def __init__(self, name: str) -> None:
        self._name = name

    async def __aenter__(self) -> str:
        return self._name

    async def __aexit__(self, *_: object) -> None:
        return None


class SimTransport:
    """Carries as a broker does: in any order between orders, more than once, or says it did not."""

    def __init__(self, inner: EmbeddedTransport, faults: Faults, carried: list[Envelope]) -> None:
        self._inner = inner
        self._faults = faults
        self._carried = carried

    async def publish(self, envelopes: Sequence[Envelope]) -> Sequence[Tried]:
        odds, strikes = self._faults.odds, self._faults.strikes
        if strikes("transport away", odds.transport_away):
            raise TransportAway("no connection")
        mixed = self._faults.chance.sample(envelopes, len(envelopes))
        if mixed != list(envelopes):
            self._faults.struck["reordered"] += 1
        carried = dict(zip(mixed, await self._inner.publish(mixed), strict=True))
        if strikes("transport repeats", odds.transport_repeats):
            await self._inner.publish(mixed)
        if self._carried and strikes("old again", odds.old_again):
            await self._inner.publish([self._faults.chance.choice(self._carried)])
        self._carried += envelopes
        if strikes("transport forgets", odds.transport_forgets):
            raise TransportAway("the connection broke before the confirm")
        return [carried[envelope] for envelope in envelopes]


@dataclass
class Process:
    """What the people and machines of a history use."""

    master: OrderMaster
    intake: Intake
    drafts: Drafts
    files: Files | None
    claims: SqlClaimLane
    bridge: Bridge
    desk: PriceDesk
    workshop: Workshop
    steps: dict[str, Callable[[], Awaitable[Any]]]


@dataclass(frozen=True)
class Ground:
    """What outlives a process."""

    store: SimStore
    clock: SimClock
    ids: SimIds
    faults: Faults
    policy: Policy
    mes: Mes | None
    """None for the built-in floor."""
    folder: Path | None
    """Where real files are kept; None when no file is real."""
    trusting: bool
    """Whether orders are approved without a seller."""
    pause: "Callable[[], Future[None]]"
    """Waits until the world wakes it."""
    carried: list[Envelope] = field(default_factory=list)
    handed_over: bool = False
    """Whether envelopes are handled in the commit that carries them."""


def start(ground: Ground, holder: str) -> Process:
    """A new process over what earlier ones left."""
    store, clock, ids, policy = ground.store, ground.clock, ground.ids, ground.policy
    faults, mes, folder = ground.faults, ground.mes, ground.folder
    master = OrderMaster(store, clock, ids, policy)
    workshop = Workshop(store, clock, ids)
    keeper = LocalFiles(folder) if folder else None
    if keeper:
        keeper.forget_unfinished()
    bridge = Bridge(store, master, mes or FloorMes(workshop, clock), clock, PACE, holder)
    inner = EmbeddedTransport(store, routes(floor=mes is None), clock)
    engine = SimEngine(faults, ground.pause)
    desk = PriceDesk(
        store,
        master,
        engine,
        cast("Any", keeper or SimFiles()),
        BOOK,
        trust if ground.trusting else _nobody,
        clock,
    )
    handlers: dict[str, Callable[[Any, Any, datetime], None]] = {
        "quoting": desk.handle,
        "bridge": bridge.handle,
        "floor": workshop.order_cancelled,
    }
    inboxes = {
        name: InboxWorker(store, name, _in_order(handle), clock)
        for name, handle in handlers.items()
    }
    if ground.handed_over:
        inner.hand_over(inboxes, alone=False)
    steps: dict[str, Callable[[], Awaitable[Any]]] = {
        f"inbox {name}": inbox.step for name, inbox in inboxes.items()
    }
    steps |= {
        "relay": Relay(store, SimTransport(inner, faults, ground.carried), clock).step,
        "price": desk.step,
        "price beside": desk.step,
        "send": bridge.step,
        "send beside": bridge.step,
        "watch": Watch(store, master, clock).step,
    }

    if mes is not None and mes.capabilities.tells:
        steps["feed"] = bridge.feed.step

    def catalogue() -> Catalogue:
        return Catalogue(BOOK.materials, BOOK.skus)

    def promise(_: object, now: datetime) -> datetime:
        return now + policy.lead_time

    intake = Intake(store, store.accepting(policy), catalogue, promise, clock, ids)
    drafts = Drafts(store, master, catalogue, promise, clock)
    files = Files(store, keeper, clock, ids) if keeper else None
    claims = store.claiming()
    return Process(master, intake, drafts, files, claims, bridge, desk, workshop, steps)


def trust(_: Any, order: Order) -> str | None:
    """Approve at once what has a price."""
    ready = order.stage is Stage.PRICE_CALCULATED and order.price.state is PriceState.READY
    return None if not ready or order.hold or order.price.consent_needed else "trusted"


def _nobody(_work: Any, _order: Order) -> None:
    return None


_EARLIER = (
    "SELECT count(*) FROM inbox WHERE consumer = ? AND order_key = ? AND row < ?"
    " AND handled_at IS NULL AND dead_at IS NULL"
)


def _in_order(
    handle: Callable[[Any, Any, datetime], None],
) -> Callable[[SqlWork, Received, datetime], None]:
    """The handler, which nobody may call while an older envelope of the same order waits."""

    def checked(work: SqlWork, received: Received, now: datetime) -> None:
        key = (received.consumer, received.envelope.order_key, received.row)
        [(earlier,)] = work.raw.execute(_EARLIER, key)
        assert earlier == 0, f"{received.envelope.kind} of {key[1]} overtakes an older one"
        handle(work, received, now)

    return checked


def hash_of(content: bytes) -> str:
    """The name of bytes."""
    return sha256(content).hexdigest()
