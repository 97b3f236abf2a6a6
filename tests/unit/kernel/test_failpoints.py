"""Failpoints: free when nobody looks, obeyed when a test does."""

from collections.abc import Iterator

import pytest

from orderkeep.kernel.failpoints import FAILPOINTS, failpoint, install, reach


@pytest.fixture(autouse=True)
def leave_none_behind() -> Iterator[None]:
    yield
    install(None)


def test_a_failpoint_is_listed_with_what_is_on_disk() -> None:
    name = failpoint("test.somewhere", "nothing is on disk")
    try:
        assert FAILPOINTS[name] == "nothing is on disk"
    finally:
        del FAILPOINTS[name]


def test_passing_one_does_nothing_without_a_handler() -> None:
    reach("test.nowhere")


def test_a_handler_hears_every_passage_until_it_is_removed() -> None:
    heard: list[str] = []
    install(heard.append)
    reach("a")
    reach("b")
    install(None)
    reach("c")

    assert heard == ["a", "b"]


def test_a_handler_may_kill() -> None:
    def kill(_name: str) -> None:
        raise SystemExit(9)

    install(kill)

    with pytest.raises(SystemExit):
        reach("a")
