"""What the HTTP adapter concludes from a MES's answer, beside what the MES really did."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from orderkeep.adapters.mes_http import MesHttp, MesHttpSettings
from orderkeep.bridge.ports import (
    Capabilities,
    MesJob,
    MesOutcomeUnknown,
    MesRejected,
    MesUnavailable,
    RecallRefused,
    WorkOrder,
)
from orderkeep.bridge.tray import Unknown
from orderkeep.kernel.errors import OrderkeepError
from orderkeep.kernel.ids import order_no, order_no_of, work_order_ref
from orderkeep.testing.practice_mes import PracticeMesProcess

NUMBERS = itertools.count(1)
ABLE = Capabilities(
    idempotency="none", lookup=True, recall=True, listing=True, visibility_lag=timedelta(0)
)
SOON = timedelta(seconds=1)
"""How long we wait for what never comes; whatever comes does so earlier, also on a busy machine."""
LATE = f"seconds={6 * SOON.total_seconds():g}"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PracticeMesProcess]:
    with PracticeMesProcess(tmp_path_factory.mktemp("mes") / "journal.jsonl") as process:
        yield process


@pytest.fixture
def far_side(running: PracticeMesProcess) -> PracticeMesProcess:
    running.behave()
    return running


def an_order(**position: Any) -> WorkOrder:
    reference = work_order_ref(order_no(next(NUMBERS)), 1)
    ring = {"position": 1, "material": "ag925", "quantity": 1, "file_id": "f1", **position}
    return WorkOrder(reference, order_no_of(reference), [ring], None, "1" * 64)


def mes_at(address: str, idempotency: str = "none", **settings: Any) -> MesHttp:
    able = replace(ABLE, idempotency=idempotency)
    return MesHttp(
        MesHttpSettings(
            base_url=address,
            **{"capabilities": able, "read_timeout": timedelta(seconds=30), **settings},
        )
    )


def patience(fault: str) -> timedelta:
    """No answer is given up that is only slow to come."""
    return SOON if fault.startswith(("hang", "delay", "stall")) else timedelta(seconds=30)


# --- Every fault, told by the adapter and by the journal -------------------------------------

UNCERTAIN = [
    ("500-before", 0), ("500-after", 1), ("502-before", 0), ("502-after", 1),
    ("503-before", 0), ("503-after", 1), ("hang-before", 0), ("hang-after", 1),
    ("reset-before", 0), ("reset-after", 1), ("garbage-before", 0), ("garbage-after", 1),
    ("bad-json-before", 0), ("bad-json-after", 1), ("truncated-before", 0),
    ("truncated-after", 1), ("html-before", 0), ("html-after", 1), ("redirect-before", 0),
    ("redirect-after", 1), ("huge-before", 0), ("huge-after", 1), ("wrong-id", 1),
    ("wrong-ref", 1), ("no-id", 1), (f"delay-after:{LATE}", 1),
]  # fmt: skip


@pytest.mark.parametrize("fault, effects", UNCERTAIN)
async def test_an_answer_that_proves_nothing_is_uncertain_whatever_was_done(
    far_side: PracticeMesProcess, fault: str, effects: int
) -> None:
    order = an_order()

    async with (
        mes_at(far_side.address) as patient,
        mes_at(far_side.address, read_timeout=patience(fault)) as mes,
    ):
        # Leaves an id that a wrong answer can repeat.
        await (patient if patience(fault) == SOON else mes).submit(an_order())
        far_side.behave(faults=[fault])
        with pytest.raises(MesOutcomeUnknown):
            await mes.submit(order)
        if effects:  # Who gave up did not see it done.
            far_side.wait_for(lambda _: far_side.effects()[order.reference] > 0)
        far_side.behave()
        found = await patient.find(order.reference)

    assert far_side.effects()[order.reference] == effects
    assert len(found) == effects


async def test_who_is_told_its_own_id_again_is_not_doubted_for_ever(
    far_side: PracticeMesProcess,
) -> None:
    """The first was told the second's id before anybody knew whose it was.

    Found by the matrix in ``mes with key/wrong-id-after``: the second then heard the truth again
    and again, and stayed uncertain.
    """
    first, second = an_order(), an_order()
    lies = [f"reset-after:ref={second.reference},times=1", f"wrong-id:ref={first.reference}"]
    far_side.behave(idempotency="key", faults=lies)

    async with mes_at(far_side.address, "key") as mes:
        with pytest.raises(MesOutcomeUnknown):
            await mes.submit(second)
        lied_to = await mes.submit(first)
        with pytest.raises(MesOutcomeUnknown):
            await mes.submit(second)
        settled = await mes.submit(second)

    assert settled.mes_id == lied_to.mes_id
    assert far_side.effects()[first.reference] == far_side.effects()[second.reference] == 1


@pytest.mark.parametrize("fault", [f"delay:{LATE}", f"stall:{LATE},times=1"])
async def test_a_late_mes_works_on_after_we_gave_up(
    far_side: PracticeMesProcess, fault: str
) -> None:
    order = an_order()
    far_side.behave(faults=[fault])

    async with mes_at(far_side.address, read_timeout=patience(fault)) as mes:
        with pytest.raises(MesOutcomeUnknown):
            await mes.submit(order)
    effects_then = far_side.effects()[order.reference]
    far_side.wait_for(lambda _: far_side.effects()[order.reference] == 1)

    assert effects_then == 0


@pytest.mark.parametrize("status", [429, 503])
async def test_no_room_is_surely_not_done_and_says_when_to_come_back(
    far_side: PracticeMesProcess, status: int
) -> None:
    order = an_order()
    far_side.behave(faults=["busy"], busy_status=status)

    async with mes_at(far_side.address) as mes:
        with pytest.raises(MesUnavailable) as caught:
            await mes.submit(order)

    assert caught.value.retry_after == timedelta(seconds=1)
    assert far_side.effects()[order.reference] == 0


async def test_above_its_limit_the_mes_takes_nobody_on_and_doubles_nobody(
    far_side: PracticeMesProcess,
) -> None:
    orders = [an_order() for _ in range(12)]
    far_side.behave(limit=2, work_seconds=0.1)

    async with mes_at(far_side.address) as mes:
        fates = await asyncio.gather(*map(mes.submit, orders), return_exceptions=True)

    made = far_side.effects()
    for order, fate in zip(orders, fates, strict=True):
        assert made[order.reference] == (0 if isinstance(fate, MesUnavailable) else 1)
    assert any(isinstance(fate, MesUnavailable) for fate in fates)
    assert far_side.ask("GET", "/practice/stats")["peak_in_flight"] >= 2


# --- Surely not done --------------------------------------------------------------------------


async def test_nobody_listening_is_surely_not_done() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # Bound, so that nobody else takes it, and not listening.
        async with mes_at(f"http://127.0.0.1:{closed.getsockname()[1]}") as mes:
            with pytest.raises(MesUnavailable):
                await mes.submit(an_order())


async def test_a_connection_never_accepted_is_surely_not_done() -> None:
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # More than the queue holds: the kernel lets the next ones wait.
            filler = waiting.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        address = f"http://127.0.0.1:{full.getsockname()[1]}"

        async with mes_at(address, connect_timeout=SOON) as mes:
            with pytest.raises(MesUnavailable):
                await mes.submit(an_order())


async def test_a_submission_that_found_no_free_connection_is_surely_not_done(
    far_side: PracticeMesProcess,
) -> None:
    stuck, waiting = an_order(), an_order()
    far_side.behave(faults=[f"hang-after:ref={stuck.reference}"])

    async with mes_at(
        far_side.address, max_connections=1, pool_timeout=SOON, read_timeout=timedelta(seconds=30)
    ) as mes:
        first = asyncio.create_task(mes.submit(stuck))
        await asyncio.to_thread(
            far_side.wait_for, lambda _: far_side.effects()[stuck.reference] == 1
        )
        with pytest.raises(MesUnavailable):
            await mes.submit(waiting)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

    assert far_side.effects()[waiting.reference] == 0


# --- Deadlines, cancellation, surroundings ----------------------------------------------------


async def test_the_whole_call_has_one_deadline(far_side: PracticeMesProcess) -> None:
    order = an_order()
    far_side.behave(faults=["hang-after"])

    async with mes_at(
        far_side.address,
        total_timeout=2 * SOON,
        connect_timeout=SOON,
        pool_timeout=SOON,
        read_timeout=timedelta(hours=1),
    ) as mes:
        with pytest.raises(MesOutcomeUnknown):
            await mes.submit(order)

    far_side.wait_for(lambda _: far_side.effects()[order.reference] == 1)


async def test_cancelling_passes_through_and_leaves_the_adapter_usable(
    far_side: PracticeMesProcess,
) -> None:
    order = an_order()
    far_side.behave(faults=["hang-after:times=1"])

    async with mes_at(far_side.address, read_timeout=timedelta(hours=1)) as mes:
        call = asyncio.create_task(mes.submit(order))
        await asyncio.to_thread(
            far_side.wait_for, lambda _: far_side.effects()[order.reference] == 1
        )
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        found = await mes.find(order.reference)

    assert [job.reference for job in found] == [order.reference]


async def test_a_proxy_in_the_environment_is_not_used(
    far_side: PracticeMesProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async with mes_at(far_side.address) as mes:
        job = await mes.submit(an_order())

    assert job.mes_id


async def test_a_redirect_is_not_followed(far_side: PracticeMesProcess) -> None:
    already = len(far_side.entries())
    far_side.behave(faults=["redirect-before"])

    async with mes_at(far_side.address) as mes:
        with pytest.raises(MesOutcomeUnknown):
            await mes.submit(an_order())

    asked = [entry.op for entry in far_side.entries()[already:] if entry.kind == "request"]
    assert asked == ["submit"]


# --- Settling a doubt -------------------------------------------------------------------------


@pytest.mark.parametrize("idempotency", ["key", "reference"])
@pytest.mark.parametrize("fault", ["hang-after", "reset-after", "500-after", "html", "wrong-ref"])
async def test_where_the_mes_knows_repeats_sending_again_settles_it(
    far_side: PracticeMesProcess, idempotency: str, fault: str
) -> None:
    order = an_order()
    far_side.behave(faults=[f"{fault}:times=1"], idempotency=idempotency)

    async with mes_at(far_side.address, idempotency, read_timeout=patience(fault)) as mes:
        with pytest.raises(MesOutcomeUnknown):
            await mes.submit(order)
        job = await mes.submit(order)

    assert job.reference == order.reference
    assert far_side.effects()[order.reference] == 1


async def test_a_lagging_look_up_denies_a_new_job_for_a_while(
    far_side: PracticeMesProcess,
) -> None:
    order = an_order()
    far_side.behave(lag_seconds=3600)

    async with mes_at(far_side.address) as mes:
        await mes.submit(order)
        denied = await mes.find(order.reference)
        far_side.behave(lag_seconds=0)
        shown = await mes.find(order.reference)

    assert (len(denied), len(shown)) == (0, 1)


@pytest.mark.parametrize(
    "fault",
    ["500-before", "503-before", "busy", "hang-before", "reset-before", "garbage", "bad-json",
     "truncated", "html", "redirect", "huge", "wrong-ref", "no-id"],
)  # fmt: skip
async def test_a_look_up_without_an_exact_answer_says_nothing(
    far_side: PracticeMesProcess, fault: str
) -> None:
    order = an_order()

    async with mes_at(far_side.address, read_timeout=patience(fault)) as mes:
        await mes.submit(order)
        far_side.behave(faults=[f"{fault}:op=find"])
        with pytest.raises(MesUnavailable):
            await mes.find(order.reference)


async def test_a_mes_without_look_up_says_nothing(far_side: PracticeMesProcess) -> None:
    far_side.behave(lookup=False)

    async with mes_at(far_side.address) as mes:
        with pytest.raises(MesUnavailable):
            await mes.find(an_order().reference)


@pytest.mark.parametrize("fault", ["hang-after", "reset-after", "500-after", "html", "wrong-ref"])
async def test_a_recall_without_proof_is_repeated_and_happens_once(
    far_side: PracticeMesProcess, fault: str
) -> None:
    order = an_order()
    far_side.behave(faults=[f"{fault}:op=recall,times=1"])

    async with mes_at(far_side.address) as mes:
        await mes.submit(order)
        with pytest.raises(MesUnavailable):
            await mes.recall(order.reference)
        await mes.recall(order.reference)

    assert far_side.effects("recalled")[order.reference] == 1


async def test_a_doubled_job_is_taken_back_twice(far_side: PracticeMesProcess) -> None:
    order = an_order()

    async with mes_at(far_side.address) as mes:
        await mes.submit(order)
        await mes.submit(order)
        await mes.recall(order.reference)

    assert far_side.effects("recalled")[order.reference] == 2


async def test_a_mes_that_cannot_recall_is_not_asked(far_side: PracticeMesProcess) -> None:
    already = len(far_side.entries())

    async with mes_at(far_side.address, capabilities=replace(ABLE, recall=False)) as mes:
        with pytest.raises(RecallRefused):
            await mes.recall(an_order().reference)

    assert far_side.entries()[already:] == []


async def test_the_feed_of_changes_goes_on_where_it_ended(far_side: PracticeMesProcess) -> None:
    order = an_order()

    async with mes_at(far_side.address) as mes:
        cursor = await end_of_feed(mes)
        job = await mes.submit(order)
        accepted, cursor = await mes.changes(cursor)
        far_side.ask("POST", f"/api/orders/{job.mes_id}/status", json={"status": "started"})
        started, cursor = await mes.changes(cursor)
        nothing, end = await mes.changes(cursor)

    assert [(j.mes_id, j.status) for j in jobs(accepted)] == [(job.mes_id, "accepted")]
    assert [(j.mes_id, j.status) for j in jobs(started)] == [(job.mes_id, "started")]
    assert list(nothing) == []
    assert end == cursor


def jobs(entries: Sequence[MesJob | Unknown]) -> list[MesJob]:
    """What a page of the feed tells of jobs, where all of it was understood."""
    understood = [one for one in entries if isinstance(one, MesJob)]
    assert len(understood) == len(entries), entries
    return understood


async def end_of_feed(mes: MesHttp) -> str | None:
    cursor: str | None = None
    while True:
        page, cursor = await mes.changes(cursor)
        if not page:
            return cursor


# --- Answers nobody thought of, byte for byte -------------------------------------------------


@contextlib.asynccontextmanager
async def parrot(answer: bytes) -> AsyncIterator[str]:
    """The address of a server that says the same to everyone."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(65536)
            writer.write(answer)
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


