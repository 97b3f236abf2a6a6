"""Which orders a list shows, in which order, and where the next page begins."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated

import msgspec

from orderkeep.kernel.errors import Fault, Invalid
from orderkeep.orders.order import FINAL, Risk, Stage

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
NEEDS = frozenset(
    {"price", "cancel", "diverged", "uncertain", "rejected", "dead", "recalled", "file"}
)
_MAX_TEXT = 100
PARAMETERS = frozenset(
    {
        "stage",
        "risk",
        "needs",
        "claim",
        "held",
        "channel",
        "partner",
        "material",
        "q",
        "sort",
        "after",
        "limit",
    }
)


_Stored = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class Sort(StrEnum):
    """How a list is ordered; ``rank`` is priority, then what is due first."""

    RANK = "rank"
    DUE = "due"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Filter:
    """A checked filter; two equal ones are the same list. Empty means no restriction."""

    stages: tuple[Stage, ...] = ()
    risks: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    operator: str | None = None
    free: bool = False
    held: bool = False
    channel: str | None = None
    partner: str | None = None
    material: str | None = None
    text: str | None = None
    sort: Sort = Sort.RANK

    @property
    def is_of_the_past(self) -> bool:
        """Whether only closed and cancelled orders are asked for: the newest come first."""
        return bool(self.stages) and FINAL.issuperset(self.stages)

    @property
    def is_searched(self) -> bool:
        """Whether some of it has no index of its own: rows are looked at one by one."""
        return (
            any((self.channel, self.partner, self.material, self.text))
            or self.sort is Sort.CHANGED
            or _parts(self) > 1
        )


def _parts(wanted: Filter) -> int:
    """How many of the indexes a filter would want at once."""
    parts = (
        wanted.stages,
        wanted.risks,
        wanted.needs,
        wanted.operator,
        wanted.free,
        wanted.held,
    )
    return sum(map(bool, parts)) + ("ok" in wanted.risks)


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended: the last row's sort key; ``order`` names the ordering it belongs to."""

    order: str
    key: tuple[_Stored | None, ...]


@dataclass(frozen=True, slots=True)
class PageQuery:
    """One page of a list."""

    filter: Filter
    limit: int = DEFAULT_LIMIT
    after: Cursor | None = None


def parse(parameters: Mapping[str, str], login: str) -> PageQuery:
    """Read a list's query string; ``mine`` means ``login``.

    Raises:
        Invalid: with every fault, each pointing at its parameter.
    """
    faults = [
        Fault(f"/{name[:40]}", "unknown", "no such parameter")
        for name in parameters
        if name not in PARAMETERS
    ]
    reader = _Reader(parameters, faults)
    claim = reader.text("claim")
    page = PageQuery(
        filter=Filter(
            stages=tuple(Stage(stage) for stage in reader.words("stage", frozenset(Stage))),
            risks=reader.words("risk", frozenset(Risk)),
            needs=tuple(sorted(NEEDS)) if reader.is_any("needs") else reader.words("needs", NEEDS),
            operator=_operator(claim, login),
            free=claim == "free",
            held=reader.flag("held"),
            channel=reader.text("channel"),
            partner=reader.text("partner"),
            material=reader.text("material"),
            text=reader.text("q"),
            sort=Sort((reader.words("sort", frozenset(Sort)) or (Sort.RANK,))[0]),
        ),
        limit=reader.limit(),
        after=reader.cursor(),
    )
    if faults:
        raise Invalid(faults)
    return page


def at(page: PageQuery, after: Cursor | None) -> PageQuery:
    """The same list from another place on."""
    return replace(page, after=after)


def encode_cursor(cursor: Cursor) -> str:
    """A cursor as clients carry it: opaque, safe in an address."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def decode_cursor(text: str) -> Cursor:
    """The cursor behind the text.

    Raises:
        ValueError: we did not make it.
    """
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
        return msgspec.json.decode(packed, type=Cursor)
    except (binascii.Error, msgspec.DecodeError, UnicodeEncodeError) as error:
        raise ValueError("not a cursor") from error


def _operator(claim: str | None, login: str) -> str | None:
    if claim is None or claim == "free":
        return None
    return login if claim == "mine" else claim


@dataclass(frozen=True, slots=True)
class _Reader:
    parameters: Mapping[str, str]
    faults: list[Fault]

    def words(self, name: str, known: frozenset[str]) -> tuple[str, ...]:
        words = [word for word in self.parameters.get(name, "").split(",") if word]
        if not known.issuperset(words):
            message = f"must be of: {', '.join(sorted(known))}"
            self.faults.append(Fault(f"/{name}", "unknown", message))
            return ()
        return tuple(sorted(set(words)))

    def is_any(self, name: str) -> bool:
        return self.parameters.get(name) == "any"

    def flag(self, name: str) -> bool:
        return self.parameters.get(name, "") in {"1", "true"}

    def text(self, name: str) -> str | None:
        value = self.parameters.get(name, "").strip()
        if len(value) > _MAX_TEXT or "\0" in value:
            self.faults.append(Fault(f"/{name}", "length", f"at most {_MAX_TEXT} characters"))
            return None
        return value or None

    def limit(self) -> int:
        value = self.parameters.get("limit", str(DEFAULT_LIMIT))
        if not (value.isascii() and value.isdecimal() and len(value) < 5):
            self.faults.append(Fault("/limit", "format", f"a number from 1 to {MAX_LIMIT}"))
            return DEFAULT_LIMIT
        return min(max(int(value), 1), MAX_LIMIT)

    def cursor(self) -> Cursor | None:
        value = self.parameters.get("after")
        if not value:
            return None
        try:
            return decode_cursor(value)
        except ValueError:
            self.faults.append(Fault("/after", "cursor", "take it from the page before, unchanged"))
            return None
