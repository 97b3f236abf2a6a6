"""Sends dead letters again, step by step, and stops by itself when they die anew.

Each step is one commit: the letters are back in their inbox, under the id they always had, and the
replay knows it. A process that dies before it has sent nothing, one that dies after it has sent
them once; and whoever handles an id a second time does nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec
import structlog

from orderkeep.delivery.dead_letters import (
    MOST,
    Entry,
    Item,
    Letter,
    LetterNotFound,
    Replay,
    ReplayRefused,
    Source,
    State,
    Trace,
    Verdict,
    batch_size,
    frozen,
    may_go_on,
    needs_second_person,
    rest_after,
)
from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Conflict, Fault, Invalid
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.ids import Ids
from orderkeep.kernel.store import Store

BEFORE_BATCH = failpoint("replay.before_batch", "the next letters of a replay are still dead")
AFTER_BATCH = failpoint("replay.after_batch", "they are back in their inbox, and marked as sent")

WATCH = "replay"

log = structlog.get_logger()


class DeadLetterStore(Protocol):
    """Dead letters and their replays."""

    def letters(self, limit: int) -> Sequence[Letter]:
        """All dead letters, the newest first; no more than ``limit``."""
        ...

    def envelope(self, row: int) -> tuple[Letter, Envelope] | None:
        """A whole dead letter of an inbox, with its body; None when it is none (any more)."""
        ...

    def body(self, source: Source, row: int) -> bytes:
        """What a dead letter says.

        Raises:
            LetterNotFound: there is none.
        """
        ...

    def park(self, letters: Sequence[Letter], by: str, why: str, now: datetime) -> None:
        """Lay letters aside, on purpose; again changes nothing."""
        ...

    def unpark(self, letters: Sequence[Letter]) -> None:
        """Take parked letters up again."""
        ...

    def revive(self, row: int, body: bytes | None, now: datetime) -> bool:
        """Put a dead letter back into its inbox, under its id; False when it is not dead."""
        ...

    def deliver(
        self, row: int, envelope: Envelope, consumers: Sequence[str], now: datetime
    ) -> bool:
        """Give a letter that nobody took to those who take it now; False when it is not dead."""
        ...

    def add(self, replay: Replay, entries: Sequence[Entry]) -> None:
        """Keep a new replay."""
        ...

    def replay(self, id_: str) -> Replay:
        """One replay.

        Raises:
            LetterNotFound: there is none.
        """
        ...

    def replays(self, limit: int) -> Sequence[Replay]:
        """The newest replays."""
        ...

    def due(self, now: datetime) -> Sequence[Replay]:
        """Running replays whose next step has come."""
        ...

    def change(self, replay: Replay, **columns: Any) -> Replay:
        """Write columns of a replay as it was read.

        Raises:
            ReplayChanged: it is not as it was read.
        """
        ...

    def entries(self, id_: str) -> Sequence[Entry]:
        """The letters of a replay, in the order they go."""
        ...

    def mark(self, id_: str, letter_row: int, state: Item, now: datetime) -> None:
        """Write down how far a letter of a replay has come."""
        ...

    def outcome(self, row: int) -> Item:
        """What became of a letter that was sent: ``SENT`` while it waits or is tried."""
        ...


class ReplayWork(Protocol):
    """A unit of work on dead letters."""

    @property
    def dead_letters(self) -> DeadLetterStore: ...

    def wake(self, topic: str) -> None:
        """After the commit, tell whoever waits for ``topic``."""
        ...


Judge = Callable[[Any, Envelope], bool]
"""Whether an envelope's effect is there already; what it says is the judge's business."""
Validator = Callable[[str, int, bytes], Sequence[Fault]]
"""What is wrong with a body, by kind and schema version."""
Audit = Callable[[Any, datetime, str, str, str, str], None]
"""Writes who did what to which subject and why, in the given unit of work."""


class Preview(msgspec.Struct, frozen=True):
    """What a replay would do, changing nothing; letters by verdict."""

    fingerprint: str
    cutoff: int
    count: int
    verdicts: Mapping[Verdict, int]
    orders: Mapping[Verdict, Sequence[str]]
    second_person: bool


class Replayer:
    """Plans, approves and carries out replays; see ``delivery.dead_letters``."""

    def __init__(
        self,
        store: Store[Any],
        routes: Mapping[str, Sequence[str]],
        judge: Judge,
        validator: Validator,
        audit: Audit,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store = store
        self._routes = routes
        self._judge = judge
        self._validator = validator
        self._audit = audit
        self._clock = clock
        self._ids = ids

    # --- what a person asks ---------------------------------------------------------------------

    def preview(self, work: Any, fingerprint: str, cutoff: int | None = None) -> Preview:
        """What a replay of a group would do; to be called in a read."""
        letters = _frozen(work, fingerprint, cutoff)
        found = [(letter, self._verdict(work, letter)) for letter in letters]
        told: dict[Verdict, list[str]] = {}
        for letter, verdict in found:
            told.setdefault(verdict, []).append(letter.order_key or "")
        sent = len(told.get(Verdict.SEND, ()))
        return Preview(
            fingerprint,
            max(letter.row for letter in letters),
            len(letters),
            {verdict: len(keys) for verdict, keys in told.items()},
            {verdict: sorted(set(keys) - {""})[:20] for verdict, keys in told.items()},
            needs_second_person(sent, edited=False),
        )

    def faults(self, work: Any, row: int, body: bytes) -> Sequence[Fault]:
        """What is wrong with a letter's new body; to be called in a read.

        Raises:
            LetterNotFound: it is no dead letter.
        """
        envelope = _whole(work, row)[1]
        return self._validator(envelope.kind, envelope.schema_version, body)

    async def begin(  # A decision's facts, by name.
        self,
        fingerprint: str,
        cutoff: int,
        per_minute: int,
        by: str,
        reason: str,
        edit: tuple[int, bytes] | None = None,
    ) -> Replay:
        """Begin a replay of a frozen set, or of one edited letter.

        Returning means it is on disk; the first letter goes when nobody else has to approve it.

        Raises:
            LetterNotFound: nothing of it is dead any more.
            ReplayRefused: nothing of it can be sent.
            Invalid: the new body is not as it must be.
        """
        now = self._clock.now()
        id_ = self._ids.token(12)

        def begin(work: Any) -> Replay:
            letters = _frozen(work, fingerprint, cutoff)
            if edit is not None:
                letters = [one for one in letters if one.row == edit[0]]
            going = [one for one in letters if self._verdict(work, one) is Verdict.SEND]
            if not going:
                raise ReplayRefused("Nothing of it can be sent.")
            if edit and (found := self.faults(work, *edit)):
                raise Invalid(found)
            second = needs_second_person(len(going), edited=edit is not None)
            replay = Replay(
                id=id_,
                version=1,
                fingerprint=fingerprint,
                state=State.WAITING if second else State.RUNNING,
                cutoff=cutoff,
                per_minute=per_minute,
                step=0,
                reason=reason,
                edited=edit is not None,
                started_by=by,
                started_at=now,
                next_at=now,
                trail=(Trace(now, by, "begun", reason),),
            )
            entries = [_entry(work, one, edit) for one in sorted(going, key=lambda one: one.row)]
            work.dead_letters.add(replay, entries)
            self._audit(work, now, by, "dead_letters.replay", id_, reason)
            work.wake(WATCH)
            return replay

        return await self._store.write(begin)

    async def approve(self, id_: str, by: str) -> Replay:
        """Let a replay begin that somebody else has asked for.

        Raises:
            ReplayRefused: it does not wait for this, or it is the same person.
        """

        def check(replay: Replay) -> None:
            if replay.started_by == by:
                raise ReplayRefused("A second person has to approve it.", needs="second-person")

        return await self._turn(
            id_, {State.WAITING}, State.RUNNING, by, "approved", "", check, approved_by=by
        )

    async def stop(self, id_: str, by: str, why: str) -> Replay:
        """Send nothing more of a replay until it is resumed."""
        return await self._turn(id_, {State.RUNNING}, State.STOPPED, by, "stopped", why)

    async def resume(self, id_: str, by: str, why: str) -> Replay:
        """Go on with a stopped replay, a single letter first again."""
        return await self._turn(id_, {State.STOPPED}, State.RUNNING, by, "resumed", why, step=0)

    async def cancel(self, id_: str, by: str, why: str) -> Replay:
        """Give a replay up; what it has sent stays sent."""
        open_ = {State.WAITING, State.RUNNING, State.STOPPED}
        return await self._turn(id_, open_, State.CANCELLED, by, "cancelled", why)

    async def park(
        self, fingerprint: str, cutoff: int, by: str, why: str, *, back: bool = False
    ) -> int:
        """Lay a group aside on purpose, or take it up again; returns how many letters."""
        now = self._clock.now()

        def park(work: Any) -> int:
            found = [
                one
                for one in work.dead_letters.letters(MOST)
                if one.fingerprint == fingerprint and one.parked is back and one.row <= cutoff
            ]
            if not found:
                raise LetterNotFound("There are no such dead letters.")
            if back:
                work.dead_letters.unpark(found)
            else:
                work.dead_letters.park(found, by, why, now)
            action = "dead_letters.unpark" if back else "dead_letters.park"
            self._audit(work, now, by, action, fingerprint, why)
            return len(found)

        return await self._store.write(park)

    async def _turn(
        self,
        id_: str,
        from_: set[State],
        to: State,
        by: str,
        what: str,
        why: str,
        check: Callable[[Replay], None] = lambda _: None,
        **columns: Any,
    ) -> Replay:
        now = self._clock.now()

        def turn(work: Any) -> Replay:
            replay: Replay = work.dead_letters.replay(id_)
            if replay.state not in from_:
                raise ReplayRefused(f"The replay is {replay.state}.", state=str(replay.state))
            check(replay)
            self._audit(work, now, by, f"dead_letters.{what}", id_, why)
            work.wake(WATCH)
            trail = (*replay.trail, Trace(now, by, what, why))
            changed: Replay = work.dead_letters.change(
                replay, state=to, next_at=now, trail=trail, **columns
            )
            return changed

        return await self._store.write(turn)

    # --- the loop -------------------------------------------------------------------------------

    async def step(self) -> int:
        """Take each due replay one step further; returns how many letters were sent."""
        now = self._clock.now()
        due = await self._store.read(lambda work: work.dead_letters.due(now))
        return sum([await self._further(replay, now) for replay in due])

    async def _further(self, replay: Replay, now: datetime) -> int:
        reach(BEFORE_BATCH)
        try:
            sent = await self._store.write(lambda work: self._batch(work, replay, now))
        except Conflict:
            return 0  # Somebody was faster; all of the step is undone.
        reach(AFTER_BATCH)
        return sent

    def _batch(self, work: Any, replay: Replay, now: datetime) -> int:
        entries = self._looked_at(work, replay, now)
        under_way = [one for one in entries if one.state is Item.SENT]
        since = min((one.sent_at or now for one in under_way), default=now)
        # What died in an earlier round has stopped that round already.
        fresh = [one.state for one in entries if (one.sent_at or now) >= replay.trail[-1].at]
        if stopped := may_go_on(fresh, since, now):
            self._end(work, replay, State.STOPPED, stopped, now)
            return 0
        if under_way:
            work.dead_letters.change(replay, next_at=now + _LOOK)
            return 0
        waiting = [one for one in entries if one.state is Item.WAITING]
        if not waiting:
            self._end(work, replay, State.DONE, "done", now)
            return 0
        batch = waiting[: batch_size(replay.step, replay.per_minute)]
        sent = sum(self._send(work, replay, one, now) for one in batch)
        pause = max(_LOOK, rest_after(len(batch), replay.per_minute))
        work.dead_letters.change(replay, step=replay.step + 1, next_at=now + pause)
        log.info("replay.batch_sent", replay=replay.id, letters=sent, step=replay.step)
        return sent

    def _looked_at(self, work: Any, replay: Replay, now: datetime) -> list[Entry]:
        """The letters of a replay, with what has become of those that were sent."""
        found: Sequence[Entry] = work.dead_letters.entries(replay.id)
        return [self._told(work, replay, one, now) for one in found]

    def _told(self, work: Any, replay: Replay, one: Entry, now: datetime) -> Entry:
        if one.state is not Item.SENT:
            return one
        state: Item = work.dead_letters.outcome(one.letter_row)
        if state is not Item.SENT:
            work.dead_letters.mark(replay.id, one.letter_row, state, now)
        return msgspec.structs.replace(one, state=state)

    def _send(self, work: Any, replay: Replay, entry: Entry, now: datetime) -> bool:
        """Send one letter again, unless it has been done or is gone since the set was frozen."""
        found = work.dead_letters.envelope(entry.letter_row)
        if found is None or self._verdict(work, found[0]) is not Verdict.SEND:
            work.dead_letters.mark(replay.id, entry.letter_row, Item.SKIPPED, now)
            return False
        letter, envelope = found
        if letter.consumer in self._consumers():
            sent = work.dead_letters.revive(letter.row, entry.body_after, now)
            work.wake(f"inbox:{letter.consumer}")
        else:
            consumers = self._routes[envelope.kind]
            if entry.body_after is not None:
                envelope = msgspec.structs.replace(envelope, body=entry.body_after)
            sent = work.dead_letters.deliver(letter.row, envelope, consumers, now)
            for consumer in consumers:
                work.wake(f"inbox:{consumer}")
        state = Item.SENT if sent else Item.SKIPPED
        work.dead_letters.mark(replay.id, entry.letter_row, state, now)
        return bool(sent)

    def _end(self, work: Any, replay: Replay, state: State, what: str, now: datetime) -> None:
        trail = (*replay.trail, Trace(now, "orderkeep", what))
        work.dead_letters.change(replay, state=state, trail=trail)
        tell = log.error if state is State.STOPPED else log.info
        tell("replay.ended", replay=replay.id, state=str(state), reason=what)

    def _verdict(self, work: Any, letter: Letter) -> Verdict:
        if letter.source is not Source.INBOX:
            return Verdict.NOWHERE
        found = work.dead_letters.envelope(letter.row)
        if found is None:
            return Verdict.GONE
        envelope: Envelope = found[1]
        if letter.consumer not in self._consumers() and envelope.kind not in self._routes:
            return Verdict.NOWHERE
        return Verdict.DONE if self._judge(work, envelope) else Verdict.SEND

    def _consumers(self) -> set[str]:
        return {name for theirs in self._routes.values() for name in theirs}


_LOOK = rest_after(1, 60)
"""How long until we look what has become of what was sent."""


def _frozen(work: Any, fingerprint: str, cutoff: int | None) -> list[Letter]:
    letters = frozen(work.dead_letters.letters(MOST), fingerprint, cutoff)
    if not letters:
        raise LetterNotFound("There are no such dead letters.")
    return letters


def _whole(work: Any, row: int) -> tuple[Letter, Envelope]:
    found: tuple[Letter, Envelope] | None = work.dead_letters.envelope(row)
    if found is None:
        raise LetterNotFound("There is no such dead letter.")
    return found


def _entry(work: Any, letter: Letter, edit: tuple[int, bytes] | None) -> Entry:
    if edit is None:
        return Entry(letter.row, letter.order_key, Item.WAITING)
    before = work.dead_letters.body(letter.source, letter.row)
    return Entry(letter.row, letter.order_key, Item.WAITING, None, before, edit[1])
