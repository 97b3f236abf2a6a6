"""Dead letters: groups by cause, what a replay would do, and replays step by step."""

from collections import Counter
from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath
from msgspec import Meta

from orderkeep.access.rights import require
from orderkeep.delivery.dead_letters import (
    FOUR_EYES_ABOVE,
    MOST,
    Entry,
    LetterNotFound,
    Replay,
    Source,
    grouped,
)
from orderkeep.delivery.replay import Replayer
from orderkeep.http.office.bodies import body_of
from orderkeep.http.office.gate import AnyRequest
from orderkeep.http.office.lists import json
from orderkeep.http.office.parts import DeadLetterDesk, Office, OfficeDep, SessionDep
from orderkeep.http.office.wire import encoder
from orderkeep.intake.strict_json import MULTILINE
from orderkeep.kernel.errors import Fault, Invalid, Unavailable

VIEW, REPLAY = "dead_letters.view", "dead_letters.replay"
_SHOWN = 100
_SAMPLES = 3
_REPLAYS = 20

_Reason = Annotated[str, Meta(min_length=1, max_length=500, extra=MULTILINE)]
_Group = Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
_Row = Annotated[int, Meta(ge=1)]
_Text = Annotated[str, Meta(max_length=100_000, extra=MULTILINE)]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A form's body."""


class DryRun(_Body, frozen=True):
    fingerprint: _Group


class EditedLetter(_Body, frozen=True):
    row: _Row
    body: _Text


class BeginReplay(_Body, frozen=True, kw_only=True):
    fingerprint: _Group
    cutoff: _Row
    per_minute: Annotated[int, Meta(ge=1, le=6000)] = 60
    reason: _Reason
    edit: EditedLetter | None = None


class ParkLetters(_Body, frozen=True, kw_only=True):
    fingerprint: _Group
    cutoff: _Row
    reason: _Reason
    back: bool = False


class TurnReplay(_Body, frozen=True):
    reason: Annotated[str, Meta(max_length=500, extra=MULTILINE)] = ""


def _desk(office: Office) -> DeadLetterDesk:
    if office.dead_letters is None:
        raise Unavailable("Dead letters are not kept in this process.")
    return office.dead_letters


def _replayer(office: Office) -> Replayer:
    return _desk(office).replayer


@get("/dead-letters")
async def groups(office: OfficeDep, session: SessionDep) -> Response[bytes]:
    require(session.person.role, VIEW)

    def read(work: Any) -> tuple[Any, Any]:
        letters = work.dead_letters.letters(MOST)
        runs = work.dead_letters.replays(_REPLAYS)
        return grouped(letters), [_run(one, work.dead_letters.entries(one.id)) for one in runs]

    found, runs = await office.store.read_long(read)
    now = office.clock.now()
    facts = {"groups": found, "replays": runs, "four_eyes_above": FOUR_EYES_ABOVE, "as_of": now}
    return json(encoder.encode(facts))


@get("/dead-letters/groups/{fingerprint:str}")
async def group(
    office: OfficeDep, session: SessionDep, fingerprint: FromPath[str]
) -> Response[bytes]:
    require(session.person.role, VIEW)
    letters = await office.store.read_long(lambda work: work.dead_letters.letters(MOST))
    mine = [one for one in letters if one.fingerprint == fingerprint]
    if not mine:
        raise LetterNotFound("There are no such dead letters.")

    def samples(work: Any) -> list[str]:
        bodies = [work.dead_letters.body(one.source, one.row) for one in mine[:_SAMPLES]]
        return [body.decode(errors="replace") for body in bodies]

    bodies = await office.store.read(samples)
    facts = {
        "group": grouped(mine)[0],
        "letters": mine[:_SHOWN],
        "samples": [
            {"row": one.row, "body": body} for one, body in zip(mine, bodies, strict=False)
        ],
        "schema": _desk(office).schema(mine[0].kind, 1),
        "as_of": office.clock.now(),
    }
    return json(encoder.encode(facts))


