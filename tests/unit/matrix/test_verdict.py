"""The judge of the fault matrix is strict: each way to break the promise is counted as itself."""

from collections import Counter

import pytest

from orderkeep.testing.matrix.verdict import Made, Shown, Verdict, judge

ARRIVED = Shown("MANUFACTURING_APPROVED", "confirmed", "hash")
WAITING = Shown("MANUFACTURING_APPROVED", "pending", "hash")
UNSURE = Shown("MANUFACTURING_APPROVED", "uncertain", "hash")
CALLED_OFF = Shown("MANUFACTURING_APPROVED", "confirmed", "hash", being_cancelled=True)
CANCELLED = Shown("CANCELLED", "recalled", "hash")
RECEIPT = {"ref-1": "OK-1"}


def made(times: int = 1, recalled: int = 0, body: str = "hash") -> Made:
    return Made(Counter({"OK-1": times}), Counter({"OK-1": recalled}), {"OK-1": body})


def broken(verdict: Verdict) -> list[str]:
    """What a verdict counts, apart from the orders themselves."""
    names = ("lost", "doubled", "false", "ghosts", "stuck", "changed", "uncertain")
    return [name for name in names if getattr(verdict, name)]


@pytest.mark.parametrize(
    "shown, at_the_mes, wrong",
    [
        (ARRIVED, made(), []),
        (CANCELLED, made(0), []),
        (CANCELLED, made(1, recalled=1), []),
        (None, made(), ["lost"]),
        (ARRIVED, made(2), ["doubled"]),
        (ARRIVED, made(0), ["false"]),
        (ARRIVED, made(1, recalled=1), ["false"]),
        (CANCELLED, made(), ["ghosts"]),
        (WAITING, made(0), ["stuck"]),
        (CALLED_OFF, made(1, recalled=1), ["stuck"]),
        (ARRIVED, made(body="another"), ["changed"]),
        (UNSURE, made(), ["stuck", "uncertain"]),
    ],
)
def test_each_way_to_break_the_promise_is_counted(
    shown: Shown | None, at_the_mes: Made, wrong: list[str]
) -> None:
    verdict = judge(RECEIPT, {"ref-1": shown}, at_the_mes)

    assert broken(verdict) == wrong
    assert verdict.broken == bool(wrong)


def test_what_cannot_be_asked_may_wait_for_a_person() -> None:
    verdict = judge(RECEIPT, {"ref-1": UNSURE}, made(), may_be_uncertain=True)

    assert broken(verdict) == ["uncertain"]
    assert not verdict.broken


def test_what_nobody_has_a_receipt_for_is_a_ghost() -> None:
    there = Made(Counter({"OK-1": 1, "OK-2": 1}))

    assert broken(judge(RECEIPT, {"ref-1": ARRIVED}, there)) == ["ghosts"]


def test_one_number_for_two_orders_is_wrong() -> None:
    receipts = {"ref-1": "OK-1", "ref-2": "OK-1"}

    assert judge(receipts, {"ref-1": ARRIVED, "ref-2": ARRIVED}, made()).wrong
