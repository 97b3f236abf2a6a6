"""The price book: dated rates in one TOML file a version, never edited after publication.

Numbers are strings, because a TOML float is not money. A faulty book is refused with every fault
listed, and a quote names the version it was made with.
"""

import itertools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

from orderkeep.kernel.errors import Fault, Invalid

SCHEMA: Final = 1
_MOST: Final = Decimal(1_000_000_000)


@dataclass(frozen=True, slots=True)
class Title:
    """What people call a thing."""

    ru: str
    en: str


@dataclass(frozen=True, slots=True)
class Material:
    """An alloy or a resin; ``cast`` ones are printed in wax first, then cast and finished.

    ``rate_per_g`` is the price of a gram. ``shrink`` is linear; the other shares are of mass:
    lost in the melt, in finishing, and won back from finishing's dust.
    """

    code: str
    title: Title
    cast: bool
    density_g_cm3: Decimal
    rate_per_g: Decimal
    shrink: Decimal = Decimal(0)
    melt_loss: Decimal = Decimal(0)
    finish_loss: Decimal = Decimal(0)
    dust_recovery: Decimal = Decimal(0)
    polish_min_per_cm2: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Sku:
    """A ready-made piece of the catalogue, at a price of its own (without VAT)."""

    code: str
    title: Title
    material: str
    price: Decimal
    mass_g: Decimal


@dataclass(frozen=True, slots=True)
class Casting:
    """What a casting costs besides its metal."""

    sprue: Decimal
    refine_fee: Decimal
    resin_per_ml: Decimal
    resin_waste: Decimal
    flask_fee: Decimal
    flask_cm3: Decimal
    flask_fill: Decimal
    flask_min_share: Decimal


@dataclass(frozen=True, slots=True)
class Work:
    """What hands cost."""

    labour_per_hour: Decimal
    deburr_min: Decimal
    engraving_fee: Decimal
    setup_fee: Decimal


@dataclass(frozen=True, slots=True)
class Trade:
    """What turns cost into a price."""

    metal_markup: Decimal
    metal_margin: Decimal
    overhead: Decimal
    margin: Decimal


@dataclass(frozen=True, slots=True)
class Break:
    """From this piece on, each further piece of the position costs that share less."""

    quantity: int
    discount: Decimal


@dataclass(frozen=True, slots=True)
class PriceBook:
    """One immutable version of everything a price is made of."""

    version: str
    label: str
    valid_from: datetime
    valid_to: datetime | None
    currency: str
    vat: Decimal
    min_order: Decimal
    validity_h: int
    casting: Casting
    work: Work
    trade: Trade
    breaks: tuple[Break, ...]
    materials: Mapping[str, Material]
    skus: Mapping[str, Sku]

    def covers(self, now: datetime) -> bool:
        """Whether quotes may be made from this version at an instant."""
        return self.valid_from <= now and (self.valid_to is None or now < self.valid_to)


