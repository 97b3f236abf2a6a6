"""The price: an open formula, lines that add up, and never less for more."""

from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderkeep.quoting.measurement import Finding, Manual, Measurement
from orderkeep.quoting.price_book import PriceBook, example_book
from orderkeep.quoting.quote import (
    Item,
    ManualReasons,
    NotPriceable,
    PricedOrder,
    Quote,
    price,
    quote_order,
)

BOOK = example_book()
FREE = replace(BOOK, min_order=Decimal(0))
MATERIALS = sorted(BOOK.materials)

volumes = st.decimals("70", "20000", places=3)
areas = st.decimals("10", "9000", places=3)
quantities = st.integers(1, 400)
materials = st.sampled_from(MATERIALS)


def a_model(volume: str | Decimal = "348.5", area: str | Decimal = "690") -> Measurement:
    return Measurement(
        volume_mm3=Decimal(volume),
        signed_volume_mm3=Decimal(volume),
        area_mm2=Decimal(area),
        bbox_mm=(21.0, 21.0, 4.0),
        triangles=2000,
        closed=True,
        oriented=True,
        even=True,
        degenerate=0,
    )


def adds_up(quote: Quote) -> bool:
    return sum((line.amount for line in quote.lines), Decimal(0)) == quote.total


def test_a_silver_band_is_weighed_and_priced_line_by_line() -> None:
    quote = price(FREE, a_model(), "ag925", 1)

    lines = {line.code: line for line in quote.lines}
    # 348.5 mm3 * 10.36 g/cm3 * (1 - 8 %) finished; 130 a gram with 5 % on top.
    assert quote.mass_g == Decimal("3.32")
    assert lines["metal"].amount == Decimal("453.40")
    assert lines["metal"].inputs == {"mass_g": "3.3216", "rate_per_g": "136.5"}
    # 12 minutes and 2.2 for each of 6.9 cm2, at 1,400 an hour.
    assert lines["finishing"].amount in {Decimal("634.20"), Decimal("634.21")}
    assert lines["vat"].amount == (quote.total / Decimal("1.22") * Decimal("0.22")).quantize(
        Decimal("0.01")
    )
    assert [line.code for line in quote.lines][-1] == "vat"
    assert (quote.book_version, quote.validity_h) == ("example-2026.1", 72)


@given(volumes, areas, quantities, materials, st.sampled_from([None, "N."]))
def test_lines_add_up_to_the_cent(
    volume: Decimal, area: Decimal, quantity: int, material: str, engraving: str | None
) -> None:
    quote = price(BOOK, a_model(volume, area), material, quantity, engraving)

    assert adds_up(quote)
    assert quote.total == quote.total.quantize(Decimal("0.01"))
    assert abs(quote.unit * quantity - quote.total) <= Decimal("0.01") * quantity


@given(st.tuples(volumes, volumes), st.tuples(areas, areas), quantities, materials)
def test_more_metal_or_surface_never_costs_less(
    volume: tuple[Decimal, Decimal],
    area: tuple[Decimal, Decimal],
    quantity: int,
    material: str,
) -> None:
    small = price(FREE, a_model(min(volume), min(area)), material, quantity)
    large = price(FREE, a_model(max(volume), max(area)), material, quantity)

    assert small.total <= large.total


@given(volumes, areas, quantities, materials)
def test_one_more_piece_never_costs_less_and_a_piece_never_more(
    volume: Decimal, area: Decimal, quantity: int, material: str
) -> None:
    few = price(BOOK, a_model(volume, area), material, quantity)
    more = price(BOOK, a_model(volume, area), material, quantity + 1)

    assert few.total <= more.total
    assert more.unit <= few.unit + Decimal("0.01")  # Rounding a unit is worth a cent.


def test_a_small_order_is_topped_up_before_vat() -> None:
    quote = price(BOOK, a_model("100", "200"), "brass", 1)

    assert quote.total == Decimal("3500.00") * Decimal("1.22")
    assert "minimum_order" in [line.code for line in quote.lines]


@pytest.mark.parametrize("volume", ["0.5", "60000"])
def test_an_unlikely_mass_is_for_a_person(volume: str) -> None:
    with pytest.raises(NotPriceable) as refusal:
        price(BOOK, a_model(volume), "ag925", 1)

    assert [finding.code for finding in refusal.value.findings] == ["scale"]


def test_an_unknown_material_is_not_priced() -> None:
    with pytest.raises(NotPriceable, match="no such material"):
        price(BOOK, a_model(), "unobtainium", 1)


def test_without_a_volume_there_is_no_price() -> None:
    open_model = msgspec.structs.replace(a_model(), volume_mm3=None)

    with pytest.raises(NotPriceable):
        price(BOOK, open_model, "ag925", 1)


def test_a_quote_travels_as_texts_and_comes_back_the_same() -> None:
    quote = price(BOOK, a_model(), "au585_yellow", 3)

    wire = msgspec.json.encode(quote)

    assert msgspec.json.decode(wire, type=Quote) == quote
    plain = msgspec.json.decode(wire)
    assert isinstance(plain["total"], str)
    assert {type(line["amount"]) for line in plain["lines"]} == {str}


def an_order(*items: Item, book: PriceBook = BOOK) -> PricedOrder | ManualReasons:
    outcomes = [a_model() if item.sku is None else None for item in items]
    return quote_order(items, outcomes, book)


@given(
    st.lists(
        st.one_of(
            st.builds(Item, quantity=quantities, material=materials),
            st.builds(Item, quantity=quantities, sku=st.sampled_from(sorted(BOOK.skus))),
        ),
        min_size=1,
        max_size=50,
    )
)
def test_an_order_is_exactly_the_sum_of_its_positions(items: list[Item]) -> None:
    order = an_order(*items)

    assert isinstance(order, PricedOrder)
    assert len(order.positions) == len(items)
    assert all(adds_up(quote) for quote in order.positions)
    assert order.total == sum(quote.total for quote in order.positions)


def test_the_smallest_order_is_reckoned_once_for_all_positions() -> None:
    order = an_order(Item(1, sku="studs-ag"), Item(1, sku="pendant-brass"))

    assert isinstance(order, PricedOrder)
    assert order.total == Decimal(2400 + 1500) * Decimal("1.22")


def test_an_order_is_priced_only_when_every_position_is() -> None:
    broken = Manual((Finding("open", "The surface has gaps."),))
    items = [Item(1, material="ag925"), Item(1, material="ag925"), Item(1, sku="no-such")]

    order = quote_order(items, [a_model(), broken, None], BOOK)

    assert isinstance(order, ManualReasons)
    assert [(r.position, r.code) for r in order.reasons] == [(2, "open"), (3, "unknown_sku")]


def test_a_file_nobody_measured_is_not_priced() -> None:
    order = quote_order([Item(1, material="ag925")], [None], BOOK)

    assert isinstance(order, ManualReasons)
    assert order.reasons[0].code == "not_measured"


def test_a_ready_made_piece_is_not_made_in_another_material() -> None:
    order = quote_order([Item(1, sku="studs-ag", material="pt950")], [None], BOOK)

    assert isinstance(order, ManualReasons)
    assert order.reasons[0].code == "sku_material"


@pytest.mark.parametrize("count", [0, 51])
def test_an_order_has_one_to_fifty_positions(count: int) -> None:
    items = [Item(1, sku="studs-ag")] * count

    assert isinstance(quote_order(items, [None] * count, BOOK), ManualReasons)
