"""A line that the kernel cuts: a network namespace of our own, and a link that is taken down."""

import ctypes
import os
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orderkeep.testing.matrix.cell import CannotRun, need_root
from orderkeep.testing.matrix.wire import Wire

_IP = "/sbin/ip"
CLONE_NEWNET = 0x40000000


class Link:
    """Both ends of a virtual cable; beyond it a proxy that reaches the server."""

    def __init__(self, name: str, subnet: str) -> None:
        self._name = name
        self.here, self.there = f"{subnet}.1", f"{subnet}.2"
        self.address = ""

    def lay(self) -> None:
        """Make the namespace and the cable."""
        name = self._name
        _ip("netns", "add", name)
        _ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
        _ip("address", "add", f"{self.here}/30", "dev", f"{name}a")
        _ip("link", "set", f"{name}a", "up")
        _ip("-n", name, "address", "add", f"{self.there}/30", "dev", f"{name}b")
        _ip("-n", name, "link", "set", f"{name}b", "up")

    def down_for(self, seconds: float) -> None:
        """For a while no packet arrives, and nobody is told."""
        _ip("-n", self._name, "link", "set", f"{self._name}b", "down")
        time.sleep(seconds)
        _ip("-n", self._name, "link", "set", f"{self._name}b", "up")

    def listen(self) -> socket.socket:
        """A listening socket beyond the cable: a socket stays where it was made."""
        made: list[socket.socket] = []

        def make() -> None:  # A thread of its own: only it goes over there, and never comes back.
            place = os.open(f"/run/netns/{self._name}", os.O_RDONLY)
            if ctypes.CDLL(None, use_errno=True).setns(place, CLONE_NEWNET) == 0:
                made.append(socket.create_server((self.there, 0)))
            os.close(place)

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if not made:
            raise CannotRun("network namespaces cannot be entered here")
        return made[0]

    def remove(self) -> None:
        """Take everything away."""
        with suppress(CannotRun):
            _ip("netns", "del", self._name)


@contextmanager
def netns_wire(port: int) -> Iterator[Link]:
    """A way to a server on this machine which leads over a cable of its own.

    Raises:
        CannotRun: we may not, or there is no ``ip``.
    """
    need_root()
    if not Path(_IP).exists():
        raise CannotRun("needs ip: apt-get install iproute2")
    number = secrets.randbelow(62) + 1
    link = Link(f"ok{secrets.token_hex(3)}", f"10.213.{number}")
    try:
        link.lay()
        with Wire(port, link.listen()) as wire:
            link.address = f"{link.there}:{wire.port}"
            yield link
    finally:
        link.remove()


def _ip(*words: str) -> None:
    done = subprocess.run([_IP, *words], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotRun(f"ip {' '.join(words)}: {done.stderr.strip()}")
