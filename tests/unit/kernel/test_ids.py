"""Identities: numbers that people can read over the telephone, ids that sort by time."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orderkeep.kernel.ids import Ids, order_n, order_no, order_no_of, uuid7, work_order_ref

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
numbers = st.integers(1, 10**12)
bits = st.integers(0, 2**74 - 1)


def test_the_first_order_looks_like_this() -> None:
    assert order_no(1) == "OK-000013"


@given(n=numbers)
def test_an_order_number_means_its_order(n: int) -> None:
    assert order_n(order_no(n)) == n


@given(n=numbers)
def test_people_may_leave_out_the_prefix_and_write_small(n: int) -> None:
    number = order_no(n)

    assert order_n(f"  {number.lower()} ") == n
    assert order_n(number.removeprefix("OK-")) == n


@given(n=numbers, data=st.data())
def test_one_digit_misread_is_refused(n: int, data: st.DataObject) -> None:
    digits = order_no(n).removeprefix("OK-")
    at = data.draw(st.integers(0, len(digits) - 1))
    wrong = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != digits[at]]))

    assert order_n(digits[:at] + wrong + digits[at + 1 :]) is None


@given(n=numbers, data=st.data())
def test_neighbours_swapped_are_refused(n: int, data: st.DataObject) -> None:
    digits = order_no(n).removeprefix("OK-")
    swaps = [i for i in range(len(digits) - 1) if digits[i] != digits[i + 1]]
    assume(swaps)  # In a number of equal digits there is nothing to swap.
    at = data.draw(st.sampled_from(swaps))

    swapped = digits[:at] + digits[at + 1] + digits[at] + digits[at + 2 :]

    assert order_n(swapped) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "OK-",
        "OK-00001",
        "OK-000000",
        "OK-00001З",
        "OK-٠٠٠٠١٣",
        "OK-0000 13",
        "-00013",
        "OK-0000013",  # the same order under a second name
        "OK-" + "9" * 40,
        "OK-000013/2",
    ],
)
def test_what_is_no_order_number_means_no_order(text: str) -> None:
    assert order_n(text) is None


@given(text=st.text(max_size=30))
def test_any_text_is_answered(text: str) -> None:
    n = order_n(text)

    assert n is None or order_no(n).removeprefix("OK-") in text.upper()


@given(n=numbers, generation=st.integers(1, 99))
def test_a_work_order_names_its_order(n: int, generation: int) -> None:
    assert order_no_of(work_order_ref(order_no(n), generation)) == order_no(n)


def test_the_first_work_order_is_called_as_its_order_and_later_ones_count() -> None:
    assert work_order_ref(order_no(1), 1) == "OK-000013"
    assert work_order_ref(order_no(1), 2) == "OK-000013/2"


@given(random_bits=bits)
def test_envelope_ids_are_uuids_of_version_7(random_bits: int) -> None:
    made = UUID(uuid7(NOON, random_bits))

    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert made.int >> 80 == int(NOON.timestamp() * 1000)


@given(earlier=bits, later=bits, ms=st.integers(1, 10**12))
def test_a_later_id_sorts_after_an_earlier_one(earlier: int, later: int, ms: int) -> None:
    assert uuid7(NOON, earlier) < uuid7(NOON + timedelta(milliseconds=ms), later)


@given(one=bits, other=bits)
def test_no_random_bit_is_lost(one: int, other: int) -> None:
    assert (uuid7(NOON, one) == uuid7(NOON, other)) == (one == other)


def test_fresh_ids_and_tokens_differ() -> None:
    ids = Ids()

    assert len({ids.envelope_id(NOON) for _ in range(1000)}) == 1000
    assert len({ids.token() for _ in range(1000)}) == 1000
    assert len(ids.token()) == 26
    assert ids.token().isalnum()
