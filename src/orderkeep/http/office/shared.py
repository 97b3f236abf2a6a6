"""What many browsers ask for at once is read and encoded once.

A page is kept until browsers are told of a change, at most a second: nobody who has heard of a
change gets a page from before it. Where no browser listens, it is kept for a quarter of one. After
that it is read again, unless nothing at all has happened since.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from litestar.di import NamedDependency
from litestar.params import SkipValidation
from msgspec import Raw

from orderkeep.access.rights import Role
from orderkeep.board.actions import Viewer
from orderkeep.board.filters import PageQuery, encode_cursor
from orderkeep.board.ports import Counts, Page
from orderkeep.http.office.parts import Office
from orderkeep.http.office.wire import Names, encoder, facts, row_shape
from orderkeep.orders.view import BoardRow

FRESH_S = 0.25
KEPT_S = 1.0
NAMES_FRESH_S = 3.0
COUNTS_FRESH_S = 1.0
MAX_KEPT = 512
MAX_ROWS_KEPT = 8192


@dataclass(slots=True)
class _Kept:
    since: float
    value: Any


class _Cache:
    """A few values for a short time; emptied when full, since it fills again at once."""

    def __init__(self, fresh_s: float) -> None:
        self._fresh_s = fresh_s
        self._kept: dict[Any, _Kept] = {}

    def get(self, key: Any, fresh_s: float | None = None) -> Any:
        """The value if it is still fresh."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        age = asyncio.get_running_loop().time() - kept.since
        return kept.value if age < (fresh_s or self._fresh_s) else None

    def peek(self, key: Any) -> Any:
        """The value, fresh or not."""
        kept = self._kept.get(key)
        return None if kept is None else kept.value

    def put(self, key: Any, value: Any) -> Any:
        """Keep a value; returns it."""
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[key] = _Kept(asyncio.get_running_loop().time(), value)
        return value


class _Read:
    """A page as it was read, and its JSON by kind of viewer: both are forgotten together."""

    def __init__(self, page: Page, version: int, as_of: datetime) -> None:
        self.page = page
        self.version = version
        self.as_of = as_of
        self.holders = frozenset(row.claim_operator for row in page.rows if row.claim_operator)
        self.encoded: dict[tuple[Role, bool, str], bytes] = {}


class RowBytes:
    """Rows as JSON, each encoded once a version and kind of viewer."""

    def __init__(self) -> None:
        self._names: Names | None = None
        self._kept: dict[tuple[str, int, Role, bool, bool], bytes] = {}

    def of(self, row: BoardRow, names: Names, viewer: Viewer) -> bytes:
        """The row as this viewer gets it."""
        if names is not self._names:
            if names != self._names:
                self._kept.clear()
            self._names = names
        mine = row.claim_operator is not None and row.claim_operator == viewer.login
        key = (row.order_no, row.version, viewer.role, viewer.read_only, mine)
        known = self._kept.get(key)
        if known is None:
            if len(self._kept) >= MAX_ROWS_KEPT:
                self._kept.clear()
            known = self._kept[key] = encoder.encode(row_shape(row, names, viewer))
        return known


class SharedReads:
    """Pages, counts and names; also what the stream asks."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._pages = _Cache(KEPT_S)
        self._counts = _Cache(COUNTS_FRESH_S)
        self._names = _Cache(NAMES_FRESH_S)
        self._rows = RowBytes()

    async def page(self, query: PageQuery, viewer: Viewer) -> bytes:
        """A page as JSON for this viewer: shared by all of the role unless they hold a row of it.

        A person's own action is seen at once: it empties the cache.
        """
        read = await self._read(query)
        login = viewer.login if viewer.login in read.holders else ""
        key = (viewer.role, viewer.read_only, login)
        known = read.encoded.get(key)
        if known is None:
            seen_by = replace(viewer, login=login)
            known = read.encoded[key] = self._encoded(read, await self.names(), seen_by)
        return known

    def _encoded(self, read: _Read, names: Names, viewer: Viewer) -> bytes:
        rows = b",".join([self._rows.of(row, names, viewer) for row in read.page.rows])
        following = encode_cursor(read.page.next) if read.page.next else None
        items = Raw(b"[%b]" % rows)
        return facts(items=items, next=following, as_of=read.as_of, version=read.version)

    async def _read(self, query: PageQuery) -> _Read:
        # What is forgotten while we read is another cache by then: an old page is not put there.
        kept_in = self._pages
        known: _Read | None = kept_in.get(query, self._kept_s())
        if known is not None:
            return known
        old: _Read | None = kept_in.peek(query)
        if old is not None and old.version == await self.version():
            kept_in.put(query, again := _Read(old.page, old.version, self._office.clock.now()))
            return again

        def read(work: Any) -> tuple[Page, int]:
            return work.board.page(query), work.board.version()

        store = self._office.store
        # A searched list may look at thousands of rows: not on the loop that accepts orders.
        reading = store.read_long if query.filter.is_searched else store.read
        page, version = await reading(read)
        kept: _Read = kept_in.put(query, _Read(page, version, self._office.clock.now()))
        return kept

    def _kept_s(self) -> float:
        """Without a listening browser nobody is told of changes, and nothing ends a page's time."""
        return KEPT_S if self._office.stream.clients else FRESH_S

    async def counts(self, login: str) -> Raw:
        """The board's numbers for one person, as JSON: all but their own are everybody's."""
        everybodys: bytes | None = self._counts.get("")
        if everybodys is None:
            everybodys = self._counts.put("", await self._count())
        mine = self._counts.get(login)
        if mine is None:
            read = self._office.store.read
            mine = self._counts.put(login, await read(lambda work: work.board.in_work(login)))
        return Raw(b'%b,"mine":%b}' % (everybodys, encoder.encode(mine)))

    async def _count(self) -> bytes:
        """Everybody's numbers, the last brace left out."""
        counted: Counts = await self._office.store.read(lambda work: work.board.counts(""))
        shape: dict[str, Any] = {"as_of": self._office.clock.now()}
        shape |= {field: getattr(counted, field) for field in counted.__struct_fields__}
        shape["stages"] = {stage: {"n": n, "more": False} for stage, n in counted.stages.items()}
        del shape["mine"]
        return encoder.encode(shape)[:-1]

    async def names(self) -> Names:
        """What logins and partners are called."""
        known: Names | None = self._names.get("all")
        if known is not None:
            return known

        def read(work: Any) -> Names:
            return Names(*work.access.names())

        kept: Names = self._names.put("all", await self._office.store.read(read))
        return kept

    def row(self, row: BoardRow, names: Names, viewer: Viewer) -> bytes:
        """One row as JSON for this viewer."""
        return self._rows.of(row, names, viewer)

    async def version(self) -> int:
        """The board's version."""
        version: int = await self._office.store.read(lambda work: work.board.version())
        return version

    async def still_signed_in(self, token: str) -> bool:
        """Whether a stream's session has not ended."""
        return await self._office.sessions.is_open(token)

    def forget(self) -> None:
        """After a person's own action, so that they see what they did."""
        self.forget_pages()
        self._counts = _Cache(COUNTS_FRESH_S)

    def forget_pages(self) -> None:
        """Browsers are about to hear of changes: no page from before may follow."""
        self._pages = _Cache(KEPT_S)


Shared = NamedDependency[SkipValidation[SharedReads]]
