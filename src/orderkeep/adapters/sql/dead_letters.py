"""Dead letters and their replays, in Core: one text for both databases."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from orderkeep.adapters.sql.instants import EPOCH, FARTHEST
from orderkeep.adapters.sql.letter_groups import (
    DEAD,
    KEPT,
    PLACES,
    Place,
    groups,
    letter_of,
    letters_in,
    members,
    read,
    trend,
    unowned_since,
)
from orderkeep.adapters.sql.tables import (
    inbox,
    letter_groups,
    parked_letters,
    quarantine,
    replay_items,
    replays,
)
from orderkeep.adapters.sql.types import UtcDateTime
from orderkeep.delivery.dead_letters import (
    Entry,
    Group,
    GroupNote,
    Item,
    Letter,
    LetterNotFound,
    Parking,
    Replay,
    ReplayChanged,
    Retrying,
    Source,
    State,
    Trace,
)
from orderkeep.delivery.envelope import Envelope
from orderkeep.delivery.ports import InboxStore
from orderkeep.kernel.ids import EnvelopeId

_FAILED = and_(inbox.c.attempts > 0, inbox.c.handled_at.is_(None), inbox.c.dead_at.is_(None))
_RETRYING = tuple(inbox.c[name] for name in Retrying.__struct_fields__)
_HEADER = (inbox.c.schema_version, inbox.c.at, inbox.c.trace_id, inbox.c.body)
_PARKING = tuple(parked_letters.c[name] for name in Parking.__struct_fields__)
_REPLAY = tuple(replays.c[name] for name in Replay.__struct_fields__)
_ENTRY = tuple(replay_items.c[name] for name in Entry.__struct_fields__)
_AGAIN = {"replays": inbox.c.replays + 1}
_trail = msgspec.json.Decoder(tuple[Trace, ...])


class _Work(Protocol):
    @property
    def connection(self) -> Connection: ...

    @property
    def inbox(self) -> InboxStore: ...


class SqlDeadLetters:
    """Implements ``delivery.letter_store.DeadLetterStore``."""

    def __init__(self, work: _Work) -> None:
        self._work = work
        self._connection = work.connection

    # --- letters ----------------------------------------------------------------------------

    def page(
        self, source: Source, before: int | None, limit: int, fingerprint: str | None = None
    ) -> Sequence[Letter]:
        [place] = [one for one in PLACES if one.source is source]
        asked = letters_in(place)
        if before is not None:
            asked = asked.where(place.table.c.row < before)
        if fingerprint is not None:
            asked = asked.where(place.table.c.fingerprint == fingerprint)
        return self._read(place, asked, newest_first=True, limit=limit)

    def unowned_since(self) -> datetime | None:
        return unowned_since(self._connection)

    def members(self, fingerprint: str, *, parked: bool, limit: int) -> Sequence[Letter]:
        return [
            letter
            for place, mine in members(fingerprint, parked=parked)
            for letter in self._read(
                place, letters_in(place).where(mine), newest_first=True, limit=limit
            )
        ]

    def frozen(
        self, fingerprint: str, cutoff: int | None, limit: int, row: int | None = None
    ) -> Sequence[Letter]:
        found: list[Letter] = []
        for place, mine in members(fingerprint, parked=False, cutoff=cutoff):
            asked = letters_in(place).where(mine)
            if row is not None:
                asked = asked.where(place.table.c.row == row)
            found += self._read(place, asked, newest_first=False, limit=limit)
        return found

    def _read(
        self, place: Place, asked: Select[Any], *, newest_first: bool, limit: int
    ) -> list[Letter]:
        row = place.table.c.row
        ordered = asked.order_by(row.desc() if newest_first else row).limit(limit)
        return read(self._connection, place, ordered)

    def groups(self, limit: int) -> Sequence[Group]:
        return groups(self._connection, limit)

    def group(self, fingerprint: str, *, parked: bool) -> Group | None:
        found = groups(self._connection, 2, fingerprint)
        return next((one for one in found if one.parked is parked), None)

    def trend(self, now: datetime) -> Mapping[tuple[str, bool], Sequence[int]]:
        return trend(self._connection, now)

    def envelope(self, row: int) -> tuple[Letter, Envelope] | None:
        asked = letters_in(PLACES[0]).add_columns(*_HEADER).where(inbox.c.row == row)
        found = self._connection.execute(asked).one_or_none()
        if found is None:
            return None
        letter = letter_of(Source.INBOX, found)
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

    def waiting(self) -> Mapping[str, int]:
        found = Counter(dict(self._counted(inbox, DEAD)))
        found.update(dict(self._counted(quarantine, KEPT)))
        for table, source, there in (
            (inbox, Source.INBOX, DEAD),
            (quarantine, Source.QUARANTINE, KEPT),
        ):
            parked = table.c.row.in_(_parked_of(source))
            found.subtract(dict(self._counted(table, and_(there, parked))))
        return {consumer: count for consumer, count in found.items() if count > 0}

    def died_since(self, since: datetime) -> int:
        return sum(
            self._connection.execute(
                select(func.count())
                .select_from(table)
                .where(there, at > since, table.c.row.not_in(_parked_of(source)))
            ).scalar_one()
            for table, source, there, at in (
                (inbox, Source.INBOX, DEAD, inbox.c.dead_at),
                (quarantine, Source.QUARANTINE, KEPT, quarantine.c.at),
            )
        )

    def _counted(self, table: Table, which: ColumnElement[bool]) -> Sequence[tuple[str, int]]:
        asked = select(table.c.consumer, func.count()).where(which).group_by(table.c.consumer)
        return [(consumer, int(count)) for consumer, count in self._connection.execute(asked)]

    def retrying(self, limit: int) -> Sequence[Retrying]:
        asked = select(*_RETRYING).where(_FAILED).order_by(inbox.c.next_at).limit(limit)
        return [
            Retrying(
                row.consumer, row.kind, row.order_key, row.attempts, row.next_at, row.why or ""
            )
            for row in self._connection.execute(asked)
        ]

    def notes(self) -> Mapping[str, GroupNote]:
        rows = self._connection.execute(select(letter_groups))
        return {
            row.fingerprint: GroupNote(row.owner, row.note, row.by, row.at, row.release)
            for row in rows
        }

    def note(self, fingerprint: str, note: GroupNote) -> None:
        mine, columns = letter_groups.c.fingerprint == fingerprint, msgspec.structs.asdict(note)
        written = update(letter_groups).where(mine).values(**columns)
        if self._connection.execute(written).rowcount == 0:
            row = {"fingerprint": fingerprint, **columns}
            self._connection.execute(insert(letter_groups).values(**row))

    def park(self, fingerprint: str, cutoff: int, by: str, why: str, now: datetime) -> int:
        parked = 0
        for place, mine in members(fingerprint, parked=False, cutoff=cutoff):
            told = (literal(by), literal(why), literal(now, UtcDateTime))
            source = literal(place.source.value)
            rows = (
                select(source, place.table.c.row, *told)
                .select_from(place.all)
                .where(place.there, mine)
            )
            names = ["source", "letter_row", "by", "why", "at"]
            written = insert(parked_letters).from_select(names, rows)
            parked += self._connection.execute(written).rowcount
        return parked

    def parking(self, letter: Letter) -> Parking | None:
        asked = select(*_PARKING).where(*_this(letter))
        found = self._connection.execute(asked).one_or_none()
        return None if found is None else Parking(found.by, found.why, found.at)

    def unpark(self, fingerprint: str, cutoff: int) -> int:
        unparked = 0
        for place, mine in members(fingerprint, parked=True, cutoff=cutoff):
            rows = select(place.table.c.row).select_from(place.all).where(place.there, mine)
            these = parked_letters.c.letter_row.in_(rows)
            gone = delete(parked_letters).where(parked_letters.c.source == place.source, these)
            unparked += self._connection.execute(gone).rowcount
        return unparked

    # --- sending again ----------------------------------------------------------------------

    def revive(self, row: int, body: bytes | None, now: datetime) -> bool:
        columns: dict[str, Any] = {"dead_at": None, "attempts": 0, "next_at": EPOCH, **_AGAIN}
        if body is not None:
            columns["body"] = body
        again = update(inbox).where(inbox.c.row == row, DEAD).values(**columns)
        return self._connection.execute(again).rowcount == 1

    def deliver(
        self, row: int, envelope: Envelope, consumers: Sequence[str], now: datetime
    ) -> bool:
        # It has found its receivers: what becomes of it there is told in their inboxes.
        done = update(inbox).where(inbox.c.row == row, DEAD).values(handled_at=now, **_AGAIN)
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
        return _outcome(self._connection.execute(asked).all())

    def arrived(self, id_: EnvelopeId, consumers: Sequence[str]) -> Item:
        asked = select(inbox.c.handled_at, inbox.c.dead_at).where(
            inbox.c.consumer.in_(consumers), inbox.c.message_id == id_
        )
        return _outcome(self._connection.execute(asked).all())

    def release(self, row: int, now: datetime) -> bool:
        there = and_(quarantine.c.row == row, quarantine.c.settled_at.is_(None))
        settled = update(quarantine).where(there).values(settled_at=now)
        return self._connection.execute(settled).rowcount == 1

    # --- replays ----------------------------------------------------------------------------

    def begin_alone(self, fingerprint: str) -> None:
        """One unit writes at a time here; PostgreSQL's twin has a lock."""

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
        # What lies farther ahead than any rest was written before the clock was set back.
        come = or_(replays.c.next_at <= now, replays.c.next_at > now + FARTHEST)
        running = and_(replays.c.state == State.RUNNING, come)
        return [_replay(row) for row in self._connection.execute(select(*_REPLAY).where(running))]

    def change(self, replay: Replay, **columns: Any) -> Replay:
        if "trail" in columns:
            columns["trail"] = _encoded(columns["trail"])
        mine = and_(replays.c.id == replay.id, replays.c.version == replay.version)
        written = update(replays).where(mine).values(version=replay.version + 1, **columns)
        if self._connection.execute(written).rowcount != 1:
            raise ReplayChanged("Somebody has changed the replay meanwhile.")
        return self.replay(replay.id)

    def entries(
        self, id_: str, state: Item | None = None, limit: int | None = None
    ) -> Sequence[Entry]:
        mine = select(*_ENTRY).where(replay_items.c.replay_id == id_).order_by(replay_items.c.place)
        if state is not None:
            mine = mine.where(replay_items.c.state == state.value)
        return [_entry(row) for row in self._connection.execute(mine.limit(limit))]

    def states(self, ids: Sequence[str]) -> Mapping[str, Mapping[Item, int]]:
        found: dict[str, dict[Item, int]] = {id_: {} for id_ in ids}
        by = (replay_items.c.replay_id, replay_items.c.state)
        counted = select(*by, func.count()).where(by[0].in_(ids)).group_by(*by)
        for id_, state, count in self._connection.execute(counted):
            found[id_][Item(state)] = int(count)
        return found

    def unapproved(self, fingerprint: str, since: datetime) -> int:
        alone = and_(
            replays.c.fingerprint == fingerprint,
            replays.c.started_at >= since,
            replays.c.approved_by.is_(None),
            replays.c.state != State.WAITING,
        )
        goes = or_(
            replay_items.c.state.in_((Item.SENT, Item.HANDLED, Item.DIED)),
            and_(
                replay_items.c.state == Item.WAITING,
                replays.c.state.in_((State.RUNNING, State.STOPPED)),
            ),
        )
        theirs = replay_items.join(replays, replay_items.c.replay_id == replays.c.id)
        counted = select(func.count()).select_from(theirs).where(alone, goes)
        return int(self._connection.execute(counted).scalar_one())

    def mark(self, id_: str, letter_row: int, state: Item, now: datetime) -> None:
        columns: dict[str, Any] = {"state": state}
        if state is Item.SENT:
            columns["sent_at"] = now
        mine = and_(replay_items.c.replay_id == id_, replay_items.c.letter_row == letter_row)
        self._connection.execute(update(replay_items).where(mine).values(**columns))


def _parked_of(source: Source) -> Select[tuple[int]]:
    return select(parked_letters.c.letter_row).where(parked_letters.c.source == source)


def _this(letter: Letter) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    parked = parked_letters.c
    return parked.source == letter.source, parked.letter_row == letter.row


def _outcome(found: Sequence[Any]) -> Item:
    """What became of an envelope, as the inboxes of all who take it say."""
    if any(one.dead_at is not None and one.handled_at is None for one in found):
        return Item.DIED
    return Item.HANDLED if all(one.handled_at is not None for one in found) else Item.SENT


def _replay(row: Row[Any]) -> Replay:
    columns = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it.
    state, trail = State(columns.pop("state")), _trail.decode(columns.pop("trail"))
    return Replay(state=state, trail=trail, **columns)


def _entry(row: Row[Any]) -> Entry:
    columns = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it.
    state, source = Item(columns.pop("state")), Source(columns.pop("source"))
    return Entry(state=state, source=source, **columns)


def _encoded(trail: Sequence[Trace]) -> str:
    return msgspec.json.encode(trail).decode()
