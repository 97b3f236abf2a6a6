"""From a measurement and a price book to a quote: an open formula, every line shown.

Amounts are rounded where the running sum is rounded, so that the lines add up to the total to the
cent and a larger piece or one more of them never costs less. Only what the measurement knows is
charged: machine time is part of the resin's rate until layers are measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Final, TypeVar

import msgspec

from orderkeep.kernel.errors import Refused
from orderkeep.quoting.measurement import KERNEL_VERSION, Finding, Manual, Measurement, Outcome
from orderkeep.quoting.price_book import Material, PriceBook, Sku

LEAST_MASS_G: Final = Decimal("0.05")
MOST_MASS_G: Final = Decimal(500)
MOST_POSITIONS: Final = 50

_EXACT: Final = Context(prec=50, rounding=ROUND_HALF_EVEN)
_CENT: Final = Decimal("0.01")
_MM3_PER_CM3: Final = Decimal(1000)
_MM2_PER_CM2: Final = Decimal(100)
_MINUTES: Final = Decimal(60)
_ZERO: Final = Decimal(0)

T = TypeVar("T")


class NotPriceable(Refused):
    """No machine price; ``findings`` tell why, in sentences for people."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__(" ".join(finding.message for finding in findings))
        self.findings = findings


class QuoteLine(msgspec.Struct, frozen=True):
    """One line of a quote; ``inputs`` are what its formula was fed, as texts."""

    code: str
    inputs: dict[str, str]
    amount: Decimal


class Quote(msgspec.Struct, frozen=True):
    """The price of one position: ``quantity`` pieces of one file or sku.

    ``total`` is what the client pays, VAT included, and exactly the sum of the lines. ``unit`` is
    the total shared among the pieces, rounded. ``mass_g`` is one finished piece. Decimals are
    strings on the wire. Good for ``validity_h`` hours from when it is given.
    """

    currency: str
    unit: Decimal
    total: Decimal
    lines: tuple[QuoteLine, ...]
    book_version: str
    kernel_version: str | None
    mass_g: Decimal
    volume_mm3: Decimal | None
    material: str
    quantity: int
    validity_h: int


class Item(msgspec.Struct, frozen=True):
    """What is asked for at one position: a model file in a material, or a ready-made piece."""

    quantity: int
    material: str | None = None
    sku: str | None = None
    engraving: str | None = None


class PricedOrder(msgspec.Struct, frozen=True):
    """Every position has its price; ``total`` is exactly the sum of the positions' totals.

    ``positions`` are in the order of the items. What is reckoned once an order (the top-up to the
    smallest order, VAT) is shared out: the top-up at the first position, VAT at each.
    """

    currency: str
    total: Decimal
    positions: tuple[Quote, ...]
    book_version: str
    validity_h: int


class PositionReason(msgspec.Struct, frozen=True):
    """Why a position (counted from 1) has no machine price."""

    position: int
    code: str
    message: str


class ManualReasons(msgspec.Struct, frozen=True):
    """The order needs a person, and why: the reasons of all positions, not only the first."""

    reasons: tuple[PositionReason, ...]


def price(
    book: PriceBook,
    measurement: Measurement,
    material: str,
    quantity: int,
    engraving: str | None = None,
) -> Quote:
    """Price one model file as an order of its own.

    Raises:
        NotPriceable: the material is not in the book, the volume is unknown, or the mass is
            that of no piece of jewellery.
    """
    item = Item(quantity, material=material, engraving=engraving)
    priced = quote_order([item], [measurement], book)
    if isinstance(priced, ManualReasons):
        raise NotPriceable(*(Finding(r.code, r.message) for r in priced.reasons))
    return priced.positions[0]


def quote_order(
    items: Sequence[Item], outcomes: Sequence[Outcome | None], book: PriceBook
) -> PricedOrder | ManualReasons:
    """Price an order as a whole: only when every position has a price.

    ``outcomes`` go with the items one by one: what measuring the file said, None for a sku.
    """
    with localcontext(_EXACT):
        bills: list[_Bill] = []
        reasons: list[PositionReason] = []
        for position, (item, outcome) in enumerate(zip(items, outcomes, strict=True), 1):
            try:
                bills.append(_bill(item, outcome, book))
            except NotPriceable as refusal:
                reasons += [PositionReason(position, f.code, f.message) for f in refusal.findings]
        if not 1 <= len(items) <= MOST_POSITIONS:
            message = f"An order has 1 to {MOST_POSITIONS} positions."
            reasons.append(PositionReason(0, "positions", message))
        return ManualReasons(tuple(reasons)) if reasons else _close(bills, book)


