"""Drafts: orders that a person writes by hand, kept from the first word on."""

from collections.abc import Callable, Mapping
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
from orderkeep.orders.ports import OrderWork


class DraftBodies(Protocol):
    """What drafts say, and the acknowledged bodies they become."""

    def put(self, no: OrderNo, body: bytes) -> None:
        """Keep a body, in the place of an earlier one of the same draft."""
        ...


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

    async def save(self, no: OrderNo, sender: Sender, body: bytes) -> Order:
        """Keep what the draft says now.

        Raises:
            MalformedBody, Invalid: it cannot be a part of an order.
            TransitionRefused: it is no draft any more.
        """
        read, now = self._partial.decode(body), self._clock.now()
        return await self._store.write(lambda work: self._write(work, no, sender, read, now))

    async def submit(self, no: OrderNo, sender: Sender, body: bytes) -> Accepted:
        """Turn the draft into an order; returning means the acceptance is on disk.

        Raises:
            MalformedBody, Invalid: refused with all faults; the draft stays as it was.
            ClientRefTaken: that number already means another order.
            ClientRefTaken: the number belongs to an order that is there already.
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
