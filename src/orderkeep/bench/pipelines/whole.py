"""The whole product as it is run: the door, prices, approval, the bridge to a MES behind HTTP.

It does more than its peers, and pays for two hops more: clients' lines become HTTP here, and the
MES's one INSERT is behind HTTP too.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import msgspec
import uvloop

from orderkeep.bench.partner import prepared
from orderkeep.bench.pipelines.lines import Setup, serve, told, until_stopped
from orderkeep.bench.pipelines.shop import mes_at
from orderkeep.bench.places import Place
from orderkeep.bench.server import serving
from orderkeep.quoting.price_book import example_book

CUSTOMER = {"name": "Anna Example", "email": "anna@example.com"}
EVERY_AMOUNT = Decimal(10**9)
"""Below it nobody has to approve."""
DOOR, THE_REST = ("door",), ("relay", "bridge", "quoter", "watch")
_END = b"\r\n\r\n"
_CREATED = b"HTTP/1.1 201 "


async def api(setup: Setup) -> None:
    """The product in one process on SQLite; else its door in one and the rest in another."""
    place = Place(setup.orders, Path(mkdtemp(prefix="orderkeep-whole-")))
    key = await prepared(place, EVERY_AMOUNT)
    settings = {
        "ORDERKEEP_MES": "http",
        "ORDERKEEP_MES_URL": f"http://127.0.0.1:{setup.far_port}",
        "ORDERKEEP_MES_IDEMPOTENCY": "key",
        "ORDERKEEP_MES_POLL": "1h",
        **({"ORDERKEEP_TRANSPORT_URL": setup.amqp} if setup.amqp else {}),
    }
    async with AsyncExitStack() as stack:
        if place.is_sqlite:
            server = await stack.enter_async_context(serving(place, (), settings))
        else:
            await stack.enter_async_context(serving(place, THE_REST, settings))
            server = await stack.enter_async_context(serving(place, DOOR, settings))
        await serve(setup.port, _accepting(server.ports["door"], key))


def _accepting(port: int, key: str) -> Callable[[str], Awaitable[str]]:
    """One order over HTTP for each line, on connections that are kept."""
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    sku = next(iter(example_book().skus))

    async def accept(ref: str) -> str:
        order = {"client_ref": ref, "items": [{"sku": sku, "quantity": 1}], "customer": CUSTOMER}
        body = msgspec.json.encode(order)
        head = (
            f"POST /v1/orders HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}"
            f"\r\nContent-Type: application/json\r\nIdempotency-Key: {ref}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        reader, writer = free.pop() if free else await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode() + body)
        status, answer = await _message(reader)
        free.append((reader, writer))
        if not status.startswith(_CREATED):
            raise RuntimeError(answer.decode())
        return str(msgspec.json.decode(answer)["order_no"])

    return accept


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """A request or an answer: its first line and its body."""
    head = await reader.readuntil(_END)
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head, await reader.readexactly(length)


async def mes(setup: Setup) -> None:
    """The far side: ``POST`` makes, anything else finds nothing."""
    far = await mes_at(setup.mes, setup.work_ms, setup.at_once)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head, body = await _message(reader)
                writer.write(_answer(*await _made(head, body)))
        except (OSError, EOFError):
            return
        finally:
            writer.close()

    async def _made(head: bytes, body: bytes) -> tuple[bytes, Any]:
        if not head.startswith(b"POST "):
            return b"200 OK", {"items": []}
        reference = msgspec.json.decode(body)["external_id"]
        await far.make(reference)
        return b"201 Created", {"id": reference, "ref": reference, "status": "queued"}

    server = await asyncio.start_server(connected, "127.0.0.1", setup.far_port)
    await until_stopped()
    server.close()


def _answer(status: bytes, said: Any) -> bytes:
    body = msgspec.json.encode(said)
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        status,
        len(body),
        body,
    )


if __name__ == "__main__":
    half, given = told()
    uvloop.install()
    asyncio.run(api(given) if half == "api" else mes(given))