@dataclass
class _Bill:
    """The lines of one position as they grow; ``exact`` is the sum before rounding."""

    quantity: int
    material: str
    mass_g: Decimal
    volume_mm3: Decimal | None
    lines: list[QuoteLine] = field(default_factory=list)
    exact: Decimal = _ZERO

    @property
    def sum(self) -> Decimal:
        return _rounded(self.exact)

    def add(self, code: str, amount: Decimal, **inputs: object) -> Decimal:
        """Add a line; what it shows is how far the rounded running sum moves."""
        before = self.sum
        self.exact += amount
        shown = {name: _text(value) for name, value in inputs.items()}
        self.lines.append(QuoteLine(code, shown, self.sum - before))
        return amount


def _bill(item: Item, outcome: Outcome | None, book: PriceBook) -> _Bill:
    if not 1 <= item.quantity <= 1_000_000:
        raise NotPriceable(Finding("quantity", "The quantity must be from 1 to 1,000,000."))
    if item.sku is not None:
        return _ready_made(item, _known(book.skus, item.sku, "sku"), book)
    material = _known(book.materials, item.material or "", "material")
    return _made(item, _measured(outcome), material, book)


def _ready_made(item: Item, sku: Sku, book: PriceBook) -> _Bill:
    if item.material not in {None, sku.material}:
        raise NotPriceable(Finding("sku_material", "This piece is not made in that material."))
    bill = _Bill(item.quantity, sku.material, sku.mass_g, None)
    bill.add("catalogue", sku.price * item.quantity, sku=sku.code, price=sku.price)
    _engrave(bill, item, book)
    return bill


def _made(item: Item, measured: Measurement, material: Material, book: PriceBook) -> _Bill:
    volume_mm3 = measured.volume_mm3
    if volume_mm3 is None:
        raise NotPriceable(Finding("no_volume", "The volume of the model is not known."))
    volume_cm3 = volume_mm3 / _MM3_PER_CM3
    modelled_g = volume_cm3 * material.density_g_cm3
    if not LEAST_MASS_G <= modelled_g <= MOST_MASS_G:
        raise NotPriceable(_wrong_mass(modelled_g))
    mass_g = modelled_g * (1 - material.finish_loss)
    bill = _Bill(item.quantity, material.code, _rounded(mass_g), volume_mm3)
    if material.cast:
        metal = _add_metal(bill, modelled_g, material, book)
        shaped = _add_casting(bill, volume_cm3, book)
    else:
        metal, shaped = _ZERO, _add_print(bill, volume_cm3, material, book)
    finished = _add_finishing(bill, measured.area_mm2, material, book)
    _add_trade(bill, metal, shaped + finished + _engrave(bill, item, book), book)
    return bill


def _add_metal(bill: _Bill, modelled_g: Decimal, material: Material, book: PriceBook) -> Decimal:
    n, rate, casting = bill.quantity, material.rate_per_g, book.casting
    net_g = modelled_g * (1 - material.finish_loss)
    part_g = modelled_g * (1 + material.shrink) ** 3
    cast_g = part_g * (1 + casting.sprue)
    melted_g = cast_g * material.melt_loss
    filed_g = part_g * material.finish_loss * (1 - material.dust_recovery)
    marked = rate * (1 + book.trade.metal_markup)
    metal = bill.add("metal", n * net_g * marked, mass_g=net_g, rate_per_g=marked)
    metal += bill.add("metal_lost_in_casting", n * melted_g * marked, mass_g=melted_g)
    metal += bill.add("metal_lost_in_finishing", n * filed_g * marked, mass_g=filed_g)
    sprue_g = cast_g - part_g
    fee = n * sprue_g * rate * casting.refine_fee
    return metal + bill.add("refining", fee, mass_g=sprue_g, fee=casting.refine_fee)


def _add_casting(bill: _Bill, volume_cm3: Decimal, book: PriceBook) -> Decimal:
    n, casting = bill.quantity, book.casting
    resin_ml = volume_cm3 * (1 + casting.resin_waste)
    resin = bill.add(
        "resin", n * resin_ml * casting.resin_per_ml, resin_ml=resin_ml, per_ml=casting.resin_per_ml
    )
    share = volume_cm3 * (1 + casting.sprue) / (casting.flask_cm3 * casting.flask_fill)
    share = max(share, casting.flask_min_share)
    return resin + bill.add("flask", n * share * casting.flask_fee, share=share)


def _add_print(bill: _Bill, volume_cm3: Decimal, material: Material, book: PriceBook) -> Decimal:
    mass_g = volume_cm3 * material.density_g_cm3 * (1 + book.casting.resin_waste)
    amount = bill.quantity * mass_g * material.rate_per_g
    return bill.add("print", amount, mass_g=mass_g, rate_per_g=material.rate_per_g)


