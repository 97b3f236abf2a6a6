"""How a source hands its orders over: through a broker's queue, or through a database it shares."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from orderkeep.kernel.errors import Fault

_BROKER = ("amqp://", "amqps://")
_DATABASE = ("sqlite:///", "postgresql://", "postgres://")
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_ON_CERTIFICATES = frozenset({"cafile", "capath", "cadata", "certfile", "keyfile", "no_verify_ssl"})
VERIFIED: Final = (
    "A broker's certificate is always verified: leave cafile, no_verify_ssl and the like out of the"
    " address, and name your own authority with ORDERKEEP_RABBITMQ_CA_FILE."
)
"""What an address is answered that would have it otherwise."""


@dataclass(frozen=True, slots=True)
class QueueRoad:
    """An exchange that orders pass, and the queue in which they reach whoever makes them today."""

    exchange: str
    keys: tuple[str, ...]
    queue: str
    url: str | None = field(default=None, repr=False)
    """The broker, with its password; ``ORDERKEEP_TAP_URL`` without it."""


@dataclass(frozen=True, slots=True)
class DatabaseRoad:
    """A query on a database that the shop writes to; only read."""

    url: str = field(repr=False)
    query: str
    """Selects from a view or table; what is new is asked for around it."""
    cursor: str
    """The column that grows with every change, such as ``updated_at`` or ``id``."""
    overlap: timedelta | int
    """How far to read again behind the last row: a transaction may commit later than a younger one.
    A duration where the cursor is an instant, a count where it is a number."""
    every: timedelta


Road: TypeAlias = QueueRoad | DatabaseRoad


def says_whom_to_trust(url: str) -> bool:
    """Whether a broker's address speaks of certificates, which it has no say in."""
    try:
        words = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    except ValueError:  # It is no address, and others say so.
        return False
    return any(name.lower() in _ON_CERTIFICATES for name, _ in words)


def read_road(given: dict[str, Any], place: str, faults: list[Fault]) -> Road | None:
    """Take ``queue`` or ``database`` out of a source's table."""
    queue, database = given.pop("queue", None), given.pop("database", None)
    if queue is not None and database is not None:
        faults.append(Fault(place, "wrong", "Either a queue or a database, and not both."))
    if queue is not None:
        return _queue(queue, f"{place}.queue", faults)
    return None if database is None else _database(database, f"{place}.database", faults)


def _queue(given: Any, place: str, faults: list[Fault]) -> QueueRoad | None:
    found = _read(given, place, ("exchange", "keys", "name"), ("url",), faults)
    keys = found.get("keys")
    if not isinstance(keys, list) or not keys or not all(isinstance(one, str) for one in keys):
        faults.append(Fault(f"{place}.keys", "wrong", "At least one routing key, in a list."))
        return None
    if not _texts(found, ("exchange", "name"), place, faults):
        return None
    url = found.get("url")
    if url is not None and not str(url).startswith(_BROKER):
        faults.append(Fault(f"{place}.url", "wrong", "amqp://user:password@host:5672/vhost."))
        return None
    if url is not None and says_whom_to_trust(url):
        faults.append(Fault(f"{place}.url", "wrong", VERIFIED))
        return None
    return QueueRoad(found["exchange"], tuple(keys), found["name"], url)


def _database(given: Any, place: str, faults: list[Fault]) -> DatabaseRoad | None:
    found = _read(given, place, ("url", "query", "cursor", "overlap"), ("every",), faults)
    if not _texts(found, ("url", "query", "cursor"), place, faults):
        return None
    overlap, every = _overlap(found.get("overlap")), duration(found.get("every", "10s"))
    checks = (
        (found["url"].startswith(_DATABASE), "url", "sqlite:///path or postgresql://user@host/db."),
        (overlap, "overlap", "A duration such as 5m; where the cursor is a number, a count."),
        (every, "every", "A duration such as 10s."),
        (_COLUMN.fullmatch(found["cursor"]), "cursor", "The name of a column."),
    )
    wrong = [Fault(f"{place}.{name}", "wrong", told) for fine, name, told in checks if not fine]
    faults += wrong
    if wrong or not overlap or not every:
        return None
    return DatabaseRoad(found["url"], found["query"], found["cursor"], overlap, every)


def _read(
    given: Any,
    place: str,
    needed: tuple[str, ...],
    others: tuple[str, ...],
    faults: list[Fault],
) -> dict[str, Any]:
    if not isinstance(given, dict):
        faults.append(Fault(place, "wrong", "A table."))
        return {}
    faults += _strange(given, place, {*needed, *others})
    faults += [
        Fault(f"{place}.{name}", "wrong", "Is needed.") for name in needed if name not in given
    ]
    return given


def _strange(given: dict[str, Any], place: str, known: set[str]) -> Iterator[Fault]:
    for name in given.keys() - known:
        yield Fault(f"{place}.{name}", "unknown", "There is no such setting.")


def _texts(found: dict[str, Any], names: tuple[str, ...], place: str, faults: list[Fault]) -> bool:
    wrong = [name for name in names if not (isinstance(found.get(name), str) and found[name])]
    faults += [Fault(f"{place}.{name}", "wrong", "A text.") for name in wrong if name in found]
    return not wrong


def _overlap(given: Any) -> timedelta | int | None:
    if isinstance(given, int) and not isinstance(given, bool):
        return given if given > 0 else None
    found = duration(given)
    return found or None


def duration(given: Any) -> timedelta | None:
    """A duration such as ``30s``, ``5m`` or ``1h``; None when it is not one."""
    match = re.fullmatch(r"(\d{1,6})([smh])", str(given))
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]]) if match else None
