"""What a benchmark prints is only as good as its arithmetic."""

import asyncio
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import count

import msgspec
import pytest

from orderkeep.bench import knocker
from orderkeep.bench.accept import COMPARED_AT, Line, Submissions, _ratios
from orderkeep.bench.board import FLAT, Size, Timed, _doubles, _flat
from orderkeep.bench.browsing import _compared, _middle_half
from orderkeep.bench.door import BODY_BYTES, order_body, tetrahedron
from orderkeep.bench.knocker import BUSY, CREATED, MARK, Crowd, Knocking, Refused, is_whole, knock
from orderkeep.bench.load import NothingMeasured, Sample, closed_loop, middle, percentile, sample
from orderkeep.kernel.ids import order_no

RECEIPT = CREATED + b"Created\r\nContent-Length: 2\r\n\r\n{}"
NOT_NOW = BUSY + b"Busy\r\nContent-Length: 2\r\n\r\n{}"


def a_sample(per_s: float, p50_ms: float = 1.0, cpu_us: float | None = None) -> Sample:
    return Sample(per_s, p50_ms, p99_ms=2.0, requests=10, cpu_us=cpu_us)


def test_a_sample_counts_and_orders_what_it_was_given() -> None:
    took = [0.004, 0.001, 0.003, 0.002]

    assert sample(took, elapsed=2.0) == Sample(per_s=2.0, p50_ms=3.0, p99_ms=4.0, requests=4)


@pytest.mark.parametrize("share, value", [(0.0, 1.0), (0.5, 51.0), (0.99, 100.0), (1.0, 100.0)])
def test_a_percentile_is_one_of_the_values(share: float, value: float) -> None:
    assert percentile([float(n) for n in range(1, 101)], share) == value


def test_the_middle_of_rounds_is_not_moved_by_one_bad_round() -> None:
    rounds = [a_sample(100, cpu_us=5.0), a_sample(3, p50_ms=90.0), a_sample(110, cpu_us=7.0)]

    assert middle(rounds) == Sample(100, 1.0, 2.0, requests=30, cpu_us=6.0)


async def test_every_client_asks_again_only_when_it_was_answered() -> None:
    asking: Counter[str] = Counter()

    async def request() -> None:
        asking["now"] += 1
        asking["most"] = max(asking["most"], asking["now"])
        asking["all"] += 1
        await asyncio.sleep(0)  # Nobody waits: the others have their turn.
        asking["now"] -= 1

    measured = await closed_loop(request, clients=3, seconds=0.01)

    assert measured.requests == asking["all"] >= 3
    assert asking["most"] == 3


def test_a_ratio_says_whether_its_target_is_met_at_the_compared_number_of_clients() -> None:
    lines = [
        Line("store", COMPARED_AT, a_sample(250)),
        Line("store", 1, a_sample(1)),
        Line("orm", COMPARED_AT, a_sample(20)),
    ]

    found = {ratio.name: (ratio.value, ratio.met) for ratio in _ratios(a_sample(100), lines)}

    assert found == {
        "store / disk at 64": (2.5, True),
        "store / orm at 64": (12.5, False),
    }


def a_size(rows: int, **p50_ms: float) -> Size:
    reads = [Timed(what.replace("_", " "), a_sample(1, one)) for what, one in p50_ms.items()]
    return Size(rows, 0.0, 0, reads, [])


def test_only_first_pages_have_to_stay_flat() -> None:
    few = a_size(100, first_page=1.0, counts=1.0)
    many = a_size(1000, first_page=FLAT + 0.1, counts=9.0)

    assert [(one.what, one.met) for one in _flat(few, many)] == [
        ("first page", False),
        ("counts", True),
    ]


def test_an_order_told_to_two_operators_is_a_double_claim() -> None:
    one, two = order_no(1), order_no(2)

    assert _doubles([one, two], in_events=2) == 0
    assert _doubles([one, one], in_events=1) == 1
    assert _doubles([one, two], in_events=1) == 1


def test_the_middle_half_leaves_out_what_lies_far_away() -> None:
    assert _middle_half([0.04004]) == (0.04, 0.04)
    assert _middle_half([-9.0, 0.01, 0.02, 0.03, 9.0]) == (0.01, 0.03)


