"""Dead letters: groups by cause, what a replay would do, and replays step by step."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery
from msgspec import Meta

from orderkeep.access.rights import require
from orderkeep.bridge.standing import StandingGroup, standing_groups
from orderkeep.delivery.dead_letters import (
    FOUR_EYES_ABOVE,
    MOST,
    TREND_DAYS,
    Entry,
    Group,
    Item,
    Letter,
    LetterNotFound,
    Replay,
    Retrying,
    Source,
)
from orderkeep.delivery.mending import draft
from orderkeep.delivery.replay import Replayer
from orderkeep.http.office.bodies import body_of
from orderkeep.http.office.gate import AnyRequest
from orderkeep.http.office.lists import json
from orderkeep.http.office.parts import DeadLetterDesk, Office, OfficeDep, SessionDep
from orderkeep.http.office.said import with_said
from orderkeep.http.office.wire import encoder
from orderkeep.intake.strict_json import MULTILINE
from orderkeep.kernel.errors import Fault, Invalid, Unavailable

VIEW, REPLAY = "dead_letters.view", "dead_letters.replay"
_GROUPS = 200
"""Groups that are shown, those that grew last; nobody reads more."""
_SHOWN = 100
_SAMPLES = 3
_REPLAYS = 20
_STILL = (0,) * TREND_DAYS

_Reason = Annotated[str, Meta(min_length=1, max_length=500, extra=MULTILINE)]
_Group = Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
_Consumer = Annotated[str, Meta(min_length=1, max_length=32)]
_Row = Annotated[int, Meta(ge=1)]
Release = Annotated[str, Meta(max_length=200)]
"""A release as people call it, or its address."""
_Text = Annotated[str, Meta(max_length=100_000, extra=MULTILINE)]


class FormBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A form's body."""


class DryRun(FormBody, frozen=True):
    fingerprint: _Group
    to: _Consumer | None = None


class EditedLetter(FormBody, frozen=True):
    row: _Row
    body: _Text
    source: Source = Source.INBOX
    """Of what lies in quarantine the text is a whole envelope; see ``delivery.mending``."""


class BeginReplay(FormBody, frozen=True, kw_only=True):
    fingerprint: _Group
    cutoff: _Row
    per_minute: Annotated[int, Meta(ge=1, le=6000)] = 60
    reason: _Reason
    edit: EditedLetter | None = None
    to: _Consumer | None = None
    release: Release = ""


class ParkLetters(FormBody, frozen=True, kw_only=True):
    fingerprint: _Group
    cutoff: _Row
    reason: Annotated[str, Meta(max_length=500, extra=MULTILINE)] = ""
    """Taking them up again needs none."""
    back: bool = False


class TurnReplay(FormBody, frozen=True):
    reason: Annotated[str, Meta(max_length=500, extra=MULTILINE)] = ""


def _desk(office: Office) -> DeadLetterDesk:
    if office.dead_letters is None:
        raise Unavailable("Dead letters are not kept in this process.")
    return office.dead_letters


def replayer_of(office: Office) -> Replayer:
    """Whoever sends dead letters again.

    Raises:
        Unavailable: nobody does in this process.
    """
    return _desk(office).replayer


@get("/dead-letters")
async def groups(office: OfficeDep, session: SessionDep) -> Response[bytes]:
    require(session.person.role, VIEW)

    def read(work: Any) -> dict[str, Any]:
        runs = work.dead_letters.replays(_REPLAYS)
        states = work.dead_letters.states([one.id for one in runs])
        standing = standing_groups(work.deliveries.standing(MOST))
        return {
            **_groups(work, now),
            "retrying": [_retrying(one) for one in work.dead_letters.retrying(_SHOWN)],
            "work_orders": [_stands(one) for one in standing],
            "replays": [_run(one, states[one.id]) for one in runs],
        }

    now = office.clock.now()
    found = await office.store.read_long(read)
    return json(encoder.encode(found | {"four_eyes_above": FOUR_EYES_ABOVE, "as_of": now}))


def _groups(work: Any, now: datetime) -> dict[str, Any]:
    found, notes = work.dead_letters.groups(_GROUPS + 1), work.dead_letters.notes()
    days = work.dead_letters.trend(now)
    shown = [
        _group_shape(one)
        | {
            "trend": days.get((one.fingerprint, one.parked), _STILL),
            "known": notes.get(one.fingerprint),
        }
        for one in found[:_GROUPS]
    ]
    return {"groups": shown, "more_groups": len(found) > _GROUPS}


def _group_shape(one: Group) -> dict[str, Any]:
    return with_said(msgspec.structs.asdict(one), "cause")


def _retrying(one: Retrying) -> dict[str, Any]:
    return with_said(msgspec.structs.asdict(one), "why")


def _stands(one: StandingGroup) -> dict[str, Any]:
    return with_said(msgspec.structs.asdict(one), "cause")


