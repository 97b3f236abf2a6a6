"""What has to be told on every screen, to those who may do something about it."""

from datetime import datetime
from typing import Any

from litestar import Response, get

from orderkeep.access.rights import may
from orderkeep.delivery.dead_letters import MOST
from orderkeep.http.office.lists import json
from orderkeep.http.office.parts import OfficeDep, SessionDep
from orderkeep.http.office.wire import facts
from orderkeep.ledger.alerts import RECENT, Alert, balance_alerts, quarantine_alerts

_NAMED = 1000


@get("/alerts")
async def alerts(office: OfficeDep, session: SessionDep) -> Response[bytes]:
    """Empty for whoever may see neither the balance nor the dead letters."""
    role, now = session.person.role, office.clock.now()
    found: list[Alert] = []
    if may(role, "ledger.view"):
        found += await office.store.read(lambda work: _balance(work, now))
    if may(role, "dead_letters.view"):
        letters, work_orders = await office.store.read(lambda work: put_aside(work, now))
        found += quarantine_alerts(letters, work_orders)
    return json(facts(items=found, as_of=now))


def _balance(work: Any, now: datetime) -> list[Alert]:
    return balance_alerts(work.balances.last(), work.balances.open(_NAMED), now)


def put_aside(work: Any, now: datetime) -> tuple[int, int]:
    """How many letters and work orders came to stand still recently."""
    since = now - RECENT
    standing = work.deliveries.standing(MOST)
    return work.dead_letters.died_since(since), sum(one.since > since for one in standing)


HANDLERS = (alerts,)
