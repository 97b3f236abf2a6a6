"""Accepting on SQLite: all submissions that wait are kept in one transaction."""

import sqlite3
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from orderkeep.adapters.sql.hot_sqlite.counters import ORDERS, of_stage
from orderkeep.adapters.sql.hot_sqlite.many import insert_many, look_up
from orderkeep.adapters.sql.hot_sqlite.outbox import TOPIC
from orderkeep.adapters.sql.instants import MICROSECOND, from_micros, to_micros
from orderkeep.adapters.sql.lanes import Failed, Gates, HalvingLane, Hot, Lanes
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.intake import sentences as say
from orderkeep.intake.ports import Acceptance, Backlog, ClientRefTaken, KeyReused, Submission
from orderkeep.kernel.answers import Answer
from orderkeep.kernel.failpoints import failpoint
from orderkeep.kernel.ids import OrderNo, order_no
from orderkeep.orders import announce
from orderkeep.orders.events import SCHEMA_VERSION, encode
from orderkeep.orders.order import PriceState, Risk, Stage
from orderkeep.orders.policy import Policy
from orderkeep.orders.view import BoardRow, summary

SHOWN = 9
"""New orders of one commit that watchers are shown: one more than anybody can follow."""

LOOKS = 16
"""Commits in which everything is looked up first, after one that had something known in it."""

_SUBMITTED = "order.submitted"
BEFORE_COMMIT = failpoint(
    "accept.before_commit", "nothing of the submission; the client has no receipt"
)
AFTER_COMMIT = failpoint(
    "accept.after_commit", "the whole submission; the client has no receipt yet"
)

# CROSS JOIN keeps the order of the tables: what is asked for leads, the index answers.
_BY_KEY = (
    "SELECT k.partner_id, k.key, k.order_n, k.body_sha256, o.client_ref, o.created_at"
    " FROM {asked} CROSS JOIN idempotency k ON k.partner_id = column1 AND k.key = column2"
    " CROSS JOIN orders o ON o.n = k.order_n"
)
_BY_REF = (
    "SELECT o.partner_id, o.client_ref, o.n, o.body_sha256, o.client_ref, o.created_at"
    " FROM {asked} CROSS JOIN orders o ON o.partner_id = column1 AND o.client_ref = column2"
)
# What a fresh order has in common with every other stands in the text: fewer values to bind.
_ORDER = (
    "INSERT INTO orders (n, partner_id, channel, client_ref, body_sha256, stage_since, created_at,"
    " changed_at, priority, due_at, timer_at, promise_at, summary, pieces, version, stage,"
    " due_owner, risk, price_state, is_open, is_claimable)"
)
_ORDER_ROW = (
    "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 'SUBMITTED', 'engine', 'ok', 'queued', 1, 0)"
)
_EVENT = (
    "INSERT INTO events (order_n, partner_id, at, actor_kind, actor_id, actor_role, command,"
    " source, trace_id, data, seq, kind, schema_version, stage)"
)
_EVENT_ROW = f"(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 'order.submitted', {SCHEMA_VERSION}, 'SUBMITTED')"
_SUBMISSION = "INSERT INTO submissions (order_n, body)"
_KEY = "INSERT INTO idempotency (partner_id, key, body_sha256, order_n, at)"
_ENVELOPE = "INSERT INTO outbox (id, order_key, at, trace_id, body, kind, schema_version)"
_ENVELOPE_ROW = f"(?, ?, ?, ?, ?, '{announce.PRICE_WANTED}', {announce.SCHEMA_VERSION})"


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """A submission with everything computed that does not need its number."""

    submission: Submission
    at: int
    order: tuple[Any, ...]
    event: tuple[Any, ...]


class Known(msgspec.Struct, frozen=True, gc=False):
    """An order that a key or a client's number already means."""

    n: int
    body_sha256: str
    client_ref: str
    at: int