OURS = "OK-000013"
SUBMISSIONS: list[tuple[str, bytes, type[OrderkeepError] | None]] = [
    ("created", http("201 Created", b'{"id": "7", "ref": "OK-000013"}'), None),
    ("ok", http("200 OK", b'{"id": 7, "ref": "OK-000013", "status": "new"}'), None),
    ("accepted for later", http("202 Accepted", b'{"id": 7, "ref": "OK-000013"}'),
     MesOutcomeUnknown),
    ("no content", http("204 No Content"), MesOutcomeUnknown),
    ("empty", http("201 Created"), MesOutcomeUnknown),
    ("null", http("201 Created", b"null"), MesOutcomeUnknown),
    ("list", http("201 Created", b'[{"id": 7, "ref": "OK-000013"}]'), MesOutcomeUnknown),
    ("no ref", http("201 Created", b'{"id": 7}'), MesOutcomeUnknown),
    ("ref in lower case", http("201 Created", b'{"id": 7, "ref": "ok-000013"}'), MesOutcomeUnknown),
    ("another generation", http("201 Created", b'{"id": 7, "ref": "OK-000013/2"}'),
     MesOutcomeUnknown),
    ("empty id", http("201 Created", b'{"id": "", "ref": "OK-000013"}'), MesOutcomeUnknown),
    ("true id", http("201 Created", b'{"id": true, "ref": "OK-000013"}'), MesOutcomeUnknown),
    ("null id", http("201 Created", b'{"id": null, "ref": "OK-000013"}'), MesOutcomeUnknown),
    ("nested id", http("201 Created", b'{"id": {"n": 7}, "ref": "OK-000013"}'), MesOutcomeUnknown),
    ("endless id", http("201 Created", b'{"id": "' + b"7" * 9000 + b'", "ref": "OK-000013"}'),
     MesOutcomeUnknown),
    ("control in id", http("201 Created", b'{"id": "7\\u0000", "ref": "OK-000013"}'),
     MesOutcomeUnknown),
    ("deep", http("201 Created", b"[" * 100_000), MesOutcomeUnknown),
    ("not UTF-8", http("201 Created", b'{"id": "\xff", "ref": "OK-000013"}'), MesOutcomeUnknown),
    ("packed", http("201 Created", b"\x1f\x8b", "Content-Encoding: gzip"), MesOutcomeUnknown),
    ("switching", http("101 Switching Protocols"), MesOutcomeUnknown),
    ("moved", http("308 Permanent Redirect", b"", "Location: http://127.0.0.1:1/"),
     MesOutcomeUnknown),
    ("request timeout", http("408 Request Timeout"), MesOutcomeUnknown),
    ("gateway timeout", http("504 Gateway Timeout"), MesOutcomeUnknown),
    ("odd status", http("599 Whatever"), MesOutcomeUnknown),
    ("nothing", b"", MesOutcomeUnknown),
    ("half a head", b"HTTP/1.1 201 Cre", MesOutcomeUnknown),
    ("two lengths", b"HTTP/1.1 201 Created\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
     MesOutcomeUnknown),
    ("too many", http("429 Too Many Requests"), MesUnavailable),
    ("busy until a date", http("503 Busy", b"", "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT"),
     MesUnavailable),
    ("wrong password", http("401 Unauthorized"), MesUnavailable),
    ("bad request", http("400 Bad Request"), MesRejected),
    ("forbidden", http("403 Forbidden"), MesRejected),
    ("no such path", http("404 Not Found"), MesRejected),
    ("conflict", http("409 Conflict"), MesRejected),
    ("too large", http("413 Content Too Large"), MesRejected),
    ("cannot be made", http("422 Unprocessable Content"), MesRejected),
]  # fmt: skip


