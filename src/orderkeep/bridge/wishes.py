"""What is wanted of the bridge, from its inbox: a work order made, taken back, or laid down."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from orderkeep.bridge import sentences as say
from orderkeep.bridge.telling import DESTINATION, Teller, change, is_current, unread
from orderkeep.bridge.tray import UNKNOWN_ORDER, Unknown
from orderkeep.bridge.work import BridgeWork
from orderkeep.delivery.ports import Received
from orderkeep.kernel.ids import OrderNo, WorkOrderRef
from orderkeep.orders import announce
from orderkeep.orders.commands import RecordMesWord
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.messages import FloorWord, MesSaid
from orderkeep.orders.order import Delivered, Stage
from orderkeep.orders.ports import OrderNotFound


class Wishes:
    """Turns announcements into rows that the dispatcher finds."""

    def __init__(self, teller: Teller, words: Mapping[str, str]) -> None:
        self._teller = teller
        self._words = words
        """The MES's own status words, and what they mean here."""

    def handle(self, work: BridgeWork, received: Received, now: datetime) -> None:
        """Take an announcement: a work order is wanted, wanted back, or its order is cancelled."""
        body = msgspec.json.decode(received.envelope.body)
        no, reference = OrderNo(body["order_no"]), WorkOrderRef(body["reference"])
        trace_id = received.envelope.trace_id
        match received.envelope.kind:
            case announce.FLOOR_WORD:
                said = msgspec.convert(body["said"], FloorWord)
                word = RecordMesWord("floor", reference, **msgspec.structs.asdict(said))
                self._word(work, no, word, now)
            case announce.MES_WORD:
                self._foreign(work, received, msgspec.convert(body, MesSaid), now)
            case announce.WORK_ORDER_WANTED:
                self._want(work, no, reference, now)
            case announce.RECALL_WANTED | announce.ORDER_CANCELLED:
                self._want_back(work, no, reference, now, trace_id)
        work.wake("bridge")

    def _want(self, work: BridgeWork, no: OrderNo, reference: WorkOrderRef, now: datetime) -> None:
        order = rebuild(work.orders.history(no))
        if is_current(order, reference) and order.stage is not Stage.CANCELLED:
            work.deliveries.want(DESTINATION, reference, no, now)
        for gone in order.earlier_work_orders:
            self._laid_down(work, gone.reference, now)

    def _laid_down(self, work: BridgeWork, reference: WorkOrderRef, now: datetime) -> None:
        """A replaced work order is proven gone: nothing is to be done with it any more."""
        row = work.deliveries.get(DESTINATION, reference)
        if row and row.state is not Delivered.RECALLED:
            work.deliveries.change(row, state=Delivered.RECALLED, since=now, next_at=None)

    def _foreign(self, work: BridgeWork, received: Received, said: MesSaid, now: datetime) -> None:
        """A foreign MES says by itself how far it has come; it may speak of what is not ours."""
        try:
            work.orders.history(said.order_no)
        except OrderNotFound:
            envelope = received.envelope
            why = f"{UNKNOWN_ORDER}: {said.order_no}"
            work.tray.keep(Unknown(DESTINATION, why, envelope.body, envelope.id), now)
            return
        status = self._words.get(said.status, said.status)
        word = RecordMesWord(DESTINATION, said.reference, status, mes_id=said.mes_id)
        self._word(work, said.order_no, word, now)

    def _word(self, work: BridgeWork, no: OrderNo, said: RecordMesWord, now: datetime) -> None:
        """A MES says how far it has come."""
        reference = WorkOrderRef(said.reference)
        order = self._teller.hear(work, no, said).order
        if order.work_order and is_current(order, reference):
            row = work.deliveries.get(DESTINATION, reference)
            if row and row.state is not order.work_order.delivered:
                # It may have waited for a person; now there is something to take back. Whoever is
                # sending it finds the wish afterwards.
                again = row.recall_wanted and row.state is not Delivered.SENDING
                work.deliveries.change(
                    row,
                    state=order.work_order.delivered,
                    since=now,
                    next_at=now if again else row.next_at,
                )
        elif reference in {gone.reference for gone in order.earlier_work_orders}:
            self._laid_down(work, reference, now)

    def _want_back(
        self,
        work: BridgeWork,
        no: OrderNo,
        reference: WorkOrderRef,
        now: datetime,
        trace_id: str,
    ) -> None:
        row = work.deliveries.get(DESTINATION, reference)
        if row is None or row.state is Delivered.PENDING:
            if row:
                work.deliveries.change(row, state=Delivered.RECALLED, since=now, next_at=None)
            never_sent = change(reference, Delivered.RECALLED, say.NEVER_SENT())
            self._teller.tell(work, no, never_sent, trace_id)
        elif row.state not in {Delivered.RECALLED, Delivered.REJECTED}:
            # A row that is being sent is left to its sender, which finds the wish afterwards.
            # One denied once keeps its lag: two denials in a moment are one, if our clock jumped.
            # All others at once: until the next look somebody may begin to make it.
            if row.state is Delivered.SENDING:
                work.deliveries.change(row, recall_wanted=True)
            elif row.state is Delivered.UNCERTAIN and row.absent_seen:
                work.deliveries.change(row, recall_wanted=True, **unread(row))
            else:
                work.deliveries.change(row, recall_wanted=True, next_at=now, **unread(row))
