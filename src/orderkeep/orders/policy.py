"""The maker's rules of the lifecycle: times, limits and norms, with defaults."""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from orderkeep.orders.order import Stage

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


def _norms() -> dict[Stage, timedelta]:
    return {
        Stage.INITIATED: 7 * _DAY,
        Stage.FILE_UPLOADED: 7 * _DAY,
        Stage.SUBMITTED: _HOUR / 2,
        Stage.PRICE_CALCULATED: _DAY,
        Stage.MANUFACTURING_APPROVED: 2 * _DAY,
        Stage.MANUFACTURING_STARTED: 5 * _DAY,
        Stage.MANUFACTURING_COMPLETED: _DAY,
        Stage.PACKAGING: _DAY,
        Stage.SHIPPED: 14 * _DAY,
    }


@dataclass(frozen=True, slots=True)
class Policy:
    """Times and limits of the lifecycle; ``norms`` says how long a stage may take."""

    norms: dict[Stage, timedelta] = field(default_factory=_norms)
    lead_time: timedelta = 21 * _DAY
    """Promised from acceptance when nothing shorter is known."""
    price_valid: timedelta = 72 * _HOUR
    reconsent_above: Decimal = Decimal("0.05")
    """A price higher than the agreed one by more than this share needs the client's yes."""
    automatic_repricings: int = 4
    claim: timedelta = 4 * _HOUR
    """How long a claimed order may wait for its start."""
    rework_limit: int = 3
    draft: timedelta = 7 * _DAY
    close_after: timedelta = 14 * _DAY
    receipt: timedelta = _HOUR / 6
    """How long an approved work order may take to reach the MES."""
    return_answer: timedelta = _DAY
    """How long a client may wait for the outcome of a return."""
    at_risk_share: Decimal = Decimal("0.8")
    """Of a stage's norm, or of the way to the promise."""
