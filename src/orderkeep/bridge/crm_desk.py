"""The CRM's inbox: what it has to be told, and what its people want done."""

from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec
import structlog

from orderkeep.bridge import sentences as say
from orderkeep.bridge.crm import CRM
from orderkeep.bridge.tray import UNKNOWN_COMMAND, UNKNOWN_ORDER, Unknown
from orderkeep.bridge.work import BridgeWork
from orderkeep.delivery.ports import Received
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.ids import OrderNo, order_n
from orderkeep.kernel.store import Store
from orderkeep.orders import commands as c
from orderkeep.orders.events import Actor, ActorKind, Cause
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.messages import CRM_WORD, CrmSaid
from orderkeep.orders.order import Delivered
from orderkeep.orders.ports import OrderNotFound
from orderkeep.orders.refusals import TransitionRefused

_NO_REASON = "crm"
BACKFILL = 200
"""Orders that are told of for the first time in one step."""

_COMMANDS: Mapping[str, Callable[[str], c.OrderCommand]] = {
    "approve": lambda _: c.ApproveOrder(),
    "close": c.CloseOrder,
    "cancel": c.CancelOrder,
}

log = structlog.get_logger()


class CrmDesk:
    """Turns announcements into rows that the line finds, and the CRM's words into commands."""

    def __init__(self, store: Store[BridgeWork], master: OrderMaster, clock: Clock) -> None:
        self._store = store
        self._master = master
        self._clock = clock
        self._seen = 0
        """Up to which order those have been looked for that the CRM has never heard of."""

    def handle(self, work: BridgeWork, received: Received, now: datetime) -> None:
        """Take an announcement: an order has news, or the CRM wants something."""
        envelope = received.envelope
        if envelope.kind == CRM_WORD:
            said = msgspec.json.decode(envelope.body, type=CrmSaid)
            self._obey(work, said, envelope.body, envelope.trace_id, now)
            return
        # Whatever was announced: the order's history says what there is to tell.
        want(work, OrderNo(msgspec.json.decode(envelope.body)["order_no"]), now)
        work.wake(CRM)

    async def backfill(self) -> int:
        """Orders that were there before the CRM was: told of it now, some at a time; how many."""
        now = self._clock.now()

        def fill(work: BridgeWork) -> int:
            found = work.tellings.untold(self._seen, BACKFILL)
            for no in found:
                work.tellings.want(no, now)
            # At the end from the beginning: what was announced and never arrived is found so.
            self._seen = max((n for no in found if (n := order_n(no))), default=0)
            work.wake(CRM)
            return len(found)

        return await self._store.write(fill)

    # --- what the CRM wants -----------------------------------------------------------------------

    def _obey(
        self, work: BridgeWork, said: CrmSaid, body: bytes, trace_id: str, now: datetime
    ) -> None:
        command = _COMMANDS.get(said.command)
        if command is None:
            _put_in_tray(work, said, body, f"{UNKNOWN_COMMAND}: {said.command}", now)
            return
        try:
            self._do(work, said, command(said.reason or _NO_REASON), trace_id, now)
        except OrderNotFound:
            _put_in_tray(work, said, body, f"{UNKNOWN_ORDER}: {said.order_no}", now)
        except TransitionRefused as no:
            # Kept where everybody sees it: on the order, until a person has looked at it.
            word = say.CRM_COMMAND(command=said.command, said=no)
            strange = c.RecordStrangeWord(CRM, said.order_no, word)
            self._do(work, said, strange, trace_id, now)
            log.warning("crm.command_refused", order_no=said.order_no, command=said.command)

    def _do(
        self,
        work: BridgeWork,
        said: CrmSaid,
        command: c.OrderCommand,
        trace_id: str,
        now: datetime,
    ) -> None:
        cause = Cause(Actor(ActorKind.CRM, CRM), f"{said.command}:{said.id}"[:64], CRM, trace_id)
        self._master.apply(work, said.order_no, command, cause, now)


def want(work: BridgeWork, no: OrderNo, now: datetime) -> None:
    """Have the line look at an order: it may have news."""
    row = work.tellings.get(no)
    if row is None:
        work.tellings.want(no, now)
    elif row.state is Delivered.SENDING:
        # Its sender reads the history when it settles. Written all the same: if it has settled
        # meanwhile this fails, and we look again.
        work.tellings.change(row, detail=row.detail)
    elif row.next_at is None:
        work.tellings.change(row, state=Delivered.PENDING, since=now, next_at=now, news_since=now)


def _put_in_tray(work: BridgeWork, said: CrmSaid, body: bytes, why: str, now: datetime) -> None:
    work.tray.keep(Unknown(CRM, why, body, said.id), now)
    log.warning("unknown.kept", source=CRM, why=why.partition(":")[0])
