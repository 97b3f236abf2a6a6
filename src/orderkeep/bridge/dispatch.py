"""Moves work orders on: what each needs next is decided here, and done by its own part."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from orderkeep.bridge import sentences as say
from orderkeep.bridge.deciding import Deciding
from orderkeep.bridge.feed import Feed
from orderkeep.bridge.finding_out import FindingOut
from orderkeep.bridge.gate import Gate, GatedMes
from orderkeep.bridge.hearing import WORDS, Hearing
from orderkeep.bridge.line import Line, Rows
from orderkeep.bridge.lives import Lives
from orderkeep.bridge.moves import Delivery, Do, next_move
from orderkeep.bridge.outcomes import Outcomes
from orderkeep.bridge.pace import Bounds
from orderkeep.bridge.places import Places
from orderkeep.bridge.ports import Mes
from orderkeep.bridge.putting_aside import PuttingAside
from orderkeep.bridge.said import heard
from orderkeep.bridge.sending import LONGEST_PAUSE, Sending
from orderkeep.bridge.takeover import TakeOver
from orderkeep.bridge.telling import DESTINATION, Teller, unread
from orderkeep.bridge.windows import ALWAYS_THERE, Maintenance
from orderkeep.bridge.wishes import Wishes
from orderkeep.bridge.work import BridgeWork
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.store import Store
from orderkeep.observe.tracing import within
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.order import Delivered

STEPS_AT_ONCE = 3
"""Steps at once: so many calls may hang before others wait for them."""


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """How the bridge paces itself; ``words`` maps the MES's own status words onto ours."""

    concurrency: int = 8
    """Calls at once, at most."""
    poll: timedelta = timedelta(seconds=5)
    pause: timedelta = timedelta(seconds=5)
    """How long after the MES was away, or an order could not be sent yet."""
    words: tuple[tuple[str, str], ...] = WORDS
    maintenance: Maintenance = ALWAYS_THERE
    limited: bool = False
    """Whether ``concurrency`` is a limit of the MES, for all bridges together."""
    longest: timedelta = timedelta(minutes=1)
    """How long a call of ours may last, with all that belongs to it."""


class Bridge:
    """One destination's dispatcher. ``holder`` is unique to this process's life."""

    def __init__(  # The bridge's parts, each used.
        self,
        store: Store[BridgeWork],
        master: OrderMaster,
        mes: Mes,
        clock: Clock,
        settings: BridgeSettings,
        holder: str,
        lives: Lives | None = None,
    ) -> None:
        self._lives = lives
        """Given where other bridges serve the same MES."""
        self._store = store
        lag = mes.capabilities.visibility_lag
        bounds = Bounds(settings.concurrency, settings.pause)
        self.places = (
            Places(store, lives, DESTINATION, settings.concurrency, settings.longest, lag)
            if lives is not None and settings.limited
            else None
        )
        """Our part of the calls that all bridges together may have under way."""
        self.gate = Gate(store, clock, DESTINATION, bounds, settings.maintenance, lag, self.places)
        self._mes = GatedMes(mes, self.gate)
        self._clock = clock
        self._settings = settings
        teller, words = Teller(master, clock), dict(settings.words)
        self._outcomes = Outcomes(store, teller, clock, settings.poll)
        self._sending = Sending(
            store, teller, self._mes, self._outcomes, clock, settings.pause, holder, lives
        )
        self._finding_out = FindingOut(
            store,
            teller,
            self._mes,
            self._outcomes,
            Hearing(teller, words, settings.poll, lag),
            clock,
            settings.poll,
            settings.pause,
        )
        self.handle = Wishes(teller, words).handle
        """Takes an announcement from the inbox."""
        self.decide = Deciding(store, teller, clock).decide
        """Takes a person's decision."""
        self.feed = Feed(
            store,
            self.gate,
            clock,
            self._mes.changes,
            lambda job, place, now: heard(DESTINATION, place, job, now),
        )
        """What the MES says by itself; for one that has a feed of changes."""
        longest = settings.longest
        self.takeover = (
            TakeOver(store, teller, lives, clock, longest) if lives is not None else None
        )
        """Who looks after other bridges' work orders, where there may be others."""
        rows = Rows(
            lambda work, now, limit: work.deliveries.due(DESTINATION, now, limit),
            lambda work, now, gone: work.deliveries.abandon(DESTINATION, now, gone),
            self._pull_in,
            PuttingAside(store, teller, clock, holder).put_aside,
        )
        line = Line(store, clock, self.gate, rows, self._move, holder, lives)
        self.step, self.recover = line.step, line.recover

    # --- the loop -------------------------------------------------------------------------------

    def _pull_in(self, work: BridgeWork, now: datetime) -> int:
        """Nobody waits longer than any pause of ours lasts."""
        pauses = (LONGEST_PAUSE, self._settings.poll, self._settings.pause)
        farthest = now + max(*pauses, self._mes.capabilities.visibility_lag)
        return work.deliveries.pull_in(DESTINATION, now, farthest)

    async def _move(self, row: Delivery) -> None:
        now = self._clock.now()
        move = next_move(row, self._mes.capabilities, now)
        match move.do:
            case Do.SEND:
                await self._sending.send(row)
            case Do.SUSPECT:
                said = say.SENDER_GONE()
                await self._outcomes.settle(row, Delivered.UNCERTAIN, said, next_at=now)
            case Do.WAIT:
                await self._outcomes.postpone(row, move.until)
            case asking:
                await self._ask(row, asking, now)

    async def _ask(self, row: Delivery, asking: Do, now: datetime) -> None:
        if self._lives is not None:
            row = await self._hold(row, now)
        # Whatever the MES is asked about an order belongs to the trace that the order came with.
        trace_id = await self._store.read(lambda work: work.orders.trace_id(row.order_no))
        with within(trace_id):
            match asking:
                case Do.LOOK:
                    await self._finding_out.look(row)
                case Do.ASK:
                    await self._finding_out.ask(row)
                case Do.RECALL:
                    await self._finding_out.recall(row)

    async def _hold(self, row: Delivery, now: datetime) -> Delivery:
        """Keep other bridges from the row while the MES is asked.

        Raises:
            LeaseLost: one of them has it.
        """
        until = now + self._settings.longest
        return await self._store.write(
            lambda work: work.deliveries.change(row, next_at=until, **unread(row))
        )
