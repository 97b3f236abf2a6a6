"""The balance, why an order is where it is, and what was compared with others."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from orderkeep.access.ports import Session
from orderkeep.access.rights import require
from orderkeep.http.office.lists import json
from orderkeep.http.office.numbers import order_number
from orderkeep.http.office.parts import LedgerDesk, Office, OfficeDep, SessionDep
from orderkeep.http.office.said import said
from orderkeep.http.office.shared import Shared
from orderkeep.http.office.wire import Names, encoder
from orderkeep.kernel.errors import Unavailable
from orderkeep.ledger import words
from orderkeep.ledger.balance import Difference, Proof
from orderkeep.ledger.explain import Explanation, explain
from orderkeep.ledger.kept import OLD, STALE, TREND_POINTS, Point, Run

TREND = timedelta(hours=24)
SHOWN = 500
"""Open differences that the page lists; more are counted."""


def desk_of(office: Office, session: Session, right: str) -> LedgerDesk:
    """The ledger, for somebody with the right.

    Raises:
        NotAllowed, Unavailable: they have not, or nothing is compared in this process.
    """
    require(session.person.role, right)
    return _ledger(office)


def _ledger(office: Office) -> LedgerDesk:
    if office.ledger is None:
        raise Unavailable("Nothing is compared in this process.")
    return office.ledger


@get("/balance")
async def balance(office: OfficeDep, shared: Shared, session: SessionDep) -> Response[bytes]:
    desk = desk_of(office, session, "ledger.view")
    run = await office.store.read(lambda work: work.balances.last())
    return await _balance(office, shared, run or await desk.balances.count())


@post("/balance/count", status_code=200)
async def count(office: OfficeDep, shared: Shared, session: SessionDep) -> Response[bytes]:
    desk = desk_of(office, session, "ledger.view")
    return await _balance(office, shared, await desk.balances.count())


async def _balance(office: Office, shared: Shared, run: Run) -> Response[bytes]:
    since = run.at - TREND

    def read(work: Any) -> tuple[Any, Any]:
        return work.balances.open(SHOWN), work.balances.trend(since, TREND_POINTS)

    differences, trend = await office.store.read_long(read)
    names = await shared.names()
    return json(encoder.encode(_balance_shape(run, differences, trend, names)))


def _balance_shape(
    run: Run, differences: list[Difference], trend: list[Point], names: Names
) -> dict[str, Any]:
    sums = {name: getattr(run.sums, name) for name in run.sums.__struct_fields__}
    return {
        "at": run.at,
        "stale_after_s": int(STALE.total_seconds()),
        "old_after_s": int(OLD.total_seconds()),
        "took_ms": run.took_ms,
        **sums,
        "drafts": run.drafts,
        "received_not_yet": run.received_not_yet,
        "not_understood": run.not_understood,
        "unaccounted": run.unaccounted,
        "partners": [
            {
                "id": partner or None,
                "name": names.partners.get(partner, partner) or None,
                **{name: getattr(theirs, name) for name in theirs.__struct_fields__},
            }
            for partner, theirs in run.partners.items()
        ],
        "carried": run.carried,
        "difference_count": run.differences,
        "differences": [_difference(one) for one in differences],
        "trend": trend,
    }


def _difference(one: Difference) -> dict[str, Any]:
    return {
        "order_no": one.order_no,
        "reference": one.reference,
        "system": one.system,
        "system_title": words.both(words.SYSTEMS, one.system),
        "kind": one.kind,
        "title": words.both(words.DIFFERENCES, one.kind),
        "what": one.what,
        "said": said(one.what),
        "since": one.since,
        "proof": proof_shape(one.proof),
    }


def proof_shape(proof: Proof | None) -> Mapping[str, Any] | None:
    """A proven hop as it travels."""
    if proof is None:
        return None
    title = words.both(words.HOPS, proof.hop)
    return {"at": proof.at, "hop": proof.hop, "title": title, "detail": proof.detail}


@get("/orders/{no:str}/explain")
async def explanation(office: OfficeDep, no: FromPath[str]) -> Response[bytes]:
    number, desk = order_number(no), _ledger(office)
    facts = await office.store.read_long(lambda work: desk.facts(work, number))
    return json(encoder.encode(explanation_shape(explain(facts, office.clock.now()))))


def explanation_shape(found: Explanation) -> dict[str, Any]:
    """An explanation with its words in both languages."""
    due = found.next
    return {
        "order_no": found.order_no,
        "state": found.state,
        "title": words.both(words.STATES, found.state),
        "class": found.class_,
        "last": proof_shape(found.last),
        "next": due
        and {
            "hop": due.hop,
            "title": words.both(words.HOPS, due.hop),
            "owner": due.owner,
            "owner_title": words.both(words.OWNERS, due.owner),
            "by": due.by,
        },
        "rule": found.rule,
        "rule_title": words.both(words.RULES, found.rule),
        "todo": [{"code": one, "title": words.both(words.STEPS, one)} for one in found.todo],
        "detail": found.detail,
        "said": said(found.detail),
    }


HANDLERS = (balance, count, explanation)
