"""What carries envelopes from the outbox to the inboxes, and what is known of it on the way."""

from functools import partial
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from orderkeep.adapters.embedded import EmbeddedTransport
from orderkeep.adapters.sql.opening import AnyStore
from orderkeep.config import Settings
from orderkeep.delivery.search import Search
from orderkeep.delivery.tally import BrokerBooks, Counting
from orderkeep.doctor.snapshot import Sample
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Fault, Invalid
from orderkeep.ledger import sentences as say
from orderkeep.ledger.balance import AtBroker, Carried, Difference
from orderkeep.roles.routing import routes_of

if TYPE_CHECKING:
    from orderkeep.adapters.kafka.transport import KafkaTransport
    from orderkeep.adapters.rabbitmq.transport import RabbitTransport
    from orderkeep.adapters.rabbitmq.watch import BrokerWatch


def carrying(
    settings: Settings, store: AnyStore, clock: Clock, bells: Bells
) -> "tuple[EmbeddedTransport | RabbitTransport | KafkaTransport, Search | None]":
    """What carries envelopes, not open yet, and who looks for those that it lost.

    Raises:
        Invalid: what RabbitMQ or Kafka needs is not installed.
    """
    wanted = routes_of(settings)
    if settings.transport_url == "embedded:":
        return EmbeddedTransport(store.behind, wanted, clock), None
    back = partial(bells.ring, "relay")
    if settings.transport_url.startswith("kafka"):
        kafka = _kafka()(settings.transport_url, store.behind, wanted, clock, back=back)
        return kafka, Search(store.behind, wanted, kafka.is_quiet, clock)
    transport = _rabbitmq()(
        settings.transport_url,
        store.behind,
        wanted,
        clock,
        Random(),  # noqa: S311  # How long to wait before connecting anew is no secret.
        ca_file=settings.rabbitmq_ca_file,
        back=back,
    )
    return transport, Search(store.behind, wanted, transport.is_quiet, clock)


def carried(counting: Counting) -> Carried | None:
    """The newest count of envelopes, as the balance shows it."""
    if counting.last is None:
        return None
    flows = counting.last.flows
    broker = counting.broker
    return Carried(
        broker=at_broker(broker) if broker else None,
        published=sum(one.published for one in flows),
        consumed=sum(one.consumed for one in flows),
        parked=sum(one.parked for one in flows),
    )


def at_broker(books: BrokerBooks) -> AtBroker:
    """The broker's own counters, as the balance shows them beside ours."""
    return AtBroker(
        published=books.published,
        confirmed=books.confirmed,
        returned=books.returned,
        dropped=books.dropped,
        delivered=books.delivered,
        acked=books.acked,
        redelivered=books.redelivered,
        held=sum(books.held.values()) + books.unrouted,
    )


def overdue(counting: Counting) -> list[Difference]:
    """What the broker has confirmed and nobody has, by the order it was for."""
    return [
        Difference(
            order_no=one.order_key,
            what=say.NOT_ARRIVED(kind=one.kind, at=f"{one.sent_at:%Y-%m-%d %H:%M:%S}"),
            system="broker",
            kind="overdue",
            since=one.sent_at,
        )
        for one in counting.missing
    ]


def broker_watch(settings: Settings, transport: object) -> "BrokerWatch | None":
    """Whoever looks at RabbitMQ from outside; nobody, where we may not ask."""
    url = settings.broker_management_url
    if url is None or not settings.transport_url.startswith("amqp"):
        return None
    from orderkeep.adapters.rabbitmq.transport import RabbitTransport as Chosen  # noqa: PLC0415  # Not installed by all.
    from orderkeep.adapters.rabbitmq.watch import BrokerWatch as Watching  # noqa: PLC0415  # Not installed by all.
    from orderkeep.adapters.rabbitmq_management import RabbitManagement  # noqa: PLC0415  # Not installed by all.

    def look() -> Sample:
        with RabbitManagement(url, ca_file=settings.rabbitmq_ca_file) as broker:
            return broker.sample()

    assert isinstance(transport, Chosen)  # noqa: S101  # The address says so.
    wanted = routes_of(settings)
    vhost = unquote(urlsplit(settings.transport_url).path.removeprefix("/")) or "/"
    return Watching(look, wanted, vhost, transport.see)


def _rabbitmq() -> "type[RabbitTransport]":
    """Imported when asked for: whoever runs without a broker needs none of its packages."""
    try:
        from orderkeep.adapters.rabbitmq.transport import (  # noqa: PLC0415  # Not installed by all.
            RabbitTransport as Chosen,
        )
    except ImportError as missing:
        sentence = f"RabbitMQ needs `pip install orderkeep[scale]`: {missing}"
        raise Invalid([Fault("ORDERKEEP_TRANSPORT_URL", "not-installed", sentence)]) from missing
    return Chosen


def _kafka() -> "type[KafkaTransport]":
    """As RabbitMQ's."""
    try:
        from orderkeep.adapters.kafka.transport import KafkaTransport as Chosen  # noqa: PLC0415  # Not installed by all.
    except ImportError as missing:
        sentence = f"Kafka needs `pip install orderkeep[kafka]`: {missing}"
        raise Invalid([Fault("ORDERKEEP_TRANSPORT_URL", "not-installed", sentence)]) from missing
    return Chosen