class LookingBatch(HalvingLane[Prepared, Acceptance]):
    """Keeps a batch of submissions, each once, under gapless numbers; knows beforehand which."""

    gates: Gates | None = Gates(BEFORE_COMMIT, AFTER_COMMIT)

    def run_all(self, work: SqlWork, items: Sequence[Prepared]) -> Sequence[Any]:
        desk = self.desk(work, items)
        outcomes = [desk.take(item) for item in items]
        self.write(work, desk)
        if desk.fresh:
            work.counters.add(ORDERS, len(desk.fresh))
            work.counters.add(of_stage(Stage.SUBMITTED), len(desk.fresh))
            work.wake(TOPIC)
        if work.watched:
            work.board_rows += desk.shown()
        return outcomes

    def desk(self, work: SqlWork, items: Sequence[Prepared]) -> "Desk":
        """Who decides, knowing what is known of these items."""
        return Desk(work.counters.following(), *known(work.raw, items))

    def write(self, work: SqlWork, desk: Any) -> None:
        """Write the rows that were decided on."""
        _write(work.raw, desk)


class AcceptBatch(LookingBatch):
    """The same, taking everything for new until a unique index says no; then it is looked up.

    Whatever is decided stands in rows of this transaction: it cannot be wrong and be kept.
    """

    def __init__(self) -> None:
        self._looking = LookingBatch()
        self._looks = 0

    def run(self, work: SqlWork, items: Sequence[Prepared]) -> Sequence[Any]:
        if self._looks:
            self._looks -= 1
            return self._looking.run(work, items)
        return super().run(work, items)

    def desk(self, work: SqlWork, items: Sequence[Prepared]) -> "Desk":
        return Desk(work.counters.following(), {}, {})

    def _halves(self, work: SqlWork, items: Sequence[Prepared], error: Exception) -> Sequence[Any]:
        self._looks = LOOKS  # Who repeats does not do so alone.
        return self._looking.run(work, items)


Accepting = Hot[Prepared, Acceptance]


