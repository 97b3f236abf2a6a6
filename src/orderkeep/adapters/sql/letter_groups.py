"""Dead letters where they lie, and their groups: counted by the database, however many there are.

What could not be handled lies in the inbox, what could not be read in quarantine. A fingerprint
says which of the two it is of, so that no group is in both.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    Table,
    and_,
    case,
    func,
    literal,
    null,
    select,
    true,
)

from orderkeep.adapters.sql.tables import inbox, letter_groups, parked_letters, quarantine
from orderkeep.delivery.dead_letters import TREND_DAYS, Group, Letter, Source, cause_of

DEAD = and_(inbox.c.dead_at.is_not(None), inbox.c.handled_at.is_(None))
KEPT = quarantine.c.settled_at.is_(None)
_PARKED = parked_letters.c.letter_row.is_not(None).label("parked")


class Place(NamedTuple):
    """Where dead letters of one source lie, and what stands in which column there."""

    source: Source
    table: Table
    there: ColumnElement[bool]
    first_at: ColumnElement[datetime]
    died_at: ColumnElement[datetime]
    order_key: ColumnElement[Any]
    kind: ColumnElement[Any]
    attempts: ColumnElement[int]
    replays: ColumnElement[int]

    @property
    def parked(self) -> ColumnElement[bool]:
        """Which of those that are parked is the row's own."""
        mine = parked_letters.c.letter_row == self.table.c.row
        return and_(parked_letters.c.source == self.source.value, mine)

    @property
    def all(self) -> FromClause:
        """Every row, beside who parked it, if anybody did."""
        return self.table.outerjoin(parked_letters, self.parked)


PLACES = (
    Place(
        Source.INBOX, inbox, DEAD, inbox.c.received_at, inbox.c.dead_at, inbox.c.order_key,
        inbox.c.kind, inbox.c.attempts, inbox.c.replays,
    ),
    Place(
        Source.QUARANTINE, quarantine, KEPT, quarantine.c.at, quarantine.c.at, null(), null(),
        literal(0), literal(0),
    ),
)  # fmt: skip


# --- letters --------------------------------------------------------------------------------------


def letters_in(place: Place) -> Select[Any]:
    """Letters that lie in a place, for a condition, an order and a limit of the caller's."""
    columns = place.table.c
    return (
        select(
            columns.row, columns.consumer, place.kind.label("kind"),
            place.order_key.label("order_key"), columns.message_id,
            place.first_at.label("first_at"), place.died_at.label("died_at"),
            place.attempts.label("attempts"), columns.why, columns.fingerprint,
            place.replays.label("replays"), _PARKED,
        )
        .select_from(place.all)
        .where(place.there)
    )  # fmt: skip


def members(
    fingerprint: str, *, parked: bool, cutoff: int | None = None
) -> Iterator[tuple[Place, ColumnElement[bool]]]:
    """By place, which letters are of a group."""
    for place in PLACES:
        mine = place.table.c.fingerprint == fingerprint
        aside = _PARKED if parked else ~_PARKED
        before = true() if cutoff is None else place.table.c.row <= cutoff
        yield place, and_(mine, aside, before)


def read(connection: Connection, place: Place, asked: Select[Any]) -> list[Letter]:
    """What a ``letters_in`` finds."""
    return [letter_of(place.source, row) for row in connection.execute(asked)]


def letter_of(source: Source, row: Row[Any]) -> Letter:
    """The letter in a row that begins with what ``letters_in`` asks for."""
    return Letter(
        source,
        row.row,
        row.consumer,
        row.kind,
        row.order_key,
        row.message_id,
        row.first_at,
        row.died_at,
        row.attempts,
        row.why or "",
        row.fingerprint,
        replays=row.replays,
        parked=bool(row.parked),
    )


# --- groups ---------------------------------------------------------------------------------------


def groups(connection: Connection, limit: int, fingerprint: str | None = None) -> list[Group]:
    """Groups by cause, the one that grew last first; what is parked stands apart."""
    found = [
        group for place in PLACES for group in _groups_in(connection, place, limit, fingerprint)
    ]
    return sorted(found, key=lambda group: group.last_at, reverse=True)[:limit]


