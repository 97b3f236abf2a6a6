"""Stored sentences as people read them: by code, so that each screen has the words."""

from collections.abc import Mapping
from typing import Any, Final

from orderkeep.bridge import sentences as bridge
from orderkeep.delivery import sentences as delivery
from orderkeep.intake import sentences as intake
from orderkeep.kernel.sentences import Catalogue, Said
from orderkeep.ledger import sentences as ledger
from orderkeep.orders import sentences as orders

CATALOGUE: Final = Catalogue(
    (
        *bridge.SENTENCES,
        *delivery.SENTENCES,
        *intake.SENTENCES,
        *ledger.SENTENCES,
        *orders.SENTENCES,
    )
)


def said(text: str | None) -> Said | None:
    """A text by its code; None where nothing was said."""
    return CATALOGUE.read(text) if text else None


def with_said(facts: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Facts, with what one of them says beside it as ``said``."""
    return {**facts, "said": said(facts[name])}
