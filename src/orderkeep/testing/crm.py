"""A CRM in memory: remembers what it is told, and answers as a test has written it down."""

from collections import deque
from collections.abc import Sequence

from orderkeep.bridge.crm import CrmCapabilities, CrmOrder, CrmUnavailable, Said
from orderkeep.kernel.ids import OrderNo
from orderkeep.orders.news import News


class FakeCrm:
    """``mishaps`` are what the next tries to tell come to; None among them is a good one."""

    def __init__(self) -> None:
        self.capabilities = CrmCapabilities(lookup=True, commands=True)
        self.mishaps: deque[Exception | None] = deque()
        self.tries: list[str] = []
        """The key of every try, in order."""
        self.told: list[tuple[OrderNo, str, int]] = []
        """What was heard: order, kind and version, repeats left out."""
        self.decided: list[Said] = []
        self.orders: dict[str, CrmOrder] = {}
        """What it shows."""

    async def tell(self, news: News) -> CrmOrder:
        self.tries.append(news.id)
        mishap = self.mishaps.popleft() if self.mishaps else None
        if mishap is not None:
            raise mishap
        heard = (news.order_no, news.kind, news.version)
        if heard not in self.told:
            self.told.append(heard)
        known = self.orders.get(news.order_no)
        if known is None or (known.version or 0) < news.version:
            stage = str(news.order.stage)
            self.orders[news.order_no] = CrmOrder(news.order_no, stage, news.version)
        return self.orders[news.order_no]

    async def find(self, order_no: OrderNo) -> CrmOrder | None:
        return self.orders.get(order_no)

    async def commands(self, cursor: str | None) -> tuple[Sequence[Said], str | None]:
        begin = int(cursor or 0)
        if begin > len(self.decided):
            raise CrmUnavailable("no such place in the feed")
        return self.decided[begin:], str(len(self.decided))
