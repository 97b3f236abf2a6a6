"""Orders over HTTP: a real server in one process, real clients in another."""

import asyncio
import struct
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.client import HTTPConnection

import msgspec

from orderkeep.access.keys import ApiKey, Partner, Quota, key_hint, key_sha256, new_key
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bench.knocker import MARK, Knocking
from orderkeep.bench.load import Sample
from orderkeep.bench.places import Place, migrated, opened
from orderkeep.bench.server import Server, serving
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.ids import Ids, PartnerId

PARTNER = PartnerId("bench")
MATERIAL = "au585_yellow"
BODY_BYTES = 1100
_QUOTA = Quota(rate=1_000_000, per_seconds=1)
_FACES = ((0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3))
_CORNERS = ((0.0, 0.0, 0.0), (10.0, 0.0, 0.0), (0.0, 10.0, 0.0), (0.0, 0.0, 10.0))


@dataclass(frozen=True, slots=True)
class Door:
    """A running server and what a client needs to leave orders at it."""

    server: Server
    key: str
    body: str

    async def load(self, clients: int, seconds: float, per_s: float | None = None) -> Sample:
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
        )
        taken = msgspec.json.decode(await knocked(wanted), type=Sample)
        used = self.server.cpu_s() - before
        return msgspec.structs.replace(taken, cpu_us=round(used / taken.requests * 1e6, 1))


async def knocked(wanted: Knocking) -> bytes:
    """What the clients' process prints.

    Raises:
        RuntimeError: it failed; it has said why.
    """
    module = (sys.executable, "-m", "orderkeep.bench.knocker")
    process = await asyncio.create_subprocess_exec(*module, stdin=PIPE, stdout=PIPE)
    printed, _ = await process.communicate(msgspec.json.encode(wanted))
    if process.returncode != 0:
        raise RuntimeError("the clients have stopped")
    return printed


@asynccontextmanager
async def open_door(place: Place, roles: Sequence[str] = ()) -> AsyncIterator[Door]:
    """A server with the given roles (all without any), one partner with a key, and its file."""
    key = await _prepare(place)
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


async def _prepare(place: Place) -> str:
    """A migrated database with the partner; returns its key."""
    key = new_key(Ids())
    await migrated(place)
    async with opened(place) as store:
        await store.write(lambda work: _add_partner(work, key))
    return key


def _add_partner(work: SqlWork, key: str) -> None:
    now = SystemClock().now()
    if work.access.partner_named("Bench") is None:
        work.access.add_partner(Partner(PARTNER, "Bench", None, now))
    kept = ApiKey(Ids().token(16), PARTNER, key_hint(key), _QUOTA, now)
    work.access.add_key(kept, key_sha256(key))


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
