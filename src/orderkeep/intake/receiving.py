"""Takes messages of a source: mapped, checked, accepted by the same function as every order.

What cannot be taken is put aside, where a person sees it, in the commit that remembers the message.
When ``take`` returns, every message is on disk with its fate: then it may be acked.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec
import structlog

from orderkeep.access.keys import PartnerNotFound
from orderkeep.access.ports import AccessStore
from orderkeep.intake import sentences as say
from orderkeep.intake.accept import HomeFlags, Intake, Sender
from orderkeep.intake.arrivals import Arrival, ArrivalStore, Fate, MessageChanged, arrival_of
from orderkeep.intake.homes import HomeStore, home_of
from orderkeep.intake.mapping import Message, NotMapped, Source, UnknownMessage, Word, read
from orderkeep.intake.ports import ClientRefTaken, KeyReused
from orderkeep.intake.shadow import ShadowStore
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Invalid, Refused, Unavailable
from orderkeep.kernel.failpoints import failpoint, reach
from orderkeep.kernel.ids import Ids, PartnerId
from orderkeep.kernel.store import Store
from orderkeep.orders.commands import RecordHomeWord
from orderkeep.orders.events import Actor, ActorKind, Cause
from orderkeep.orders.home import Home
from orderkeep.orders.master import OrderMaster

BEFORE_KEEP = failpoint("source.before_keep", "nothing of the messages; the broker holds them")
AFTER_KEEP = failpoint("source.after_keep", "the messages and their orders; nothing is acked")
AFTER_ACK = failpoint("source.after_ack", "the messages and their orders; the acks may be lost")
BEFORE_SETTLE = failpoint(
    "source.before_settle", "all that we held is kept; that the way back has ended is not written"
)
AFTER_SETTLE = failpoint("source.after_settle", "that the way back has ended is written")

log = structlog.get_logger()


class NoSuchPartner(PartnerNotFound):
    """Nobody is called as the source's setting says."""


class UnknownOrder(Refused):
    """A word of an order that never came to us."""


class ReceivingWork(Protocol):
    """A unit of work on messages."""

    @property
    def access(self) -> AccessStore: ...

    @property
    def arrivals(self) -> ArrivalStore: ...

    @property
    def homes(self) -> HomeStore: ...

    @property
    def shadow(self) -> ShadowStore: ...


PutAside = Callable[[Any, str, Message, str, datetime], None]
"""Keeps a source's message where a person sees it, in a unit of work, with the reason."""

WHY: Mapping[type[Refused], str] = {
    UnknownMessage: "unknown-kind",
    UnknownOrder: "unknown-order",
    NotMapped: "not-mapped",
    Invalid: "invalid",
    KeyReused: "message-changed",
    MessageChanged: "message-changed",
    ClientRefTaken: "number-taken",
}
"""The stable word of each reason."""


OF_NOBODY = ".words"
"""Behind a source's name: the tray of its words about orders that never came to us."""


class Understood(NamedTuple):
    """A message as far as its mapping goes; without ``submission`` it is no order, or refused."""

    message: Message
    arrival: Arrival
    client_ref: str = ""
    submission: bytes | None = None
    word: Word | None = None
    """What it says of an order that is there, or that it brings."""
    refused: Refused | None = None
    elsewhere: bool = False
    """The MES has had this order by the old road: accepted here, it would be made twice."""


class _Shop(Sender, frozen=True):
    """Who sends through a source, with where its orders live as it was just read.

    What this process has heard of the flags may be older than the source's going live: a copy that
    is taken for ours would be made twice.
    """

    at_home: Home

    def home(self, flags: HomeFlags) -> Home:
        return self.at_home


class _Numbered(msgspec.Struct):
    client_ref: str


