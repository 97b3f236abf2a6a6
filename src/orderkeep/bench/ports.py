"""Ports for servers that are started beside others: found once, and given to nobody else."""

import socket


def hold_port() -> socket.socket:
    """A free port of 127.0.0.1, bound and not listened on, until the caller closes it.

    Chosen and let go, it might be given to somebody else before its server listens, or while that
    is down. Held like this it refuses connections, and whoever sets SO_REUSEADDR, as servers do,
    may listen there as often as it likes.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


def number_of(held: socket.socket) -> int:
    """Which port it is."""
    return int(held.getsockname()[1])
