"""What many browsers ask for at once is read and encoded once: for a quarter of a second."""

import asyncio
from dataclasses import dataclass
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
NAMES_FRESH_S = 3.0
COUNTS_FRESH_S = 1.0
MAX_KEPT = 512
MAX_ROWS_KEPT = 8192


@dataclass(slots=True)
class _Kept:
    until: float
    value: Any


class _Cache:
    """A few values for a short time; emptied when full, since it fills again at once."""

    def __init__(self, fresh_s: float) -> None:
        self._fresh_s = fresh_s
        self._kept: dict[Any, _Kept] = {}

    def get(self, key: Any) -> Any:
        """The value if it is still fresh."""
        kept = self._kept.get(key)
        fresh = kept is not None and kept.until > asyncio.get_running_loop().time()
        return kept.value if kept is not None and fresh else None

    def put(self, key: Any, value: Any) -> Any:
        """Keep a value; returns it."""
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[key] = _Kept(asyncio.get_running_loop().time() + self._fresh_s, value)
        return value

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()


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
        self._pages = _Cache(FRESH_S)
        self._bytes = _Cache(FRESH_S)
        self._counts = _Cache(COUNTS_FRESH_S)
        self._names = _Cache(NAMES_FRESH_S)
        self._rows = RowBytes()

    async def page(self, query: PageQuery, viewer: Viewer) -> bytes:
        """A page as JSON for this viewer: shared by all of the role unless they hold a row of it.

        A person's own action is seen at once: it empties the cache.
        """
        page, holders, head = await self._read(query)
        login = viewer.login if viewer.login in holders else ""
        key = (query, viewer.role, viewer.read_only, login)
        known: bytes | None = self._bytes.get(key)
        if known is not None:
            return known
        names = await self.names()
        seen_by = Viewer(login, viewer.role, viewer.read_only)
        rows = b",".join([self._rows.of(row, names, seen_by) for row in page.rows])
        items = Raw(b"[%b]" % rows)
        following = encode_cursor(page.next) if page.next else None
        encoded: bytes = self._bytes.put(key, facts(items=items, next=following, **head))
        return encoded

    async def _read(self, query: PageQuery) -> tuple[Page, frozenset[str], dict[str, Any]]:
        known: tuple[Page, frozenset[str], dict[str, Any]] | None = self._pages.get(query)
        if known is not None:
            return known

        def read(work: Any) -> tuple[Page, int]:
            return work.board.page(query), work.board.version()

        store = self._office.store
        # A searched list may look at thousands of rows: not on the loop that accepts orders.
        reading = store.read_long if query.filter.is_searched else store.read
        page, version = await reading(read)
        holders = frozenset(row.claim_operator for row in page.rows if row.claim_operator)
        head = {"as_of": self._office.clock.now(), "version": version}
        kept: tuple[Page, frozenset[str], dict[str, Any]] = self._pages.put(
            query, (page, holders, head)
        )
        return kept

    async def counts(self, login: str) -> dict[str, Any]:
        """The board's numbers for one person: all but their own are everybody's."""
        everybodys: dict[str, Any] | None = self._counts.get("")
        if everybodys is None:
            everybodys = self._counts.put("", await self._count())
        mine = self._counts.get(login)
        if mine is None:
            read = self._office.store.read
            mine = self._counts.put(login, await read(lambda work: work.board.in_work(login)))
        return everybodys | {"mine": mine}

    async def _count(self) -> dict[str, Any]:
        counted: Counts = await self._office.store.read(lambda work: work.board.counts(""))
        shape: dict[str, Any] = {"as_of": self._office.clock.now()}
        shape |= {field: getattr(counted, field) for field in counted.__struct_fields__}
        shape["stages"] = {stage: {"n": n, "more": False} for stage, n in counted.stages.items()}
        return shape

    async def names(self) -> Names:
        """What logins and partners are called."""
        known: Names | None = self._names.get("all")
        if known is not None:
            return known

        def read(work: Any) -> Names:
            return Names(
                {person.login: person.name for person in work.access.people()},
                {partner.id: partner.name for partner in work.access.partners()},
            )

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
        self._pages.clear()
        self._bytes.clear()
        self._counts.clear()


Shared = NamedDependency[SkipValidation[SharedReads]]
