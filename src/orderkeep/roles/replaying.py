"""Whoever sends dead letters again, put together."""

from datetime import datetime
from typing import Any

from orderkeep.config import Settings
from orderkeep.delivery.replay import Replayer
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.ids import Ids
from orderkeep.ledger.already_done import already_done, faults_of
from orderkeep.roles.routing import routes_of


def replayer_of(settings: Settings, store: Any, clock: Clock, ids: Ids) -> Replayer:
    """The replayer over this store."""
    return Replayer(store, routes_of(settings), already_done, faults_of, _audit, clock, ids)


def _audit(work: Any, now: datetime, by: str, action: str, subject: str, why: str) -> None:
    work.access.record(now, f"person:{by}", action, subject, why or None)
