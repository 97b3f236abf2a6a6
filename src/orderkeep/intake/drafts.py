"""Drafts: orders that a person writes by hand, kept from the first word on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Protocol

from orderkeep.files.ports import FileStore, StoredFile
from orderkeep.intake.accept import Accepted, Promise, Sender, receipt_of
from orderkeep.intake.checks import Catalogue, check, promise_by
from orderkeep.intake.ports import ClientRefTaken, ReceiptStore
from orderkeep.intake.positions import position
from orderkeep.intake.strict_json import Strict, StrictDecoder
from orderkeep.intake.submission import DraftBody, DraftItem, SubmissionBody
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Invalid
from orderkeep.kernel.ids import FileId, OrderNo
from orderkeep.kernel.store import Store
from orderkeep.orders.commands import SetPositions, SubmitDraft
from orderkeep.orders.events import OrderDrafted
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.order import Order, Position
from orderkeep.orders.ports import OrderNotFound, OrderWork

LISTED = 20
"""Drafts of one page of the list."""


@dataclass(frozen=True, slots=True)
class WrittenDraft:
    """A draft as its writer left it: the canonical body of a ``DraftBody``."""

    no: OrderNo
    version: int
    body: bytes
    written_at: datetime


class DraftBodies(Protocol):
    """What drafts say, and the acknowledged bodies they become."""

    def put(self, no: OrderNo, body: bytes) -> None:
        """Keep a body, in the place of an earlier one of the same draft."""
        ...

    def drafts_of(
        self, login: str, limit: int, before: OrderNo | None = None
    ) -> Sequence[WrittenDraft]:
        """What a person has begun and neither sent nor thrown away, the newest first.

        ``before``: only those with a smaller number.
        """
        ...

    def count_drafts_of(self, login: str) -> int:
        """How many of them there are."""
        ...

    def draft_of(self, login: str, no: OrderNo) -> WrittenDraft | None:
        """The one of this number; None when there is none of theirs."""
        ...


@dataclass(frozen=True, slots=True)
class DraftPage:
    """A page of a person's drafts, each with the names of its files by id."""

    drafts: Sequence[tuple[WrittenDraft, Mapping[str, str]]]
    total: int
    next: OrderNo | None
    """Where the next page goes on; None on the last one."""


class DraftWork(OrderWork, Protocol):
    """A unit of work on drafts."""

    @property
    def files(self) -> FileStore: ...

    @property
    def submissions(self) -> DraftBodies: ...

    @property
    def receipts(self) -> ReceiptStore: ...