def _groups_in(
    connection: Connection, place: Place, limit: int, fingerprint: str | None
) -> list[Group]:
    counted = connection.execute(_counted(place, fingerprint).limit(limit)).all()
    rows = [row.newest for row in counted]
    asked = letters_in(place).where(place.table.c.row.in_(rows))
    newest = {letter.row: letter for letter in read(connection, place, asked)} if rows else {}
    return [_group(row, newest[row.newest]) for row in counted]


def _counted(place: Place, fingerprint: str | None) -> Select[Any]:
    # By order first: to count different ones is a sort of all letters, and this is none.
    of = _lying(place, fingerprint)
    by_order = (
        select(
            of.fingerprint, of.parked, of.order_key, func.count().label("letters"),
            func.min(of.first_at).label("first_at"), func.max(of.died_at).label("last_at"),
            func.max(of.replays).label("replayed"), func.max(of.row).label("newest"),
        )
        .group_by(of.fingerprint, of.parked, of.order_key)
        .subquery()
    ).c  # fmt: skip
    last_at = func.max(by_order.last_at).label("last_at")
    return (
        select(
            by_order.fingerprint, by_order.parked, func.sum(by_order.letters).label("letters"),
            func.count(by_order.order_key).label("orders"),
            func.min(by_order.first_at).label("first_at"), last_at,
            func.max(by_order.replayed).label("replayed"),
            func.max(by_order.newest).label("newest"),
        )
        .group_by(by_order.fingerprint, by_order.parked)
        .order_by(last_at.desc())
    )  # fmt: skip


def _lying(place: Place, fingerprint: str | None = None) -> Any:
    """The columns that groups are counted by: all of them are in one index."""
    columns = place.table.c
    asked = select(
        columns.fingerprint, columns.row, _PARKED, place.order_key.label("order_key"),
        place.first_at.label("first_at"), place.died_at.label("died_at"),
        place.replays.label("replays"),
    ).select_from(place.all).where(place.there)  # fmt: skip
    if fingerprint is not None:
        asked = asked.where(columns.fingerprint == fingerprint)
    return asked.subquery().c


def _group(row: Row[Any], newest: Letter) -> Group:
    return Group(
        fingerprint=row.fingerprint,
        source=newest.source,
        consumer=newest.consumer,
        kind=newest.kind,
        cause=cause_of(newest.why),
        count=int(row.letters),
        orders=int(row.orders),
        first_at=row.first_at,
        last_at=row.last_at,
        parked=bool(row.parked),
        replayed=int(row.replayed),
        newest=row.newest,
    )


def unowned_since(connection: Connection) -> datetime | None:
    """When the oldest died that nobody has parked and whose group has no owner."""
    owned = select(letter_groups.c.fingerprint).where(letter_groups.c.owner != "")
    oldest = []
    for place in PLACES:
        of = _lying(place)
        nobodys = and_(~of.parked, of.fingerprint.not_in(owned))
        oldest.append(connection.execute(select(func.min(of.died_at)).where(nobodys)).scalar())
    return min((one for one in oldest if one is not None), default=None)


def trend(connection: Connection, now: datetime) -> Mapping[tuple[str, bool], Sequence[int]]:
    """How many died in each of the last days, the oldest first, by fingerprint and parked."""
    found: dict[tuple[str, bool], list[int]] = {}
    for place in PLACES:
        for row in connection.execute(_by_day(place, now)):
            days = found.setdefault((row.fingerprint, bool(row.parked)), [0] * TREND_DAYS)
            days[TREND_DAYS - 1 - row.ago] += int(row.died)
    return found


def _by_day(place: Place, now: datetime) -> Select[Any]:
    of = _lying(place)
    began = [(now - timedelta(days=ago + 1), ago) for ago in range(TREND_DAYS)]
    ago = case(*((of.died_at > at, days) for at, days in began)).label("ago")
    recent = select(of.fingerprint, of.parked, ago).where(of.died_at > began[-1][0]).subquery().c
    return select(
        recent.fingerprint, recent.parked, recent.ago, func.count().label("died")
    ).group_by(recent.fingerprint, recent.parked, recent.ago)
