"""A price book is believed whole or refused with everything that is wrong with it."""

from datetime import UTC, datetime
from importlib import resources
from typing import Any, cast

import pytest

from orderkeep.kernel.errors import Invalid
from orderkeep.quoting.price_book import example_book, read_price_book

TEXT = resources.files("orderkeep.quoting").joinpath("example_book.toml").read_text("utf-8")


def faults_of(text: str) -> dict[str, str]:
    with pytest.raises(Invalid) as refusal:
        read_price_book(text)
    return {fault.pointer: fault.code for fault in refusal.value.faults}


def test_the_shipped_book_is_an_example_with_the_promised_materials() -> None:
    book = example_book()

    assert book.label == "example"
    assert set(book.materials) == {
        "ag925", "au585_yellow", "au585_white", "au750_yellow", "pt950", "brass", "wax", "resin",
    }  # fmt: skip
    assert len(book.skus) >= 4
    assert all(sku.title.ru and sku.title.en for sku in book.skus.values())


def test_a_book_cannot_be_changed_after_it_was_read() -> None:
    book = example_book()

    with pytest.raises(TypeError):
        cast(dict[str, Any], book.materials)["ag925"] = book.materials["pt950"]


def test_every_fault_is_named_at_once() -> None:
    text = (
        TEXT.replace('vat = "0.22"', "vat = 0.22")
        .replace('label = "example"', 'labl = "example"')
        .replace('density = "10.36"', 'density = "heavy"')
        .replace('sprue = "0.15"', 'sprue = "-1"')
        .replace('kind = "printed"', 'kind = "knitted"', 1)
        .replace('material = "brass"', 'material = "bronze"')
    )

    assert faults_of(text) == {
        "/vat": "not_a_number",
        "/label": "missing",
        "/labl": "unknown",
        "/material/ag925/density": "not_a_number",
        "/casting/sprue": "out_of_range",
        "/material/wax/kind": "unknown_kind",
        "/sku/pendant-brass/material": "unknown_material",
    }


@pytest.mark.parametrize(
    "breaks",
    [
        '[[2, "0"]]',
        '[[1, "0"], [5, "0.1"], [5, "0.2"]]',
        '[[1, "0"], [9, "0.2"], [20, "0.1"]]',
        '[[1, "0"], [5, "1"]]',
        '[[1, "0"], [5, "NaN"]]',
        "[[1, 0.5]]",
        "[]",
        '"none"',
    ],
)
def test_breaks_rise_in_quantity_and_in_discount(breaks: str) -> None:
    lines = [f"breaks = {breaks}" if ln.startswith("breaks") else ln for ln in TEXT.splitlines()]

    assert set(faults_of("\n".join(lines))) == {"/breaks"}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-0.01", "1e999999", "٣", ""])
def test_a_strange_number_is_no_number(number: str) -> None:
    faults = faults_of(TEXT.replace('min_order = "3500.00"', f'min_order = "{number}"'))

    assert set(faults) == {"/min_order"}


def test_a_book_that_is_not_toml_says_so() -> None:
    assert faults_of("price = ") == {"": "not_toml"}


def test_an_empty_book_names_what_is_missing() -> None:
    assert set(faults_of("").values()) == {"missing"}


def test_a_book_covers_its_days_only() -> None:
    until = TEXT.replace('currency = "RUB"', 'currency = "RUB"\nvalid_to = 2026-02-01T00:00:00Z')
    book = read_price_book(until)

    assert book.covers(datetime(2026, 1, 31, tzinfo=UTC))
    assert not book.covers(datetime(2025, 12, 31, tzinfo=UTC))
    assert not book.covers(datetime(2026, 2, 1, tzinfo=UTC))


def test_a_book_ends_after_it_begins() -> None:
    text = TEXT.replace('currency = "RUB"', 'currency = "RUB"\nvalid_to = 2025-01-01T00:00:00Z')

    assert faults_of(text) == {"/valid_to": "out_of_order"}
