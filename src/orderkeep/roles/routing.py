"""Who receives what in this installation."""

from orderkeep.config import Settings
from orderkeep.orders.announce import routes


def routes_of(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Consumers by envelope kind, as far as there are the systems behind them."""
    return routes(floor=settings.mes == "floor", crm=settings.crm.url is not None)