class SqlAcceptLane:
    """Implements ``intake.ports.AcceptLane``; what came in a message takes a batch of its own."""

    def __init__(self, lanes: Lanes, batch: Accepting, arriving: Accepting, policy: Policy) -> None:
        self._lanes = lanes
        self._batch = batch
        self._arriving = arriving
        norm = policy.norms[Stage.SUBMITTED]
        self._share = float(policy.at_risk_share)
        self._norm = norm // MICROSECOND
        self._norm_risk = norm * self._share // MICROSECOND

    async def accept(self, submission: Submission) -> Acceptance:
        batch, item = self._batch_of(submission), self._prepare(submission)
        return await self._lanes.submit(batch, item)

    def leave(self, submission: Submission, answer: Answer) -> None:
        self._lanes.leave(self._batch_of(submission), self._prepare(submission), answer)

    @property
    def backlog(self) -> Backlog:
        return self._lanes.backlog(self._batch)

    def _batch_of(self, submission: Submission) -> Accepting:
        return self._batch if submission.arrival is None else self._arriving

    def _prepare(self, submission: Submission) -> Prepared:
        # Here, on the caller's thread, while the writer waits for the disk.
        event, at = submission.event, to_micros(submission.at)
        promise_at = to_micros(event.promise_at)
        order = (
            submission.partner_id,
            event.channel,
            submission.client_ref,
            submission.body_sha256,
            at,
            at,
            at,
            event.priority,
            at + self._norm,
            at + self._first_risk(promise_at - at),
            promise_at,
            summary(event.positions),
            sum([position.quantity for position in event.positions]),
        )
        return Prepared(submission, at, order, _event_tail(submission, at))

    def _first_risk(self, way: int) -> int:
        """When the watch looks first: the earlier of the norm's and the promise's risk."""
        if way >= self._norm:
            return self._norm_risk
        return min(self._norm_risk, way, timedelta(microseconds=way) * self._share // MICROSECOND)


Names = dict[tuple[str, str], Known]
"""What is known of partners' keys, or of their clients' numbers."""


class Desk:
    """Decides item by item what is new, and collects the rows of all of them."""

    def __init__(self, following: int, keys: Names, refs: Names) -> None:
        self._next = following
        self._keys, self._refs = keys, refs
        self.key_rows: list[tuple[Any, ...]] = []
        self.fresh: list[tuple[int, OrderNo, Prepared]] = []

    def take(self, item: Prepared) -> Acceptance | Failed:
        submission = item.submission
        key = (submission.partner_id, submission.key)
        known = self._keys.get(key)
        if known is not None:
            if known.body_sha256 == submission.body_sha256:
                return again(known)
            return Failed(KeyReused(say.KEY_REUSED()))
        ref = (submission.partner_id, submission.client_ref)
        known = self._refs.get(ref)
        if known is None:
            outcome = self._open(item, ref)
        elif known.body_sha256 == submission.body_sha256:
            outcome = again(known)
        else:
            return Failed(_taken(known))
        # Also when the key is a second one for the same order: it too means it for ever.
        known = self._keys[key] = self._refs[ref]
        self.key_rows.append((*key, submission.body_sha256, known.n, item.at))
        return outcome

    def name(self, n: int) -> OrderNo:
        """What people call the n-th order."""
        return order_no(n)

    def shown(self) -> list[BoardRow]:
        """What watchers of the board see of the fresh orders."""
        return [_board_row(no, item) for _, no, item in self.fresh[:SHOWN]]

    def _open(self, item: Prepared, ref: tuple[str, str]) -> Acceptance:
        n, submission = self._next, item.submission
        self._next += 1
        no = self.name(n)
        self.fresh.append((n, no, item))
        self._refs[ref] = Known(n, submission.body_sha256, submission.client_ref, item.at)
        return Acceptance(no, submission.client_ref, submission.at, replayed=False)


def _write(raw: sqlite3.Connection, desk: Desk) -> None:
    fresh = desk.fresh
    insert_many(raw, _ORDER, _ORDER_ROW, [(n, *item.order) for n, _, item in fresh])
    insert_many(raw, _EVENT, _EVENT_ROW, [(n, *item.event) for n, _, item in fresh])
    insert_many(raw, _SUBMISSION, "(?, ?)", [(n, item.submission.body) for n, _, item in fresh])
    insert_many(raw, _KEY, "(?, ?, ?, ?, ?)", desk.key_rows)
    insert_many(raw, _ENVELOPE, _ENVELOPE_ROW, [announcement(no, item) for _, no, item in fresh])


def known(raw: sqlite3.Connection, items: Sequence[Prepared]) -> tuple[Names, Names]:
    """What the items' keys and clients' numbers mean already."""
    keys = [(item.submission.partner_id, item.submission.key) for item in items]
    refs = [(item.submission.partner_id, item.submission.client_ref) for item in items]
    return _named(raw, _BY_KEY, keys), _named(raw, _BY_REF, refs)


def _named(raw: sqlite3.Connection, query: str, names: Sequence[tuple[str, str]]) -> Names:
    return {(row[0], row[1]): Known(*row[2:]) for row in look_up(raw, query, "(?, ?)", names)}


def _taken(known: Known) -> ClientRefTaken:
    no = order_no(known.n)
    return ClientRefTaken(say.NUMBER_TAKEN(reference=no), order_no=no)


def again(known: Known) -> Acceptance:
    """The answer for an order that is here already."""
    return Acceptance(order_no(known.n), known.client_ref, from_micros(known.at), replayed=True)


def _event_tail(submission: Submission, at: int) -> tuple[Any, ...]:
    cause = submission.cause
    actor = cause.actor
    return (
        submission.partner_id,
        at,
        actor.kind.value,
        actor.id,
        actor.role,
        cause.command,
        cause.source,
        cause.trace_id,
        encode(submission.event).decode(),
    )


def announcement(no: OrderNo, item: Prepared) -> tuple[Any, ...]:
    submission = item.submission
    body = b'{"order_no":"%b","version":1}' % no.encode()
    return (submission.envelope_id, no, item.at, submission.cause.trace_id, body)


def _board_row(no: OrderNo, item: Prepared) -> BoardRow:
    submission, event = item.submission, item.submission.event
    due_at, timer_at = item.order[8:10]
    return BoardRow(
        order_no=no,
        version=1,
        partner_id=submission.partner_id,
        channel=event.channel,
        client_ref=submission.client_ref,
        body_sha256=submission.body_sha256,
        stage=Stage.SUBMITTED,
        stage_since=submission.at,
        created_at=submission.at,
        changed_at=submission.at,
        priority=event.priority,
        due_at=from_micros(due_at),
        due_owner="engine",
        timer_at=from_micros(timer_at),
        risk=Risk.OK,
        promise_at=event.promise_at,
        summary=item.order[11],
        pieces=item.order[12],
        price_state=PriceState.QUEUED,
        price_total=None,
        price_currency=None,
        hold_reason=None,
        hold_until=None,
        claim_operator=None,
        claim_until=None,
        work_order_ref=None,
        mes_state=None,
        needs_person=None,
        is_open=True,
        is_claimable=False,
    )
