"""The promise, checked after everything has healed: S1 to S10 of the reliability reference.

Each check compares the tables with what only the world knows: what clients were told, and what
the MES really did.
"""

from collections import Counter
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING

from orderkeep.adapters.sql.hot_sqlite.orders import COLUMNS, row_from
from orderkeep.kernel.ids import OrderNo, order_n
from orderkeep.orders import events as e
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.order import NOT_THERE, Delivered, Order, Position, Stage, WorkOrderState
from orderkeep.orders.view import BoardRow, board_row
from orderkeep.quoting.quote import Item, PricedOrder, quote_order
from orderkeep.testing.process import BOOK, outcome_of

if TYPE_CHECKING:
    from orderkeep.testing.world import World

ARRIVED = frozenset({Delivered.CONFIRMED, Delivered.RECEIVED, Delivered.APPLIED})
MADE = frozenset(
    {
        Stage.MANUFACTURING_STARTED,
        Stage.MANUFACTURING_COMPLETED,
        Stage.PACKAGING,
        Stage.SHIPPED,
        Stage.CLOSED,
    }
)


def check(world: "World") -> None:
    """Everything that is never broken.

    Raises:
        AssertionError: it was.
    """
    orders = {order.no: order for order in world.orders()}
    effects = effects_of(world)
    _receipts(world, orders)
    _numbers(world, orders)
    assert not left_over(world), str(left_over(world))
    _overtaken(world)
    for order in orders.values():
        _history(world, order)
        _prices(world, order)
        _effects(world, order, effects)
    known = {work.reference for order in orders.values() for work in _work_orders(order)}
    assert set(effects) <= known, f"S9 ghosts: {set(effects) - known}"
    _files(world, orders)


def effects_of(world: "World") -> Counter[str]:
    """How often each reference was really made."""
    if world.sim_mes is not None:
        return world.sim_mes.effects
    rows = world.store.raw.execute("SELECT reference FROM floor_work_orders").fetchall()
    return Counter(reference for (reference,) in rows)


def _receipts(world: "World", orders: dict[OrderNo, Order]) -> None:
    """S1, S2: what was answered is there, under one number."""
    for client in world.clients:
        assert client.submitted, f"{client.ref} was never taken"
        assert client.number in orders, f"S1 {client.number} is lost"
        assert set(client.keys.values()) <= {client.number}, f"S2 {client.keys}"
        order = orders[client.number]
        assert order.client_ref == client.ref, f"S2 {order.no} is not {client.ref}"
        assert order.submitted_at, f"S1 {order.no} is not submitted"
        for number, body_sha256 in client.bodies.items():
            assert orders[number].body_sha256 == body_sha256, f"S7 {number}: another body"
    refs = [order.client_ref for order in orders.values() if order.client_ref]
    assert len(refs) == len(set(refs)), f"S2 doubled: {refs}"


def _numbers(world: "World", orders: dict[OrderNo, Order]) -> None:
    """S6: no number is missing, and the counters count what is there."""
    raw = world.store.raw
    assert [order_n(no) for no in orders] == list(range(1, len(orders) + 1)), (
        "S6 a number is missing"
    )
    stages = Counter(f"stage:{order.stage}" for order in orders.values())
    counted = dict(raw.execute("SELECT name, value FROM counters WHERE value <> 0").fetchall())
    assert counted == {"orders": len(orders), **stages}, f"S6 {counted} is not {stages}"


def left_over(world: "World") -> list[str]:
    """What still waits, and what should never have come to be."""
    raw = world.store.raw
    counts = {what: raw.execute(query).fetchone()[0] for what, query in _WAITING.items()}
    return [f"{count} {what}" for what, count in counts.items() if count]


