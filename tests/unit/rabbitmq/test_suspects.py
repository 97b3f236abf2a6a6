"""A kind whose queue hangs waits, and is tried with one envelope."""

from datetime import timedelta

from orderkeep.adapters.rabbitmq.suspects import PROBING, Suspects


def test_who_was_not_answered_is_left_alone_and_the_others_are_not() -> None:
    suspects = Suspects()
    suspects.suspect("priced", now_s=10, rest_s=15)

    assert suspects.rest("priced", 24.9) == timedelta(seconds=15)
    assert suspects.rest("cancelled", 24.9) is None


def test_after_its_rest_one_is_tried_and_the_rest_waits_for_the_answer() -> None:
    suspects = Suspects()
    suspects.suspect("priced", now_s=10, rest_s=15)

    assert [suspects.rest("priced", 25) for _ in range(3)] == [None, PROBING, PROBING]

    suspects.suspect("priced", now_s=30, rest_s=15)
    assert suspects.rest("priced", 31) == timedelta(seconds=15)

    suspects.clear("priced")
    assert [suspects.rest("priced", 31) for _ in range(3)] == [None, None, None]
    assert not suspects.is_suspect("priced")


def test_a_try_that_was_cut_off_says_nothing_and_the_next_is_the_try() -> None:
    suspects = Suspects()
    suspects.suspect("priced", now_s=10, rest_s=15)
    assert suspects.rest("priced", 25) is None

    suspects.cut_off("priced")

    assert [suspects.rest("priced", 25) for _ in range(2)] == [None, PROBING]
    assert suspects.is_suspect("priced")


def test_on_a_new_connection_one_of_each_is_tried_at_once() -> None:
    suspects = Suspects()
    suspects.suspect("priced", now_s=10, rest_s=15)

    suspects.try_all()

    assert [suspects.rest("priced", 11) for _ in range(2)] == [None, PROBING]