@get("/dead-letters/groups/{fingerprint:str}")
async def group(
    office: OfficeDep,
    session: SessionDep,
    fingerprint: FromPath[str],
    *,
    parked: FromQuery[bool | None] = None,
) -> Response[bytes]:
    """What is parked of a cause is a group by itself, under the same fingerprint.

    Unless asked for, it is told of only where nothing else is left.
    """
    require(session.person.role, VIEW)
    found = await office.store.read_long(
        lambda work: _looked_into(work, fingerprint, parked=parked)
    )
    newest = found.pop("newest")
    facts = found | {
        "schema": _desk(office).schema(newest.kind, 1),
        "kinds": replayer_of(office).sending.kinds,
        "others": replayer_of(office).sending.others(newest),
        "as_of": office.clock.now(),
    }
    return json(encoder.encode(facts))


def _looked_into(work: Any, fingerprint: str, *, parked: bool | None) -> dict[str, Any]:
    letters = work.dead_letters
    asked = (False, True) if parked is None else (parked,)
    there = (letters.group(fingerprint, parked=one) for one in asked)
    found = next((one for one in there if one is not None), None)
    if found is None:
        raise LetterNotFound("There are no such dead letters.")
    shown = letters.members(fingerprint, parked=found.parked, limit=_SHOWN)
    return {
        "newest": shown[0],
        "group": _group_shape(found),
        "letters": [with_said(msgspec.structs.asdict(one), "why") for one in shown],
        "parking": letters.parking(shown[0]) if found.parked else None,
        "samples": [_sample(one, letters.body(one.source, one.row)) for one in shown[:_SAMPLES]],
    }


def _sample(letter: Letter, body: bytes) -> dict[str, Any]:
    """A letter's body; of one that could not be read also what a person begins to mend with."""
    facts = {"row": letter.row, "body": body.decode(errors="replace")}
    return facts if letter.source is Source.INBOX else facts | {"draft": draft(body)}


@post("/dead-letters/dry-run", status_code=200)
async def dry_run(request: AnyRequest, office: OfficeDep, session: SessionDep) -> Response[bytes]:
    require(session.person.role, VIEW)
    body, replayer = await body_of(request, DryRun), replayer_of(office)
    told = await office.store.read_long(
        lambda work: replayer.preview(work, body.fingerprint, to=body.to)
    )
    return json(encoder.encode(told))


@post("/dead-letters/check", status_code=200)
async def check(request: AnyRequest, office: OfficeDep, session: SessionDep) -> Response[bytes]:
    require(session.person.role, REPLAY)
    body, replayer = await body_of(request, EditedLetter), replayer_of(office)

    def look(work: Any) -> dict[str, Any]:
        before = work.dead_letters.body(body.source, body.row).decode(errors="replace")
        text = body.body.encode()
        faults = replayer.sending.faults(work, body.source, body.row, text)
        return {"before": before, "faults": faults}

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
    replay = await replayer_of(office).begin(
        body.fingerprint,
        body.cutoff,
        body.per_minute,
        session.person.login,
        body.reason,
        edit,
        body.to,
        release=body.release.strip() or None,
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
    body, by = await body_of(request, TurnReplay), session.person.login
    replayer = replayer_of(office)
    match what:
        case "approve":
            await replayer.approve(id_, by)
        case "stop":
            await replayer.stop(id_, by, body.reason)
        case "resume":
            await replayer.resume(id_, by, body.reason)
        case "cancel":
            await replayer.cancel(id_, by, body.reason)
        case "acknowledge":
            await replayer.acknowledge(id_, by)
        case _:
            raise LetterNotFound("There is no such step.")
    return await _shown(office, id_)


@post("/dead-letters/park", status_code=200)
async def park(request: AnyRequest, office: OfficeDep, session: SessionDep) -> dict[str, int]:
    require(session.person.role, REPLAY)
    body = await body_of(request, ParkLetters)
    if not body.back and not body.reason.strip():
        raise Invalid([Fault("/reason", "missing", "why it is laid aside")])
    number = await replayer_of(office).park(
        body.fingerprint, body.cutoff, session.person.login, body.reason, back=body.back
    )
    return {"letters": number}


async def _shown(office: Office, id_: str, status: int = 200) -> Response[bytes]:
    def read(work: Any) -> dict[str, Any]:
        replay, letters = work.dead_letters.replay(id_), work.dead_letters
        shown = _run(replay, letters.states([id_])[id_])
        return shown | {"letters": [_entry(one) for one in letters.entries(id_, limit=_SHOWN)]}

    answer = json(encoder.encode(await office.store.read(read)))
    answer.status_code = status
    return answer


def _run(one: Replay, states: Mapping[Item, int]) -> dict[str, Any]:
    facts = {name: getattr(one, name) for name in one.__struct_fields__}
    return facts | {"states": states, "count": sum(states.values())}


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