_WAITING = {
    "in the outbox": "SELECT count(*) FROM outbox WHERE sent_at IS NULL",
    # What a person has laid aside on purpose is at rest.
    "in an inbox": (
        "SELECT count(*) FROM inbox WHERE handled_at IS NULL AND row NOT IN"
        " (SELECT letter_row FROM parked_letters WHERE source = 'inbox')"
    ),
    "dead": (
        "SELECT count(*) FROM inbox WHERE dead_at IS NOT NULL AND handled_at IS NULL"
        " AND row NOT IN (SELECT letter_row FROM parked_letters WHERE source = 'inbox')"
    ),
    "in quarantine": (
        "SELECT count(*) FROM quarantine WHERE settled_at IS NULL AND row NOT IN"
        " (SELECT letter_row FROM parked_letters WHERE source = 'quarantine')"
    ),
    "price questions": "SELECT count(*) FROM price_jobs WHERE state <> 'done'",
}
_HELD = {
    "envelopes": "SELECT count(*) FROM outbox WHERE sent_at IS NULL AND leased_until IS NOT NULL",
    "price questions": "SELECT count(*) FROM price_jobs WHERE state = 'running'",
    "work orders": "SELECT count(*) FROM deliveries WHERE state = 'sending' AND next_at IS NULL",
}


def nothing_is_held(world: "World") -> None:
    """A process that has just started waits for no lease of the one before."""
    raw = world.store.raw
    held = {what: raw.execute(query).fetchone()[0] for what, query in _HELD.items()}
    assert not any(held.values()), f"held by a dead process: {held}"


# In an inbox, what belongs to one order stands in the order it was posted.
_SWAPPED = (
    "SELECT a.order_key FROM inbox a JOIN inbox b ON a.consumer = b.consumer"
    " AND a.order_key = b.order_key AND a.row < b.row"
    " JOIN outbox pa ON pa.id = a.message_id JOIN outbox pb ON pb.id = b.message_id"
    " WHERE pa.row > pb.row"
)


def _overtaken(world: "World") -> None:
    swapped = world.store.raw.execute(_SWAPPED).fetchall()
    assert not swapped, f"overtaken: {swapped}"


def _history(world: "World", order: Order) -> None:
    """S5: a gapless sequence, which makes the order and its row on the board."""
    history = world.store.read_now(lambda work: work.orders.history(order.no))
    assert [one.seq for one in history] == list(range(1, len(history) + 1)), f"S5 gap in {order.no}"
    assert rebuild(history) == order, f"S5 {order.no} rebuilds differently"
    assert history[-1].stage is order.stage, f"S5 {order.no}: status is not the last event's"
    assert all(one.cause.actor.id and one.cause.trace_id for one in history), "S13 nobody's event"
    _no_confusion(world, order)
    row = _row(world, order)
    wanted = board_row(order, world.policy, row.changed_at)
    assert row == wanted, f"S5 the board shows {order.no} differently: {row} {wanted}"
    delivery = world.delivery(order)
    if order.work_order and delivery:
        assert delivery.state is order.work_order.delivered, (order.no, delivery.state)


def _no_confusion(world: "World", order: Order) -> None:
    """On our own floor words come once and in order: only one to a cancelled order cannot be."""
    if world.sim_mes is not None:
        return
    for one in world.book.events[order_n(order.no) or 0]:
        if isinstance(one.event, e.WordDiverged):
            assert one.stage is Stage.CANCELLED, f"{order.no} heard {one.event.said}"


_ROW = f"SELECT {', '.join(COLUMNS)} FROM orders WHERE n = ?"  # noqa: S608  # Our own names.


def _row(world: "World", order: Order) -> BoardRow:
    n = order_n(order.no) or 0
    found = world.store.raw.execute(_ROW, (n,)).fetchone()
    return row_from(n, found)


def _prices(world: "World", order: Order) -> None:
    """S7: a price answers the question that was asked, for the files as they were then."""
    asked, positions = 0, list[Position]()
    for one in world.book.events[order_n(order.no) or 0]:
        event = one.event
        match event:
            case e.OrderSubmitted():
                asked, positions = 1, list(event.positions)
            case e.PriceQueued() | e.SentBackToPricing():
                asked = event.version
            case e.FileReplaced():
                positions = [_replaced(position, event) for position in positions]
            case e.OrderPriced() if event.by == "engine":
                assert event.version == asked, f"S7 {order.no}: the price of another question"
                assert Decimal(event.total) == _quoted(positions), f"S7 {order.no}: wrong price"
            case e.OrderPriced():
                assert event.version >= asked, f"S7 {order.no}: an old price"
                asked = event.version
            case _:
                pass


