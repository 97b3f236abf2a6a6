"""A small shop on a database of its own, for tests that look at it afterwards from outside."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Self

from orderkeep.access.keys import Partner, PartnerNameTaken
from orderkeep.config import load
from orderkeep.files.upload import Uploader
from orderkeep.intake.accept import Sender
from orderkeep.kernel.ids import FileId, OrderNo, PartnerId
from orderkeep.orders.commands import OrderCommand
from orderkeep.orders.events import Actor, ActorKind, Cause
from orderkeep.orders.evolve import rebuild
from orderkeep.orders.order import Order
from orderkeep.practice.rings import ring
from orderkeep.roles.parts import Parts, build
from orderkeep.roles.workers import recover, workers

PARTNER = PartnerId("shop")


class Shop:
    """The product's own parts, moved by hand: nothing happens between two calls."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = {
            "ORDERKEEP_DATABASE_URL": f"sqlite:///{folder / 'orderkeep.db'}",
            "ORDERKEEP_QUOTER_WORKERS": "1",
            **environment,
        }
        self._stack = AsyncExitStack()
        self._parts: Parts | None = None
        self._count = 0

    async def __aenter__(self) -> Self:
        settings, _ = load(self.environment, self.folder)
        self._parts = await build(settings, self._stack)
        await recover(self._parts)
        with suppress(PartnerNameTaken):  # The shop opens again.
            await self.parts.store.write(self._open)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def parts(self) -> Parts:
        """What the shop is made of."""
        assert self._parts is not None
        return self._parts

    async def file(self, seed: int) -> FileId:
        """Upload a ring of its own kind."""
        return await self._taken(f"ring-{seed}.stl", ring("band", seed))

    async def odd_file(self) -> FileId:
        """Upload what is no model at all: a person has to look at it."""
        return await self._taken("ring.stl", b"solid nothing\nendsolid nothing\n")

    async def submit(self, client_ref: str, file_id: FileId) -> OrderNo:
        """Send an order in as the shop's partner does."""
        self._count += 1
        item = {"file_id": file_id, "material": "ag925", "quantity": 1 + self._count % 3}
        body = {"client_ref": client_ref, "items": [item], "customer": {"name": "Anna"}}
        sender = Sender(PARTNER, "api", "door", "key1", f"{self._count:032x}")
        raw = json.dumps(body).encode()
        return (await self.parts.intake.accept(sender, f"key-{client_ref}", raw)).order_no

    async def settle(self, *roles: str) -> None:
        """Let every worker (of these roles) work until none finds anything."""
        crew = [one for one in workers(self.parts) if not roles or one.role in roles]
        while any([await one.step() for one in crew]):
            pass

    async def do(self, no: OrderNo, command: OrderCommand, who: str = "olga") -> Order:
        """Have a person decide something."""
        actor = Actor(ActorKind.PERSON, who, "seller")
        cause = Cause(actor, type(command).__name__, "office", "b" * 32)
        return (await self.parts.master.handle(no, command, cause)).order

    async def order(self, no: OrderNo) -> Order:
        """The order as it is now."""
        return await self.parts.store.read(lambda work: rebuild(work.orders.history(no)))

    def _open(self, work: Any) -> None:
        work.access.add_partner(Partner(PARTNER, "Shop", None, self.parts.clock.now()))

    async def _taken(self, name: str, content: bytes) -> FileId:
        async def chunks() -> AsyncIterator[bytes]:
            yield content

        return (await self.parts.files.take(Uploader(PARTNER, "test"), name, chunks())).id
