"""Dead letters and their replays, in Core: one text for both databases."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec
from sqlalchemy import Connection, Row, and_, delete, func, insert, or_, select, update

from orderkeep.adapters.sql.instants import EPOCH
from orderkeep.adapters.sql.tables import inbox, parked_letters, quarantine, replay_items, replays
from orderkeep.delivery.dead_letters import (
    Entry,
    Item,
    Letter,
    LetterNotFound,
    Replay,
    ReplayChanged,
    Source,
    State,
    Trace,
)
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import InboxStore
from orderkeep.kernel.ids import EnvelopeId

_DEAD = and_(inbox.c.dead_at.is_not(None), inbox.c.handled_at.is_(None))
_HEADER = (inbox.c.schema_version, inbox.c.at, inbox.c.trace_id, inbox.c.body)
_REPLAY = tuple(replays.c[name] for name in Replay.__struct_fields__)
_ENTRY = tuple(replay_items.c[name] for name in Entry.__struct_fields__)
_trail = msgspec.json.Decoder(tuple[Trace, ...])


class _Work(Protocol):
    @property
    def connection(self) -> Connection: ...

    @property
    def inbox(self) -> InboxStore: ...


class SqlDeadLetters:
    """Implements ``delivery.replay.DeadLetterStore``."""

    def __init__(self, work: _Work) -> None:
        self._work = work
        self._connection = work.connection

    # --- letters ----------------------------------------------------------------------------

    def letters(self, limit: int) -> Sequence[Letter]:
        dead = select(*_COLUMNS).where(_DEAD).order_by(inbox.c.row.desc()).limit(limit)
        kept = (
            select(quarantine.c.row, quarantine.c.consumer, quarantine.c.message_id,
                   quarantine.c.at, quarantine.c.why)
            .where(quarantine.c.settled_at.is_(None))
            .order_by(quarantine.c.row.desc())
            .limit(limit)
        )  # fmt: skip
        parked, sent = self._parked(), self._sent()
        found = [_letter(row, parked, sent) for row in self._connection.execute(dead)]
        return found + [_no_envelope(row, parked) for row in self._connection.execute(kept)]

    def envelope(self, row: int) -> tuple[Letter, Envelope] | None:
        asked = select(*_COLUMNS, *_HEADER).where(inbox.c.row == row, _DEAD)
        found = self._connection.execute(asked).one_or_none()
        if found is None:
            return None
        letter = _letter(found, self._parked(), self._sent(row))
        return letter, Envelope(
            EnvelopeId(found.message_id),
            found.kind,
            found.schema_version,
            found.order_key,
            found.at,
            found.trace_id,
            bytes(found.body),
        )

    def body(self, source: Source, row: int) -> bytes:
        table = inbox if source is Source.INBOX else quarantine
        found = self._connection.execute(select(table.c.body).where(table.c.row == row)).scalar()
        if found is None:
            raise LetterNotFound("There is no such dead letter.")
        return bytes(found)

    def park(self, letters: Sequence[Letter], by: str, why: str, now: datetime) -> None:
        there = self._parked()
        rows = [
            {"source": one.source, "letter_row": one.row, "by": by, "why": why, "at": now}
            for one in letters
            if (one.source, one.row) not in there
        ]
        if rows:
            self._connection.execute(insert(parked_letters), rows)

    def unpark(self, letters: Sequence[Letter]) -> None:
        for one in letters:
            mine = (parked_letters.c.source == one.source, parked_letters.c.letter_row == one.row)
            self._connection.execute(delete(parked_letters).where(*mine))

    # --- sending again ----------------------------------------------------------------------

    def revive(self, row: int, body: bytes | None, now: datetime) -> bool:
        columns: dict[str, Any] = {"dead_at": None, "attempts": 0, "next_at": EPOCH}
        if body is not None:
            columns["body"] = body
        again = update(inbox).where(inbox.c.row == row, _DEAD).values(**columns)
        return self._connection.execute(again).rowcount == 1

    def deliver(
        self, row: int, envelope: Envelope, consumers: Sequence[str], now: datetime
    ) -> bool:
        # It has found its receivers: what becomes of it there is told in their inboxes.
        done = update(inbox).where(inbox.c.row == row, _DEAD).values(handled_at=now)
        if self._connection.execute(done).rowcount != 1:
            return False
        for consumer in consumers:
            self._work.inbox.receive(consumer, [envelope], now)
        return True

    def outcome(self, row: int) -> Item:
        # A letter that nobody took is the one with its id in the inboxes of others, too.
        mine = select(inbox.c.message_id).where(inbox.c.row == row).scalar_subquery()
        asked = select(inbox.c.handled_at, inbox.c.dead_at).where(
            or_(inbox.c.row == row, and_(inbox.c.message_id == mine, inbox.c.row > row))
        )
        found = self._connection.execute(asked).all()
        if any(one.dead_at is not None and one.handled_at is None for one in found):
            return Item.DIED
        return Item.HANDLED if all(one.handled_at is not None for one in found) else Item.SENT

    # --- replays ----------------------------------------------------------------------------

    def add(self, replay: Replay, entries: Sequence[Entry]) -> None:
        columns = {**msgspec.structs.asdict(replay), "trail": _encoded(replay.trail)}
        self._connection.execute(insert(replays).values(**columns))
        rows = [
            {"replay_id": replay.id, "place": place, **msgspec.structs.asdict(entry)}
            for place, entry in enumerate(entries)
        ]
        self._connection.execute(insert(replay_items), rows)

    def replay(self, id_: str) -> Replay:
        found = self._connection.execute(select(*_REPLAY).where(replays.c.id == id_)).one_or_none()
        if found is None:
            raise LetterNotFound("There is no such replay.")
        return _replay(found)

    def replays(self, limit: int) -> Sequence[Replay]:
        newest = select(*_REPLAY).order_by(replays.c.started_at.desc(), replays.c.id).limit(limit)
        return [_replay(row) for row in self._connection.execute(newest)]

    def due(self, now: datetime) -> Sequence[Replay]:
        running = and_(replays.c.state == State.RUNNING, replays.c.next_at <= now)
        return [_replay(row) for row in self._connection.execute(select(*_REPLAY).where(running))]

    def change(self, replay: Replay, **columns: Any) -> Replay:
        if "trail" in columns:
            columns["trail"] = _encoded(columns["trail"])
        mine = and_(replays.c.id == replay.id, replays.c.version == replay.version)
        written = update(replays).where(mine).values(version=replay.version + 1, **columns)
        if self._connection.execute(written).rowcount != 1:
            raise ReplayChanged("Somebody has changed the replay meanwhile.")
        return self.replay(replay.id)

    def entries(self, id_: str) -> Sequence[Entry]:
        mine = select(*_ENTRY).where(replay_items.c.replay_id == id_).order_by(replay_items.c.place)
        return [_entry(row) for row in self._connection.execute(mine)]

    def mark(self, id_: str, letter_row: int, state: Item, now: datetime) -> None:
        columns: dict[str, Any] = {"state": state}
        if state is Item.SENT:
            columns["sent_at"] = now
        mine = and_(replay_items.c.replay_id == id_, replay_items.c.letter_row == letter_row)
        self._connection.execute(update(replay_items).where(mine).values(**columns))

    def _parked(self) -> set[tuple[str, int]]:
        asked = select(parked_letters.c.source, parked_letters.c.letter_row)
        return {(source, row) for source, row in self._connection.execute(asked)}

    def _sent(self, row: int | None = None) -> dict[int, int]:
        """How often letters have been sent again, by row."""
        asked = select(replay_items.c.letter_row, func.count()).where(
            replay_items.c.sent_at.is_not(None)
        )
        if row is not None:
            asked = asked.where(replay_items.c.letter_row == row)
        counted = asked.group_by(replay_items.c.letter_row)
        return {int(one): int(count) for one, count in self._connection.execute(counted)}


_COLUMNS = tuple(
    inbox.c[name]
    for name in (
        "row", "consumer", "kind", "order_key", "message_id", "received_at", "dead_at",
        "attempts", "why",
    )
)  # fmt: skip


def _letter(row: Any, parked: set[tuple[str, int]], sent: dict[int, int]) -> Letter:
    return Letter(
        Source.INBOX,
        row.row,
        row.consumer,
        row.kind,
        row.order_key,
        row.message_id,
        row.received_at,
        row.dead_at,
        row.attempts,
        row.why or "",
        replays=sent.get(row.row, 0),
        parked=(Source.INBOX, row.row) in parked,
    )


def _no_envelope(row: Any, parked: set[tuple[str, int]]) -> Letter:
    return Letter(
        Source.QUARANTINE,
        row.row,
        row.consumer,
        None,
        None,
        row.message_id,
        row.at,
        row.at,
        0,
        row.why,
        parked=(Source.QUARANTINE, row.row) in parked,
    )


def _replay(row: Row[Any]) -> Replay:
    columns = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it.
    state, trail = State(columns.pop("state")), _trail.decode(columns.pop("trail"))
    return Replay(state=state, trail=trail, **columns)


def _entry(row: Row[Any]) -> Entry:
    columns = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it.
    return Entry(state=Item(columns.pop("state")), **columns)


def _encoded(trail: Sequence[Trace]) -> str:
    return msgspec.json.encode(trail).decode()