def test_a_pair_is_compared_with_itself_and_the_middle_pair_is_told() -> None:
    """The machine was twice as slow during the second pair, and stood still for the third."""
    quiet = a_sample(500, cpu_us=200.0)
    busier = [a_sample(500, cpu_us=cpu_us) for cpu_us in (220.0, 230.0, 900.0)]
    alone = [(quiet, a_sample(1000)), (quiet, a_sample(500)), (quiet, a_sample(1000))]
    full = [a_sample(per_s) for per_s in (980, 480, 10)]

    lost, spread, cpu_more = _compared(alone, list(zip(busier, full, strict=True)))

    assert lost == 0.04  # of 0.02, 0.04 and 0.99; the ratio of the medians would be 0.52.
    assert spread == (0.03, 0.515)
    assert cpu_more == 0.015  # 500 a second, each 30 us dearer.


def test_a_round_without_its_partner_is_no_pair() -> None:
    one = (a_sample(1), a_sample(1))

    with pytest.raises(ValueError, match="zip"):
        _compared([one, one], [one])


def test_without_an_answer_nothing_was_measured() -> None:
    with pytest.raises(NothingMeasured, match=r"no answer came in 2\.0 s"):
        sample([], elapsed=2.0)


Answer = Callable[[asyncio.StreamWriter], None]


async def knocked_at(answer: Answer, clients: int = 2, *, bears_refusals: bool = False) -> Sample:
    """Let clients knock for a moment at a server that answers each request in its own way."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"}"):
                answer(writer)

    body = msgspec.json.encode({"client_ref": MARK}).decode()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        wanted = Knocking(
            port, "key", body, "abc", clients, seconds=0.1, bears_refusals=bears_refusals
        )
        return await knock(wanted)


async def test_a_connection_that_lasts_until_the_end_is_no_fault() -> None:
    measured = await knocked_at(lambda writer: writer.write(RECEIPT))

    assert measured.requests >= 2


async def test_a_connection_lost_early_is_a_fault() -> None:
    """It counted as done: the rate of those who were left was told as everybody's."""
    answers = count(1)

    def hang_up_on_the_fifth(writer: asyncio.StreamWriter) -> None:
        writer.write(RECEIPT) if next(answers) != 5 else writer.close()

    with pytest.raises(Refused, match="a connection was lost"):
        await knocked_at(hang_up_on_the_fifth)


@pytest.mark.parametrize("again_s", [0.0, 0.2], ids=["comes again", "has no time left"])
async def test_who_bears_refusals_counts_them_and_comes_again(
    monkeypatch: pytest.MonkeyPatch, again_s: float
) -> None:
    monkeypatch.setattr(knocker, "AGAIN_S", again_s)
    answers = count(1)

    def refuse_every_other(writer: asyncio.StreamWriter) -> None:
        writer.write(RECEIPT if next(answers) % 2 else NOT_NOW)

    measured = await knocked_at(refuse_every_other, bears_refusals=True)
    told = next(answers) - 1

    assert measured.refused > 0
    assert measured.requests + measured.refused == told


def test_no_two_orders_of_the_load_are_alike() -> None:
    fresh = Submissions()
    first, second = fresh.next(), fresh.next()
    crowd = Crowd(Knocking(1, "key", order_body("file"), "abc", clients=1, seconds=1.0))

    assert first.key != second.key
    assert first.client_ref != second.client_ref
    assert crowd.request() != crowd.request()
    assert MARK.encode() not in crowd.request()


def test_an_order_of_the_load_is_as_long_as_said() -> None:
    body = order_body("f" * 26)

    assert len(body) == BODY_BYTES
    assert msgspec.json.decode(body)["items"][0]["file_id"] == "f" * 26


def test_an_answeris_whole_when_its_length_says_so() -> None:
    head = CREATED + b"Created\r\nContent-Length: 2\r\n\r\n"

    assert [is_whole(part) for part in (head[:-2], head, head + b"{", head + b"{}")] == [
        False, False, False, True,
    ]  # fmt: skip


def test_the_file_of_the_load_has_the_four_faces_it_announces() -> None:
    stl = tetrahedron()

    assert struct.unpack_from("<I", stl, 80) == (4,)
    assert len(stl) == 84 + 4 * 50