class Drafts:
    """Opens, keeps and submits drafts."""

    def __init__(
        self,
        store: Store[DraftWork],
        master: OrderMaster,
        catalogue: Callable[[], Catalogue],
        promise: Promise,
        clock: Clock,
    ) -> None:
        self._store = store
        self._master = master
        self._catalogue = catalogue
        self._promise = promise
        self._clock = clock
        self._partial = StrictDecoder(DraftBody)
        self._whole = StrictDecoder(SubmissionBody)

    async def open(self, sender: Sender, body: bytes) -> Order:
        """Keep a new draft; returning means it is on disk.

        Raises:
            MalformedBody, Invalid: what is written so far cannot be a part of an order.
        """
        read, now = self._partial.decode(body), self._clock.now()
        drafted = OrderDrafted(sender.channel, sender.partner_id)

        def unit(work: DraftWork) -> Order:
            no = work.orders.next_no()
            self._master.open(work, no, [drafted], sender.cause, now)
            return self._write(work, no, sender, read, now)

        return await self._store.write(unit)

    async def of(self, login: str, after: OrderNo | None = None) -> DraftPage:
        """A person's own drafts, the newest first, from behind the draft ``after``."""
        return await self._store.read(lambda work: self._page(work, login, after))

    async def one(self, login: str, no: OrderNo) -> tuple[WrittenDraft, Mapping[str, str]]:
        """A person's own draft of this number.

        Raises:
            OrderNotFound: there is none, it is another's, or it is no draft any more.
        """

        def unit(work: DraftWork) -> tuple[WrittenDraft, Mapping[str, str]]:
            draft = work.submissions.draft_of(login, no)
            if draft is None:
                raise OrderNotFound(f"There is no draft {no}")
            return self._named(work, [draft])[0]

        return await self._store.read(unit)

    def _page(self, work: DraftWork, login: str, after: OrderNo | None) -> DraftPage:
        found = work.submissions.drafts_of(login, LISTED + 1, after)
        shown = found[:LISTED]
        following = shown[-1].no if len(found) > LISTED else None
        total = work.submissions.count_drafts_of(login)
        return DraftPage(self._named(work, shown), total, following)

    def _named(
        self, work: DraftWork, drafts: Sequence[WrittenDraft]
    ) -> Sequence[tuple[WrittenDraft, Mapping[str, str]]]:
        bodies = [self._partial.decode(draft.body).value for draft in drafts]
        wanted = [{FileId(i.file_id) for i in body.items or [] if i.file_id} for body in bodies]
        found = work.files.find({one for ids in wanted for one in ids})
        return [
            (draft, {one: found[one].name or "" for one in ids if one in found})
            for draft, ids in zip(drafts, wanted, strict=True)
        ]

    async def save(self, no: OrderNo, sender: Sender, body: bytes) -> Order:
        """Keep what the draft says now.

        Raises:
            MalformedBody, Invalid: it cannot be a part of an order.
            OrderNotFound: there is none of this number, or it is another's.
            TransitionRefused: it is no draft any more.
        """
        read, now = self._partial.decode(body), self._clock.now()

        def unit(work: DraftWork) -> Order:
            _require_own(work, no, sender)
            return self._write(work, no, sender, read, now)

        return await self._store.write(unit)

    async def submit(self, no: OrderNo, sender: Sender, body: bytes) -> Accepted:
        """Turn the draft into an order; returning means the acceptance is on disk.

        Raises:
            MalformedBody, Invalid: refused with all faults; the draft stays as it was.
            ClientRefTaken: the number belongs to an order that is there already.
            OrderNotFound: there is none of this number, or it is another's.
            TransitionRefused: it has been submitted before.
        """
        read, now = self._whole.decode(body), self._clock.now()
        return await self._store.write(lambda work: self._submit(work, no, sender, read, now))

    def _write(
        self,
        work: DraftWork,
        no: OrderNo,
        sender: Sender,
        read: Strict[DraftBody],
        now: datetime,
    ) -> Order:
        items = read.value.items or []
        files = _files(work, sender, [item.file_id for item in items])
        lines = [_line(n, item, files) for n, item in enumerate(items, start=1)]
        complete = bool(lines) and all(line.sku or line.file_id for line in lines)
        command = SetPositions(lines, complete)
        handled = self._master.apply(work, no, command, sender.cause, now)
        work.submissions.put(no, read.canonical)
        return handled.order

    def _submit(
        self,
        work: DraftWork,
        no: OrderNo,
        sender: Sender,
        read: Strict[SubmissionBody],
        now: datetime,
    ) -> Accepted:
        _require_own(work, no, sender)
        items = read.value.items
        files = _files(work, sender, [item.file_id for item in items])
        if faults := check(read.value, files, self._catalogue(), now):
            raise Invalid(faults)
        _require_free(work, no, sender, read.value.client_ref)
        command = SubmitDraft(
            positions=[position(n, item, files) for n, item in enumerate(items, start=1)],
            body_sha256=sha256(read.canonical).hexdigest(),
            promise_at=self._promise(read.value, now),
            promise_by=promise_by(read.value),
            client_ref=read.value.client_ref,
        )
        self._master.apply(work, no, command, sender.cause, now)
        work.submissions.put(no, read.canonical)
        return receipt_of(no, command, now)


def _require_own(work: DraftWork, no: OrderNo, sender: Sender) -> None:
    """What somebody has begun is theirs to go on with; to all others it is not there.

    Raises:
        OrderNotFound: whichever it was.
    """
    writer, asks = work.orders.history(no)[0].cause.actor, sender.cause.actor
    if (writer.kind, writer.id) != (asks.kind, asks.id):  # The role may have changed meanwhile.
        raise OrderNotFound(f"There is no order {no}")


def _require_free(work: DraftWork, no: OrderNo, sender: Sender, client_ref: str) -> None:
    """A number means one order for ever, also when the answer to the first was lost."""
    known = work.receipts.find(sender.partner_id, "", client_ref)
    if known is not None and known.order_no != no:
        taken = f"Your number already means {known.order_no}"
        raise ClientRefTaken(taken, order_no=known.order_no)


def _files(
    work: DraftWork, sender: Sender, wanted: list[str | None]
) -> Mapping[FileId, StoredFile]:
    found = work.files.find({FileId(one) for one in wanted if one})
    return {one: file for one, file in found.items() if file.partner_id == sender.partner_id}


def _line(number: int, item: DraftItem, files: Mapping[FileId, StoredFile]) -> Position:
    """A line as far as it is written; a file that is not the writer's is left out."""
    file = files.get(FileId(item.file_id or ""))
    written: dict[str, Any] = {"material": item.material, "sku": item.sku}
    if file:
        written |= {"file_id": file.id, "file_sha256": file.sha256, "file_name": file.name}
    return Position(
        position=number, quantity=item.quantity or 1, engraving=item.engraving, **written
    )
