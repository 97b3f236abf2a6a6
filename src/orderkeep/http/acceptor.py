"""Takes connections off a listening socket, many in one turn of the event loop.

libuv takes one in each turn, to share with other processes. Where a turn is long, those who wait in
the kernel's queue behind thousands of others are taken seconds later, and nobody sees them.
"""

import asyncio
import socket
from collections.abc import Callable

import structlog

from orderkeep.http.sockets import BACKLOG

AT_A_TIME = 32
"""So that whoever is connected already is not kept waiting by those who come."""
REST_S = 0.1
"""After a failure that is not the client's, as when there is no descriptor left."""

log = structlog.get_logger()


class Acceptor:
    """Of one socket; it is closed as a server of asyncio's is."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        bound: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
    ) -> None:
        self._loop, self._bound, self._protocol = loop, bound, protocol
        self._tasks: set[asyncio.Task[object]] = set()
        self._closed = False
        bound.listen(BACKLOG)
        loop.add_reader(bound, self._accept)

    def close(self) -> None:
        """Take no more; who has been taken stays."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._bound)

    async def wait_closed(self) -> None:
        """Return when everybody who was taken has a connection or has gone."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(AT_A_TIME):
            try:
                accepted, _ = self._bound.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue  # It has gone while it waited.
            except OSError as failure:
                self._rest(failure)
                return
            connecting = self._loop.connect_accepted_socket(self._protocol, accepted)
            task = self._loop.create_task(connecting)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _rest(self, failure: OSError) -> None:
        log.error("door.accept_failed", reason=failure.strerror)
        self._loop.remove_reader(self._bound)
        self._loop.call_later(REST_S, self._again)

    def _again(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._bound, self._accept)
