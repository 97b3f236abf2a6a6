"""What a broker told about itself, twice: the management API's replies, as far as rules read them.

Field names are RabbitMQ's own. A field that a version does not send has the value that accuses
nobody. Counts are messages, sizes bytes, ``timeout`` and ``uptime`` as RabbitMQ says them.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

Table = dict[str, Any] | list[Any] | None
"""A JSON object; older brokers write an empty one as ``[]``."""


def table(value: Table) -> Mapping[str, Any]:
    """The object as a mapping, however emptiness was written."""
    return value if isinstance(value, dict) else {}


class Stats(msgspec.Struct, frozen=True):
    """Counters since the thing was made, or since its node started."""

    publish: int = 0
    publish_in: int = 0
    publish_out: int = 0
    confirm: int = 0
    ack: int = 0
    deliver_get: int = 0
    deliver_no_ack: int = 0
    get_no_ack: int = 0
    redeliver: int = 0
    drop_unroutable: int = 0
    return_unroutable: int = 0


class Churn(msgspec.Struct, frozen=True):
    """Counters of openings and closings."""

    connection_created: int = 0
    channel_created: int = 0


class Overview(msgspec.Struct, frozen=True):
    """``/api/overview``."""

    rabbitmq_version: str = "0"
    disable_stats: bool = False
    cluster_name: str = ""
    message_stats: Stats = Stats()
    churn_rates: Churn = Churn()


class Node(msgspec.Struct, frozen=True):
    """One of ``/api/nodes``."""

    name: str
    running: bool = True
    mem_alarm: bool = False
    disk_free_alarm: bool = False
    partitions: list[str] = []
    fd_used: int | str | None = None
    fd_total: int | str | None = None
    sockets_used: int | str | None = None
    sockets_total: int | str | None = None
    proc_used: int | str | None = None
    proc_total: int | str | None = None


class Exchange(msgspec.Struct, frozen=True):
    """One of ``/api/exchanges``."""

    name: str
    vhost: str
    type: str = "direct"
    durable: bool = True
    internal: bool = False
    arguments: Table = None
    policy: str | None = None
    message_stats: Stats = Stats()


class Queue(msgspec.Struct, frozen=True):
    """One of ``/api/queues``."""

    name: str
    vhost: str
    type: str = "classic"
    durable: bool = True
    auto_delete: bool = False
    exclusive: bool = False
    arguments: Table = None
    policy: str | None = None
    operator_policy: str | None = None
    effective_policy_definition: Table = None
    state: str = "running"
    consumers: int = 0
    messages: int = 0
    messages_ready: int | None = None
    """None while the queue has told no numbers: for some seconds after it, or its node, began."""
    messages_unacknowledged: int = 0
    messages_persistent: int | None = None
    messages_dlx: int = 0
    message_bytes: int = 0
    message_stats: Stats = Stats()
    idle_since: str | int | None = None
    members: list[str] = []
    online: list[str] = []
    slave_nodes: list[str] = []
    synchronised_slave_nodes: list[str] = []

    @property
    def at_risk(self) -> int:
        """Messages that rest here now: ready and delivered but not acknowledged."""
        return max(self.messages, (self.messages_ready or 0) + self.messages_unacknowledged)

    @property
    def kind(self) -> str:
        """``classic``, ``quorum`` or ``stream``."""
        named = str(table(self.arguments).get("x-queue-type", self.type))
        return named.removeprefix("rabbit_").removesuffix("_queue")


class Binding(msgspec.Struct, frozen=True):
    """One of ``/api/bindings``."""

    source: str
    vhost: str
    destination: str
    destination_type: str = "queue"
    routing_key: str = ""


class Named(msgspec.Struct, frozen=True):
    """A queue as consumers name it."""

    name: str
    vhost: str = "/"


class Parent(msgspec.Struct, frozen=True):
    """The connection of a channel, or the channel of a consumer."""

    name: str = ""
    peer_host: str | None = None
    user: str | None = None


class Consumer(msgspec.Struct, frozen=True):
    """One of ``/api/consumers``."""

    queue: Named
    consumer_tag: str = ""
    ack_required: bool = True
    prefetch_count: int = 1
    channel_details: Parent | list[Any] = Parent()


class Channel(msgspec.Struct, frozen=True):
    """One of ``/api/channels``."""

    name: str
    vhost: str = "/"
    user: str = ""
    confirm: bool = True
    transactional: bool = False
    consumer_count: int = 0
    messages_unacknowledged: int = 0
    global_prefetch_count: int = 0
    message_stats: Stats = Stats()


class Connection(msgspec.Struct, frozen=True):
    """One of ``/api/connections``."""

    name: str = ""
    vhost: str = "/"
    user: str = ""
    type: str = "network"
    state: str = "running"
    timeout: int | None = None
    channels: int = 0
    peer_host: str | None = None


class Policy(msgspec.Struct, frozen=True, rename={"apply_to": "apply-to"}):
    """One of ``/api/policies``."""

    name: str
    vhost: str
    pattern: str
    definition: Table = None
    priority: int = 0
    apply_to: str = "all"


class Permission(msgspec.Struct, frozen=True):
    """One of ``/api/permissions``."""

    user: str
    vhost: str
    configure: str = ""
    write: str = ""
    read: str = ""


class Parameter(msgspec.Struct, frozen=True):
    """One of ``/api/parameters``: a shovel, or an upstream of a federation."""

    name: str
    component: str
    vhost: str = "/"
    value: Table = None


class Health(msgspec.Struct, frozen=True):
    """What a health check answered: its HTTP status and its reason."""

    status: int
    reason: str = ""


class Whoami(msgspec.Struct, frozen=True):
    """``/api/whoami``; older brokers join the tags with commas."""

    name: str = ""
    tags: list[str] | str = []


class Vhost(msgspec.Struct, frozen=True):
    """One of ``/api/vhosts``."""

    name: str


class Unseen(msgspec.Struct, frozen=True):
    """Something that could not be looked at, and why."""

    what: str
    why: str


class Sample(msgspec.Struct, frozen=True):
    """Everything read at about the same instant."""

    overview: Overview = Overview()
    nodes: list[Node] = []
    exchanges: list[Exchange] = []
    queues: list[Queue] = []
    bindings: list[Binding] = []
    consumers: list[Consumer] = []
    channels: list[Channel] = []
    connections: list[Connection] = []
    policies: list[Policy] = []
    permissions: list[Permission] = []
    parameters: list[Parameter] = []
    health: dict[str, Health] = {}
    unseen: list[Unseen] = []


class Snapshot(msgspec.Struct, frozen=True):
    """Two samples and what lay between them.

    ``metrics`` maps each counter of the Prometheus endpoints, labels included, to its value summed
    over the nodes asked; None when none answered. ``metrics_nodes`` is how many answered.
    """

    first: Sample
    second: Sample
    seconds: float
    metrics: dict[str, float] | None = None
    metrics_nodes: int = 0
    asked: frozenset[int] | None = None
    """Numbers of the rules that it can answer; None stands for all."""
