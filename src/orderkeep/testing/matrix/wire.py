"""A line between us and a server that can be cut: a TCP proxy of our own, which needs no rights."""

import socket
import struct
import threading
import time
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Self

CHUNK = 65536
LOOK_S = 0.05
_RESET = struct.pack("ii", 1, 0)
"""Linger for no time: closing sends RST."""


class Line(Enum):
    """How it is."""

    OPEN = "open"
    SILENT = "silent"
    """Connections stay, and new ones are taken; not a byte comes through."""
    DEAF = "deaf"
    """What we say arrives; the answers do not."""
    CUT = "cut"
    """Every connection is reset, and every new one at once."""


class Wire:
    """Carries bytes from a port of its own to a server's port."""

    def __init__(self, port: int, listening: socket.socket | None = None) -> None:
        self._target = ("127.0.0.1", port)
        self._listening = listening or socket.create_server(("127.0.0.1", 0))
        self._sockets: set[socket.socket] = set()
        self._line, self._over = Line.OPEN, threading.Event()
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    @property
    def port(self) -> int:
        """Where it is listened for us."""
        return int(self._listening.getsockname()[1])

    def be(self, line: Line) -> None:
        """Change how it is."""
        self._line = line
        if line is Line.CUT:
            self._reset_all()

    def be_for(self, seconds: float, line: Line) -> None:
        """Be so for a while, and open again."""
        self.be(line)
        time.sleep(seconds)
        self.be(Line.OPEN)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        where: TracebackType | None,
    ) -> None:  # fmt: skip
        self._over.set()
        # Closing alone would not wake who waits in accept.
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._reset_all()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                ours, _ = self._listening.accept()
            except OSError:
                return
            if self._line is Line.CUT:
                reset(ours)
                continue
            with suppress(OSError):
                self._join(ours, socket.create_connection(self._target, timeout=5))

    def _join(self, ours: socket.socket, theirs: socket.socket) -> None:
        theirs.settimeout(None)
        self._sockets |= {ours, theirs}
        for pair in ((ours, theirs, Line.DEAF), (theirs, ours, None)):
            threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, also: Line | None) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                while self._line not in {Line.OPEN, also}:
                    if self._over.wait(LOOK_S) or self._line is Line.CUT:
                        return
                sink.sendall(data)
        for one in (source, sink):
            self._sockets.discard(one)
            with suppress(OSError):
                one.close()

    def _reset_all(self) -> None:
        for one in list(self._sockets):
            self._sockets.discard(one)
            reset(one)


def reset(one: socket.socket) -> None:
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        one.shutdown(socket.SHUT_RDWR)
    one.close()
