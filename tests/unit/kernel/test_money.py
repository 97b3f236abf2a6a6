"""Money: exact, and never two currencies in one sum."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderkeep.kernel.money import CurrencyMismatch, Money

amounts = st.decimals(-(10**9), 10**9, places=2)


@given(one=amounts, other=amounts)
def test_sums_are_exact(one: Decimal, other: Decimal) -> None:
    assert (Money(one, "EUR") + Money(other, "EUR")).amount == one + other


@given(one=amounts, other=amounts)
def test_amounts_of_one_currency_compare(one: Decimal, other: Decimal) -> None:
    assert (Money(one, "EUR") < Money(other, "EUR")) == (one < other)
    assert (Money(one, "EUR") <= Money(other, "EUR")) == (one <= other)


def test_a_price_times_a_quantity_keeps_its_currency() -> None:
    assert Money(Decimal("129.50"), "EUR") * 3 == Money(Decimal("388.50"), "EUR")


def test_the_same_amount_in_another_currency_is_another_price() -> None:
    assert Money(Decimal(1), "EUR") != Money(Decimal(1), "USD")


def test_currencies_never_mix() -> None:
    euro, dollar = Money(Decimal(1), "EUR"), Money(Decimal(1), "USD")

    with pytest.raises(CurrencyMismatch):
        _ = euro + dollar
    with pytest.raises(CurrencyMismatch):
        _ = euro < dollar
    with pytest.raises(CurrencyMismatch):
        _ = euro <= dollar
