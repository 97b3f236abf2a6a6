"""What takes orders over from a maker's present systems, built from the settings."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Any

from orderkeep.adapters.sql.foreign import any_without, rows_behind
from orderkeep.bridge.tray import MOST_BODY, Unknown
from orderkeep.config import Settings
from orderkeep.intake.accept import Intake
from orderkeep.intake.listening import Shadowing, Tapping
from orderkeep.intake.mapping import Message, Source
from orderkeep.intake.modes import Mode
from orderkeep.intake.polling import Poller, Position, Taker
from orderkeep.intake.receiving import Receiving
from orderkeep.intake.roads import DatabaseRoad, QueueRoad
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Fault, Invalid
from orderkeep.kernel.ids import Ids
from orderkeep.kernel.store import Store
from orderkeep.orders.master import OrderMaster
from orderkeep.roles.trying_again import ROUTING_KEY, TryingAgain

if TYPE_CHECKING:
    from orderkeep.roles.sources import Served, SourceKeeper


def source_keeper(
    settings: Settings,
    store: Store[Any],
    intake: Intake,
    master: OrderMaster,
    leads: Callable[[], Awaitable[bool]],
    clock: Clock,
    ids: Ids,
) -> "SourceKeeper | None":
    """Who looks after the sources that stand at a broker; None where there are none.

    Raises:
        Invalid: a source needs a broker's address, or a package that is not there.
    """
    queued = [one for one in settings.sources.values() if isinstance(one.road, QueueRoad)]
    if not queued:
        return None
    try:
        from orderkeep.adapters.rabbitmq.link import Timing  # noqa: PLC0415  # Not installed by all.
        from orderkeep.roles.sources import SourceKeeper  # noqa: PLC0415  # Not installed by all.
    except ImportError as missing:
        sentence = f"A source's queue needs `pip install orderkeep[scale]`: {missing}"
        raise Invalid([Fault("orderkeep.toml: sources", "not-installed", sentence)]) from missing
    served = [_served(settings, one, store, intake, master, clock, ids) for one in queued]
    chance = Random()  # noqa: S311  # How long to wait before connecting anew is no secret.
    return SourceKeeper(store, served, leads, clock, chance, Timing())


def _served(
    settings: Settings,
    source: Source,
    store: Store[Any],
    intake: Intake,
    master: OrderMaster,
    clock: Clock,
    ids: Ids,
) -> "Served":
    from orderkeep.roles.sources import Served  # noqa: PLC0415  # Not installed by all.

    road = source.road
    assert isinstance(road, QueueRoad)  # noqa: S101  # Those without were left out.
    url = road.url or settings.tap_url
    if url is None:
        place = f"orderkeep.toml: sources.{source.name}.queue.url"
        raise Invalid([Fault(place, "wrong", "The broker's address, here or as TAP_URL.")])
    ways = takers(source, store, intake, master, clock, ids)
    return Served(source.name, url, road, ways, settings.rabbitmq_ca_file)


def pollers(
    settings: Settings,
    store: Store[Any],
    intake: Intake,
    master: OrderMaster,
    clock: Clock,
    ids: Ids,
) -> list[Poller]:
    """Who looks into the databases of sources that hand over through one."""
    return [
        Poller(one, store, takers(one, store, intake, master, clock, ids), rows, astray, clock)
        for one in settings.sources.values()
        if isinstance(one.road, DatabaseRoad)
    ]


def trying_again(
    settings: Settings,
    store: Store[Any],
    intake: Intake,
    master: OrderMaster,
    clock: Clock,
    ids: Ids,
) -> TryingAgain:
    """Who tries again what was put aside, with the mapping of today."""
    ways = {
        name: (one, Receiving(one, store, intake, master, put_aside, clock, ids))
        for name, one in settings.sources.items()
    }
    return TryingAgain(store, ways, clock)


def takers(
    source: Source,
    store: Store[Any],
    intake: Intake,
    master: OrderMaster,
    clock: Clock,
    ids: Ids,
) -> dict[Mode, Taker]:
    """What is done with a source's messages in each mode."""
    return {
        Mode.TAP: Tapping(source, store).take,
        Mode.SHADOW: Shadowing(source, store, intake, put_aside, clock).take,
        Mode.LIVE: Receiving(source, store, intake, master, put_aside, clock, ids).take,
    }


async def rows(
    road: DatabaseRoad, since: Position | None, most: int
) -> Sequence[Mapping[str, Any]]:
    """Rows of a shop's database."""
    return await rows_behind(road.url, road.query, column=road.cursor, since=since, most=most)


async def astray(road: DatabaseRoad) -> bool:
    """Whether a shop's database has rows that no cursor comes by."""
    return await any_without(road.url, road.query, column=road.cursor)


def put_aside(work: Any, source: str, message: Message, why: str, now: datetime) -> None:
    """Keep a message in the tray; one that is longer than fits there, whole in quarantine too."""
    headers = {name: str(value) for name, value in message.headers.items()}
    headers[ROUTING_KEY] = message.routing_key
    work.tray.keep(Unknown(source, why, message.body, message.id, headers), now)
    if len(message.body) > MOST_BODY:
        work.inbox.set_aside(source, message.id, message.body, why, now)
