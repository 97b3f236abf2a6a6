"""A workshop's month as a plan: who orders what, when, and how far each order has come. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Final

from orderkeep.orders.order import Stage

DAYS = 30
OPENS, CLOSES = 9, 19
"""The workshop's hours, in UTC."""

SHOP, GALLERY = "Северное серебро", "Aurum Gallery"
NAMES: Final = (
    "Анна Соколова",
    "Мария Кузнецова",
    "Дмитрий Орлов",
    "Elena Petrova",
    "Иван Лебедев",
    "Ольга Новикова",
    "Sofia Marchetti",
    "Павел Зайцев",
    "Екатерина Белова",
    "Артём Волков",
    "Наталья Морозова",
    "Thomas Keller",
)
CITIES: Final = ("Москва", "Санкт-Петербург", "Казань", "Екатеринбург", "Новосибирск", "Кострома")
ENGRAVINGS: Final = ("Навсегда", "A + D", "14.02.2027", "Счастье внутри", "Amor vincit omnia")
NOTES: Final = (
    "Позвоните перед отправкой, пожалуйста.",
    "Подарок, без чека в коробке.",
    "Please polish the inside as well.",
)

ENDS: Final[tuple[tuple[Stage, int], ...]] = (
    (Stage.CLOSED, 118),
    (Stage.SHIPPED, 34),
    (Stage.PACKAGING, 9),
    (Stage.MANUFACTURING_COMPLETED, 12),
    (Stage.MANUFACTURING_STARTED, 27),
    (Stage.MANUFACTURING_APPROVED, 41),
    (Stage.PRICE_CALCULATED, 26),
    (Stage.SUBMITTED, 8),
    (Stage.CANCELLED, 13),
    (Stage.FILE_UPLOADED, 6),
    (Stage.INITIATED, 6),
)
"""How many orders end the month in each stage."""

_AGE_DAYS: Final[dict[Stage, tuple[float, float]]] = {
    Stage.CLOSED: (9, 30),
    Stage.SHIPPED: (5, 13),
    Stage.PACKAGING: (1.2, 2.4),
    Stage.MANUFACTURING_COMPLETED: (1.0, 2.0),
    Stage.MANUFACTURING_STARTED: (2.0, 8),
    Stage.MANUFACTURING_APPROVED: (0.2, 2.8),
    Stage.PRICE_CALCULATED: (0.05, 1.4),
    Stage.SUBMITTED: (0.02, 0.6),
    Stage.CANCELLED: (2, 25),
    Stage.FILE_UPLOADED: (0.2, 4),
    Stage.INITIATED: (0.1, 5),
}
"""How long ago such orders came in, in days."""


@dataclass(frozen=True, slots=True)
class Line:
    """A position: the seed of a ring and its material, or a ready-made piece."""

    quantity: int
    ring: tuple[str, int] | None
    material: str | None
    sku: str | None
    engraving: str | None


@dataclass(frozen=True, slots=True)
class Story:
    """One order of the month; ``pace`` is the time between its steps."""

    number: int
    partner: str | None
    """None for an order taken by hand in the office."""
    at: datetime
    end: Stage
    lines: tuple[Line, ...]
    customer: str
    city: str
    note: str | None
    operator: str
    pace: timedelta
    held: bool
    rework: bool


def month(
    now: datetime,
    chance: Random,
    kinds: tuple[str, ...],
    skus: tuple[str, ...],
    operators: tuple[str, ...],
) -> list[Story]:
    """The month that ends at ``now``, in the order in which orders came in."""
    ends = [stage for stage, count in ENDS for _ in range(count)]
    stories = [_story(n, end, now, chance, kinds, skus, operators) for n, end in enumerate(ends)]
    return sorted(stories, key=lambda story: story.at)


def _story(  # What a story is made of.
    number: int,
    end: Stage,
    now: datetime,
    chance: Random,
    kinds: tuple[str, ...],
    skus: tuple[str, ...],
    operators: tuple[str, ...],
) -> Story:
    by_hand = end in {Stage.INITIATED, Stage.FILE_UPLOADED} or chance.random() < 0.12
    partner = None if by_hand else chance.choice((SHOP, SHOP, SHOP, GALLERY))
    youngest, oldest = _AGE_DAYS[end]
    at = _in_hours(now - timedelta(days=chance.uniform(youngest, oldest)), now, chance)
    needs_person = end is Stage.SUBMITTED
    lines = _lines(chance, kinds, skus, needs_person=needs_person)
    return Story(
        number=number,
        partner=partner,
        at=at,
        end=end,
        lines=lines,
        customer=chance.choice(NAMES),
        city=chance.choice(CITIES),
        note=chance.choice(NOTES) if chance.random() < 0.15 else None,
        operator=chance.choice(operators),
        pace=(now - at) / 9,
        held=end in {Stage.PRICE_CALCULATED, Stage.MANUFACTURING_APPROVED}
        and chance.random() < 0.14,
        rework=end in {Stage.MANUFACTURING_STARTED, Stage.SHIPPED} and chance.random() < 0.12,
    )


def _lines(
    chance: Random, kinds: tuple[str, ...], skus: tuple[str, ...], *, needs_person: bool
) -> tuple[Line, ...]:
    count = chance.choices((1, 2, 3), weights=(80, 15, 5))[0]
    lines = [_line(chance, kinds, skus) for _ in range(count)]
    if needs_person:  # A model the engine will not price: the seller's work.
        broken = chance.choice(("open", "flipped", "metres"))
        lines[0] = Line(1, (broken, chance.randrange(4)), "ag925", None, None)
    return tuple(lines)


def _line(chance: Random, kinds: tuple[str, ...], skus: tuple[str, ...]) -> Line:
    quantity = chance.choices((1, 2, 3, 10), weights=(82, 12, 4, 2))[0]
    if chance.random() < 0.15:
        return Line(quantity, None, None, chance.choice(skus), None)
    material = chance.choices(
        ("ag925", "au585_yellow", "au585_white", "au750_yellow", "pt950", "brass"),
        weights=(46, 22, 10, 9, 5, 8),
    )[0]
    engraving = chance.choice(ENGRAVINGS) if chance.random() < 0.25 else None
    return Line(quantity, (chance.choice(kinds), chance.randrange(12)), material, None, engraving)


def _in_hours(instant: datetime, now: datetime, chance: Random) -> datetime:
    """The same day within the workshop's hours, and never after now."""
    hour, minute = chance.randrange(OPENS, CLOSES), chance.randrange(60)
    moved = instant.replace(hour=hour, minute=minute, second=chance.randrange(60))
    return moved if moved < now - timedelta(hours=2) else instant
