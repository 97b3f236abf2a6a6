"""Where a source hands its orders over, and where the next look into its database begins."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orderkeep.intake.arrivals import arrival_of
from orderkeep.intake.mapping import read_sources
from orderkeep.intake.polling import Position, behind, decoded, encoded
from orderkeep.intake.roads import DatabaseRoad, QueueRoad
from orderkeep.intake.shadow import (
    Comparison,
    ShadowOrder,
    Verdict,
    compare_with_mes,
    compare_with_ours,
)
from orderkeep.kernel.errors import Invalid, Refused

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
KIND = {"*": {"client_ref": "a", "items": "b", "customer": "c"}}
QUEUE = {"exchange": "x", "keys": ["k"], "name": "q", "url": "amqp://u:secret@h/"}
DATABASE = {"url": "sqlite:///shop.db", "query": "SELECT 1", "cursor": "id", "overlap": 100}


def road(**given: Any) -> Any:
    table = {"shop": {"partner": "P", "messages": KIND, **given}}
    return read_sources(table, "orderkeep.toml")["shop"].road


def test_a_road_is_read_and_tells_nobody_its_password() -> None:
    queue, database = road(queue=QUEUE), road(database={**DATABASE, "overlap": "5m"})

    assert queue == QueueRoad("x", ("k",), "q", "amqp://u:secret@h/")
    assert "secret" not in repr(queue)
    assert isinstance(database, DatabaseRoad)
    assert (database.overlap, database.every) == (timedelta(minutes=5), timedelta(seconds=10))


@pytest.mark.parametrize(
    "given, place",
    [
        ({"queue": {**QUEUE, "keys": []}}, "queue.keys"),
        ({"queue": {"exchange": "x", "keys": ["k"]}}, "queue.name"),
        ({"queue": {**QUEUE, "url": "http://h"}}, "queue.url"),
        ({"queue": {**QUEUE, "prefetch": 3}}, "queue.prefetch"),
        ({"queue": QUEUE, "database": DATABASE}, "shop"),
        ({"database": {**DATABASE, "overlap": 0}}, "database.overlap"),
        ({"database": {**DATABASE, "overlap": "soon"}}, "database.overlap"),
        ({"database": {**DATABASE, "every": "0s"}}, "database.every"),
        ({"database": {**DATABASE, "cursor": "id; DROP"}}, "database.cursor"),
        ({"database": {**DATABASE, "url": "mysql://h/shop"}}, "database.url"),
        ({"within": "soon"}, "within"),
    ],
)
def test_a_wrong_road_is_named_by_its_place(given: dict[str, Any], place: str) -> None:
    with pytest.raises(Invalid) as wrong:
        road(**given)

    assert wrong.value.faults[0].pointer.endswith(place)


@pytest.mark.parametrize(
    "last, overlap, since",
    [
        (500, 100, 400),
        (NOON, HOUR, NOON - HOUR),
        ("2026-03-02 12:00:00", HOUR, "2026-03-02 11:00:00"),
        ("2026-03-02T12:00:00.250000", HOUR, "2026-03-02T11:00:00.250000"),
    ],
)
def test_a_look_begins_behind_the_last_row(
    last: Position, overlap: timedelta | int, since: Position
) -> None:
    assert behind(last, overlap) == since
    assert decoded(encoded(last)) == last


@pytest.mark.parametrize(
    "last, overlap", [(500, HOUR), (NOON, 100), ("yesterday", HOUR), ("2026-03-02", 5)]
)
def test_a_cursor_and_an_overlap_of_different_kinds_are_refused(
    last: Position, overlap: timedelta | int
) -> None:
    with pytest.raises(Refused):
        behind(last, overlap)


def test_two_long_ids_that_begin_alike_are_two_messages() -> None:
    long = "x" * 300

    one, other = (arrival_of("shop", long + end, b"{}", None) for end in "ab")

    assert one.message_id != other.message_id
    assert len(one.key) <= 255


def test_without_an_id_the_bytes_and_the_version_name_a_message() -> None:
    first, again = (arrival_of("shop", None, b"{}", "1") for _ in range(2))

    assert first == again
    assert first.message_id != arrival_of("shop", None, b"{}", "2").message_id
    assert first.message_id != arrival_of("shop", None, b"[]", "1").message_id


def seen(verdict: Verdict = Verdict.ACCEPT) -> ShadowOrder:
    return ShadowOrder(
        1, "shop", "S-1", "a" * 64, NOON, verdict, "no such piece", Comparison.WAITING, None, 0
    )


@pytest.mark.parametrize(
    "verdict, jobs, after, expected",
    [
        (Verdict.ACCEPT, ["J-1"], 0, Comparison.SAME),
        (Verdict.ACCEPT, ["J-1", "J-2"], 0, Comparison.DIFFERS),
        (Verdict.ACCEPT, [], 0.5, Comparison.WAITING),
        (Verdict.ACCEPT, [], 1, Comparison.MISSING),
        (Verdict.REFUSE, ["J-1"], 0, Comparison.DIFFERS),
        (Verdict.REFUSE, [], 0.5, Comparison.WAITING),
        (Verdict.REFUSE, [], 1, Comparison.SAME),
    ],
)
def test_what_we_would_do_is_put_beside_what_the_mes_shows(
    verdict: Verdict, jobs: list[str], after: float, expected: Comparison
) -> None:
    found = compare_with_mes(seen(verdict), jobs, HOUR, NOON + after * HOUR)

    assert found.state is expected
    assert found.mes_id == (jobs[0] if jobs else None)


def test_what_is_missing_is_looked_for_again_and_not_for_ever() -> None:
    early = compare_with_mes(seen(), [], HOUR, NOON + HOUR)
    late = compare_with_mes(seen(), [], HOUR, NOON + timedelta(days=8))

    assert early.look_at is not None
    assert late.look_at is None


@pytest.mark.parametrize(
    "body, state", [("a" * 64, Comparison.SAME), ("b" * 64, Comparison.DIFFERS)]
)
def test_an_order_that_came_by_another_road_is_compared_by_its_content(
    body: str, state: Comparison
) -> None:
    assert compare_with_ours(seen(), body).state is state
