"""Lists by keyset: complete and disjoint, however orders move while somebody turns the pages."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from unittest.mock import patch

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orderkeep.adapters.sql.hot_sqlite import board as sql_board
from orderkeep.adapters.sql.hot_sqlite.orders import COLUMNS, columns
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.board.filters import Cursor, PageQuery, decode_cursor, encode_cursor, parse
from orderkeep.board.ports import Page
from orderkeep.kernel.ids import OrderNo, order_n, order_no
from orderkeep.orders.order import FINAL, Risk, Stage
from orderkeep.orders.view import BoardRow
from orderkeep.testing.store import SimStore

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"sort": "due"},
    {"sort": "changed"},
    {"stage": "SUBMITTED"},
    {"stage": "SUBMITTED,PACKAGING", "sort": "due"},
    {"stage": "SUBMITTED,PRICE_CALCULATED,PACKAGING"},
    {"stage": "CLOSED,CANCELLED"},
    {"stage": "CLOSED,SUBMITTED"},
    {"risk": "late"},
    {"risk": "late,at_risk", "channel": "shop"},
    {"risk": "ok"},
    {"needs": "any"},
    {"needs": "price,uncertain", "sort": "due"},
    {"claim": "mine"},
    {"claim": "free"},
    {"claim": "oleg", "stage": "PACKAGING"},
    {"held": "1"},
    {"held": "1", "stage": "SUBMITTED"},
    {"material": "ag925"},
    {"q": "ref-1"},
)

soon = st.integers(0, 5).map(lambda hours: NOON + timedelta(hours=hours))


@st.composite
def rows(draw: st.DrawFn, n: int) -> BoardRow:
    """The n-th order, anywhere."""
    stage = draw(st.sampled_from([Stage.SUBMITTED, *Stage]))
    past = stage in FINAL
    needs = None if past else draw(st.sampled_from([None, None, "price", "uncertain"]))
    held = not past and draw(st.booleans())
    operator = None if past else draw(st.sampled_from([None, "olga", "oleg"]))
    returned = stage is Stage.CLOSED and draw(st.booleans())
    return BoardRow(
        order_no=order_no(n),
        version=1,
        partner_id=None,
        channel=draw(st.sampled_from(["shop", "office"])),
        client_ref=f"REF-{n}",
        body_sha256=None,
        stage=stage,
        stage_since=draw(soon),
        created_at=NOON,
        changed_at=draw(soon),
        priority=draw(st.integers(1, 3)),
        due_at=draw(st.none() | soon) if not past else None,
        due_owner=None,
        timer_at=None,
        risk="ok" if past else draw(st.sampled_from(list(Risk))),
        promise_at=None,
        summary=draw(st.sampled_from(["ag925 × 1", "brass × 2"])),
        pieces=1,
        price_state="none",
        price_total=None,
        price_currency=None,
        hold_reason="waits" if held else None,
        hold_until=draw(soon) if held else None,
        claim_operator=operator,
        claim_until=None,
        work_order_ref=None,
        mes_state=None,
        needs_person=needs,
        is_open=not past or returned,
        is_claimable=not past and operator is None and draw(st.booleans()),
    )


@st.composite
def boards(draw: st.DrawFn) -> list[BoardRow]:
    """A few orders; ties are likely, since ties are where pages break."""
    return [draw(rows(n)) for n in range(1, draw(st.integers(0, 24)) + 1)]


@cache
def store() -> SimStore:
    return SimStore()


def put(work: SqlWork, row: BoardRow) -> None:
    """Write a row as it is, and an event that says it has changed."""
    n = order_n(row.order_no)
    names, marks = ", ".join(COLUMNS), ", ".join("?" * len(COLUMNS))
    work.raw.execute(
        f"INSERT OR REPLACE INTO orders (n, {names}) VALUES (?, {marks})", (n, *columns(row))
    )
    work.raw.execute(
        "INSERT INTO events (order_n, seq, kind, schema_version, stage, at, actor_kind, actor_id,"
        " command, source, trace_id, data) VALUES (?, ?, 'k', 1, ?, 0, 'a', 'a', 'c', 's', 't',"
        " '')",
        (n, row.version, str(row.stage)),
    )


def _page(work: SqlWork, query: PageQuery) -> Page:
    return work.board.page(query)


def turned(query: PageQuery, between: Sequence[BoardRow]) -> list[OrderNo]:
    """Every page's orders, one after the other, while orders change between two pages."""
    seen: list[OrderNo] = []
    waiting, after = list(between), None
    for _ in range(200):
        at = PageQuery(query.filter, query.limit, after)
        page = store().read_now(partial(_page, query=at))
        assert len(page.rows) <= query.limit
        seen += [row.order_no for row in page.rows]
        if page.next is None:
            return seen
        after = decode_cursor(encode_cursor(page.next))
        if waiting:
            store().write_now(partial(put, row=waiting.pop()))
    raise AssertionError("the list has no end")


