"""Half a message: a line that breaks in the middle of what we send to the MES, or hear from it.

The same between a partner and our door: half an order, half a receipt.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from functools import partial
from random import Random
from typing import BinaryIO

from orderkeep.testing.matrix.cell import EMBEDDED, SCALED_OUT, Cell, Scene
from orderkeep.testing.matrix.mes import ABILITIES, UNDER_FAULT
from orderkeep.testing.matrix.verdict import Verdict
from orderkeep.testing.matrix.wire import Wire, reset
from orderkeep.testing.matrix.works import wait_for

ODDS = 0.5
"""How many orders and receipts break."""
FEWEST = 3
"""Broken messages of a cell."""


class Half(Enum):
    """Which message breaks."""

    SENT = "cut in the middle of what is sent"
    ANSWERED = "cut in the middle of the answer"


class TornWire(Wire):
    """Carries HTTP from a port of its own to a server's, and breaks in the middle of some."""

    def __init__(self, half: Half, chance: Random) -> None:
        super().__init__(0)
        self._half, self._chance = half, chance
        self.torn = 0
        self.whole = False
        """Once true, nothing breaks any more."""

    def lead_to(self, address: str) -> None:
        """Where the server is that everything is carried to."""
        self._target = ("127.0.0.1", int(address.rpartition(":")[2]))

    @property
    def address(self) -> str:
        """Where it is listened for us."""
        return f"http://127.0.0.1:{self.port}"

    def _join(self, ours: socket.socket, theirs: socket.socket) -> None:
        theirs.settimeout(None)
        self._sockets |= {ours, theirs}
        threading.Thread(target=self._exchange, args=(ours, theirs), daemon=True).start()

    def _exchange(self, ours: socket.socket, theirs: socket.socket) -> None:
        with suppress(OSError), ours.makefile("rb") as asked, theirs.makefile("rb") as told:
            while request := message(asked):
                tears = self._tears(request)
                if tears and self._half is Half.SENT:
                    theirs.sendall(half(request))
                    break
                theirs.sendall(request)
                answer = message(told)
                ours.sendall(half(answer) if tears else answer)
                if tears or not answer:
                    break
        self._sockets -= {ours, theirs}
        for one in (ours, theirs):
            # An orderly end looks like the end of the message, a reset like a crash: both come.
            reset(one) if self._chance.random() < ODDS else one.close()

    def _tears(self, request: bytes) -> bool:
        tears = not self.whole and request.startswith(b"POST") and self._chance.random() < ODDS
        self.torn += tears
        return tears


def message(stream: BinaryIO) -> bytes:
    """The next HTTP message with its body, whose length it says; empty at the end."""
    head = b""
    while (line := stream.readline()) not in {b"\r\n", b""}:
        head += line
    sizes = [one for one in head.lower().split(b"\r\n") if one.startswith(b"content-length:")]
    body = stream.read(int(sizes[0].partition(b":")[2])) if sizes else b""
    return head + line + body if head else b""


def half(whole: bytes) -> bytes:
    """All of its head and half of its body."""
    head, blank, body = whole.partition(b"\r\n\r\n")
    return head + blank + body[: len(body) // 2]


def cells() -> Iterator[Cell]:
    """Each half, at every kind of MES, and at our own door."""
    for profile in (EMBEDDED, SCALED_OUT):
        for which in Half:
            for ability in ABILITIES:
                trial = partial(at_the_mes, ability=ability, which=which)
                yield Cell(profile, f"mes with {ability}", which.value, trial)
            yield Cell(profile, "door", which.value, partial(at_the_door, which=which))


def at_the_mes(scene: Scene, ability: str, which: Half) -> Verdict:
    """Let orders come in while the line to the MES breaks again and again."""
    can = ABILITIES[ability]
    with TornWire(which, scene.chance) as wire:
        settings = {**can.settings, "mes_url": wire.address}
        with scene.works(*can.flags, settings=settings) as works, works.clients() as clients:
            wire.lead_to(works.mes.address)
            works.begin()
            clients.more(UNDER_FAULT)
            wait_for(lambda: wire.torn >= FEWEST, "no message broke")
            wire.whole = True
            return works.verdict(clients, may_be_uncertain=can.blind, ask_mes=can.answers)


def at_the_door(scene: Scene, which: Half) -> Verdict:
    """Let the line between partners and the door break: they ask again with the same key."""
    with TornWire(which, scene.chance) as wire, scene.works() as works:
        works.begin()
        wire.lead_to(works.product.door)
        works.product.door = wire.address
        with works.clients() as clients:
            clients.more(UNDER_FAULT)
            wait_for(lambda: wire.torn >= FEWEST, "no message broke")
            wire.whole = True
            return works.verdict(clients)