def read_price_book(text: str) -> PriceBook:
    """Read a price book.

    Raises:
        Invalid: with every fault, each at its place in the file.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Invalid([Fault("", "not_toml", f"The price book is not TOML: {error}")]) from None
    faults: list[Fault] = []
    book = _book(_Table(document, "", faults))
    if faults:
        raise Invalid(faults)
    return book


def example_book() -> PriceBook:
    """The book of a fresh installation: invented rates, labelled "example"."""
    file = resources.files("orderkeep.quoting").joinpath("example_book.toml")
    return read_price_book(file.read_text("utf-8"))


class _Table:
    """One table of the file; what is wrong is noted, and reading goes on with a stand-in."""

    def __init__(self, values: Mapping[str, Any], pointer: str, faults: list[Fault]) -> None:
        self._values = values
        self._pointer = pointer
        self._faults = faults
        self._unread = set(values)

    def fault(self, name: str, code: str, message: str) -> None:
        self._faults.append(Fault(f"{self._pointer}/{name}", code, message))

    def take(self, name: str) -> Any:
        self._unread.discard(name)
        if name not in self._values:
            self.fault(name, "missing", "is missing")
        return self._values.get(name)

    def has(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str) -> str:
        value = self.take(name)
        if isinstance(value, str) and value.strip():
            return value
        if value is not None:
            self.fault(name, "not_text", "must be a text")
        return ""

    def number(self, name: str, low: str = "0", high: Decimal = _MOST) -> Decimal:
        """A decimal written as a string, within [low, high]."""
        value = self.take(name)
        number = None if value is None else _decimal(value)
        if number is None:
            if value is not None:
                self.fault(name, "not_a_number", 'must be a number in quotes, like "0.05"')
        elif not Decimal(low) <= number <= high:
            self.fault(name, "out_of_range", f"must be from {low} to {high}")
        else:
            return number
        return Decimal(1)

    def share(self, name: str) -> Decimal:
        """Part of a whole: from 0 to just below 1."""
        return self.number(name, high=Decimal("0.99"))

    def integer(self, name: str, low: int, high: int) -> int:
        value = self.take(name)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        if value is not None:
            self.fault(name, "not_an_integer", f"must be a whole number from {low} to {high}")
        return low

    def instant(self, name: str) -> datetime:
        value = self.take(name)
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(UTC)
        if value is not None:
            self.fault(name, "not_an_instant", "must be a date and time with an offset")
        return datetime.min.replace(tzinfo=UTC)

    def table(self, name: str) -> "_Table":
        value = self.take(name)
        if value is not None and not isinstance(value, dict):
            self.fault(name, "not_a_table", "must be a table")
            value = None
        # One fault for a missing table, not one for each of its fields.
        faults = self._faults if value is not None else []
        return _Table(value or {}, f"{self._pointer}/{name}", faults)

    def tables(self, name: str) -> "list[tuple[str, _Table]]":
        inner = self.table(name)
        return [(code, inner.table(code)) for code in inner._values]  # noqa: SLF001  # our own kind

    def done(self) -> None:
        for name in sorted(self._unread):
            self.fault(name, "unknown", "is not known here")


def _book(root: _Table) -> PriceBook:
    root.integer("schema", SCHEMA, SCHEMA)
    book = PriceBook(
        version=root.text("version"),
        label=root.text("label"),
        valid_from=root.instant("valid_from"),
        valid_to=root.instant("valid_to") if root.has("valid_to") else None,
        currency=_currency(root),
        vat=root.share("vat"),
        min_order=root.number("min_order"),
        validity_h=root.integer("validity_h", 1, 24 * 365),
        casting=_casting(root.table("casting")),
        work=_work(root.table("work")),
        trade=_trade(root.table("trade")),
        breaks=_breaks(root),
        materials=_by_code(_material(code, table) for code, table in root.tables("material")),
        skus=_by_code(_sku(code, table) for code, table in root.tables("sku")),
    )
    _check_whole(root, book)
    root.done()
    return book


def _check_whole(root: _Table, book: PriceBook) -> None:
    if book.valid_to is not None and book.valid_to <= book.valid_from:
        root.fault("valid_to", "out_of_order", "must be after valid_from")
    if root.has("material") and not book.materials:
        root.fault("material", "empty", "must name at least one material")
    for sku in book.skus.values():
        if sku.material and sku.material not in book.materials:
            root.fault(f"sku/{sku.code}/material", "unknown_material", "is not in this book")


def _currency(root: _Table) -> str:
    currency = root.text("currency")
    if currency and not (len(currency) == 3 and currency.isascii() and currency.isupper()):
        root.fault("currency", "not_a_currency", "must be three capital letters, like RUB")
    return currency


def _casting(table: _Table) -> Casting:
    casting = Casting(
        sprue=table.number("sprue", high=Decimal(5)),
        refine_fee=table.share("refine_fee"),
        resin_per_ml=table.number("resin_per_ml"),
        resin_waste=table.number("resin_waste", high=Decimal(5)),
        flask_fee=table.number("flask_fee"),
        flask_cm3=table.number("flask_cm3", low="1"),
        flask_fill=table.number("flask_fill", low="0.001", high=Decimal(1)),
        flask_min_share=table.number("flask_min_share", high=Decimal(1)),
    )
    table.done()
    return casting


def _work(table: _Table) -> Work:
    work = Work(
        labour_per_hour=table.number("labour_per_hour"),
        deburr_min=table.number("deburr_min"),
        engraving_fee=table.number("engraving_fee"),
        setup_fee=table.number("setup_fee"),
    )
    table.done()
    return work


def _trade(table: _Table) -> Trade:
    trade = Trade(
        metal_markup=table.number("metal_markup", high=Decimal(10)),
        metal_margin=table.number("metal_margin", high=Decimal(10)),
        overhead=table.number("overhead", high=Decimal(10)),
        margin=table.number("margin", high=Decimal(10)),
    )
    table.done()
    return trade


def _material(code: str, table: _Table) -> Material:
    kind = table.text("kind")
    if kind and kind not in {"cast", "printed"}:
        table.fault("kind", "unknown_kind", "must be cast or printed")
    title = _title(table)
    density = table.number("density", low="0.1", high=Decimal(30))
    rate = table.number("rate_per_g")
    polish = table.number("polish_min_per_cm2")
    if kind == "cast":
        losses = {
            "shrink": table.number("shrink", high=Decimal("0.2")),
            "melt_loss": table.share("melt_loss"),
            "finish_loss": table.share("finish_loss"),
            "dust_recovery": table.number("dust_recovery", high=Decimal(1)),
        }
    else:
        losses = {}
    table.done()
    return Material(code, title, kind == "cast", density, rate, polish_min_per_cm2=polish, **losses)


def _sku(code: str, table: _Table) -> Sku:
    sku = Sku(
        code=code,
        title=_title(table),
        material=table.text("material"),
        price=table.number("price", low="0.01"),
        mass_g=table.number("mass_g", low="0.001", high=Decimal(10_000)),
    )
    table.done()
    return sku


def _title(table: _Table) -> Title:
    return Title(ru=table.text("title_ru"), en=table.text("title_en"))


def _breaks(root: _Table) -> tuple[Break, ...]:
    raw = root.take("breaks")
    breaks = [_break(pair) for pair in raw] if isinstance(raw, list) else [None]
    known = [b for b in breaks if b is not None]
    if len(known) < len(breaks):
        if raw is not None:
            root.fault("breaks", "malformed", 'must be pairs like [5, "0.05"]')
    elif not _in_order(known):
        message = "must start at 1, and rise in quantity and in discount"
        root.fault("breaks", "out_of_order", message)
    return tuple(known)


def _break(pair: object) -> Break | None:
    match pair:
        case [int(quantity), str(text)] if quantity >= 1:
            discount = _decimal(text)
            if discount is not None and 0 <= discount < 1:
                return Break(quantity, discount)
    return None


def _in_order(breaks: Sequence[Break]) -> bool:
    steps = list(itertools.pairwise(breaks))
    rising = all(a.quantity < b.quantity and a.discount <= b.discount for a, b in steps)
    return bool(breaks) and breaks[0].quantity == 1 and rising


def _decimal(value: object) -> Decimal | None:
    if not (isinstance(value, str) and value.isascii() and len(value) <= 30):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _by_code(things: Any) -> Mapping[str, Any]:
    return MappingProxyType({thing.code: thing for thing in things})