@post("/dead-letters/dry-run", status_code=200)
async def dry_run(request: AnyRequest, office: OfficeDep, session: SessionDep) -> Response[bytes]:
    require(session.person.role, VIEW)
    body, replayer = await body_of(request, DryRun), _replayer(office)
    told = await office.store.read_long(lambda work: replayer.preview(work, body.fingerprint))
    return json(encoder.encode(told))


@post("/dead-letters/check", status_code=200)
async def check(request: AnyRequest, office: OfficeDep, session: SessionDep) -> Response[bytes]:
    require(session.person.role, REPLAY)
    body, replayer = await body_of(request, EditedLetter), _replayer(office)

    def look(work: Any) -> dict[str, Any]:
        before = work.dead_letters.body(Source.INBOX, body.row).decode(errors="replace")
        return {"before": before, "faults": replayer.faults(work, body.row, body.body.encode())}

    return json(encoder.encode(_told(await office.store.read(look))))


def _told(looked: dict[str, Any]) -> dict[str, Any]:
    faults: list[Fault] = looked["faults"]
    told = [{"pointer": one.pointer, "code": one.code, "message": one.message} for one in faults]
    return {"before": looked["before"], "errors": told}


@post("/dead-letters/replays", status_code=201)
async def begin(request: AnyRequest, office: OfficeDep, session: SessionDep) -> Response[bytes]:
    require(session.person.role, REPLAY)
    body = await body_of(request, BeginReplay)
    if not body.reason.strip():
        raise Invalid([Fault("/reason", "missing", "why it is sent again")])
    edit = (body.edit.row, body.edit.body.encode()) if body.edit else None
    replay = await _replayer(office).begin(
        body.fingerprint, body.cutoff, body.per_minute, session.person.login, body.reason, edit
    )
    return await _shown(office, replay.id, status=201)


@get("/dead-letters/replays/{id_:str}")
async def replay(office: OfficeDep, session: SessionDep, id_: FromPath[str]) -> Response[bytes]:
    require(session.person.role, VIEW)
    return await _shown(office, id_)


@post("/dead-letters/replays/{id_:str}/{what:str}", status_code=200)
async def turn(
    request: AnyRequest,
    office: OfficeDep,
    session: SessionDep,
    id_: FromPath[str],
    what: FromPath[str],
) -> Response[bytes]:
    require(session.person.role, REPLAY)
    body, replayer, by = await body_of(request, TurnReplay), _replayer(office), session.person.login
    match what:
        case "approve":
            await replayer.approve(id_, by)
        case "stop":
            await replayer.stop(id_, by, body.reason)
        case "resume":
            await replayer.resume(id_, by, body.reason)
        case "cancel":
            await replayer.cancel(id_, by, body.reason)
        case _:
            raise LetterNotFound("There is no such step.")
    return await _shown(office, id_)


@post("/dead-letters/park", status_code=200)
async def park(request: AnyRequest, office: OfficeDep, session: SessionDep) -> dict[str, int]:
    require(session.person.role, REPLAY)
    body = await body_of(request, ParkLetters)
    number = await _replayer(office).park(
        body.fingerprint, body.cutoff, session.person.login, body.reason, back=body.back
    )
    return {"letters": number}


async def _shown(office: Office, id_: str, status: int = 200) -> Response[bytes]:
    def read(work: Any) -> dict[str, Any]:
        entries = work.dead_letters.entries(id_)
        shown = _run(work.dead_letters.replay(id_), entries)
        return shown | {"letters": [_entry(one) for one in entries[:_SHOWN]]}

    answer = json(encoder.encode(await office.store.read(read)))
    answer.status_code = status
    return answer


def _run(one: Replay, entries: Any) -> dict[str, Any]:
    states = Counter(entry.state for entry in entries)
    facts = {name: getattr(one, name) for name in one.__struct_fields__}
    return facts | {"states": states, "count": len(entries)}


def _entry(one: Entry) -> dict[str, Any]:
    def text(body: bytes | None) -> str | None:
        return None if body is None else body.decode(errors="replace")

    return {
        "row": one.letter_row,
        "order_no": one.order_key,
        "state": one.state,
        "sent_at": one.sent_at,
        "before": text(one.body_before),
        "after": text(one.body_after),
    }


HANDLERS = (groups, group, dry_run, check, begin, replay, turn, park)
