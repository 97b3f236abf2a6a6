"""Listening sockets: our own, or held for us by somebody who outlives this process.

Whoever holds a socket keeps its queue: while one process leaves and the next begins, clients wait
in it instead of being refused. systemd hands one over by its protocol (sd_listen_fds(3)), and the
parent of several processes by number.
"""

import socket
from collections.abc import Iterable, MutableMapping

from orderkeep.kernel.errors import Fault, Invalid

BACKLOG = 2048
FIRST_HANDED = 3
"""systemd's first descriptor; the others follow it."""


def listen(host: str, port: int) -> socket.socket:
    """A bound socket that children do not inherit; port 0 picks a free one.

    Raises:
        OSError: the port is taken, or the address is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP: asyncio turns Nagle's delay (40 ms an answer) off only where it reads that.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


def handed(
    environment: MutableMapping[str, str],
    pid: int,
    roles: Iterable[str],
    first: int = FIRST_HANDED,
) -> dict[str, socket.socket]:
    """The sockets that systemd holds for these roles, by role; taken out of the environment.

    A socket belongs to the role that it is named after (``FileDescriptorName=``). The only socket
    belongs to the only role, whatever it is called.

    Raises:
        Invalid: a socket is nobody's, or is not one that listens.
    """
    # Taken out: a child of ours must not believe that they are meant for it.
    theirs, count, names = (
        environment.pop(f"LISTEN_{name}", "") for name in ("PID", "FDS", "FDNAMES")
    )
    if theirs != str(pid) or not count.isdigit():
        return {}
    wanted, named = list(roles), names.split(":") if names else []
    if len(wanted) == 1 and count == "1":
        named = wanted
    for name in named:
        if name not in wanted or named.count(name) > 1:
            raise Invalid([_nobodys(name, wanted)])
    if len(named) != int(count):
        raise Invalid([_nobodys("", wanted)])
    return {name: held(first + place) for place, name in enumerate(named)}


def held(number: int) -> socket.socket:
    """The listening socket with this descriptor, from now on ours to close.

    Raises:
        Invalid: it is something else.
    """
    try:
        bound = socket.socket(fileno=number)
    except OSError:
        raise Invalid([_deaf(number)]) from None
    if not bound.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        bound.close()
        raise Invalid([_deaf(number)])
    bound.set_inheritable(False)
    bound.setblocking(False)
    return bound


def _deaf(number: int) -> Fault:
    return Fault("LISTEN_FDS", "wrong", f"Descriptor {number} is no socket that listens.")


def _nobodys(name: str, wanted: list[str]) -> Fault:
    sentence = f"A socket is handed over for {name or 'nobody'}; one each is for {wanted}."
    return Fault("LISTEN_FDNAMES", "wrong", sentence)
