"""Knocking on a door byte by byte, for what no well-behaved client would send."""

import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

_PATIENCE_S = 60.0
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


class Heard(NamedTuple):
    """Everything that came back on one connection."""

    raw: bytes

    @property
    def statuses(self) -> list[int]:
        """The status of every answer, in order."""
        return [int(status) for status in _STATUS.findall(self.raw)]

    @property
    def body(self) -> bytes:
        """What followed the first answer's head."""
        return self.raw.partition(b"\r\n\r\n")[2]


def knock(port: int, parts: bytes | Sequence[bytes]) -> Heard:
    """Send bytes as they are and listen until the other side closes."""
    heard = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):
            for part in [parts] if isinstance(parts, bytes) else parts:
                connection.sendall(part)
        with suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                heard += chunk
    return Heard(bytes(heard))
