"""Tells a CRM what happens to orders: each piece of news in its turn, until it is settled."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from orderkeep.bridge import sentences as say
from orderkeep.bridge.crm import (
    CRM,
    Crm,
    CrmOrder,
    CrmOutcomeUnknown,
    CrmRejected,
    CrmUnavailable,
    Telling,
    Told,
)
from orderkeep.bridge.gate import Gate
from orderkeep.bridge.line import Line, Rows
from orderkeep.bridge.lives import Lives, while_seen
from orderkeep.bridge.pace import Bounds
from orderkeep.bridge.places import Places
from orderkeep.bridge.sending import LONGEST_PAUSE, OVERSLEPT
from orderkeep.bridge.windows import ALWAYS_THERE, Maintenance
from orderkeep.bridge.work import BridgeWork, LeaseLost
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.store import Store
from orderkeep.observe.tracing import within
from orderkeep.orders.news import News, news_after
from orderkeep.orders.order import Delivered

BEFORE_INTENT = failpoint("crm.before_intent", "the order has news, nothing was sent")
AFTER_INTENT = failpoint("crm.after_intent", "the intent to tell is on disk, nothing was sent")
BEFORE_SEND = failpoint("crm.before_send", "lease checked, the bytes are about to leave")
AFTER_SEND = failpoint("crm.after_send", "the CRM has answered, we have not written it down")
AFTER_OUTCOME = failpoint("crm.after_outcome", "what became of the news is on disk")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CrmSettings:
    """How telling paces itself."""

    concurrency: int = 4
    """Calls at once, at most."""
    pause: timedelta = timedelta(seconds=5)
    """How long after the CRM was away; after an unknown outcome it doubles with every try."""
    maintenance: Maintenance = ALWAYS_THERE
    longest: timedelta = timedelta(minutes=1)
    """How long a call of ours may last, with all that belongs to it."""
    lingering: timedelta = timedelta(0)
    """How long a call that its sender gave up, or left behind, may go on over there."""


class CrmLine:
    """The line in front of the CRM. ``holder`` is unique to this process's life."""

    def __init__(
        self,
        store: Store[BridgeWork],
        crm: Crm,
        clock: Clock,
        settings: CrmSettings,
        holder: str,
        lives: Lives | None = None,
    ) -> None:
        self._store = store
        self._crm = crm
        self._clock = clock
        self._settings = settings
        self._holder = holder
        self._lives = lives
        bounds = Bounds(settings.concurrency, settings.pause)
        lingering = settings.lingering
        self.places = (
            Places(store, lives, CRM, settings.concurrency, settings.longest, lingering)
            if lives is not None
            else None
        )
        """Our part of the calls that all bridges together may have under way."""
        self.gate = Gate(store, clock, CRM, bounds, settings.maintenance, lingering, self.places)
        rows = Rows(
            lambda work, now, limit: work.tellings.due(now, limit),
            lambda work, now, gone: work.tellings.abandon(now, gone),
            lambda work, now: work.tellings.pull_in(now, now + LONGEST_PAUSE),
            self._put_aside,
        )
        line = Line(store, clock, self.gate, rows, self._move, holder, lives)
        self.step, self.recover = line.step, line.recover

    async def take_over(self) -> int:
        """Free what senders held that are proven gone; always 0.

        One that lives and does not move keeps its order: told by it later, older news would
        overtake newer.
        """
        if self._lives is None:
            return 0
        others = await self._store.read(lambda work: work.tellings.holders()) - {self._holder}
        for holder in sorted(await self._lives.gone(others, CRM)):
            await self._free(holder)
        return 0

    async def _free(self, holder: str) -> None:
        now = self._clock.now()
        freed = await self._store.write(lambda work: work.tellings.abandon(now, holder))
        log.warning("crm.sender_gone", holder=holder, orders=freed)

    # --- telling --------------------------------------------------------------------------------

    async def _move(self, row: Telling) -> None:
        history = await self._store.read(lambda work: work.orders.history(row.order_no))
        news = news_after(history, row.told)
        now = self._clock.now()
        if news is None:
            await self._store.write(lambda work: self._at_rest(work, row, now))
            return
        reach(BEFORE_INTENT)
        taken = await self._store.write(lambda work: work.tellings.take(row, self._holder, now))
        reach(AFTER_INTENT)
        await self._still_ours(taken)
        reach(BEFORE_SEND)
        with within(history[0].cause.trace_id):  # the one that the order came with
            await self._tell(row, taken, news)
        reach(AFTER_OUTCOME)

    async def _call(self, taken: Telling, news: News) -> CrmOrder:
        """Tell it, and cut it when the others may believe that we are gone."""
        if self._lives is None:
            return await self._crm.tell(news)
        if not self._lives.is_seen or self._clock.now() - taken.since > OVERSLEPT:
            raise CrmUnavailable(say.STOPPED_BETWEEN())
        lost = CrmOutcomeUnknown(say.DATABASE_LOST())
        return await while_seen(self._lives, self._crm.tell(news), lost)

    async def _tell(self, row: Telling, taken: Telling, news: News) -> None:
        try:
            shown = await self.gate.call(self._call(taken, news), timed=True)
        except CrmRejected as no:
            await self._settle(taken, news, Delivered.REJECTED, str(no))
        except CrmUnavailable as away:
            await self._unsent(row, taken, str(away))
        except CrmOutcomeUnknown as unknown:
            await self._unknown(taken, str(unknown))
        except Exception as surprise:  # Whatever went wrong, bytes may have left.
            log.exception("crm.tell_failed", order_no=taken.order_no)
            await self._unknown(taken, type(surprise).__name__)
        else:
            reach(AFTER_SEND)
            await self._settle(taken, news, *_outcome(shown, news))

    async def _still_ours(self, taken: Telling) -> None:
        """An HTTP send cannot be fenced: look once more, just before the bytes leave."""
        row = await self._store.read(lambda work: work.tellings.get(taken.order_no))
        if row is None or row.lease_token != taken.lease_token:
            raise LeaseLost(taken.order_no, holder=taken.holder)

    # --- writing down ---------------------------------------------------------------------------

    async def _unsent(self, row: Telling, taken: Telling, why: str) -> None:
        """Surely not told: back to its place in the line, and the attempt does not count."""
        # After an earlier unknown outcome, one that surely failed proves nothing of the first.
        state = Delivered.UNCERTAIN if row.state in _MAYBE else Delivered.PENDING
        await self._back(taken, state, why, self._clock.now(), taken.attempts - 1)

    async def _unknown(self, taken: Telling, why: str) -> None:
        """The CRM may know: told again under the same key, after a pause that grows."""
        pause = min(self._settings.pause * (1 << min(taken.attempts - 1, 16)), LONGEST_PAUSE)
        again = self._clock.now() + pause
        await self._back(taken, Delivered.UNCERTAIN, why, again, taken.attempts)

    async def _put_aside(self, row: Telling, why: str) -> None:
        """Nothing that we do brings it on: the balance names it, and a person tells it again."""
        now = self._clock.now()

        def put_aside(work: BridgeWork) -> None:
            found = work.tellings.get(row.order_no)
            if found is not None and found.holder in {None, self._holder}:
                work.tellings.change(
                    found, state=Delivered.DEAD, since=now, detail=why, holder=None,
                    next_at=None, lease_token=found.lease_token + 1,
                )  # fmt: skip

        await self._store.write(put_aside)

    async def _back(
        self, taken: Telling, state: Delivered, why: str, next_at: datetime, attempts: int
    ) -> None:
        now = self._clock.now()
        await self._store.write(
            lambda work: work.tellings.change(
                taken, state=state, since=now, detail=why, holder=None, next_at=next_at,
                attempts=attempts,
            )
        )  # fmt: skip

    async def _settle(
        self, taken: Telling, news: News, state: Delivered, detail: str | None
    ) -> None:
        """Write down what became of a piece of news, and whether there is more."""
        now = self._clock.now()

        def settle(work: BridgeWork) -> None:
            # First the row, under a new token: whoever wakes us for newer news either sees this,
            # or has announced it before the history is read.
            row = work.tellings.change(
                taken, state=state, since=now, detail=detail, holder=None, next_at=None,
                told=news.version, attempts=0, lease_token=taken.lease_token + 1,
                news_since=now, differs=None,
            )  # fmt: skip
            told = Told(news.version, news.kind, state, now, taken.attempts, detail)
            work.tellings.settled(taken.order_no, told)
            self._go_on(work, row, now)

        await self._store.write(settle)
        log.info("crm.told", order_no=taken.order_no, event_id=news.id, state=str(state),
                 attempt=taken.attempts)  # fmt: skip

    def _go_on(self, work: BridgeWork, row: Telling, now: datetime) -> None:
        """Have the row looked at again, if the order has more to tell."""
        if news_after(work.orders.history(row.order_no), row.told) is not None:
            work.tellings.change(row, state=Delivered.PENDING, since=now, next_at=now)
            work.wake(CRM)

    def _at_rest(self, work: BridgeWork, row: Telling, now: datetime) -> None:
        """Woken for nothing: everything was told. The state stays what the last news left."""
        known = work.tellings.told(row.order_no)
        state = known[-1].state if known else row.state
        row = work.tellings.change(row, state=state, next_at=None, lease_token=row.lease_token + 1)
        # What was announced since the history was read found the row due, and left it so.
        self._go_on(work, row, now)


_MAYBE = frozenset({Delivered.UNCERTAIN, Delivered.SENDING})
"""Where an earlier try may have been heard."""


def _outcome(shown: CrmOrder, news: News) -> tuple[Delivered, str | None]:
    """What an answer under our own number proves: that the CRM has it, or also applied it."""
    if shown.version is None:
        return Delivered.CONFIRMED, None
    if shown.version < news.version:
        return Delivered.RECEIVED, say.CRM_BEHIND(version=shown.version)
    return Delivered.APPLIED, None