def _add_finishing(bill: _Bill, area_mm2: Decimal, material: Material, book: PriceBook) -> Decimal:
    work = book.work
    minutes = work.deburr_min + area_mm2 / _MM2_PER_CM2 * material.polish_min_per_cm2
    amount = bill.quantity * minutes / _MINUTES * work.labour_per_hour
    finish = bill.add("finishing", amount, minutes=minutes, area_mm2=area_mm2)
    return finish + bill.add("setup", work.setup_fee, fee=work.setup_fee)


def _engrave(bill: _Bill, item: Item, book: PriceBook) -> Decimal:
    if not item.engraving:
        return _ZERO
    fee = book.work.engraving_fee
    return bill.add("engraving", bill.quantity * fee, fee=fee)


def _add_trade(bill: _Bill, metal: Decimal, work: Decimal, book: PriceBook) -> None:
    trade = book.trade
    bill.add("metal_margin", metal * trade.metal_margin, share=trade.metal_margin)
    overhead = bill.add("overhead", work * trade.overhead, share=trade.overhead)
    margin = bill.add("margin", (work + overhead) * trade.margin, share=trade.margin)
    # Setup is paid once, so it is no part of what a further piece costs.
    once = book.work.setup_fee * (1 + trade.overhead) * (1 + trade.margin)
    piece = (work + overhead + margin - once) / bill.quantity
    if discounted := _discounted_pieces(bill.quantity, book):
        bill.add("quantity_break", -piece * discounted, per_piece=piece, pieces_off=discounted)


def _discounted_pieces(quantity: int, book: PriceBook) -> Decimal:
    """How many pieces the breaks take off.

    Only the pieces from a break on get its discount: with it on all, 20 would cost less than 19.
    """
    off = _ZERO
    ends = [b.quantity for b in book.breaks[1:]] + [quantity + 1]
    for step, end in zip(book.breaks, ends, strict=True):
        off += max(0, min(quantity + 1, end) - step.quantity) * step.discount
    return off


def _close(bills: Sequence[_Bill], book: PriceBook) -> PricedOrder:
    net = sum((bill.sum for bill in bills), _ZERO)
    if net < book.min_order:
        bills[0].add("minimum_order", book.min_order - net, minimum=book.min_order)
    _add_vat(bills, book)
    quotes = tuple(_quote(bill, book) for bill in bills)
    total = sum((quote.total for quote in quotes), _ZERO)
    return PricedOrder(book.currency, total, quotes, book.version, book.validity_h)


def _add_vat(bills: Sequence[_Bill], book: PriceBook) -> None:
    """VAT of the whole, shared so that the positions' parts add up to it to the cent."""
    net = told = _ZERO
    for bill in bills:
        bill.exact = own = bill.sum
        net += own
        share = _rounded(net * book.vat) - told
        told += share
        bill.add("vat", share, rate=book.vat, net=own)


def _quote(bill: _Bill, book: PriceBook) -> Quote:
    return Quote(
        currency=book.currency,
        unit=_rounded(bill.sum / bill.quantity),
        total=bill.sum,
        lines=tuple(bill.lines),
        book_version=book.version,
        kernel_version=KERNEL_VERSION if bill.volume_mm3 is not None else None,
        mass_g=bill.mass_g,
        volume_mm3=bill.volume_mm3,
        material=bill.material,
        quantity=bill.quantity,
        validity_h=book.validity_h,
    )


def _measured(outcome: Outcome | None) -> Measurement:
    if outcome is None:
        raise NotPriceable(Finding("not_measured", "The model file has not been measured."))
    if isinstance(outcome, Manual):
        raise NotPriceable(*outcome.reasons)
    return outcome


def _known(things: Mapping[str, T], code: str, kind: str) -> T:
    if code not in things:
        message = f"The price book has no such {kind}."
        raise NotPriceable(Finding(f"unknown_{kind}", message))
    return things[code]


def _wrong_mass(mass_g: Decimal) -> Finding:
    message = f"The piece would weigh {_text(mass_g)} g; the file may be in another unit."
    return Finding("scale", message)


def _rounded(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT)


def _text(value: object) -> str:
    """An input as people read it: no more digits than anybody needs to follow the sum."""
    if not isinstance(value, Decimal):
        return str(value)
    rounded = f"{value:.4f}".rstrip("0").rstrip(".")
    return rounded if rounded not in {"", "0", "-0"} or not value else f"{value:.4g}"
