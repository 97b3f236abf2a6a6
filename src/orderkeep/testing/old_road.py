"""A maker's present hand-over: an exchange, the queue of the MES, and who consumes from it."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aio_pika

from orderkeep.testing.amqp_road import admin

EXCHANGE, QUEUE, KEY = "shop.events", "mes.orders", "order.submitted"

TOML = f"""
[sources.shop]
partner = "P"
within = "3s"

[sources.shop.queue]
exchange = "{EXCHANGE}"
keys = ["{KEY}"]
name = "{QUEUE}"

[sources.shop.messages.OrderSubmitted]
client_ref = "number"
items = "lines[].{{sku: article, quantity: count}}"
customer = "{{name: buyer}}"

[sources.shop.messages.OrderMoved]
client_ref = "number"
status = "state"
tracking_no = "parcel"

[sources.shop.messages.CartChanged]
ignore = true

[sources.shop.values.status]
"in work" = "started"
posted = "shipped"
"""


def configure(folder: Path) -> None:
    """Write what the shop's messages mean, and where they are."""
    (folder / "orderkeep.toml").write_text(TOML, encoding="utf-8")


def order(n: int, article: str = "studs-ag") -> bytes:
    """The shop's n-th order, in the shop's words."""
    said = {"number": f"S-{n}", "buyer": "Anna", "lines": [{"article": article, "count": 1}]}
    return json.dumps(said).encode()


def moved(n: int, state: str, parcel: str | None = None) -> bytes:
    """How far the shop's n-th order is, in the shop's words."""
    return json.dumps({"number": f"S-{n}", "state": state, "parcel": parcel}).encode()


class OldRoad:
    """The broker of the present systems, asked from outside of any loop."""

    def __init__(self, url: str, queue_type: str = "classic") -> None:
        self._url = url
        self._type = queue_type

    def begin(self) -> None:
        """Make what the maker has, empty."""

        async def begin(channel: Any) -> None:
            await channel.queue_delete(QUEUE)
            await channel.exchange_declare(EXCHANGE, exchange_type="direct", durable=True)
            arguments = {"x-queue-type": self._type}
            await channel.queue_declare(QUEUE, durable=True, arguments=arguments)
            await channel.queue_bind(QUEUE, EXCHANGE, KEY)

        self._do(begin)

    def publish(
        self, *bodies: bytes, kind: str = "OrderSubmitted", ids: Sequence[str] = ()
    ) -> None:
        """Hand messages over, each with a name of its own unless ``ids`` are given."""
        named = list(ids) or [f"id-{hash(body) & 0xFFFFFFFF:08x}" for body in bodies]

        async def publish(channel: Any) -> None:
            for name, body in zip(named, bodies, strict=True):
                message = aio_pika.Message(
                    b"",
                    headers={"kind": kind},
                    message_id=name or None,
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                )
                done = await channel.basic_publish(
                    body,
                    exchange=EXCHANGE,
                    routing_key=KEY,
                    properties=message.properties,
                    mandatory=True,
                )
                assert done.name == "Basic.Ack"

        self._do(publish)

    def waiting(self) -> int:
        """Messages in the queue of the MES that nobody holds."""
        return int(self._seen().message_count or 0)

    def consumers(self) -> int:
        """How many take from it."""
        return int(self._seen().consumer_count or 0)

    def consume(self) -> list[bytes]:
        """What a consumer of the old road gets: all that waits, acked."""
        taken: list[bytes] = []

        async def consume(channel: Any) -> None:
            seen = await channel.queue_declare(QUEUE, passive=True)
            for _ in range(seen.message_count):
                got = await channel.basic_get(QUEUE, no_ack=True)
                taken.append(bytes(got.body))

        self._do(consume)
        return taken

    def has(self, name: str) -> bool:
        """Whether a queue is there."""
        found = True

        async def look(channel: Any) -> None:
            nonlocal found
            try:
                await channel.queue_declare(name, passive=True)
            except aio_pika.exceptions.ChannelNotFoundEntity:
                found = False

        self._do(look)
        return found

    def _seen(self) -> Any:
        seen: list[Any] = []

        async def look(channel: Any) -> None:
            seen.append(await channel.queue_declare(QUEUE, passive=True))

        self._do(look)
        return seen[0]

    def _do(self, what: Any) -> None:
        async def run() -> None:
            async with admin(self._url) as channel:
                await what(channel)

        asyncio.run(run())
