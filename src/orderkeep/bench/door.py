"""Orders over HTTP: a real server in one process, real clients in another."""

import asyncio
import struct
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import msgspec

from orderkeep.bench.knocker import MARK, Knocking
from orderkeep.bench.load import Sample
from orderkeep.bench.partner import prepared
from orderkeep.bench.places import Place
from orderkeep.bench.server import Server, serving
from orderkeep.kernel.ids import Ids

MATERIAL = "au585_yellow"
BODY_BYTES = 1100
_FACES = ((0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3))
_CORNERS = ((0.0, 0.0, 0.0), (10.0, 0.0, 0.0), (0.0, 10.0, 0.0), (0.0, 0.0, 10.0))


@dataclass(frozen=True, slots=True)
class Door:
    """A running server and what a client needs to leave orders at it."""

    server: Server
    key: str
    body: str

    async def load(
        self,
        clients: int,
        seconds: float,
        per_s: float | None = None,
        *,
        bears_refusals: bool = False,
    ) -> Sample:
        """Let clients in another process post orders for a while; all at once, or so many a s."""
        before = self.server.cpu_s()
        wanted = Knocking(
            port=self.server.ports["door"],
            key=self.key,
            body=self.body,
            prefix=Ids().token(12),
            clients=clients,
            seconds=seconds,
            per_s=per_s,
            bears_refusals=bears_refusals,
        )
        taken = msgspec.json.decode(await knocked(wanted), type=Sample)
        used = self.server.cpu_s() - before
        return msgspec.structs.replace(taken, cpu_us=round(used / taken.requests * 1e6, 1))


async def knocked(wanted: Knocking) -> bytes:
    """What the clients' process prints.

    Raises:
        RuntimeError: it failed; it has said why.
    """
    printed, status = await told("orderkeep.bench.knocker", wanted)
    if status != 0:
        raise RuntimeError("the clients have stopped")
    return printed


async def told(module: str, wanted: Any) -> tuple[bytes, int | None]:
    """What a process of clients prints, and how it ends; it ends with us, at the latest."""
    command = (sys.executable, "-m", module)
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        printed, _ = await process.communicate(msgspec.json.encode(wanted))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return printed, process.returncode


@asynccontextmanager
async def open_door(place: Place, roles: Sequence[str] = ()) -> AsyncIterator[Door]:
    """A server with the given roles (all without any), one partner with a key, and its file."""
    key = await prepared(place)
    async with serving(place, roles) as server:
        file_id = await asyncio.to_thread(_upload, server.ports["door"], key)
        yield Door(server, key, order_body(file_id))


def order_body(file_id: str) -> str:
    """An order of about 1.1 KB whose ``client_ref`` is to be replaced."""
    order = {
        "client_ref": MARK,
        "items": [{"file_id": file_id, "material": MATERIAL, "quantity": 1}],
        "customer": {"name": "Anna Example", "email": "anna@example.com"},
        "delivery_address": "Example street 1, 10115 Berlin",
        "note": "",
    }
    short = len(msgspec.json.encode(order))
    return msgspec.json.encode({**order, "note": "x" * (BODY_BYTES - short)}).decode()


def _upload(port: int, key: str) -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "model/stl"}
    connection.request("POST", "/v1/files?name=ring.stl", tetrahedron(), headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 201:
        raise RuntimeError(f"The model file was refused: {body!r}")
    return str(msgspec.json.decode(body)["file_id"])


def tetrahedron() -> bytes:
    """The smallest closed surface, as binary STL."""
    faces = b"".join(
        struct.pack("<12fH", 0, 0, 0, *(x for i in face for x in _CORNERS[i]), 0) for face in _FACES
    )
    return bytes(80) + struct.pack("<I", len(_FACES)) + faces
