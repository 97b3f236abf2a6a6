"""What breaks each of the doctor's rules: on a real broker, or in its recorded replies.

``PROVOKED`` does on a real RabbitMQ what a maker's programs do; ``RECORDED`` changes the replies of
a healthy three-node cluster where our version of RabbitMQ cannot show a rule. The tests run every
entry, and the page of rules in the documentation is written from the same tables.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import aio_pika
import httpx
import msgspec
from aio_pika.abc import (
    AbstractChannel,
    AbstractConnection,
    AbstractIncomingMessage,
    AbstractQueue,
)

from orderkeep.adapters.rabbitmq.link import was_cancelled
from orderkeep.adapters.rabbitmq_management import RabbitManagement
from orderkeep.doctor.snapshot import Sample, Snapshot
from orderkeep.testing.rabbitmq_node import RabbitNode

QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}
SHOWN_WITHIN_S = 120
BETWEEN_QUESTIONS_S = 0.2
RECORDING = Path(__file__).with_name("recorded_three_nodes.json")
PLUGINS = (
    "rabbitmq_management",
    "rabbitmq_prometheus",
    "rabbitmq_shovel",
    "rabbitmq_federation",
)


class Seen(NamedTuple):
    """What has to be found: the name of the place, and what the evidence has to hold."""

    name: str | None
    evidence: Mapping[str, Any]


class Shop:
    """A maker's programs at one virtual host of a real broker."""

    def __init__(self, node: RabbitNode, vhost: str) -> None:
        self.node = node
        self.vhost = vhost
        self._connections: list[AbstractConnection] = []
        self._busy: list[asyncio.Task[None]] = []
        self._client = httpx.AsyncClient(
            base_url=f"{node.management_url}/api/", trust_env=False, timeout=120
        )

    async def open(self) -> None:
        """Make the virtual host."""
        await self.put(f"vhosts/{self.vhost}", {})
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        await self.put(f"permissions/{self.vhost}/{self.node.user}", rights)

    async def leave(self) -> None:
        """End the programs; returning means that the broker does not list them any more."""
        for connection in self._connections:
            await connection.close()
        await self.shown(f"vhosts/{self.vhost}/connections", lambda found: not found)
        await self.close()

    async def close(self) -> None:
        """End the programs."""
        for task in self._busy:
            task.cancel()
        ended = await asyncio.gather(*self._busy, return_exceptions=True)
        for connection in self._connections:
            await connection.close()
        await self._client.aclose()
        failed = [one for one in ended if isinstance(one, Exception)]
        if failed:
            raise ExceptionGroup("a program of the shop ended by itself", failed)

    async def put(self, path: str, body: Any) -> None:
        """Tell the management API something."""
        reply = await self._client.put(path, json=body)
        assert reply.status_code < 300, (path, reply.status_code, reply.text)

    async def policy(self, name: str, priority: int, definition: Mapping[str, Any]) -> None:
        """Set a policy for every queue."""
        body = {"pattern": ".*", "priority": priority, "definition": definition}
        await self.put(f"policies/{self.vhost}/{name}", {**body, "apply-to": "queues"})

    async def connect(self, user: str = "", query: str = "") -> AbstractConnection:
        """A connection that stays until the shop closes."""
        who = user or f"{self.node.user}:{quote(self.node.password)}"
        address = f"amqp://{who}@127.0.0.1:{self.node.port}/{self.vhost}{query}"
        connection = await aio_pika.connect(address)
        self._connections.append(connection)
        return connection

    async def channel(self, **options: Any) -> AbstractChannel:
        """A channel on a connection of its own."""
        return await (await self.connect()).channel(**options)

    async def queue(self, name: str = "orders", **options: Any) -> AbstractQueue:
        """A queue, durable unless told otherwise."""
        return await (await self.channel()).declare_queue(name, **{"durable": True, **options})

    async def send(self, key: str, number: int, channel: AbstractChannel | None = None) -> None:
        """Persistent messages to a queue."""
        exchange = (channel or await self.channel()).default_exchange
        for _ in range(number):
            await exchange.publish(message(), key)

    async def counted(self) -> None:
        """Return when the broker's counters show what was done before this call."""
        channel = await self.channel()
        queue = await channel.declare_queue("counted", exclusive=True)
        await channel.default_exchange.publish(message(), queue.name)
        await self.shown(f"queues/{self.vhost}/counted", lambda queue: queue.get("messages"))
        await self.shown(f"vhosts/{self.vhost}/channels", _some_published)
        await queue.delete(if_unused=False, if_empty=False)
        await channel.close()

    async def shown(self, path: str, check: Callable[[Any], Any]) -> None:
        """Return when the management API's answer passes a check.

        Raises:
            TimeoutError: it does not come to that.
        """
        deadline = time.monotonic() + SHOWN_WITHIN_S
        while not check((await self._client.get(path)).json()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} does not show what was done")
            await asyncio.sleep(BETWEEN_QUESTIONS_S)

    def keep_doing(self, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat something until the shop closes; a broker too busy to answer is asked again."""

        async def repeat() -> None:
            # Asked, since the library swallows a cancellation that comes with an answer.
            while not was_cancelled():
                with suppress(aio_pika.exceptions.AMQPError, OSError, TimeoutError):
                    await step()
                await asyncio.sleep(0.05)

        self._busy.append(asyncio.create_task(repeat()))


def _some_published(channels: Any) -> bool:
    return any(one.get("message_stats", {}).get("publish") for one in channels)


def message(size: int = 1, *, persistent: bool = True) -> aio_pika.Message:
    """An order as a message."""
    kept = aio_pika.DeliveryMode.PERSISTENT if persistent else aio_pika.DeliveryMode.NOT_PERSISTENT
    return aio_pika.Message(b"x" * size, delivery_mode=kept)


async def taken(queue: AbstractQueue, *, no_ack: bool = False) -> AbstractIncomingMessage:
    """The next message, waited for: what was handed back may be on its way yet.

    Raises:
        TimeoutError: none comes.
    """
    async with asyncio.timeout(SHOWN_WITHIN_S):
        while True:
            found = await queue.get(no_ack=no_ack, fail=False, timeout=SHOWN_WITHIN_S)
            if found is not None:
                return found
            await asyncio.sleep(0.01)


async def look_until(broker: RabbitManagement, enough: Callable[[Snapshot], Any]) -> Snapshot:
    """Look again and again until two looks are enough together; else the first and the last.

    A broker shows what was done when it next counts, not when it was done. Our node, told to count
    every second, still counts the connections it opened every five, and later when it is busy: no
    fixed time between two looks is long enough.
    """
    looks = [(time.monotonic(), await asyncio.to_thread(broker.sample))]
    deadline = time.monotonic() + SHOWN_WITHIN_S
    while True:
        await asyncio.sleep(BETWEEN_QUESTIONS_S)
        last_at, last = time.monotonic(), await asyncio.to_thread(broker.sample)
        pairs = [Snapshot(first, last, last_at - at) for at, first in looks]
        found = next((pair for pair in pairs if enough(pair)), None)
        if found or time.monotonic() > deadline:
            return found or pairs[0]
        looks.append((last_at, last))


async def hold(_: Any) -> None:
    """A receiver that takes a message and never finishes it."""


async def auto_ack(shop: Shop) -> Seen:
    queue = await shop.queue()
    await queue.consume(hold, no_ack=True)
    await shop.send("orders", 4)
    evidence = {"consumers.ack_required": False, "message_stats.deliver_no_ack": 4}
    return Seen("orders", evidence)


async def polled(shop: Shop) -> Seen:
    queue = await shop.queue()
    await shop.send("orders", 1)
    await taken(queue, no_ack=True)
    return Seen("orders", {"message_stats.get_no_ack": 1})


async def not_durable(shop: Shop) -> Seen:
    await shop.queue(durable=False)
    return Seen("orders", {"durable": False})


async def goes_with_its_user(shop: Shop) -> Seen:
    await shop.queue(auto_delete=True, exclusive=True)
    return Seen("orders", {"auto_delete": True, "exclusive": True})


async def expires(shop: Shop) -> Seen:
    await shop.queue(arguments={"x-expires": 600_000})
    return Seen("orders", {"arguments.x-expires": 600_000})


async def transient(shop: Shop) -> Seen:
    await shop.queue()
    exchange = (await shop.channel()).default_exchange
    for _ in range(10):
        await exchange.publish(message(persistent=False), "orders")
    return Seen("orders", {"messages": 10, "messages_persistent": 0})


async def without_confirms(shop: Shop) -> Seen:
    await shop.queue()
    await shop.send("orders", 7, await shop.channel(publisher_confirms=False))
    return Seen(None, {"confirm": False, "message_stats.publish": 7})


async def _exchange(shop: Shop, **options: Any) -> Any:
    channel = await shop.channel()
    queue = await channel.declare_queue("orders", durable=True)
    exchange = await channel.declare_exchange("shop", **{"durable": True, **options})
    await queue.bind(exchange, "known")
    return exchange


async def dropped(shop: Shop) -> Seen:
    exchange = await _exchange(shop)
    for _ in range(7):
        await exchange.publish(message(), "mistyped", mandatory=False)
    return Seen("shop", {"message_stats.publish_in": 7, "routed nowhere, at least": 7})


async def ignores_returns(shop: Shop) -> Seen:
    exchange = await _exchange(shop)
    for _ in range(3):
        await exchange.publish(message(), "mistyped")  # Mandatory, but nobody listens.
    return Seen(None, {"message_stats.return_unroutable": 3})


async def leads_nowhere(shop: Shop) -> Seen:
    await (await shop.channel()).declare_exchange("shop", durable=True)
    return Seen("shop", {"bindings/source": []})


async def exchange_not_durable(shop: Shop) -> Seen:
    await _exchange(shop, durable=False)
    return Seen("shop", {"durable": False})


async def no_dead_letters(shop: Shop) -> Seen:
    await shop.queue()
    return Seen("orders", {"arguments": {}, "effective_policy_definition": {}})


async def dead_letters_to_nowhere(shop: Shop) -> Seen:
    await shop.queue(arguments={"x-dead-letter-exchange": "gone"})
    return Seen("orders", {"exchanges/gone": "404"})


async def dead_letters_unbound(shop: Shop) -> Seen:
    await (await shop.channel()).declare_exchange("aside", "fanout", durable=True)
    strict = {
        "x-dead-letter-exchange": "aside",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    await shop.queue("loses", arguments={"x-dead-letter-exchange": "aside"})
    queue = await shop.queue(arguments=QUORUM | strict)
    await shop.send("orders", 1)
    await (await taken(queue)).reject()
    return Seen("orders", {"bindings/source": [], "messages_dlx": 1})


async def shadowed(shop: Shop) -> Seen:
    await shop.policy("safe", 1, {"dead-letter-exchange": "aside"})
    await shop.policy("short", 5, {"max-length": 1000})
    await shop.queue()
    return Seen("orders", {"policy": "short", "shadowed": "safe"})


async def too_old(shop: Shop) -> Seen:
    await shop.queue(arguments={"x-message-ttl": 1})
    await shop.send("orders", 1)
    return Seen("orders", {"arguments.x-message-ttl": 1})


async def pushed_out(shop: Shop) -> Seen:
    await shop.queue(arguments={"x-max-length": 5})
    await shop.send("orders", 8)
    return Seen("orders", {"arguments.x-max-length": 5, "message_stats.publish": 8})


async def endless(shop: Shop) -> Seen:
    queue = await shop.queue(arguments=QUORUM)
    await shop.send("orders", 1)
    for _ in range(21):
        await (await taken(queue)).reject(requeue=True)
    return Seen("orders", {"delivery-limit": None, "message_stats.redeliver": 20})


async def limit_throws_away(shop: Shop) -> Seen:
    queue = await shop.queue(arguments=QUORUM | {"x-delivery-limit": 2})
    await shop.send("orders", 1)
    for _ in range(3):
        await (await taken(queue)).reject(requeue=True)
    return Seen("orders", {"arguments.x-delivery-limit": 2})


async def at_most_once(shop: Shop) -> Seen:
    await _put_aside(shop, {})
    await shop.queue(arguments=QUORUM | {"x-dead-letter-exchange": "aside"})
    return Seen("orders", {"dead-letter-strategy": None, "overflow": None})


async def prefetch_unlimited(shop: Shop) -> Seen:
    queue = await shop.queue()
    await queue.consume(hold)
    await shop.send("orders", 10)
    return Seen("orders", {"consumers.prefetch_count": 0, "messages_unacknowledged": 10})


async def holds(shop: Shop) -> Seen:
    channel = await shop.channel()
    await channel.set_qos(5)
    queue = await channel.declare_queue("orders", durable=True)
    await queue.consume(hold)
    await shop.send("orders", 10)
    return Seen(None, {"messages_unacknowledged": 5, "ack.rise": 0, "queues": ["orders"]})


async def nobody_consumes(shop: Shop) -> Seen:
    await shop.queue()
    await shop.send("orders", 4)
    return Seen("orders", {"consumers": 0, "messages": 4})


async def heartbeat_off(shop: Shop) -> Seen:
    await shop.connect(query="?heartbeat=0")
    return Seen(None, {"timeout": 0})


async def churn(shop: Shop) -> Seen:
    async def once() -> None:
        connection = await aio_pika.connect(shop.node.url)
        await connection.close()

    shop.keep_doing(once)
    return Seen(None, {})


async def mirrored(shop: Shop) -> Seen:
    await shop.policy("mirror", 1, {"ha-mode": "all"})
    await shop.queue()
    return Seen("orders", {"effective_policy_definition.ha-mode": "all"})


async def lazy(shop: Shop) -> Seen:
    await shop.queue(arguments={"x-queue-mode": "lazy"})
    return Seen("orders", {"arguments.x-queue-mode": "lazy"})


async def one_member(shop: Shop) -> Seen:
    await shop.queue(arguments=QUORUM)
    return Seen("orders", {"members": 1, "online": 1})


async def guest(shop: Shop) -> Seen:
    await shop.put("users/guest", {"password": "guest", "tags": ""})
    rights = {"configure": ".*", "write": ".*", "read": ".*"}
    await shop.put(f"permissions/{shop.vhost}/guest", rights)
    await shop.connect(user="guest:guest")
    return Seen("guest", {"connections": 1})


async def shovel(shop: Shop) -> Seen:
    ends = {"src-uri": shop.node.url, "dest-uri": shop.node.url, "ack-mode": "no-ack"}
    ways = {"src-protocol": "amqp091", "dest-protocol": "amqp091"}
    names = {"src-queue": "from", "dest-queue": "to"}
    await shop.put(f"parameters/shovel/{shop.vhost}/moves", {"value": ends | ways | names})
    return Seen("moves", {"value.ack-mode": "no-ack"})


async def federation(shop: Shop) -> Seen:
    value = {"uri": shop.node.url, "ack-mode": "on-publish"}
    await shop.put(f"parameters/federation-upstream/{shop.vhost}/far", {"value": value})
    return Seen("far", {"value.ack-mode": "on-publish"})


async def _put_aside(shop: Shop, limits: Mapping[str, Any]) -> None:
    channel = await shop.channel()
    exchange = await channel.declare_exchange("aside", "fanout", durable=True)
    queue = await channel.declare_queue("aside", durable=True, arguments={**QUORUM, **limits})
    await queue.bind(exchange)


async def quarantine_forgets(shop: Shop) -> Seen:
    await _put_aside(shop, {"x-max-length": 100})
    await shop.queue(arguments={"x-dead-letter-exchange": "aside"})
    return Seen("aside", {"arguments.x-max-length": 100})


async def circle(shop: Shop) -> Seen:
    for name, other in (("orders", "again"), ("again", "orders")):
        back = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": other}
        await shop.queue(name, arguments={"x-message-ttl": 60_000, **back})
    return Seen("orders", {"arguments.x-message-ttl": 60_000})


async def quarantine_limit(shop: Shop) -> Seen:
    await _put_aside(shop, {"x-max-length": 100, "x-overflow": "reject-publish"})
    await shop.queue(arguments={"x-dead-letter-exchange": "aside"})
    return Seen("aside", {"arguments.x-overflow": "reject-publish"})


async def order_not_kept(shop: Shop) -> Seen:
    queue = await shop.queue(arguments={"x-single-active-consumer": False})
    await queue.consume(hold)
    await queue.consume(hold)
    return Seen("orders", {"consumers": 2})


async def global_prefetch(shop: Shop) -> Seen:
    await (await shop.channel()).set_qos(5, global_=True)
    return Seen(None, {"global_prefetch_count": 5})


async def big_messages(shop: Shop) -> Seen:
    await shop.queue()
    await (await shop.channel()).default_exchange.publish(message(2 << 20), "orders")
    return Seen("orders", {"message_bytes": 2 << 20, "messages": 1})


async def channel_leak(shop: Shop) -> Seen:
    connection = await shop.connect()
    for _ in range(60):
        await connection.channel()
    return Seen(None, {"channels": 60})


async def hot_loop(shop: Shop) -> Seen:
    queue = await shop.queue()
    await shop.send("orders", 1)

    async def again() -> None:
        await (await taken(queue)).reject(requeue=True)

    shop.keep_doing(again)
    return Seen("orders", {})


PROVOKED: Mapping[int, Callable[[Shop], Awaitable[Seen]]] = {
    1: auto_ack,
    2: polled,
    3: not_durable,
    4: goes_with_its_user,
    5: expires,
    6: transient,
    7: without_confirms,
    8: dropped,
    9: ignores_returns,
    10: leads_nowhere,
    11: exchange_not_durable,
    12: no_dead_letters,
    13: dead_letters_to_nowhere,
    14: dead_letters_unbound,
    15: shadowed,
    16: too_old,
    17: pushed_out,
    18: endless,
    19: limit_throws_away,
    20: at_most_once,
    21: prefetch_unlimited,
    22: holds,
    24: nobody_consumes,
    26: heartbeat_off,
    27: churn,
    28: mirrored,
    29: lazy,
    30: one_member,
    31: guest,
    33: shovel,
    34: federation,
    35: quarantine_forgets,
    36: circle,
    37: quarantine_limit,
    40: order_not_kept,
    41: global_prefetch,
    42: big_messages,
    43: channel_leak,
    44: hot_loop,
}
ALARM = 25
"""Provoked last and by itself: during an alarm nothing else can be."""

Replies = dict[str, Any]


def recorded() -> Replies:
    """One sample of a healthy three-node cluster, as our RabbitMQ answered."""
    found: Replies = msgspec.json.decode(RECORDING.read_bytes())
    return found


def snapshot(replies: Replies) -> Snapshot:
    """The same replies twice, ten seconds apart."""
    sample = msgspec.convert(replies, Sample, strict=False)
    return Snapshot(sample, sample, 10.0)


def _changed(change: Callable[[Replies], None]) -> Replies:
    replies = recorded()
    change(replies)
    return replies


def _orders(replies: Replies) -> Replies:
    found: Replies = next(one for one in replies["queues"] if one["name"] == "orders")
    return found


def _set(replies: Replies, *, version: str = "3.10.8", **policy: Any) -> None:
    """Answer as another version, with other keys in the policy of the queue of orders."""
    replies["overview"]["rabbitmq_version"] = version
    definition = _orders(replies)["effective_policy_definition"]
    for key, value in policy.items():
        definition.pop(key.replace("_", "-"), None)
        if value is not None:
            definition[key.replace("_", "-")] = value


def _partitioned(replies: Replies) -> None:
    replies["nodes"][0]["partitions"] = [replies["nodes"][1]["name"]]


def _queue_down(replies: Replies) -> None:
    _orders(replies)["state"] = "down"


def _nearly_full(replies: Replies) -> None:
    node = replies["nodes"][0]
    node["fd_used"] = node["fd_total"] - 1


def _delayed(replies: Replies) -> None:
    replies["exchanges"].append(
        {
            "name": "later",
            "vhost": "/",
            "type": "x-delayed-message",
            "arguments": {"x-delayed-type": "direct", "alternate-exchange": "amq.direct"},
        }
    )


def _with_argument(replies: Replies, *, version: str, kind: str, **arguments: Any) -> None:
    """Answer as another version, with arguments on the queue of orders, of a kind."""
    _set(replies, version=version)
    queue = _orders(replies)
    queue["type"] = kind
    named = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    queue["arguments"] = {"x-queue-type": kind, **named}


RECORDED: Mapping[int, tuple[str, Callable[[Replies], None]]] = {
    18: ("4.0", partial(_set, version="4.0.5", delivery_limit=-1)),
    19: ("4.0", partial(_set, version="4.0.5", delivery_limit=None, dead_letter_exchange=None)),
    23: ("3.13", partial(_set, version="3.13.7", consumer_timeout=30_000)),
    32: ("3.10", _partitioned),
    38: ("3.10", _queue_down),
    39: ("3.10", _nearly_full),
    45: ("3.10", _delayed),
}
"""For each rule: which version's answer it is, and what is changed in the recorded replies."""

_classic = partial(_with_argument, version="4.3.0", kind="classic")
_quorum = partial(_with_argument, version="4.3.0", kind="quorum")

NEWER: Mapping[int, Sequence[tuple[str, Callable[[Replies], None]]]] = {
    # From 4.0 on every quorum queue has a limit of 20, also where nobody has set one.
    18: [("4.2", partial(_set, version="4.2.1", delivery_limit=-1))],
    19: [("4.2", partial(_set, version="4.2.1", delivery_limit=None, dead_letter_exchange=None))],
    # From 4.3 on the timeout is heeded by quorum queues alone, and may be theirs by argument.
    23: [
        ("4.3", partial(_set, version="4.3.0", consumer_timeout=30_000)),
        ("4.3", partial(_quorum, consumer_timeout=30_000)),
        ("4.3", partial(_classic, consumer_timeout=9_000_000)),
    ],
    28: [("4.0", partial(_set, version="4.0.5", ha_mode="all"))],
    29: [("4.3", partial(_classic, queue_mode="lazy"))],
}
"""What newer brokers answer, whose rules differ; no such broker was there to be asked."""


def case(number: int) -> Snapshot:
    """The recorded case of a rule."""
    return snapshot(_changed(RECORDED[number][1]))


def newer(number: int) -> list[Snapshot]:
    """The cases of a rule that newer brokers answer otherwise."""
    return [snapshot(_changed(change)) for _, change in NEWER[number]]


def how_tested(number: int) -> str:
    """How a rule is tested, for the page of rules."""
    ways = ["provoked on a real broker"] if number in {*PROVOKED, ALARM} else []
    told = [RECORDED[number]] if number in RECORDED else []
    versions = {version: None for version, _ in (*told, *NEWER.get(number, ()))}
    if versions:
        ways.append(f"on recorded replies, changed to what {', '.join(versions)} answers")
    return "; ".join(ways)
