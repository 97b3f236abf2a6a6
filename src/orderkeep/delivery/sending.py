"""What sending one dead letter again would do, and doing it: in the caller's unit of work."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from orderkeep.delivery.dead_letters import Entry, Item, Letter, LetterNotFound, Source, Verdict
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.mending import mended
from orderkeep.kernel.errors import Fault, Invalid
from orderkeep.kernel.ids import EnvelopeId, Ids

_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""Of an envelope that is only looked at."""

Judge = Callable[[Any, Envelope], bool]
"""Whether an envelope's effect is there already; what it says is the judge's business."""
Validator = Callable[[Envelope], Sequence[Fault]]
"""What is wrong with an envelope that somebody has edited, by its kind and schema version."""


class Sending:
    """Knows who takes which kind, and sends dead letters to them.

    Args:
        routes: consumers by kind.
        judge: whether sending would be for nothing.
        validator: what is wrong with an edited envelope.
    """

    def __init__(
        self, routes: Mapping[str, Sequence[str]], judge: Judge, validator: Validator, ids: Ids
    ) -> None:
        self._routes = routes
        self._judge = judge
        self._validator = validator
        self._ids = ids

    @property
    def kinds(self) -> Sequence[str]:
        """Every kind that somebody takes."""
        return sorted(self._routes)

    def others(self, letter: Letter) -> Sequence[str]:
        """Who else takes a letter's kind, so that it may be sent there instead."""
        takers = self._routes.get(letter.kind or "", ())
        return [one for one in takers if one != letter.consumer]

    # --- looking --------------------------------------------------------------------------------

    def verdict(self, work: Any, letter: Letter, to: str | None = None) -> Verdict:
        """What sending a letter again would do; ``to`` is somebody else who takes its kind."""
        if letter.source is not Source.INBOX:
            return Verdict.NOWHERE
        found = work.dead_letters.envelope(letter.row)
        if found is None:
            return Verdict.GONE
        envelope: Envelope = found[1]
        takers = self._takers(letter, envelope, to)
        if not takers:
            return Verdict.NOWHERE
        if to is not None and work.inbox.holds(to, [envelope.id]):
            return Verdict.DONE
        return Verdict.DONE if self._judge(work, envelope) else Verdict.SEND

    def _takers(self, letter: Letter, envelope: Envelope, to: str | None) -> Sequence[str]:
        takers = self._routes.get(envelope.kind, ())
        if to is not None:
            return (to,) if to in takers and to != letter.consumer else ()
        return (letter.consumer,) if letter.consumer in self._consumers() else takers

    def faults(self, work: Any, source: Source, row: int, text: bytes) -> Sequence[Fault]:
        """What is wrong with a letter as somebody has edited it.

        Raises:
            LetterNotFound: it is no dead letter.
        """
        if source is Source.QUARANTINE:
            return self._faults_of_mended(text)
        found = work.dead_letters.envelope(row)
        if found is None:
            raise LetterNotFound("There is no such dead letter.")
        return self._validator(replace(found[1], body=text))

    def _faults_of_mended(self, text: bytes) -> Sequence[Fault]:
        try:
            envelope = mended(text, EnvelopeId(""), _ANY_TIME)
        except Invalid as wrong:
            return wrong.faults
        if envelope.kind not in self._routes:
            return [Fault("/kind", "unknown", "nobody takes this kind")]
        return self._validator(envelope)

    # --- planning -------------------------------------------------------------------------------

    def planned(
        self,
        work: Any,
        letters: Sequence[Letter],
        edit: tuple[int, bytes] | None,
        to: str | None,
        now: datetime,
    ) -> list[Entry]:
        """What of some letters would be sent, in the order in which they came.

        ``edit`` is the row of the one letter, and what it is to say.

        Raises:
            Invalid: the edited one is not as it must be.
        """
        if edit is not None:
            if letters and (found := self.faults(work, letters[0].source, *edit)):
                raise Invalid(found)
            if letters and letters[0].source is Source.QUARANTINE:
                entry = self._entry_of_mended(work, letters[0], edit[1], now)
                return [] if self._judge(work, _made_of(entry, now)) else [entry]
        going = [one for one in letters if self.verdict(work, one, to) is Verdict.SEND]
        return [_entry(work, one, edit) for one in going]

    def _entry_of_mended(self, work: Any, letter: Letter, text: bytes, now: datetime) -> Entry:
        # Its own id, so that a repeat is known; but one that is known already is another message's.
        envelope = mended(text, EnvelopeId(letter.message_id or ""), now)
        if not envelope.id or self._held(work, envelope):
            envelope = replace(envelope, id=self._ids.envelope_id(now))
        return Entry(
            letter.row,
            envelope.order_key,
            Item.WAITING,
            body_before=work.dead_letters.body(letter.source, letter.row),
            body_after=text,
            source=letter.source,
            sent_as=envelope.id,
        )

    # --- doing ----------------------------------------------------------------------------------

    def send(self, work: Any, entry: Entry, to: str | None, now: datetime) -> Item:
        """Send one letter again, unless it has been done or is gone since the set was frozen."""
        if entry.source is Source.QUARANTINE:
            return _sent(done=self._send_mended(work, entry, now))
        found = work.dead_letters.envelope(entry.letter_row)
        if found is None or found[0].parked or self.verdict(work, found[0], to) is not Verdict.SEND:
            return Item.SKIPPED
        letter, envelope = found
        takers = self._takers(letter, envelope, to)
        if letter.consumer in takers:
            work.wake(f"inbox:{letter.consumer}")
            return _sent(done=work.dead_letters.revive(letter.row, entry.body_after, now))
        if entry.body_after is not None:
            envelope = replace(envelope, body=entry.body_after)
        for consumer in takers:
            work.wake(f"inbox:{consumer}")
        return _sent(done=work.dead_letters.deliver(letter.row, envelope, takers, now))

    def _send_mended(self, work: Any, entry: Entry, now: datetime) -> bool:
        """Put what could not be read into the inboxes of its receivers, whole at last."""
        envelope = _made_of(entry, now)
        takers = self._routes.get(envelope.kind, ())
        if not takers or self._held(work, envelope) or self._judge(work, envelope):
            return False  # Whoever sent it has sent it well meanwhile.
        if not work.dead_letters.release(entry.letter_row, now):
            return False
        for consumer in takers:
            work.inbox.receive(consumer, [envelope], now)
            work.wake(f"inbox:{consumer}")
        return True

    def outcome(self, work: Any, entry: Entry, now: datetime) -> Item:
        """What became of a letter that was sent: ``SENT`` while it waits or is tried."""
        found: Item
        if entry.source is Source.INBOX:
            found = work.dead_letters.outcome(entry.letter_row)
        else:
            envelope = _made_of(entry, now)
            takers = self._routes.get(envelope.kind, ())
            found = work.dead_letters.arrived(envelope.id, takers)
        return found

    def _held(self, work: Any, envelope: Envelope) -> bool:
        takers = self._routes.get(envelope.kind, ())
        return any(work.inbox.holds(consumer, [envelope.id]) for consumer in takers)

    def _consumers(self) -> set[str]:
        return {name for theirs in self._routes.values() for name in theirs}


def _sent(*, done: bool) -> Item:
    return Item.SENT if done else Item.SKIPPED


def _made_of(entry: Entry, now: datetime) -> Envelope:
    return mended(entry.body_after or b"", EnvelopeId(entry.sent_as or ""), now)


def _entry(work: Any, letter: Letter, edit: tuple[int, bytes] | None) -> Entry:
    if edit is None:
        return Entry(letter.row, letter.order_key, Item.WAITING)
    before = work.dead_letters.body(letter.source, letter.row)
    return Entry(letter.row, letter.order_key, Item.WAITING, None, before, edit[1])
