"""Connections that take for ever, in a process of their own: slow heads, bodies and readers.

``python -m orderkeep.bench.slow`` reads ``Knocking`` on its input and prints ``Held``. Who is hung
up on comes back, as an attacker would.
"""

import asyncio
import socket
import sys
from contextlib import suppress

import msgspec

from orderkeep.bench.knocker import Crowd, Knocking
from orderkeep.bench.load import allow_many_files

BYTE_EVERY_S = 1.0
SMALL_BUFFER = 4096
"""What a slow reader's system takes in for it, so that the rest stays with the server."""


class Held(msgspec.Struct):
    """What became of them."""

    opened: int = 0
    ended_by_server: int = 0
    open_at_most: int = 0


class Crowded:
    """What all connections share."""

    def __init__(self) -> None:
        self.held = Held()
        self.open = 0

    def opened(self) -> None:
        """One more."""
        self.open += 1
        self.held.opened += 1
        self.held.open_at_most = max(self.held.open_at_most, self.open)


async def hold(wanted: Knocking) -> Held:
    """Keep so many connections busy with nothing for so long."""
    all_of_them, whole = Crowded(), Crowd(wanted).request()
    lists = f"GET /v1/orders HTTP/1.1\r\nHost: 127.0.0.1:{wanted.port}\r\n"
    asks = f"{lists}Authorization: Bearer {wanted.key}\r\n\r\n".encode() * 16
    # A reader says nothing but an empty line now and then, and notices so when it is hung up on.
    parts = [(whole[:20], whole[20:]), (whole[:-1000], whole[-1000:]), (asks, b"\r\n" * 500)]
    with suppress(TimeoutError):
        async with asyncio.timeout(wanted.seconds), asyncio.TaskGroup() as group:
            for number in range(wanted.clients):
                first, rest = parts[number % len(parts)]
                group.create_task(_again_and_again(all_of_them, wanted.port, first, rest))
    return all_of_them.held


async def _again_and_again(crowd: Crowded, port: int, first: bytes, rest: bytes) -> None:
    while True:
        try:
            await _one(crowd, port, first, rest)
        except OSError:
            crowd.held.ended_by_server += 1
        await asyncio.sleep(BYTE_EVERY_S)


async def _one(crowd: Crowded, port: int, first: bytes, rest: bytes) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        await loop.sock_connect(connection, ("127.0.0.1", port))
        crowd.opened()
        try:
            await loop.sock_sendall(connection, first)
            for byte in rest:
                await asyncio.sleep(BYTE_EVERY_S)
                await loop.sock_sendall(connection, bytes([byte]))
        finally:
            crowd.open -= 1


def main() -> None:
    """The process."""
    allow_many_files()
    wanted = msgspec.json.decode(sys.stdin.buffer.read(), type=Knocking)
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(hold(wanted))))


if __name__ == "__main__":
    main()
