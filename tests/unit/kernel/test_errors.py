"""Errors: the family tells the caller what to do next."""

from datetime import timedelta

from orderkeep.kernel.errors import Conflict, Fault, Invalid, Refused, StaleOrder, Unavailable


def test_facts_travel_with_the_error() -> None:
    error = StaleOrder("It moved on.", version=7)

    assert isinstance(error, Conflict)
    assert (str(error), error.facts) == ("It moved on.", {"version": 7})


def test_what_is_unavailable_may_say_until_when() -> None:
    error = Unavailable("Busy.", retry_after=timedelta(seconds=3), queue=5)

    assert (error.retry_after, error.facts) == (timedelta(seconds=3), {"queue": 5})


def test_a_faulty_submission_names_all_its_faults() -> None:
    error = Invalid([Fault("/items", "missing", "Required."), Fault("/note", "long", "Too long.")])

    assert isinstance(error, Refused)
    assert str(error) == "/items: Required.; /note: Too long."
    assert [fault.code for fault in error.faults] == ["missing", "long"]