def expected(row: BoardRow, wanted: dict[str, str]) -> bool:
    """Whether a row belongs to the list, said the plain way."""
    stages = [stage for stage in wanted.get("stage", "").split(",") if stage]
    risks = [risk for risk in wanted.get("risk", "").split(",") if risk]
    needs = wanted.get("needs", "")
    claim = wanted.get("claim")
    return (
        (row.stage in stages if stages else row.is_open)
        and (not risks or row.risk in risks)
        and (not needs or (row.needs_person in needs.split(",") or needs == "any"))
        and (not needs or row.needs_person is not None)
        and (claim != "free" or row.is_claimable)
        and (claim in {None, "free"} or row.claim_operator == {"mine": "olga"}.get(claim, claim))
        and ("held" not in wanted or row.hold_until is not None)
        and ("channel" not in wanted or row.channel == wanted["channel"])
        and wanted.get("material", "") in row.summary
        and wanted.get("q", "").upper() in (row.client_ref or "")
    )


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=150)
@given(
    board=boards(),
    wanted=st.sampled_from(FILTERS),
    limit=st.integers(1, 7),
    stretch=st.sampled_from([6, 20, 4000]),
    data=st.data(),
)
def test_pages_are_complete_and_disjoint_for_what_does_not_move(
    board: list[BoardRow], wanted: dict[str, str], limit: int, stretch: int, data: st.DataObject
) -> None:
    store().reset()
    moving = data.draw(
        st.sets(st.sampled_from(range(1, len(board) + 1)), max_size=5) if board else st.just(set())
    )
    moves = [msgspec.structs.replace(data.draw(rows(n)), version=2) for n in sorted(moving)]
    for row in board:
        store().write_now(partial(put, row=row))
    query = parse({**wanted, "limit": str(limit)}, login="olga")

    with patch.object(sql_board, "STRETCH", stretch):
        seen = turned(query, moves)

    still = [row.order_no for row in board if order_n(row.order_no) not in moving]
    rightly = {row.order_no for row in board if expected(row, wanted)}
    assert [no for no in still if seen.count(no) != (no in rightly)] == []


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(board=boards())
def test_the_ranking_is_priority_then_what_is_due_first(board: list[BoardRow]) -> None:
    store().reset()
    for row in board:
        store().write_now(partial(put, row=row))

    seen = turned(parse({"limit": "4"}, login="olga"), [])

    never = datetime.min.replace(tzinfo=UTC)
    ranked = sorted(
        (row for row in board if row.is_open),
        key=lambda row: (row.priority, row.due_at or never, order_n(row.order_no)),
    )
    assert seen == [row.order_no for row in ranked]


def test_a_cursor_of_another_list_begins_anew() -> None:
    store().reset()
    query = parse({"sort": "due"}, login="olga")
    foreign = Cursor("position", (5,))

    page = store().read_now(
        lambda work: work.board.page(PageQuery(query.filter, query.limit, foreign))
    )

    assert page.next is None