@pytest.mark.parametrize(
    "answer, error", [row[1:] for row in SUBMISSIONS], ids=[row[0] for row in SUBMISSIONS]
)
async def test_each_answer_to_a_submission_has_one_meaning(
    answer: bytes, error: type[OrderkeepError] | None
) -> None:
    order = replace(an_order(), reference=work_order_ref(order_no_of(OURS), 1))

    async with parrot(answer) as address, mes_at(address) as mes:
        if error is None:
            assert (await mes.submit(order)).mes_id == "7"
            return
        with pytest.raises(error) as caught:
            await mes.submit(order)

    assert type(caught.value) is error


LOOK_UPS: list[tuple[str, bytes, int | None]] = [
    ("none", b'{"items": []}', 0),
    ("one", b'{"items": [{"id": "7", "ref": "OK-000013"}]}', 1),
    ("two", b'{"items": [{"id": 7, "ref": "OK-000013"}, {"id": 8, "ref": "OK-000013"}]}', 2),
    (
        "a stranger beside it",
        b'{"items": [{"id": 7, "ref": "OK-000013"}, {"id": 8, "ref": "X"}]}',
        1,
    ),
    ("a later work order", b'{"items": [{"id": 7, "ref": "OK-000013/2"}]}', 0),
    ("strangers only", b'{"items": [{"id": 8, "ref": "OK-000020"}]}', None),
    ("a job without reference", b'{"items": [{"id": 8, "ref": null}]}', None),
    ("more to come", b'{"items": [], "next": "2"}', None),
    ("our reference without an id", b'{"items": [{"ref": "OK-000013"}]}', None),
    ("not a list", b'{"items": {"id": 7, "ref": "OK-000013"}}', None),
    ("not objects", b'{"items": [null]}', None),
    ("no items", b'{"found": []}', None),
    ("bare list", b"[]", None),
    ("null", b"null", None),
    ("nothing", b"", None),
]


