"""Accept a submission once: one function for HTTP and for existing queues."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from hashlib import sha256

import msgspec

from orderkeep.files.lookup import FileLookup
from orderkeep.files.ports import StoredFile
from orderkeep.intake.arrivals import Arrival
from orderkeep.intake.checks import Catalogue, check, promise_by
from orderkeep.intake.ports import (
    Acceptance,
    AcceptLane,
    Backlog,
    IntakeWork,
    Receipt,
    Submission,
)
from orderkeep.intake.positions import position
from orderkeep.intake.salvage import news, readable
from orderkeep.intake.strict_json import MalformedBody, Strict, StrictDecoder, parse
from orderkeep.intake.submission import SubmissionBody
from orderkeep.kernel.answers import Answer
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Fault, Invalid
from orderkeep.kernel.ids import FileId, Ids, OrderNo, PartnerId
from orderkeep.kernel.store import Store
from orderkeep.orders.commands import SubmitDraft
from orderkeep.orders.events import Actor, ActorKind, Cause, OrderSubmitted
from orderkeep.orders.home import Home

HomeFlags = Callable[[PartnerId, str], Home]
"""Where orders of a partner and channel live, as far as this process knows."""

Promise = Callable[[SubmissionBody, datetime], datetime]
"""The instant promised for a submission accepted at an instant."""


class Sender(msgspec.Struct, frozen=True):
    """Who sends, over which channel, and under which trace; ``via`` names the key or the queue."""

    partner_id: PartnerId
    channel: str
    source: str
    via: str
    trace_id: str

    @property
    def cause(self) -> Cause:
        """Why the order exists."""
        actor = Actor(ActorKind.PARTNER, self.partner_id)
        return Cause(actor, f"SubmitOrder {self.via}", self.source, self.trace_id)

    def home(self, flags: HomeFlags) -> Home:
        """Where its orders live."""
        return flags(self.partner_id, self.channel)


class Accepted(msgspec.Struct, frozen=True):
    """An acceptance with what its receipt says; the same for every repetition."""

    order_no: OrderNo
    client_ref: str
    accepted_at: datetime
    body_sha256: str
    promise_at: datetime
    promise_by: datetime | None
    replayed: bool

    @property
    def receipt_id(self) -> str:
        """Names this acceptance of these bytes; can be computed again from the receipt."""
        proof = f"{self.order_no}|{self.accepted_at.isoformat()}|{self.body_sha256}"
        return sha256(proof.encode()).hexdigest()[:32]


class Intake:
    """Accepts submissions: read strictly, checked, then kept in one shared commit."""

    def __init__(
        self,
        store: Store[IntakeWork],
        lane: AcceptLane,
        catalogue: Callable[[], Catalogue],
        promise: Promise,
        clock: Clock,
        ids: Ids,
        lookup: FileLookup | None = None,
        home: HomeFlags = lambda *_: Home.MASTERED,
    ) -> None:
        self._store = store
        self._lookup = lookup or FileLookup(store)
        self._lane = lane
        self._catalogue = catalogue
        self._promise = promise
        self._clock = clock
        self._ids = ids
        self._home = home
        self._decoder = StrictDecoder(SubmissionBody)

    async def accept(
        self, sender: Sender, key: str, body: bytes, arrival: Arrival | None = None
    ) -> Accepted:
        """Keep a submission once; returning means it is on disk, with the message it came in.

        Raises:
            MalformedBody, Invalid: refused with all its faults; nothing was stored.
            KeyReused, ClientRefTaken, MessageChanged: nothing was stored.
            StoreBusy: nothing was stored; try again later.
            CommitOutcomeUnknown: send it again with the same key.
        """
        now = self._clock.now()
        try:
            read = self._decoder.decode(body)
        except MalformedBody:
            raise
        except Invalid as wrong:
            raise Invalid([*wrong.faults, *await self._beside(sender, body, wrong, now)]) from wrong
        files = await self._files(sender.partner_id, read.value)
        faults = check(read.value, files, self._catalogue(), now)
        if faults:
            return await self._again(sender, key, read, faults)
        submission = self._submission(sender, key, read, files, now, arrival)
        return await self.told(submission, await self._lane.accept(submission))

    def plain(self, sender: Sender, key: str, body: bytes) -> Submission | None:
        """A submission that has nothing wrong, if that can be seen without asking anybody.

        None is for ``accept`` to look at, and maybe to refuse.
        """
        now = self._clock.now()
        try:
            read = self._decoder.decode(body)
        except Invalid:
            return None
        wanted = _wanted(read.value)
        files = _own(sender.partner_id, wanted, self._lookup.known) if wanted else {}
        if check(read.value, files, self._catalogue(), now):
            return None
        return self._submission(sender, key, read, files, now, None)

    @property
    def backlog(self) -> Backlog:
        """What waits to be kept."""
        return self._lane.backlog

    def leave(self, submission: Submission, answer: Answer) -> None:
        """Keep a plain submission; ``answer`` is told the acceptance, or why there is none.

        Raises:
            StoreBusy: nothing was stored, and nobody will be told.
        """
        self._lane.leave(submission, answer)

    async def told(self, submission: Submission, acceptance: Acceptance) -> Accepted:
        """What the receipt says of an acceptance."""
        if acceptance.replayed:
            return await self._replayed(acceptance, submission.body_sha256)
        return fresh(submission, acceptance)

    async def judge(self, partner_id: PartnerId, body: bytes) -> str:
        """What ``accept`` would say of a body, keeping nothing: its hash as an order's.

        Raises:
            MalformedBody, Invalid: it would be refused.
        """
        read = self._decoder.decode(body)
        files = await self._files(partner_id, read.value)
        faults = check(read.value, files, self._catalogue(), self._clock.now())
        if faults:
            raise Invalid(faults)
        return sha256(read.canonical).hexdigest()

    async def _beside(
        self, sender: Sender, body: bytes, wrong: Invalid, now: datetime
    ) -> Collection[Fault]:
        """What else is wrong with a body of the wrong shape."""
        rest = readable(parse(body))
        if rest is None:
            return ()
        files = await self._files(sender.partner_id, rest)
        return news(check(rest, files, self._catalogue(), now), wrong.faults)

    async def _files(
        self, partner_id: PartnerId, body: SubmissionBody
    ) -> Mapping[FileId, StoredFile]:
        wanted = _wanted(body)
        if not wanted:
            return {}
        return _own(partner_id, wanted, await self._lookup.find(wanted))

    def _submission(
        self,
        sender: Sender,
        key: str,
        read: Strict[SubmissionBody],
        files: Mapping[FileId, StoredFile],
        now: datetime,
        arrival: Arrival | None,
    ) -> Submission:
        body_sha256 = sha256(read.canonical).hexdigest()
        return Submission(
            partner_id=sender.partner_id,
            client_ref=read.value.client_ref,
            key=key,
            body=read.canonical,
            body_sha256=body_sha256,
            event=self._event(sender, read.value, files, body_sha256, now),
            cause=sender.cause,
            envelope_id=self._ids.envelope_id(now),
            at=now,
            arrival=arrival,
        )

    def _event(  # A submission's facts, read once.
        self,
        sender: Sender,
        body: SubmissionBody,
        files: Mapping[FileId, StoredFile],
        body_sha256: str,
        now: datetime,
    ) -> OrderSubmitted:
        return OrderSubmitted(
            channel=sender.channel,
            positions=[position(n, item, files) for n, item in enumerate(body.items, start=1)],
            body_sha256=body_sha256,
            promise_at=self._promise(body, now),
            partner_id=sender.partner_id,
            client_ref=body.client_ref,
            promise_by=promise_by(body),
            home=sender.home(self._home),
        )

    async def _again(
        self,
        sender: Sender,
        key: str,
        read: Strict[SubmissionBody],
        faults: Collection[Fault],
    ) -> Accepted:
        """A repetition gets its stored answer, even if today the submission would be refused."""
        body_sha256 = sha256(read.canonical).hexdigest()
        client_ref = read.value.client_ref
        known = await self._store.read(
            lambda work: work.receipts.find(sender.partner_id, key, client_ref)
        )
        if known is None or known.body_sha256 != body_sha256:
            raise Invalid([*faults])
        return await self._replayed(_acceptance(known), body_sha256)

    async def _replayed(self, acceptance: Acceptance, body_sha256: str) -> Accepted:
        """The promise as it was given then: the policy may have changed since."""
        history = await self._store.read(lambda work: work.orders.history(acceptance.order_no))
        first = next(one.event for one in history if isinstance(one.event, OrderSubmitted))
        return _accepted(acceptance, body_sha256, first)


def _wanted(body: SubmissionBody) -> Collection[FileId]:
    return {FileId(item.file_id) for item in body.items if item.file_id is not None}


def _own(
    partner_id: PartnerId, wanted: Collection[FileId], found: Mapping[FileId, StoredFile]
) -> Mapping[FileId, StoredFile]:
    return {
        one: found[one] for one in wanted if one in found and found[one].partner_id == partner_id
    }


def fresh(submission: Submission, acceptance: Acceptance) -> Accepted:
    """What the receipt says of an order that was not there before."""
    return _accepted(acceptance, submission.body_sha256, submission.event)


def _accepted(acceptance: Acceptance, body_sha256: str, event: OrderSubmitted) -> Accepted:
    return Accepted(
        order_no=acceptance.order_no,
        client_ref=acceptance.client_ref,
        accepted_at=acceptance.accepted_at,
        body_sha256=body_sha256,
        promise_at=event.promise_at,
        promise_by=event.promise_by,
        replayed=acceptance.replayed,
    )


def receipt_of(no: OrderNo, submitted: SubmitDraft, now: datetime) -> Accepted:
    """The receipt of a draft that became an order at ``now``."""
    return Accepted(
        order_no=no,
        client_ref=submitted.client_ref or "",
        accepted_at=now,
        body_sha256=submitted.body_sha256,
        promise_at=submitted.promise_at,
        promise_by=submitted.promise_by,
        replayed=False,
    )


def _acceptance(known: Receipt) -> Acceptance:
    return Acceptance(known.order_no, known.client_ref, known.accepted_at, replayed=True)
