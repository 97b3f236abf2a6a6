"""The maker's rules, as the settings and the price book say them."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from orderkeep.adapters.sql.work import SqlWork
from orderkeep.config import Settings
from orderkeep.intake.checks import Catalogue
from orderkeep.intake.submission import SubmissionBody
from orderkeep.kernel.ids import PartnerId
from orderkeep.orders.home import is_made_here
from orderkeep.orders.order import Order, PriceState, Stage
from orderkeep.orders.policy import Policy
from orderkeep.quoting.price_book import PriceBook, example_book, read_price_book


def policy_of(settings: Settings) -> Policy:
    """The maker's rules as the lifecycle knows them."""
    rules = settings.rules
    return Policy(
        lead_time=rules.lead_time,
        price_valid=rules.price_valid,
        reconsent_above=rules.reconsent_above,
        claim=rules.claim,
        rework_limit=rules.rework_limit,
        draft=rules.draft,
        close_after=rules.close_after,
    )


def book_of(settings: Settings) -> PriceBook:
    """The price book in force.

    Raises:
        Invalid: with every fault of the file.
    """
    if settings.price_book is None:
        return example_book()
    return read_price_book(settings.price_book.read_text(encoding="utf-8"))


def catalogue(book: PriceBook) -> Catalogue:
    """What submissions may name."""
    return Catalogue(book.materials, book.skus)


def promise(policy: Policy) -> Any:
    """How the promised date follows from a submission: what was asked, but not before we can."""

    def promised(_: SubmissionBody, now: datetime) -> datetime:
        return now + policy.lead_time

    return promised


def auto_approval(work: SqlWork, order: Order) -> str | None:
    """The rule for trusted partners: below their limit, and nothing in its way."""
    price = order.price
    ready = order.stage is Stage.PRICE_CALCULATED and price.state is PriceState.READY
    plain = ready and is_made_here(order.home)
    if not plain or order.hold or price.consent_needed or order.partner_id is None:
        return None
    limit = _limit(work, order.partner_id)
    if limit is None or price.total is None or price.total.amount >= limit:
        return None
    return f"partner limit {limit}"


def _limit(work: SqlWork, partner_id: PartnerId) -> Decimal | None:
    return work.access.partner(partner_id).auto_approve_below