class Receiving:
    """Takes messages of one source for its partner."""

    def __init__(
        self,
        source: Source,
        store: Store[Any],
        intake: Intake,
        master: OrderMaster,
        put_aside: PutAside,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._source = source
        self._store = store
        self._intake = intake
        self._master = master
        self._put_aside = put_aside
        self._clock = clock
        self._ids = ids
        self._partner_id: PartnerId | None = None
        self._home = Home.MIRRORED

    async def take(self, messages: Sequence[Message], lease_token: int | None = None) -> list[Fate]:
        """Keep messages, each with its fate; returning means that all are on disk.

        Those of one order number go one after the other, in the order of coming.

        Raises:
            StoreBusy, CommitOutcomeUnknown, TrayFull: some may be kept; bring all of them again.
            NoSuchPartner: none was kept.
            SourceOvertaken: the look that found them is not the newest any more; some may be kept.
        """
        partner_id = await self._partner()
        # While the source is live it cannot change.
        self._home = await self._store.read(lambda work: self._home_of(work, partner_id))
        understood = await self._not_made(
            understand(self._source, one, lease_token) for one in messages
        )
        groups: defaultdict[str, list[Understood]] = defaultdict(list)
        for n, one in enumerate(understood):
            groups[one.client_ref or f"\0{n}"].append(one)
        # All to their end: a task left alone would go on after its messages were given back.
        done = await asyncio.gather(
            *(self._row(partner_id, group) for group in groups.values()), return_exceptions=True
        )
        fates: dict[int, Fate] = {}
        for found in done:
            if isinstance(found, BaseException):
                raise found
            fates |= found
        return [fates[id(one)] for one in understood]

    async def _not_made(self, understood: Iterable[Understood]) -> list[Understood]:
        """Mark what a shadow has seen at the MES: the old consumer had it, and never said so."""
        all_ = list(understood)
        refs = {one.client_ref for one in all_ if one.submission}
        name = self._source.name
        made = await self._store.read(lambda work: work.shadow.made_elsewhere(name, refs))
        return [one._replace(elsewhere=one.client_ref in made) for one in all_]

    async def _row(self, partner_id: PartnerId, group: Sequence[Understood]) -> dict[int, Fate]:
        return {id(one): await self._one(partner_id, one) for one in group}

    async def _one(self, partner_id: PartnerId, one: Understood) -> Fate:
        if one.elsewhere:
            return await self._noted(one, Fate.ELSEWHERE)
        if one.refused is not None:
            return await self._aside(one, one.refused)
        if one.submission is None:
            return await self._said(partner_id, one)
        fate = await self._accepted(partner_id, one, one.submission)
        if one.word:  # In a commit of its own: before that, too, the message is not acked.
            now = self._clock.now()
            await self._store.write(lambda work: self._follow(work, partner_id, one, now))
        return fate

    async def _accepted(self, partner_id: PartnerId, one: Understood, submission: bytes) -> Fate:
        sender = self._sender(partner_id)
        try:
            accepted = await self._intake.accept(sender, one.arrival.key, submission, one.arrival)
        except Refused as refused:
            return await self._aside(one, refused)
        fate = Fate.AGAIN if accepted.replayed else Fate.ACCEPTED
        if accepted.replayed:
            # A repetition that would be refused today is answered without going to the store.
            await self._noted(one, fate)
        log.info(
            "message.taken",
            channel=self._source.name,
            message_id=one.arrival.message_id,
            order_id=accepted.order_no,
            trace_id=sender.trace_id,
            fate=fate,
        )
        return fate

    async def _said(self, partner_id: PartnerId, one: Understood) -> Fate:
        """Take a message that brings no order: a word of one that is there, or nothing to us."""
        if one.word is None:
            return await self._noted(one, Fate.IGNORED)
        now = self._clock.now()

        def hear(work: Any) -> Fate:
            if not self._follow(work, partner_id, one, now):
                raise UnknownOrder(say.NO_SUCH_ORDER())
            work.arrivals.note(one.arrival, Fate.FOLLOWED, now)
            return Fate.FOLLOWED

        try:
            return await self._store.write(hear)
        except UnknownOrder as unknown:
            return await self._of_nobody(one, unknown)

    def _follow(self, work: Any, partner_id: PartnerId, one: Understood, now: datetime) -> bool:
        """Let an order's copy follow its home; whether there is an order."""
        word, name = one.word, self._source.name
        assert word is not None  # noqa: S101  # Others say nothing.
        known = work.receipts.find(partner_id, one.arrival.key, word.client_ref)
        if known is None:
            return False
        said = RecordHomeWord(name, word.status, word.tracking_no, word.carrier, word.reason)
        actor, heard = Actor(ActorKind.BRIDGE, name), f"status {one.arrival.message_id}"[:64]
        self._master.apply(work, known.order_no, said, Cause(actor, heard, name, ""), now)
        return True

    async def _of_nobody(self, one: Understood, unknown: UnknownOrder) -> Fate:
        """Keep a word of an order that never came, in a tray of its own, which may be full.

        A shop speaks of every order it ever had: that must not keep those out that are new.
        """
        tray = self._source.name + OF_NOBODY
        try:
            return await self._aside(one, unknown, tray)
        except Unavailable as away:
            if away.facts.get("source") != tray:
                raise
            return await self._noted(one, Fate.ELSEWHERE)

    async def _noted(self, one: Understood, fate: Fate) -> Fate:
        now = self._clock.now()
        await self._store.write(lambda work: work.arrivals.note(one.arrival, fate, now))
        return fate

    async def _aside(self, one: Understood, refused: Refused, tray: str | None = None) -> Fate:
        now, why, tray = self._clock.now(), reason(refused), tray or self._source.name

        def keep(work: Any) -> None:
            self._put_aside(work, tray, one.message, why, now)
            work.arrivals.note(one.arrival, Fate.ASIDE, now)

        await self._store.write(keep)
        log.error(
            "message.put_aside",
            channel=self._source.name,
            message_id=one.arrival.message_id,
            reason=why.partition(":")[0],
        )
        return Fate.ASIDE

    def _sender(self, partner_id: PartnerId) -> Sender:
        name = self._source.name
        trace_id = self._ids.envelope_id(self._clock.now()).replace("-", "")
        return _Shop(partner_id, name, name, name, trace_id, self._home)

    def _home_of(self, work: ReceivingWork, partner_id: PartnerId) -> Home:
        return home_of(work.homes.all(), partner_id, self._source.name)

    async def _partner(self) -> PartnerId:
        if self._partner_id is None:
            self._partner_id = await partner_of(self._store, self._source)
        return self._partner_id


async def settle(store: Store[Any], name: str, now: datetime) -> None:
    """Write down that a source's way back is at its end: nothing that is its is in our hands.

    Whoever dies before that looks again. Of a queue the one message that was looked at last comes
    marked as if it had been ours: then it becomes ours, and no old consumer has it.
    """
    reach(BEFORE_SETTLE)
    await store.write(lambda work: work.sources.settle(name, now))
    reach(AFTER_SETTLE)


async def partner_of(store: Store[Any], source: Source) -> PartnerId:
    """Whose orders a source's are.

    Raises:
        NoSuchPartner: there is nobody of the name.
    """
    found = await store.read(lambda work: work.access.partner_named(source.partner))
    if found is None:
        raise NoSuchPartner("There is no partner of the name in this source's settings.")
    return PartnerId(found.id)


def understand(source: Source, message: Message, lease_token: int | None = None) -> Understood:
    """What a message of a source means, or why it means nothing. Pure."""
    try:
        mapped = read(source, message)
    except (UnknownMessage, NotMapped) as refused:
        return Understood(message, _arrival(source, message, None, lease_token), refused=refused)
    arrival = _arrival(source, message, mapped.version, lease_token)
    if mapped.submission is None:
        return Understood(message, arrival, mapped.word.client_ref if mapped.word else "",
                          word=mapped.word)  # fmt: skip
    numbered = msgspec.json.decode(mapped.submission, type=_Numbered)
    return Understood(message, arrival, numbered.client_ref, mapped.submission, mapped.word)


def _arrival(
    source: Source, message: Message, version: str | None, lease_token: int | None
) -> Arrival:
    named = arrival_of(source.name, message.id, message.body, version)
    return msgspec.structs.replace(named, lease_token=lease_token)


def reason(refused: Refused) -> str:
    """A stable word and our own sentence; nothing of the message is in either."""
    word = next((word for kind, word in WHY.items() if isinstance(refused, kind)), "refused")
    kind = refused.facts.get("kind")
    return f"{word}: {refused}" + (f" Kind: {kind}" if kind else "")