@pytest.mark.parametrize(
    "body, count", [row[1:] for row in LOOK_UPS], ids=[row[0] for row in LOOK_UPS]
)
async def test_only_an_exact_look_up_counts(body: bytes, count: int | None) -> None:
    async with parrot(http("200 OK", body)) as address, mes_at(address) as mes:
        ours = work_order_ref(order_no_of(OURS), 1)
        if count is not None:
            assert len(await mes.find(ours)) == count
            return
        with pytest.raises(MesUnavailable):
            await mes.find(ours)


async def test_a_refusal_keeps_its_reason_and_no_personal_word() -> None:
    said = '{"error": "\\u0000engraving Für Anna rejected, ask anna@example.org or +7 912 3456789"}'

    async with parrot(http("422 No", said.encode())) as address, mes_at(address) as mes:
        with pytest.raises(MesRejected) as caught:
            await mes.submit(an_order(engraving="Für Anna"))

    assert caught.value.facts["status"] == 422
    assert caught.value.facts["reason"] == "engraving … rejected, ask … or …"


async def test_a_conflict_that_the_look_up_does_not_explain_stays_uncertain() -> None:
    answer = http("409 Conflict", b'{"items": []}')

    async with parrot(answer) as address, mes_at(address, "reference") as mes:
        with pytest.raises(MesOutcomeUnknown):
            await mes.submit(an_order())


