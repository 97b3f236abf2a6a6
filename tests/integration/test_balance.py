"""The balance over the tables of a running shop."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from orderkeep.adapters.sql.ledger import ledger_of
from orderkeep.ledger.balance import Balance, Class
from orderkeep.orders.commands import ApproveOrder, CancelOrder, PlaceHold
from orderkeep.testing.counter import Shop


async def balance(shop: Shop) -> Balance:
    now = shop.parts.clock.now()
    return await shop.parts.store.read_long(lambda work: ledger_of(work).balance(now))


def classes(found: Balance) -> dict[str, int]:
    return {name: getattr(found, name) for name in Class if getattr(found, name)}


async def damage(shop: Shop, statement: str, *values: Any) -> None:
    def unit(work: Any) -> None:
        work.raw.execute("PRAGMA defer_foreign_keys=ON")
        work.raw.execute(statement, values)

    await shop.parts.store.write(unit)


async def test_every_accepted_order_is_counted_once(tmp_path: Path) -> None:
    async with Shop(tmp_path) as shop:
        assert (await balance(shop)).accepted == 0
        file_id = await shop.file(1)
        a, b, c, _ = [await shop.submit(name, file_id) for name in "abcd"]
        assert classes(await balance(shop)) == {Class.IN_FLIGHT: 4}

        await shop.settle()
        assert classes(await balance(shop)) == {Class.WAITING: 4}

        await shop.do(a, ApproveOrder())
        until = shop.parts.clock.now() + timedelta(days=1)
        await shop.do(b, PlaceHold("asked", "seller", until))
        await shop.do(c, CancelOrder("no"))
        assert classes(await balance(shop)) == {
            Class.IN_FLIGHT: 1, Class.WAITING: 2, Class.CANCELLED: 1,
        }  # fmt: skip

        await shop.settle()
        for step in ("start", "done", "pack", "ship"):
            await shop.parts.workshop.act(a, step, "ivan", tracking_no="T")
            await shop.settle()
        found = await balance(shop)
        assert classes(found) == {Class.AT_MES: 1, Class.WAITING: 2, Class.CANCELLED: 1}
        assert found.accepted == found.sum_of_classes == 4
        assert found.differences == []


async def test_differences_are_named_by_order_number(tmp_path: Path) -> None:
    async with Shop(tmp_path) as shop:
        file_id = await shop.file(1)
        await shop.submit("a", file_id)
        stuck, parked = await shop.submit("b", file_id), await shop.submit("c", file_id)
        await damage(shop, "DELETE FROM outbox WHERE order_key = ?", stuck)
        await shop.settle("relay")
        park = "UPDATE inbox SET dead_at = 1, fingerprint = 'f' WHERE order_key = ?"
        await damage(shop, park, parked)

        found = await balance(shop)

        assert [one.order_no for one in found.differences] == [stuck]
        assert classes(found) == {Class.IN_FLIGHT: 2, Class.QUARANTINED: 1}


async def test_no_part_of_the_balance_walks_along_everything(tmp_path: Path) -> None:
    """What rests is counted in an index: each table is entered through one that stays small."""
    async with Shop(tmp_path) as shop:
        await shop.submit("a", await shop.file(1))
        await shop.settle("relay")
        asked: list[str] = []

        def look(work: Any) -> list[str]:
            work.raw.set_trace_callback(asked.append)
            ledger_of(work).balance(shop.parts.clock.now())
            work.raw.set_trace_callback(None)
            plans = [work.raw.execute(f"EXPLAIN QUERY PLAN {one}").fetchall() for one in asked]
            return [row[3] for plan in plans for row in plan]

        steps = await shop.parts.store.read_long(look)

    large = ("orders", "events", "inbox", "outbox", "o", "e")
    walked = [
        step
        for step in steps
        if step.startswith("SCAN") and step.split()[1] in large and "USING" not in step
    ]
    assert walked == []
    assert any("COVERING INDEX ix_orders_rest" in step for step in steps)


async def test_what_a_broker_confirmed_and_lost_is_named_by_its_order(tmp_path: Path) -> None:
    async with Shop(tmp_path) as shop:
        parts = shop.parts
        no = await shop.submit("a", await shop.file(1))
        await shop.settle()
        await parts.counting.step()
        await parts.balances.count()
        assert await parts.store.read(lambda work: work.balances.open(10)) == []

        await damage(shop, "DELETE FROM inbox WHERE kind = 'price.wanted'")
        await damage(shop, "UPDATE outbox SET sent_at = 0 WHERE kind = 'price.wanted'")
        await parts.counting.step()
        await parts.balances.count()

        found = await parts.store.read(lambda work: work.balances.open(10))
        assert [(one.system, one.kind, one.order_no) for one in found] == [
            ("broker", "overdue", no)
        ]
        assert "price.wanted: confirmed 1970-01-01" in found[0].what
