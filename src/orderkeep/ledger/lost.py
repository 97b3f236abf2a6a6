"""Orders that another system lost or still holds: read from a table, row by row, all or nothing.

Whatever is not exactly as it must be is named by its line, and then nothing is imported: half a
list would hide the other half.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

import msgspec

from orderkeep.kernel.errors import Fault, Invalid

MAX_ROWS: Final = 50_000
MAX_BYTES: Final = 16 * 1024 * 1024
LONGEST: Final = 400
FAULTS_TOLD: Final = 100

COLUMNS: Final[Mapping[str, frozenset[str]]] = {
    "number": frozenset({"number", "order", "order_no", "client_ref", "номер", "номер заказа"}),
    "ordered_at": frozenset({"ordered_at", "date", "created", "дата", "дата заказа"}),
    "partner": frozenset({"partner", "shop", "партнёр", "партнер", "магазин"}),
    "customer": frozenset({"customer", "client", "клиент", "покупатель"}),
    "what": frozenset({"what", "items", "product", "что", "изделие", "состав"}),
    "status": frozenset({"status", "state", "статус", "состояние"}),
    "mes_number": frozenset({"mes_number", "mes", "номер в mes", "номер mes", "наряд"}),
    "note": frozenset({"note", "comment", "примечание", "комментарий"}),
}
"""What a table may call its columns; other columns are left out, and named."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_DATES = ("%Y-%m-%d", "%d.%m.%Y", "%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S")


class LostOrder(msgspec.Struct, frozen=True, omit_defaults=True):
    """One order as the other system has it; ``number`` is what that system calls it."""

    number: str
    ordered_at: str | None = None
    """The day, as ``2026-03-02``."""
    partner: str | None = None
    customer: str | None = None
    what: str | None = None
    status: str | None = None
    mes_number: str | None = None
    note: str | None = None


class Table(msgspec.Struct, frozen=True):
    """A whole table that may be imported."""

    rows: Sequence[LostOrder]
    ignored: Sequence[str]
    """Columns that were left out."""


def read_csv(content: bytes) -> Table:
    """Read a CSV: with a heading; commas, semicolons or tabs; UTF-8 or Windows-1251.

    Raises:
        Invalid: with a fault for every line that is not as it must be; nothing may be imported.
    """
    if len(content) > MAX_BYTES:
        raise Invalid([Fault("/0", "too-large", f"more than {MAX_BYTES} bytes")])
    reader = csv.reader(io.StringIO(_decoded(content), newline=""), _dialect(_decoded(content)))
    try:
        heading = next(reader, [])
        lines = [(reader.line_num, line) for line in reader if any(cell.strip() for cell in line)]
    except csv.Error as error:
        raise Invalid([Fault(f"/{reader.line_num}", "malformed", str(error))]) from error
    return _table(heading, lines)


def read_rows(rows: Iterable[Mapping[str, Any]]) -> Table:
    """The same from a database's rows; the first of them is line 1.

    Raises:
        Invalid: as above.
    """
    found = list(rows)
    heading = list(found[0]) if found else ["number"]
    lines = [(n, [_text(row.get(name)) for name in heading]) for n, row in enumerate(found, 1)]
    return _table(heading, lines)


def _table(heading: Sequence[str], lines: Sequence[tuple[int, Sequence[str]]]) -> Table:
    places, ignored = _places(heading)
    if "number" not in places.values():
        known = ", ".join(sorted(COLUMNS["number"]))
        raise Invalid([Fault("/1/number", "missing", f"no column is called one of: {known}")])
    if len(lines) > MAX_ROWS:
        raise Invalid([Fault("/0", "too-long", f"more than {MAX_ROWS} rows")])
    faults: list[Fault] = []
    rows: dict[str, LostOrder] = {}
    for line, cells in lines:
        row = _row(line, cells, places, len(heading), faults)
        if row is None:
            continue
        if rows.setdefault(row.number, row) != row:
            faults.append(Fault(f"/{line}/number", "twice", "this number has other content above"))
    if faults:
        raise Invalid(faults[:FAULTS_TOLD])
    return Table(list(rows.values()), ignored)


def _places(heading: Sequence[str]) -> tuple[dict[int, str], list[str]]:
    places: dict[int, str] = {}
    ignored: list[str] = []
    for place, said in enumerate(heading):
        word = said.strip().casefold()
        name = next((name for name, words in COLUMNS.items() if word in words), None)
        if name is None or name in places.values():
            ignored += [said.strip()[:80]] if word else []
        else:
            places[place] = name
    return places, ignored


def _row(
    line: int,
    cells: Sequence[str],
    places: Mapping[int, str],
    width: int,
    faults: list[Fault],
) -> LostOrder | None:
    if len(cells) > width:
        faults.append(Fault(f"/{line}", "too-many-cells", f"{len(cells)} cells, {width} columns"))
        return None
    told = {name: cells[place].strip() for place, name in places.items() if place < len(cells)}
    wrong = list(_wrong(line, told))
    faults += wrong
    if wrong:
        return None
    day = _day(told.pop("ordered_at", ""))
    kept = {name: value for name, value in told.items() if value}
    return LostOrder(ordered_at=day.isoformat() if day else None, **kept)


def _wrong(line: int, told: Mapping[str, str]) -> Iterator[Fault]:
    if not told.get("number"):
        yield Fault(f"/{line}/number", "missing", "every order needs its number")
    if len(told.get("number", "")) > 200:
        yield Fault(f"/{line}/number", "too-long", "at most 200 characters")
    for name, value in told.items():
        if len(value) > LONGEST:
            yield Fault(f"/{line}/{name}", "too-long", f"at most {LONGEST} characters")
        if _CONTROL.search(value):
            yield Fault(f"/{line}/{name}", "control-character", "a character that nobody can see")
    day = told.get("ordered_at", "")
    if day and _day(day) is None:
        message = "a day such as 2026-03-02 or 02.03.2026"
        yield Fault(f"/{line}/ordered_at", "no-date", message)


def _day(text: str) -> date | None:
    try:
        return datetime.fromisoformat(text).date()
    except ValueError:
        pass
    for shape in _DATES:
        try:
            return datetime.strptime(text, shape).date()  # noqa: DTZ007  # Only the day is kept.
        except ValueError:
            continue
    return None


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, date) else str(value)


def _decoded(content: bytes) -> str:
    """UTF-8, or what a Russian Excel writes."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1251", errors="replace")


def _dialect(text: str) -> type[csv.Dialect]:
    heading = text.partition("\n")[0]
    found = max(",;\t", key=heading.count)

    class Found(csv.excel):
        delimiter = found
        strict = True

    return Found
