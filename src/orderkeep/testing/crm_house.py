"""The product between a partner and a CRM, and what has to hold whatever was done to it."""

from collections import Counter
from dataclasses import dataclass

from orderkeep.testing.practice_mes import PracticeCrmProcess
from orderkeep.testing.product import Product
from orderkeep.testing.shop import Shop, check, rests

CRM = {
    "crm_commands": "on",
    "crm_poll": "300ms",
    "crm_pause": "200ms",
    "crm_connect_timeout": "1s",
    "crm_read_timeout": "500ms",
    "crm_total_timeout": "2s",
}
UNHURRIED = {"crm_read_timeout": "5s", "crm_total_timeout": "8s"}
"""Where the CRM counts its calls: one that we gave up too early is still under way there."""
KNOWN = {"SUBMITTED", "PRICE_CALCULATED", "MANUFACTURING_APPROVED"}


@dataclass
class House:
    """The product, its CRM and its partner."""

    product: Product
    crm: PracticeCrmProcess
    shop: Shop

    def told_all(self) -> bool:
        """Whether the CRM shows each order as the partner is shown it, and goes on showing it so.

        On the way there it may be up to date for a moment with an order that moves on at once.
        """
        self.shop.send_all()
        shown = [self.shop.order(ref) for ref in list(self.shop.receipts)]
        told = self.crm.told()
        return all(
            rests(one)
            and isinstance(way := one["delivery"], dict) and way["crm"] == "applied"
            and told.get(str(one["order_no"]), [None])[-1] is not None
            and told[str(one["order_no"])][-1].status == self.at_crm(str(one["stage"]))
            for one in shown
        )  # fmt: skip

    @staticmethod
    def at_crm(stage: str) -> str:
        return "CLOSED" if stage == "CANCELLED" else stage

    def check(self) -> None:
        """What has to hold whatever was done: in its sequence, no news twice, none overtaken."""
        for no, entries in self.crm.told().items():
            versions = [one.version or 0 for one in entries]
            assert "overtaken" not in {one.effect for one in entries}, no
            assert versions == sorted(set(versions)), no
            keys = {one.idempotency_key for one in entries}
            assert keys == {f"{no}.{version}" for version in versions}
        assert set(self.crm.told()) == set(self.shop.receipts.values())
        stages = {no: {one.status for one in entries} for no, entries in self.crm.told().items()}
        assert all(seen >= KNOWN for seen in stages.values()), stages
        check(self.product, self.shop, self._made())

    def _made(self) -> Counter[str]:
        rows = self.product.rows("SELECT reference FROM floor_work_orders")
        return Counter(one for (one,) in rows)
