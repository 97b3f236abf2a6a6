"""Rights, passwords, sessions and keys, without a server."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderkeep.access.keys import Quota, key_hint, key_sha256, new_key, parse_quota
from orderkeep.access.people import check_person, masked
from orderkeep.access.rights import ACTION_RIGHTS, RIGHTS, NotAllowed, Role, may_act, require
from orderkeep.access.sessions import FailureCount, TooManyFailures
from orderkeep.adapters.passwords import Argon2Passwords
from orderkeep.kernel.errors import Invalid, Unavailable
from orderkeep.kernel.ids import Ids

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
WINDOW = timedelta(minutes=15)


def quick_passwords(waiting: int = 64) -> Argon2Passwords:
    return Argon2Passwords(time_cost=1, memory_kib=64, waiting=waiting)


def test_every_action_needs_a_right_that_somebody_has() -> None:
    given_out = frozenset().union(*RIGHTS.values())

    assert set(ACTION_RIGHTS.values()) <= given_out


def test_an_admin_may_whatever_anybody_may() -> None:
    for role in Role:
        for action in ACTION_RIGHTS:
            if may_act(role, action, own_hold=True):
                assert may_act(Role.ADMIN, action, own_hold=True)


def test_only_an_admin_manages_people_and_keys() -> None:
    for right in ("people.manage", "partners.manage"):
        assert [role for role in Role if right in RIGHTS[role]] == [Role.ADMIN]


def test_a_missing_right_is_named() -> None:
    with pytest.raises(NotAllowed) as refused:
        require(Role.OPERATOR, "order.approve")

    assert refused.value.facts == {"right": "order.approve"}


@given(st.text(max_size=60))
def test_a_masked_name_tells_first_letters_and_nothing_else(name: str) -> None:
    words = name.split()

    assert masked(name) == " ".join(word[0] + "•••" for word in words)


def test_all_faults_of_a_person_come_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        check_person("Anna!", " ", "king", "fr")

    pointers = [fault.pointer for fault in refused.value.faults]
    assert pointers == ["/login", "/name", "/role", "/locale"]


def test_ten_failures_shut_a_key_out_until_the_window_ends() -> None:
    failures = FailureCount(10, WINDOW)
    for _ in range(10):
        failures.check("anna", NOON)
        failures.failed("anna", NOON)

    with pytest.raises(TooManyFailures) as shut:
        failures.check("anna", NOON + timedelta(minutes=5))
    failures.check("oleg", NOON)
    failures.check("anna", NOON + WINDOW)

    assert shut.value.retry_after == timedelta(minutes=10)


def test_a_success_forgets_the_failures_before_it() -> None:
    failures = FailureCount(2, WINDOW)
    failures.failed("anna", NOON)
    failures.succeeded("anna")
    failures.failed("anna", NOON)

    failures.check("anna", NOON)


def test_counting_failures_takes_no_more_memory_than_it_may() -> None:
    failures = FailureCount(10, WINDOW, keys=100)
    for n in range(1000):
        failures.failed(f"login-{n}", NOON)

    assert len(failures._failures) == 100


async def test_a_hash_fits_its_password_and_no_other() -> None:
    passwords = quick_passwords()
    hashed = await passwords.hash("correct horse")

    assert await passwords.verify(hashed, "correct horse")
    assert not await passwords.verify(hashed, "correct hors")
    assert not await passwords.verify("not a hash", "correct horse")
    assert not await passwords.verify(None, "nobody's password")
    assert "correct" not in hashed


async def test_more_sign_ins_than_may_wait_are_sent_away() -> None:
    passwords = quick_passwords(waiting=-2)

    with pytest.raises(Unavailable):
        await passwords.verify(None, "anything")


def test_a_key_is_long_random_and_told_apart_by_its_beginning() -> None:
    first, second = new_key(Ids()), new_key(Ids())

    assert len(first) == 47
    assert first != second
    assert first.startswith(key_hint(first))
    assert len(key_hint(first)) < 12
    assert len(key_sha256(first)) == 64


@pytest.mark.parametrize(
    "text, quota",
    [("20/s", Quota(20, 1)), ("100/min", Quota(100, 60)), ("5000/h", Quota(5000, 3600))],
)
def test_quotas_are_written_as_people_say_them(text: str, quota: Quota) -> None:
    assert parse_quota(text) == quota


@pytest.mark.parametrize("text", ["", "0/s", "5", "5/day", "-1/s", "1.5/s", "5 / s / s"])
def test_other_quotas_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_quota(text)
