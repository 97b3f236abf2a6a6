"""Listens to copies: a tap counts what is understood, a shadow says what would be accepted."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from orderkeep.intake.accept import Intake
from orderkeep.intake.mapping import Message, Source
from orderkeep.intake.receiving import PutAside, Understood, partner_of, reason, understand
from orderkeep.intake.samples import result_of
from orderkeep.intake.shadow import Seen, Verdict
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Invalid
from orderkeep.kernel.ids import PartnerId
from orderkeep.kernel.store import Store


class Tapping:
    """Maps copies of a source's messages, and counts; nothing of a message is kept."""

    def __init__(self, source: Source, store: Store[Any]) -> None:
        self._source = source
        self._store = store

    async def take(self, messages: Sequence[Message], lease_token: int | None = None) -> None:
        """Count messages; returning means that the counts are on disk.

        Raises:
            SourceOvertaken: the look that found them is not the newest; nothing was counted.
        """
        name, words = self._source.name, Counter(word_of(self._source, one) for one in messages)

        def count(work: Any) -> None:
            if lease_token is not None:
                work.sources.require(name, lease_token)
            work.shadow.tapped(name, words)

        await self._store.write(count)


def word_of(source: Source, message: Message) -> str:
    """What becomes of a message, in a word: ``mapped ignored unknown refused``."""
    return result_of(source, message)[1].partition(" ")[0]


class Shadowing:
    """Says of copies what would be accepted, and keeps the numbers to be compared."""

    def __init__(
        self,
        source: Source,
        store: Store[Any],
        intake: Intake,
        put_aside: PutAside,
        clock: Clock,
    ) -> None:
        self._source = source
        self._store = store
        self._intake = intake
        self._put_aside = put_aside
        self._clock = clock
        self._partner_id: PartnerId | None = None

    async def take(self, messages: Sequence[Message], lease_token: int | None = None) -> None:
        """Keep what would have become of messages; returning means that it is on disk.

        Raises:
            StoreBusy, CommitOutcomeUnknown, TrayFull: bring all of them again.
            NoSuchPartner: none was kept.
            SourceOvertaken: the look that found them is not the newest; none was kept.
        """
        partner_id = await self._partner()
        words = Counter(word_of(self._source, one) for one in messages)
        understood = [understand(self._source, message) for message in messages]
        seen = [await self._judged(partner_id, one) for one in understood if one.submission]
        unread = [one for one in understood if one.refused is not None]
        now = self._clock.now()

        def keep(work: Any) -> None:
            if lease_token is not None:
                work.sources.require(self._source.name, lease_token)
            work.shadow.tapped(self._source.name, words)
            for one in seen:
                work.shadow.see(self._source.name, one, now)
            self._aside(work, unread, now)

        await self._store.write(keep)

    def _aside(self, work: Any, unread: Sequence[Understood], now: datetime) -> None:
        for one in unread:
            assert one.refused is not None  # noqa: S101  # That is why it is here.
            self._put_aside(work, self._source.name, one.message, reason(one.refused), now)

    async def _judged(self, partner_id: PartnerId, one: Understood) -> Seen:
        assert one.submission is not None  # noqa: S101  # Others have no number.
        name = (one.client_ref[:200], one.arrival.message_id)
        try:
            body_sha256 = await self._intake.judge(partner_id, one.submission)
        except Invalid as wrong:
            return Seen(*name, one.arrival.body_sha256, Verdict.REFUSE, str(wrong)[:400])
        return Seen(*name, body_sha256, Verdict.ACCEPT)

    async def _partner(self) -> PartnerId:
        if self._partner_id is None:
            self._partner_id = await partner_of(self._store, self._source)
        return self._partner_id