# --- A MES with words of its own --------------------------------------------------------------


async def test_every_path_and_field_can_have_the_makers_own_name() -> None:
    heard: list[bytes] = []
    body = b'{"Nr": 7, "Beleg": "OK-000013", "Zustand": 10}'

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65536))
        writer.write(http("200 OK", body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    async with server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/erp"
        async with mes_at(
            address, submit_path="/auftrag", reference_field="beleg", id_field="Nr",
            ref_field="Beleg", status_field="Zustand", idempotency_header="X-Beleg",
            auth_header=("X-Schluessel", "geheim"),
        ) as mes:  # fmt: skip
            order = replace(an_order(), reference=work_order_ref(order_no_of(OURS), 1))
            job = await mes.submit(order)

    request = heard[0].lower()
    assert request.startswith(b"post /erp/auftrag http/1.1\r\n")
    assert b"x-beleg: ok-000013\r\n" in request
    assert b"x-schluessel: geheim\r\n" in request
    assert b'"beleg":"ok-000013"' in request
    assert (job.mes_id, job.status) == ("7", "10")


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "ftp://mes"},
        {"base_url": "mes:8080"},
        {"connect_timeout": timedelta(minutes=2)},
        {"recall_path": "/api/recall"},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="has to"):
        MesHttpSettings(**{"base_url": "http://mes", **wrong})


def test_the_credential_is_not_shown() -> None:
    settings = MesHttpSettings(base_url="http://mes", auth_header=("Authorization", "Bearer s3"))

    assert "s3" not in repr(settings)
