"""The comparison with the MES: how far it is, what it found, and what a person decides."""

from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery
from msgspec import Meta

from orderkeep.http.office.bodies import body_of
from orderkeep.http.office.gate import AnyRequest
from orderkeep.http.office.ledger_pages import desk_of
from orderkeep.http.office.lists import json
from orderkeep.http.office.parts import OfficeDep, SessionDep
from orderkeep.http.office.said import said, with_said
from orderkeep.http.office.wire import encoder
from orderkeep.intake.strict_json import MULTILINE
from orderkeep.ledger import words
from orderkeep.ledger.passes import DecisionRefused, Finding, Pass
from orderkeep.ledger.reconcile import Decision
from orderkeep.ledger.reconciler import Reconciler

SHOWN = 100
_MES = "mes"
_STATES = {
    "open": ("open", "decided"),
    "settled": ("repaired", "dismissed", "gone"),
}


class DecideFinding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a person says of a finding."""

    decision: Annotated[str, Meta(pattern="^(resend|adopt|dismiss)$")]
    note: Annotated[str, Meta(max_length=500, extra=MULTILINE)] = ""


@get("/reconciliation")
async def reconciliation(
    office: OfficeDep,
    session: SessionDep,
    show: FromQuery[str] = "open",
    after: FromQuery[int | None] = None,
) -> Response[bytes]:
    desk = desk_of(office, session, "ledger.view")
    states = _STATES.get(show, _STATES["open"])

    def read(work: Any) -> dict[str, Any]:
        store = work.reconciling
        page = store.page(states, after, SHOWN + 1)
        return {
            "running": _pass(store.running(_MES)),
            "last": _pass(store.last(_MES)),
            "counts": store.counts(),
            "items": [_finding(one) for one in page[:SHOWN]],
            "next": page[SHOWN - 1].row if len(page) > SHOWN else None,
        }

    found = await office.store.read_long(read)
    return json(encoder.encode({**found, **_ways(desk.reconciler), "as_of": office.clock.now()}))


def _ways(reconciler: Reconciler) -> dict[str, Any]:
    settings = reconciler.settings
    return {
        "every_s": settings.every.total_seconds(),
        "policy": dict(settings.policy.items()),
    }


@post("/reconciliation/start", status_code=200)
async def start(office: OfficeDep, session: SessionDep) -> Response[bytes]:
    desk = desk_of(office, session, "ledger.settle")
    asked = await desk.reconciler.ask(f"person:{session.person.login}")
    return json(encoder.encode(_pass(asked)))


@post("/reconciliation/findings/{row:int}/decide", status_code=200)
async def decide(
    request: AnyRequest, office: OfficeDep, session: SessionDep, row: FromPath[int]
) -> Response[bytes]:
    desk_of(office, session, "ledger.settle")
    body = await body_of(request, DecideFinding)
    by, now = f"person:{session.person.login}", office.clock.now()

    def write(work: Any) -> Finding:
        finding: Finding = work.reconciling.finding(row)
        _may(finding, body.decision)
        dismissed = body.decision == Decision.DISMISS
        work.reconciling.change(
            finding,
            state="dismissed" if dismissed else "decided",
            decision=body.decision,
            note=body.note or None,
            decided_by=by,
            decided_at=now,
        )
        work.wake("reconcile")
        settled: Finding = work.reconciling.finding(row)
        return settled

    return json(encoder.encode(_finding(await office.store.write(write))))


def _may(finding: Finding, decision: str) -> None:
    if finding.state != "open":
        raise DecisionRefused("It has been settled meanwhile.")
    if decision != Decision.DISMISS and decision not in finding.repairs:
        raise DecisionRefused("This does not help against what was found.")


def _pass(one: Pass | None) -> dict[str, Any] | None:
    return with_said(msgspec.structs.asdict(one), "note") if one else None


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "row": one.row,
        "kind": one.kind,
        "title": words.both(words.DIFFERENCES, one.kind),
        "reference": one.reference,
        "order_no": one.order_no,
        "what": one.what,
        "said": said(one.what),
        "since": one.since,
        "seen_at": one.seen_at,
        "state": one.state,
        "can": [*one.repairs, Decision.DISMISS] if one.state == "open" else [],
        "advice": words.both(words.ADVICE, one.kind),
        "decision": one.decision,
        "note": one.note,
        "decided_by": one.decided_by,
        "decided_at": one.decided_at,
    }


HANDLERS = (reconciliation, start, decide)