def _replaced(position: Position, event: e.FileReplaced) -> Position:
    if position.position != event.position:
        return position
    return Position(
        position.position,
        position.quantity,
        material=position.material,
        file_id=event.file_id,
        file_sha256=event.file_sha256,
    )


def _quoted(positions: list[Position]) -> Decimal:
    items = [Item(p.quantity, p.material, p.sku, p.engraving) for p in positions]
    outcomes = [None if p.sku else outcome_of(p.file_sha256 or "") for p in positions]
    priced = quote_order(items, outcomes, BOOK)
    assert isinstance(priced, PricedOrder)
    return priced.total


def _effects(world: "World", order: Order, effects: Counter[str]) -> None:
    """S3, S4, S7, S9, S10: the MES made what we say, once, and nothing that was called off."""
    for work in _work_orders(order):
        made = effects[work.reference]
        assert made <= 1, f"S3 {work.reference} is made {made} times"
        if not _was_sent(world, order, work.reference):
            assert made == 0, f"S10 {work.reference} was never to be sent"
    if order.work_order:
        _present(world, order, order.work_order, effects)


def _present(world: "World", order: Order, work: WorkOrderState, effects: Counter[str]) -> None:
    if work.delivered in ARRIVED or (order.stage in MADE and order.stage is not Stage.CANCELLED):
        assert effects[work.reference] == 1, f"S4 {work.reference} is said to be there"
    if world.sim_mes is not None and effects[work.reference]:
        assert world.sim_mes.bodies[work.reference] == order.body_sha256, f"S7 {order.no}"
    if order.stage is Stage.CANCELLED:
        _cancelled(world, order, work)


def nothing_denied_is_there(world: "World") -> None:
    """What is said to be refused or taken back is not being made."""
    if world.sim_mes is None:
        return
    for order in world.orders():
        work = order.work_order
        if work and work.delivered in NOT_THERE:
            job = world.sim_mes.jobs.get(work.reference)
            gone = job is None or job.status in {"recalled", "scrapped"}
            assert gone, f"S4 {work.reference} is {work.delivered} and being made"


def _was_sent(world: "World", order: Order, reference: str) -> bool:
    return any(
        isinstance(one.event, e.DeliveryChanged)
        and one.event.reference == reference
        and one.event.state is Delivered.SENDING
        for one in world.book.events[order_n(order.no) or 0]
    )


def _cancelled(world: "World", order: Order, work: WorkOrderState) -> None:
    """A cancelled order leaves nothing behind that is still to be made, unless a person said so."""
    if world.sim_mes is None:
        row = world.store.raw.execute(
            "SELECT status FROM floor_work_orders WHERE reference = ?", (work.reference,)
        ).fetchone()
        status = row[0] if row else "recalled"
        gone = status in {"recalled", "scrapped"}
    else:
        job = world.sim_mes.jobs.get(work.reference)
        gone = job is None or job.status in {"recalled", "scrapped"}
    by_person = any(
        isinstance(one.event, e.OrderCancelled) and one.cause.command == "CancelAnyway"
        for one in world.book.events[order_n(order.no) or 0]
    )
    assert gone or by_person, f"S10 {order.no} is cancelled and still being made"
    if world.sim_mes is None:
        assert gone, f"S10 {order.no} is cancelled and still on our floor"


def _files(world: "World", orders: dict[OrderNo, Order]) -> None:
    """S8: every acknowledged file has its bytes, every order its files."""
    if world.folder is None:
        return
    found = world.store.read_now(lambda work: work.files.find([*world.kept_files]))
    for file_id, content_sha256 in world.kept_files.items():
        assert found[file_id].sha256 == content_sha256, f"S8 {file_id} is lost"
        path = world.folder / "sha256" / content_sha256[:2] / content_sha256
        assert sha256(path.read_bytes()).hexdigest() == content_sha256, f"S8 {file_id} is changed"
    for order in orders.values():
        for position in order.positions:
            if position.file_sha256:
                there = world.folder / "sha256" / position.file_sha256[:2] / position.file_sha256
                assert there.is_file(), f"S8 {order.no} names a file that is not there"


def _work_orders(order: Order) -> list[WorkOrderState]:
    return [work for work in (*order.earlier_work_orders, order.work_order) if work]
