"""Sends dead letters again, step by step, and stops by itself when they die anew.

Each step is one commit: the letters are back in their inbox, under the id they always had, and the
replay knows it. A process that dies before it has sent nothing, one that dies after it has sent
them once; and whoever handles an id a second time does nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

import msgspec
import structlog
from msgspec.structs import replace

from orderkeep.delivery.dead_letters import (
    FOUR_EYES_WITHIN,
    MOST,
    Entry,
    GroupNote,
    Item,
    Letter,
    LetterNotFound,
    Replay,
    ReplayRefused,
    State,
    Trace,
    Verdict,
    batch_size,
    may_go_on,
    needs_second_person,
    rest_after,
    told_of,
)
from orderkeep.delivery.sending import Judge, Sending, Validator
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Conflict
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.ids import Ids
from orderkeep.kernel.store import Store

BEFORE_BATCH = failpoint("replay.before_batch", "the next letters of a replay are still dead")
AFTER_BATCH = failpoint("replay.after_batch", "they are back in their inbox, and marked as sent")

WATCH = "replay"

_SIGN_IN = (
    "A second person has to approve this replay, and at a command line nobody signs in: "
    "begin it at the office, under Dead letters."
)

log = structlog.get_logger()

T = TypeVar("T")

Audit = Callable[[Any, datetime, str, str, str, str], None]
"""Writes who did what to which subject and why, in the given unit of work."""


class LetterStore(Store[Any], Protocol):
    """The store, of which what looks at thousands of letters asks where others are not held up."""

    async def read_long(self, query: Callable[[Any], T]) -> T:
        """Run a query that may take seconds."""
        ...


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
        store: LetterStore,
        routes: Mapping[str, Sequence[str]],
        judge: Judge,
        validator: Validator,
        audit: Audit,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store = store
        self.sending = Sending(routes, judge, validator, ids)
        self._audit = audit
        self._clock = clock
        self._ids = ids

    # --- what a person asks ---------------------------------------------------------------------

    def preview(
        self, work: Any, fingerprint: str, cutoff: int | None = None, to: str | None = None
    ) -> Preview:
        """What a replay of a group would do; to be called in a read."""
        letters = _frozen(work, fingerprint, cutoff)
        found = [(letter, self.sending.verdict(work, letter, to)) for letter in letters]
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
            needs_second_person(
                sent,
                edited=False,
                redirected=to is not None,
                lately=self._lately(work, fingerprint),
            ),
        )

    def _lately(self, work: Any, fingerprint: str) -> int:
        """Letters of a cause that nobody else has approved, and that count together therefore."""
        return int(work.dead_letters.unapproved(fingerprint, self._clock.now() - FOUR_EYES_WITHIN))

    async def begin(  # noqa: PLR0913  # A decision's facts, by name.
        self,
        fingerprint: str,
        cutoff: int,
        per_minute: int,
        by: str,
        reason: str,
        edit: tuple[int, bytes] | None = None,
        to: str | None = None,
        *,
        release: str | None = None,
        at_machine: str | None = None,
    ) -> Replay:
        """Begin a replay of a frozen set, or of one edited letter; ``to`` is another receiver.

        ``release`` names what mended the cause; ``at_machine`` who the operating system says it is,
        where nobody signed in. Returning means it is on disk; the first letter goes when nobody
        else has to approve it.

        Raises:
            LetterNotFound: nothing of it is dead any more.
            ReplayRefused: nothing of it can be sent, or a second person has to approve what was
                begun by somebody who has not signed in.
            Invalid: the new body is not as it must be.
        """
        now = self._clock.now()
        id_ = self._ids.token(12)
        told = told_of(reason, release, at_machine)

        def plan(work: Any) -> list[Entry]:
            letters = _frozen(work, fingerprint, cutoff, edit and edit[0])
            return self.sending.planned(work, letters, edit, to, now)

        # Thousands are judged in a read, for a write would hold up everybody's. Whatever becomes
        # of a letter meanwhile, each is judged once more when it goes.
        entries = await self._store.read_long(plan)
        if not entries:
            raise ReplayRefused("Nothing of it can be sent.")

        def begin(work: Any) -> Replay:
            # Two that did not see each other would pass the limit together, each without the other.
            work.dead_letters.begin_alone(fingerprint)
            second = needs_second_person(
                len(entries),
                edited=edit is not None,
                redirected=to is not None,
                lately=self._lately(work, fingerprint),
            )
            if second and at_machine is not None:
                # Whoever named another one here could approve it themselves.
                raise ReplayRefused(_SIGN_IN, needs="second-person")
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
                trail=(Trace(now, by, "begun", told),),
                redirect_to=to,
                release=release,
            )
            work.dead_letters.add(replay, entries)
            self._audit(work, now, by, "dead_letters.replay", id_, told)
            work.wake(WATCH)
            return replay

        return await self._store.write(begin)

    async def approve(self, id_: str, by: str) -> Replay:
        """Let a replay begin that somebody else has asked for.

        Raises:
            ReplayRefused: it does not wait for this, or it is the same person.
        """

        def check(_: Any, replay: Replay) -> None:
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
        now = self._clock.now()

        def check(work: Any, replay: Replay) -> None:
            # What has died until here died before the cause was mended: it stops nothing more.
            self._looked_at(work, replay, now)

        return await self._turn(
            id_, {State.STOPPED}, State.RUNNING, by, "resumed", why, check, step=0
        )

    async def cancel(self, id_: str, by: str, why: str) -> Replay:
        """Give a replay up; what it has sent stays sent."""
        open_ = {State.WAITING, State.RUNNING, State.STOPPED}
        return await self._turn(id_, open_, State.CANCELLED, by, "cancelled", why)

    async def acknowledge(self, id_: str, by: str) -> Replay:
        """Say that somebody has seen how a replay ended, so that it need not be shown first."""

        def see(work: Any) -> Replay:
            replay: Replay = work.dead_letters.replay(id_)
            if replay.state not in {State.DONE, State.CANCELLED} or replay.seen_by:
                raise ReplayRefused(f"The replay is {replay.state}.", state=str(replay.state))
            trail = (*replay.trail, Trace(now, by, "acknowledged"))
            changed: Replay = work.dead_letters.change(replay, seen_by=by, trail=trail)
            return changed

        now = self._clock.now()
        return await self._store.write(see)

    async def note(
        self, fingerprint: str, owner: str, note: str, by: str, release: str | None = None
    ) -> None:
        """Write down whose a group is, and what is known about it; empty words take it back.

        ``release`` is the one that mends the cause, once somebody knows it.

        Raises:
            LetterNotFound: there is no such group now.
        """
        now = self._clock.now()

        def write(work: Any) -> None:
            there = work.dead_letters.group
            if not (there(fingerprint, parked=False) or there(fingerprint, parked=True)):
                raise LetterNotFound("There are no such dead letters.")
            work.dead_letters.note(fingerprint, GroupNote(owner, note, by, now, release))
            told = told_of(f"{owner}: {note}", release)
            self._audit(work, now, by, "dead_letters.note", fingerprint, told)

        await self._store.write(write)

    async def park(
        self, fingerprint: str, cutoff: int, by: str, why: str, *, back: bool = False
    ) -> int:
        """Lay a group aside on purpose, or take it up again; returns how many letters."""
        now = self._clock.now()

        def park(work: Any) -> int:
            letters = work.dead_letters
            moved: int = (
                letters.unpark(fingerprint, cutoff)
                if back
                else letters.park(fingerprint, cutoff, by, why, now)
            )
            if not moved:
                raise LetterNotFound("There are no such dead letters.")
            action = "dead_letters.unpark" if back else "dead_letters.park"
            self._audit(work, now, by, action, fingerprint, why)
            return moved

        return await self._store.write(park)

    async def _turn(
        self,
        id_: str,
        from_: set[State],
        to: State,
        by: str,
        what: str,
        why: str,
        check: Callable[[Any, Replay], None] = lambda _work, _replay: None,
        **columns: Any,
    ) -> Replay:
        now = self._clock.now()

        def turn(work: Any) -> Replay:
            replay: Replay = work.dead_letters.replay(id_)
            if replay.state not in from_:
                raise ReplayRefused(f"The replay is {replay.state}.", state=str(replay.state))
            check(work, replay)
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
        looked_at = self._looked_at(work, replay, now)
        under_way = [one for one in looked_at if one.state is Item.SENT]
        # A round has its own time, from the resuming on.
        sent_at = min((one.sent_at or now for one in under_way), default=now)
        since = max(sent_at, replay.trail[-1].at)
        if stopped := may_go_on((one.state for one in looked_at), since, now):
            self._end(work, replay, State.STOPPED, stopped, now)
            return 0
        if under_way:
            work.dead_letters.change(replay, next_at=now + _LOOK)
            return 0
        size = batch_size(replay.step, replay.per_minute)
        batch = work.dead_letters.entries(replay.id, Item.WAITING, size)
        if not batch:
            self._end(work, replay, State.DONE, "done", now)
            return 0
        sent = sum(self._send(work, replay, one, now) is Item.SENT for one in batch)
        pause = max(_LOOK, rest_after(len(batch), replay.per_minute))
        work.dead_letters.change(replay, step=replay.step + 1, next_at=now + pause)
        log.info("replay.batch_sent", replay=replay.id, letters=sent, step=replay.step)
        return sent

    def _looked_at(self, work: Any, replay: Replay, now: datetime) -> list[Entry]:
        """What this look finds of the letters under way; what an earlier one found is no news.

        No instant tells the two apart: the clock may have been set back.
        """
        found: Sequence[Entry] = work.dead_letters.entries(replay.id, Item.SENT)
        return [self._told(work, replay, one, now) for one in found]

    def _told(self, work: Any, replay: Replay, one: Entry, now: datetime) -> Entry:
        state = self.sending.outcome(work, one, now)
        if state is not Item.SENT:
            work.dead_letters.mark(replay.id, one.letter_row, state, now)
        return replace(one, state=state)

    def _send(self, work: Any, replay: Replay, entry: Entry, now: datetime) -> Item:
        state = self.sending.send(work, entry, replay.redirect_to, now)
        work.dead_letters.mark(replay.id, entry.letter_row, state, now)
        return state

    def _end(self, work: Any, replay: Replay, state: State, what: str, now: datetime) -> None:
        trail = (*replay.trail, Trace(now, "orderkeep", what))
        work.dead_letters.change(replay, state=state, trail=trail)
        tell = log.error if state is State.STOPPED else log.info
        tell("replay.ended", replay=replay.id, state=str(state), reason=what)


_LOOK = rest_after(1, 60)
"""How long until we look what has become of what was sent."""


def _frozen(
    work: Any, fingerprint: str, cutoff: int | None, row: int | None = None
) -> Sequence[Letter]:
    letters: Sequence[Letter] = work.dead_letters.frozen(fingerprint, cutoff, MOST, row)
    if not letters:
        raise LetterNotFound("There are no such dead letters.")
    return letters
