"""Live changes for many browsers: encoded once a role, bounded everywhere, never in accept's way.

Rows that commits change are gathered for a moment and sent together. When more change than people
can watch, new orders are left out first; who missed something is told to fetch its list again. A
browser that does not read is let go: it comes back by itself.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import structlog
from litestar.types import Receive, Send

from orderkeep.access.rights import Role
from orderkeep.board.actions import Viewer
from orderkeep.http.office.wire import Names, encoder, facts
from orderkeep.kernel.clock import Clock
from orderkeep.orders.order import Stage
from orderkeep.orders.view import BoardRow

GATHER_S = 0.4
"""How long changes are gathered; ``FLOODED_S`` when there are more than anybody can watch."""

MAX_ROWS = 32
"""Rows in one batch of orders in work: more than anybody can follow."""

MAX_NEW = 16
"""Orders in one batch that nobody works on yet: they must not take the place of all others."""

FLOODED_S = 2.0

SLICE, PAUSE_S = 16, 0.002
"""Browsers that are fed at once, and the pause after them: orders at the door go between."""

QUEUE = 16
"""Batches a slow browser may be behind before it is let go."""

MAX_CLIENTS = 1024
HEARTBEAT_S = 15.0
COUNTS_S = 5.0
COUNTS_AT_LEAST_S = 30.0
REFETCH_S = 10.0
log = structlog.get_logger()

Watcher = Callable[[Sequence[BoardRow]], None]
_HEARTBEAT = b": still here\n\n"
_BEFORE_WORK = frozenset(
    {Stage.INITIATED, Stage.FILE_UPLOADED, Stage.SUBMITTED, Stage.PRICE_CALCULATED}
)


class Source(Protocol):
    """What the stream asks of the office."""

    async def names(self) -> Names: ...

    async def version(self) -> int: ...

    async def counts(self, login: str) -> Any: ...

    def forget_pages(self) -> None:
        """No list from before this moment may be shown any more."""
        ...

    def row(self, row: BoardRow, names: Names, viewer: Viewer) -> bytes: ...

    async def still_signed_in(self, token: str) -> bool: ...


@dataclass(eq=False, slots=True)
class Client:
    """One open stream."""

    viewer: Viewer
    token: str
    frames: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(QUEUE))
    gone: bool = False

    def give(self, frame: bytes) -> None:
        """Queue a frame; a client too far behind is marked as gone."""
        try:
            self.frames.put_nowait(frame)
        except asyncio.QueueFull:
            self.gone = True

    def leave(self) -> None:
        """The browser has gone: nobody waits for frames any more."""
        self.gone = True
        self.give(b"")  # Wakes whoever feeds it; a full queue has woken them already.


class Stream:
    """Tells open browsers what changes."""

    def __init__(self, clock: Clock, watch: Callable[[Watcher], None]) -> None:
        self._clock = clock
        self._watch: Callable[[Watcher], None] | None = watch
        self._clients: set[Client] = set()
        self._changed: dict[str, BoardRow] = {}
        self._new = 0
        self._missed = False
        self._any = asyncio.Event()
        self._closing = False
        self._seq = 0

    @property
    def clients(self) -> int:
        """How many streams are open."""
        return len(self._clients)

    # --- from the store -----------------------------------------------------------------------

    def changed(self, rows: Sequence[BoardRow]) -> None:
        """Take note of changed rows; called on every commit, so nothing is encoded here."""
        if not self._clients:
            return
        for row in rows:
            self._note(row)
        self._any.set()

    def _note(self, row: BoardRow) -> None:
        if row.order_no not in self._changed:
            if _is_new(row):
                if self._new >= MAX_NEW:
                    self._missed = True
                    return
                self._new += 1
            elif len(self._changed) - self._new >= MAX_ROWS:
                self._missed = True
                return
        self._changed[row.order_no] = row

    # --- to the browsers ----------------------------------------------------------------------

    async def run(self, source: Source) -> None:
        """Send batches until ``close``; the owner's task."""
        while not self._closing:
            try:
                await self._run(source)
            except Exception:  # Top of the loop: a disk that fails once must not end it for ever.
                log.exception("stream.failed")
                self._missed = True
                await asyncio.sleep(FLOODED_S)

    async def _run(self, source: Source) -> None:
        loop = asyncio.get_running_loop()
        counted = refetched = beaten = loop.time()
        dirty = False
        while not self._closing:
            dirty |= await self._gathered()
            now = loop.time()
            if self._changed:
                await self._send_rows(source)
            if self._missed and now - refetched >= REFETCH_S:
                self._missed, refetched = False, now
                source.forget_pages()
                self._broadcast(self.event("refetch", facts(why="many")))
            due = COUNTS_S if dirty else COUNTS_AT_LEAST_S
            if self._clients and now - counted >= due:
                counted, dirty = now, False
                await self._send_counts(source)
            if now - beaten >= HEARTBEAT_S:
                beaten = now
                await self._beat(source)

    async def _gathered(self) -> bool:
        """Wait a moment; whether anything changed. Without clients, sleep until there is one."""
        try:
            async with asyncio.timeout(None if not self._clients else GATHER_S * 4):
                await self._any.wait()
        except TimeoutError:
            return False
        self._any.clear()
        if not self._closing:
            await asyncio.sleep(FLOODED_S if self._missed else GATHER_S)
        return True

    async def _send_rows(self, source: Source) -> None:
        rows, self._changed, self._new = list(self._changed.values()), {}, 0
        source.forget_pages()
        names = await source.names()
        shared: dict[tuple[Role, bool], bytes] = {}
        holders = {row.claim_operator for row in rows}
        async for client in self._in_slices():
            viewer = client.viewer
            if viewer.login in holders:
                client.give(self._rows(rows, names, viewer, source))
                continue
            key = (viewer.role, viewer.read_only)
            if key not in shared:
                shared[key] = self._rows(rows, names, replace(viewer, login=""), source)
            client.give(shared[key])

    def _rows(
        self, rows: Sequence[BoardRow], names: Names, viewer: Viewer, source: Source
    ) -> bytes:
        return b"".join([self.event("row", source.row(row, names, viewer)) for row in rows])

    async def _send_counts(self, source: Source) -> None:
        by_login: dict[str, bytes] = {}
        async for client in self._in_slices():
            login = client.viewer.login
            if login not in by_login:
                counts = await source.counts(login)
                by_login[login] = self.event("counts", encoder.encode(counts))
            client.give(by_login[login])

    async def _beat(self, source: Source) -> None:
        """Prove that the line stands, and let go whoever is not signed in any more."""
        async for client in self._in_slices():
            if not await source.still_signed_in(client.token):
                client.gone = True
            client.give(_HEARTBEAT)

    async def _in_slices(self) -> AsyncIterator[Client]:
        """Every browser, some at a time: feeding all at once would hold up the door."""
        for number, client in enumerate(list(self._clients)):
            if number and number % SLICE == 0:
                await asyncio.sleep(PAUSE_S)
            yield client

    def _broadcast(self, frame: bytes) -> None:
        for client in self._clients:
            client.give(frame)

    def event(self, name: str, data: bytes) -> bytes:
        """One server-sent event; ids only tell a browser that it has been here before."""
        self._seq += 1
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (self._seq, name.encode(), data)

    # --- one browser --------------------------------------------------------------------------

    async def serve(
        self, client: Client, source: Source, send: Send, receive: Receive, *, again: bool
    ) -> None:
        """Feed one browser until it leaves, falls behind or we close."""
        if not self._clients:
            source.forget_pages()  # What changed before was noted for nobody.
        self._clients.add(client)
        self._any.set()
        if self._watch is not None:
            # Only now: as long as nobody looks, commits need not gather rows for anybody.
            self._watch(self.changed)
            self._watch = None
        try:
            as_of, version = self._clock.now(), await source.version()
            client.give(self.event("hello", facts(as_of=as_of, version=version)))
            if again:
                client.give(self.event("refetch", facts(why="back")))
            counts = await source.counts(client.viewer.login)
            client.give(self.event("counts", encoder.encode(counts)))
            await self._feed(client, send, receive)
        finally:
            self._clients.discard(client)

    async def _feed(self, client: Client, send: Send, receive: Receive) -> None:
        leaving = asyncio.create_task(_left(receive, client))
        try:
            while not (client.gone or self._closing):
                body = [await client.frames.get()]
                while not client.frames.empty():
                    body.append(client.frames.get_nowait())
                await send(
                    {"type": "http.response.body", "body": b"".join(body), "more_body": True}
                )
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            leaving.cancel()

    def close(self) -> None:
        """End every stream, so that the server can stop; browsers come back by themselves."""
        self._closing = True
        self._any.set()
        self._broadcast(b"retry: 2000\n\n")


def _is_new(row: BoardRow) -> bool:
    """Whether nobody has an order in hand, nor is asked to take it there."""
    handled = row.claim_operator or row.needs_person or row.hold_reason
    return row.stage in _BEFORE_WORK and not handled


async def _left(receive: Receive, client: Client) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    client.leave()
