"""What people know about groups of dead letters, and all letters as a table to take away."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Annotated

from litestar import get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Stream
from msgspec import Meta

from orderkeep.access.rights import require
from orderkeep.delivery.all_letters import all_letters
from orderkeep.delivery.dead_letters import GroupNote, Letter
from orderkeep.http.office.bodies import body_of
from orderkeep.http.office.cells import head_of, lines
from orderkeep.http.office.dead_letter_pages import REPLAY, VIEW, FormBody, Release, replayer_of
from orderkeep.http.office.gate import AnyRequest
from orderkeep.http.office.parts import OfficeDep, SessionDep
from orderkeep.http.office.wire import encoder
from orderkeep.http.refusals import bad_parameter
from orderkeep.intake.strict_json import MULTILINE

_Pages = AsyncIterator[Sequence[Letter]]

HEAD = (
    "group", "source", "consumer", "kind", "order_no", "message_id", "received_at", "died_at",
    "attempts", "sent_again", "parked", "owner", "note", "why", "release",
)  # fmt: skip


class NoteGroup(FormBody, frozen=True):
    owner: Annotated[str, Meta(max_length=80)]
    note: Annotated[str, Meta(max_length=2000, extra=MULTILINE)]
    release: Release = ""


@post("/dead-letters/groups/{fingerprint:str}/note", status_code=200)
async def note(
    request: AnyRequest, office: OfficeDep, session: SessionDep, fingerprint: FromPath[str]
) -> dict[str, str]:
    require(session.person.role, REPLAY)
    body, by = await body_of(request, NoteGroup), session.person.login
    owner, note, release = body.owner.strip(), body.note.strip(), body.release.strip()
    await replayer_of(office).note(fingerprint, owner, note, by, release or None)
    return {"owner": owner, "note": note, "release": release}


@get("/dead-letters/export")
async def export(office: OfficeDep, session: SessionDep, form: FromQuery[str] = "csv") -> Stream:
    """All of them, not only what a page shows, and without what they say.

    They go as they are read: what is cut short by a fault ends without the end of its body.
    """
    require(session.person.role, VIEW)
    if form not in {"csv", "json"}:
        raise bad_parameter("form", "unknown", "csv or json")
    notes = await office.store.read_long(lambda work: work.dead_letters.notes())
    pages = all_letters(office.store)
    kept = {"cache-control": "no-store"}
    if form == "json":
        return Stream(_json(pages, notes), media_type="application/json", headers=kept)
    name = f"dead-letters-{office.clock.now():%Y-%m-%d-%H%M}.csv"
    kept["content-disposition"] = f'attachment; filename="{name}"'
    return Stream(_csv(pages, notes), media_type="text/csv; charset=utf-8", headers=kept)


async def _csv(pages: _Pages, notes: Mapping[str, GroupNote]) -> AsyncIterator[bytes]:
    yield head_of(HEAD)
    async for letters in pages:
        yield await asyncio.to_thread(lines, _rows(letters, notes))


async def _json(pages: _Pages, notes: Mapping[str, GroupNote]) -> AsyncIterator[bytes]:
    between = b"["
    async for letters in pages:
        rows = [dict(zip(HEAD, row, strict=True)) for row in _rows(letters, notes)]
        encoded = await asyncio.to_thread(encoder.encode, rows)
        yield between + encoded[1:-1]  # Its rows without the brackets: one list of all pages.
        between = b","
    yield b"[]" if between == b"[" else b"]"


def _rows(
    letters: Sequence[Letter], notes: Mapping[str, GroupNote]
) -> Iterator[tuple[object, ...]]:
    for one in letters:
        group = one.fingerprint
        known = notes.get(group)
        yield (
            group, str(one.source), one.consumer, one.kind, one.order_key, one.message_id,
            one.first_at.isoformat(), one.died_at.isoformat(), one.attempts, one.replays,
            "yes" if one.parked else "no", known.owner if known else "",
            known.note if known else "", one.why, (known.release or "") if known else "",
        )  # fmt: skip


HANDLERS = (note, export)
