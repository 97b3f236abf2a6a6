"""The process that says no: it holds connections that were handed over, and refuses what comes.

``python -m orderkeep.http.shedder N`` speaks with its parent over the socket with descriptor N.
Refusing costs as much of a processor as reading and writing a socket does, and here it is not the
one that keeps orders. It knows no order, no key and no database. Whatever is not one whole request
goes back to the parent with the bytes that were read; so does whoever asks how we are, and, while
the parent has room, whoever comes again when it was told to. When the parent ends or lets go, so
does this.
"""

import select
import signal
import socket
import struct
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import cycle
from time import monotonic

from orderkeep.http.admission import Kind, kind_of
from orderkeep.http.at_once import is_whole

ANSWER, HOLD, BACK, ALL = b"A", b"H", b"B", b"L"
"""What the parent says: a refusal and its seconds; hold this one, a while; there is room for so
many until the next such word; give all back."""
RETURNED, ENDED, REFUSED = b"R", b"E", b"N"
"""What we say: here is this one and what it said; that one has gone; so many of each kind."""

NAMED = struct.Struct("!cQd")
COUNTED = struct.Struct("!cQQ")

READ_BYTES = 64 * 1024
TOLD_EVERY_S = 0.1
SILENT_S = 30.0
"""Whoever says nothing for so long is hung up on, as elsewhere."""


class Connection:
    """One that we hold; until ``until`` it is told no."""

    __slots__ = ("name", "said_at", "socket", "until")

    def __init__(self, name: int, held: socket.socket, until: float, now: float) -> None:
        self.name = name
        self.socket = held
        self.until = until
        self.said_at = now


class Shedder:
    """Holds connections; while there is room, whoever asks in its time goes back.

    Where too few do, the longest held.
    """

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._poll = select.epoll()
        self._poll.register(link.fileno(), select.EPOLLIN)
        self._held: dict[int, Connection] = {}
        self._answers: list[tuple[float, bytes]] = []
        self._refused: Counter[Kind] = Counter()
        self._room = 0
        self._told_at = self._looked_at = 0.0

    def serve(self) -> None:
        """Until the parent ends."""
        while True:
            self._look(monotonic())
            for number, _ in self._poll.poll(TOLD_EVERY_S):
                if number in self._held:
                    self._hear(self._held[number], monotonic())
                elif number == self._link.fileno() and not self._obey():
                    return

    # --- the parent ---------------------------------------------------------------------------

    def _obey(self) -> bool:
        """Do what the parent says; False when it says nothing any more."""
        try:
            said, numbers, _, _ = socket.recv_fds(self._link, READ_BYTES, 1)
        except BlockingIOError:
            return True
        except OSError:
            return False
        word = said[:1]
        if word == HOLD and numbers:
            _, name, patience_s = NAMED.unpack(said)
            self._hold(name, socket.socket(fileno=numbers[0]), patience_s)
        elif word == BACK:
            self._give_back(self._room)
            self._room = NAMED.unpack(said)[1]
        elif word == ALL:
            self._give_back(len(self._held))
        elif word == ANSWER:
            retry_after_s = NAMED.unpack_from(said)[2]
            self._answers.append((retry_after_s, said[NAMED.size :]))
            self._next = cycle(self._answers)
        return bool(said)

    def _hold(self, name: int, held: socket.socket, patience_s: float) -> None:
        held.setblocking(False)
        now = monotonic()
        self._held[held.fileno()] = Connection(name, held, now + patience_s, now)
        self._poll.register(held.fileno(), select.EPOLLIN)

    def _give_back(self, many: int) -> None:
        for connection in list(self._held.values())[:many]:
            if not self._return(connection, b""):
                return

    def _return(self, connection: Connection, read: bytes) -> bool:
        said = NAMED.pack(RETURNED, connection.name, 0.0) + read
        try:
            socket.send_fds(self._link, [said], [connection.socket.fileno()])
        except OSError:
            return False  # It has too much to read already.
        self._let_go(connection)
        return True

    def _let_go(self, connection: Connection) -> None:
        number = connection.socket.fileno()
        self._poll.unregister(number)
        del self._held[number]
        connection.socket.close()

    def _end(self, connection: Connection) -> None:
        self._let_go(connection)
        self._tell(NAMED.pack(ENDED, connection.name, 0.0))

    def _tell(self, said: bytes) -> bool:
        try:
            self._link.send(said)
        except OSError:
            return False
        return True

    # --- those who wait -----------------------------------------------------------------------

    def _hear(self, connection: Connection, now: float) -> None:
        try:
            read = connection.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            read = b""
        kind = kind_of_whole(read)
        if not read:
            self._end(connection)
        elif kind is None:
            if not self._return(connection, read):
                self._end(connection)  # Nobody can judge it now, and nobody has taken it.
        elif self._room and now >= connection.until and self._return(connection, read):
            self._room -= 1
        else:
            self._refuse(connection, kind, now)

    def _refuse(self, connection: Connection, kind: Kind, now: float) -> None:
        retry_after_s, answer = next(self._next)
        connection.said_at, connection.until = now, now + retry_after_s
        self._refused[kind] += 1
        try:
            sent = connection.socket.send(answer)
        except OSError:
            sent = 0
        if sent < len(answer):
            self._end(connection)  # It reads nothing of what it asks for.

    def _look(self, now: float) -> None:
        """Tell how many were refused, and hang up on who is silent."""
        if now - self._told_at < TOLD_EVERY_S:
            return
        self._told_at = now
        counts = self._refused[Kind.ORDER], self._refused[Kind.OTHER]
        if self._tell(COUNTED.pack(REFUSED, *counts)):  # Also of none: we are there.
            self._refused.clear()
        if now - self._looked_at > 1.0:
            self._looked_at = now
            for connection in list(self._held.values()):
                if now - connection.said_at > SILENT_S:
                    self._end(connection)


def kind_of_whole(read: bytes) -> Kind | None:
    """What one whole request wants; None for what the parent has to judge."""
    line, _, rest = read.partition(b" HTTP/1.1\r\n")
    method, _, url = line.partition(b" ")
    return kind_of(method, url) if is_whole(rest) else None


def main(arguments: Sequence[str]) -> None:
    """The process."""
    # Those are for our parent, which lets go of us when it has ended what it holds.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with socket.socket(fileno=int(arguments[0])) as link:
        link.setblocking(False)
        Shedder(link).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
