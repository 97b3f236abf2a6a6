"""Every setting, read once, frozen. ``orderkeep.toml`` first, then the environment, which wins.

A section's setting ``[mes] read_timeout`` is ``ORDERKEEP_MES_READ_TIMEOUT`` in the environment.
Durations are written ``500ms 30s 5m 2h 3d``.
"""

import re
import ssl
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orderkeep.bridge.windows import read_windows
from orderkeep.intake.mapping import Source, read_sources
from orderkeep.intake.roads import VERIFIED, says_whom_to_trust
from orderkeep.kernel.errors import Fault, Invalid
from orderkeep.orders.order import Stage

PREFIX = "ORDERKEEP_"
FILE = "orderkeep.toml"
LONGEST_NOTICE = timedelta(seconds=20)
HIGHEST_PORT = 65_535


MES_NAMES = frozenset(
    {
        *("submit_path", "lookup_path", "list_path", "recall_path", "changes_path"),
        *("lookup_parameter", "cursor_parameter", "changes_parameter", "idempotency_header"),
        *("reference_field", "order_no_field", "positions_field", "promise_field"),
        *("body_sha256_field", "id_field", "ref_field", "status_field"),
        *("items_field", "next_field"),
    }
)
"""What a MES may call by other names; a test compares them with the adapter's."""


CRM_NAMES = frozenset(
    {
        *("tell_method", "tell_path", "lookup_path", "commands_path", "commands_parameter"),
        *("idempotency_header", "order_no_field", "event_id_field", "event_field"),
        *("version_field", "stage_field", "at_field", "id_field", "items_field", "next_field"),
        *("command_field", "command_id_field", "reason_field", "other_reason"),
    }
)
"""What a CRM may call by other names; a test compares them with the adapter's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FarSettings:
    """What a foreign system behind HTTP can be told alike; see docs/reference/settings.md."""

    title: str
    """What people call it."""
    lookup: bool = True
    """It can be asked for an order."""
    callback_secret: str | None = field(default=None, repr=False)
    """What it signs its call-backs with."""
    poll: timedelta = timedelta(seconds=5)
    """How often to ask it for what is new."""
    pause: timedelta = timedelta(seconds=5)
    """How long to rest after it was away."""
    concurrency: int
    """Calls at once, at most; how many of them it gets at a time follows how it answers."""
    maintenance: str | None = None
    """When nothing is sent, by the clock on its wall: ``Sun 02:00-04:30; Mon-Fri 22:00-22:15``."""
    connect_timeout: timedelta = timedelta(seconds=3)
    read_timeout: timedelta
    total_timeout: timedelta
    auth_header: str | None = field(default=None, repr=False)
    """``Name: value``, sent with every call."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Paths and fields as it calls them: ``submit_path``, ``order_no_field`` …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MesSettings(FarSettings):
    """The MES behind HTTP. With ``callback_secret`` it is not asked how far it has come."""

    title: str = "MES"
    idempotency: Literal["none", "key", "reference"] = "none"
    recall: bool = False
    listing: bool = True
    changes: bool = False
    """It keeps a feed of changes, which is read instead of asking for each work order."""
    visibility_lag: timedelta = timedelta(seconds=10)
    concurrency: int = 8
    read_timeout: timedelta = timedelta(seconds=30)
    total_timeout: timedelta = timedelta(seconds=60)
    words: Mapping[str, str] = field(default_factory=dict)
    """This MES's status words onto ours: ``accepted started completed packaging shipped …``"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmSettings(FarSettings):
    """The sellers' CRM behind HTTP; see docs/guides/crm.md."""

    url: str | None = None
    """Where it is, such as ``http://crm.local:9100``; without it there is none."""
    title: str = "CRM"
    commands: bool = False
    """It keeps a feed of what its people decide, which is read."""
    concurrency: int = 4
    late_after: timedelta = timedelta(minutes=15)
    """How long news may be on its way before the balance names its order."""
    compare_every: timedelta = timedelta(hours=1)
    """How often each open order is compared with what it shows; 0s never."""
    read_timeout: timedelta = timedelta(seconds=15)
    total_timeout: timedelta = timedelta(seconds=30)
    stages: Mapping[str, str] = field(default_factory=dict)
    """Our stages onto its words; ``CANCELLED`` is its ``CLOSED`` unless told otherwise."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why an order was cancelled, onto its words; all others are ``other``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings:
    """The maker's rules of the lifecycle; see ``orders/policy.py``."""

    lead_time: timedelta = timedelta(days=21)
    price_valid: timedelta = timedelta(hours=72)
    claim: timedelta = timedelta(hours=4)
    close_after: timedelta = timedelta(days=14)
    draft: timedelta = timedelta(days=7)
    rework_limit: int = 3
    reconsent_above: Decimal = Decimal("0.05")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileSettings:
    """The standing comparison with the MES; see docs/guides/reconciliation.md."""

    every: timedelta = timedelta(hours=1)
    """How often; 0s compares only when a person asks."""
    lookups: int = 20
    """Look-ups a second at most."""
    stuck_after: timedelta = timedelta(days=3)
    missing_there: Literal["report", "resend"] = "report"
    """``resend`` sends again by itself what the MES is proven not to have."""
    differs: Literal["report", "adopt"] = "report"
    """``adopt`` takes the MES's word for how far it has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LostSettings:
    """Another system's database with orders that it lost; read only, see docs/guides/lost.md."""

    database_url: str | None = field(default=None, repr=False)
    query: str | None = None
    source: str = "view"
    """What that system is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set. Objects receive the values they use, never this."""

    database_url: str = field(default="sqlite:///var/orderkeep.db", repr=False)
    """``sqlite:///path``, or ``postgresql://user@host/database`` for several processes."""
    transport_url: str = field(default="embedded:", repr=False)
    """``embedded:``, or a broker's address, which holds its password."""
    broker_management_url: str | None = field(default=None, repr=False)
    """RabbitMQ's management API, ``http://user:password@host:15672``: what drifts and its counts
    are then compared every minute. A user with the tag ``monitoring`` is enough."""
    tap_url: str | None = field(default=None, repr=False)
    """The present broker's address, for sources that name none: ``amqp://user:password@host/``."""
    rabbitmq_ca_file: Path | None = None
    """Authorities in PEM that ``amqps://`` and the management API's ``https://`` are to trust,
    instead of the system's."""
    files_url: str | None = None
    """``file:///absolute/path``; without it, the folder ``files`` beside the database."""
    mes: Literal["floor", "http"] = "floor"
    mes_url: str | None = None
    smtp_url: str | None = field(default=None, repr=False)
    price_book: Path | None = None
    """A price book in TOML; the shipped example without it."""
    host: str = "0.0.0.0"  # noqa: S104  # The door is public; the office is not.
    port: int = 8080
    office_host: str = "127.0.0.1"
    office_port: int = 8081
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    """Where a process tells its numbers at ``/metrics``, for those that run without an office.
    Each process on one machine needs a port of its own."""
    office_https: bool = False
    """Whether browsers reach the office over HTTPS: cookies are then marked secure."""
    connections_per_peer: int = 512
    """Connections that one address (of IPv6: one network of 64 bits) may hold at a port; 0 for no
    limit. ``trusted_proxies`` have none, and have to limit them themselves."""
    trusted_proxies: str | None = None
    """Addresses and networks of reverse proxies, with commas between: whom *they* name in
    ``X-Forwarded-For`` is who asks. Anybody else's word on that is ignored."""
    leave_notice: timedelta = timedelta(0)
    """How long a process that is told to end says so at ``/readyz`` before it takes no more
    connections: as long as a proxy needs to notice, 20s at most. Not needed where ``--workers`` or
    systemd holds the socket."""
    unknown_kept: timedelta = timedelta(days=90)
    """How long a message that nobody understood is remembered once a person has settled it."""
    time_zone: str = "UTC"
    """Where the maker's clock hangs, such as ``Europe/Moscow``."""
    largest_file_mib: int = 600
    quoter_workers: int = 2
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    test_mode: bool = False
    failpoint: str | None = None
    rules: RuleSettings = RuleSettings()
    mes_http: MesSettings = MesSettings()
    crm: CrmSettings = CrmSettings()
    reconcile: ReconcileSettings = ReconcileSettings()
    lost: LostSettings = LostSettings()
    sources: Mapping[str, Source] = field(default_factory=dict, metadata={"in_file_only": True})
    """Systems that hand over orders, and what their messages mean; in ``orderkeep.toml`` only, see
    docs/guides/taking-over.md."""


_SECTIONS = {
    "rules": "RULES_",
    "mes_http": "MES_",
    "crm": "CRM_",
    "reconcile": "RECONCILE_",
    "lost": "LOST_",
}


def load(environment: Mapping[str, str], folder: Path) -> tuple[Settings, list[str]]:
    """Read the settings; also returns the names in the environment that mean nothing to us.

    Raises:
        Invalid: with a fault for every wrong value.
    """
    file = folder / FILE
    faults: list[Fault] = []
    table = _toml(file, faults) if file.exists() else {}
    named = {k[len(PREFIX) :]: v for k, v in environment.items() if k.startswith(PREFIX)}
    sources = _sources(table.pop("sources", {}), faults)
    settings: Settings = _read(Settings, table, named, "", "", faults)
    settings = replace(settings, sources=sources)
    if not faults:
        faults += _contradictions(settings)
    if faults:
        raise Invalid(faults)
    # Other programs may use our prefix: a stranger's name is shown, not refused.
    return settings, [PREFIX + name for name in sorted(named)]


def _sources(given: Any, faults: list[Fault]) -> dict[str, Source]:
    try:
        return read_sources(given, FILE)
    except Invalid as wrong:
        faults += wrong.faults
        return {}


def files_path(settings: Settings) -> Path:
    """Where model files are kept."""
    if settings.files_url is None and not settings.database_url.startswith("sqlite:"):
        return Path("var/files")
    if settings.files_url is None:
        return database_path(settings).parent / "files"
    return Path(settings.files_url.removeprefix("file://"))


def is_database(url: str) -> bool:
    """Whether this names something that can keep orders."""
    try:
        address = urlsplit(url)
        named = len(address.path) > 1
        if address.scheme == "sqlite":
            return url.startswith("sqlite:///") and named
        # Reading the port finds a password whose signs were not written as %2F and the like.
        return address.scheme in {"postgresql", "postgres"} and named and address.port != 0
    except ValueError:
        return False


def database_path(settings: Settings) -> Path:
    """Where the SQLite file lies: ``sqlite:///relative`` or ``sqlite:////absolute``."""
    return Path(settings.database_url.removeprefix("sqlite:///"))


_KAFKA = re.compile(
    r"kafkas?://([^:@/\s]+:[^:@/\s]+@)?[^:@,/\s]+:[1-9]\d{0,4}(,[^:@,/\s]+:[1-9]\d{0,4})*/?"
)


def is_transport(url: str) -> bool:
    """Whether this names something that can carry envelopes."""
    if url == "embedded:" or _KAFKA.fullmatch(url):
        return True
    try:
        address = urlsplit(url)
        return address.scheme in {"amqp", "amqps"} and bool(address.hostname) and address.port != 0
    except ValueError:  # brackets that do not match, a port that is no number
        return False


def _toml(file: Path, faults: list[Fault]) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        faults.append(Fault(FILE, "unreadable", str(error)))
        return {}


def _read(
    kind: type[Any],
    table: Mapping[str, Any],
    named: dict[str, str],
    prefix: str,
    place: str,
    faults: list[Fault],
) -> Any:
    """One section; takes what it reads out of ``named``."""
    hints, values = get_type_hints(kind), {}
    table = dict(table)
    for one in fields(kind):
        if one.metadata.get("in_file_only"):
            continue
        given = table.pop(one.name, None)
        if is_dataclass(one.default):
            inner = given if isinstance(given, dict) else {}
            section = _SECTIONS[one.name]
            values[one.name] = _read(
                type(one.default), inner, named, section, f"{one.name}.", faults
            )
            continue
        name = prefix + one.name.upper()
        where = PREFIX + name if name in named else f"{FILE}: {place}{one.name}"
        given = named.pop(name, given)
        values[one.name] = _value(hints[one.name], one, given, where, faults)
    faults += [
        Fault(f"{FILE}: {place}{name}", "unknown", "There is no such setting.") for name in table
    ]
    return kind(**values)


def _value(hint: Any, one: Field[Any], given: Any, where: str, faults: list[Fault]) -> Any:
    if given is None:
        return one.default if one.default is not MISSING else {}
    try:
        return _parse(hint, given)
    except (ValueError, InvalidOperation) as error:
        faults.append(Fault(where, "wrong", str(error)))
        return one.default if one.default is not MISSING else {}


def _parse(hint: Any, given: Any) -> Any:
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        if given not in arguments:
            raise ValueError(f"one of: {', '.join(arguments)}")
        return given
    if type(None) in arguments:
        return _parse(arguments[0], given)
    if get_origin(hint) is not None:
        return _names(given)
    return _PARSERS[hint](given)


def _names(given: Any) -> dict[str, str]:
    """A table of words; in the environment ``ours=theirs,ours=theirs``."""
    if isinstance(given, str):
        pairs = [pair.partition("=") for pair in given.split(",") if pair]
        given = {name.strip(): value.strip() for name, _, value in pairs}
    if not isinstance(given, dict) or not all(isinstance(v, str) and v for v in given.values()):
        raise ValueError("name=value, separated by commas")
    return given


def _text(given: Any) -> str:
    if not isinstance(given, str) or not given:
        raise ValueError("a text")
    return given


def _number(given: Any) -> int:
    if isinstance(given, bool) or not re.fullmatch(r"\d{1,9}", str(given)):
        raise ValueError("a whole number")
    return int(given)


def _yes(given: Any) -> bool:
    words = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}
    if str(given).lower() not in words:
        raise ValueError("on or off")
    return words[str(given).lower()]


_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _duration(given: Any) -> timedelta:
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)", str(given))
    if not match:
        raise ValueError("a duration such as 500ms, 30s, 5m, 2h or 3d")
    return timedelta(**{_UNITS[match[2]]: float(match[1])})


_PARSERS: Mapping[Any, Any] = {
    str: _text,
    int: _number,
    bool: _yes,
    timedelta: _duration,
    Decimal: lambda given: Decimal(str(given)),
    Path: lambda given: Path(_text(given)),
}


def _networks(text: str) -> list[object]:
    return [ip_network(one.strip()) for one in text.split(",") if one.strip()]


def _authorities(file: Path | None) -> object:
    return ssl.create_default_context(cafile=file) if file else None


def _is_read(reader: Callable[[Any], Any], text: Any) -> bool:
    try:
        reader(text)
    except (ValueError, ZoneInfoNotFoundError, OSError):  # A folder's name is no time zone either.
        return False
    return True


class _Check(NamedTuple):
    """What has to hold, of which setting, and what is said where it does not."""

    name: str
    holds: Callable[[Settings], bool]
    sentence: str


def _is_http(url: str | None) -> bool:
    return (url or "").startswith(("http://", "https://"))


def _is_port(number: int) -> bool:
    return 0 <= number <= HIGHEST_PORT


def _far(
    what: str, of: Callable[[Settings], FarSettings], names: frozenset[str]
) -> tuple[_Check, ...]:
    """What has to hold of every foreign system."""
    return (
        _Check(
            f"{what}_MAINTENANCE",
            lambda s: _is_read(read_windows, of(s).maintenance or ""),
            "Windows such as: Sun 02:00-04:30; Mon-Fri 22:00-22:15",
        ),
        _Check(
            f"{what}_CONCURRENCY", lambda s: of(s).concurrency > 0, "At least one call at once."
        ),
        _Check(
            f"{what}_TOTAL_TIMEOUT",
            lambda s: of(s).connect_timeout < of(s).total_timeout,
            f"The whole call has to last longer than connecting to the {what}.",
        ),
        _Check(
            f"{what}_NAMES",
            lambda s: of(s).names.keys() <= names,
            f"There is something else than {', '.join(sorted(names))}.",
        ),
    )


_ADDRESSES = (
    _Check(
        "DATABASE_URL",
        lambda s: is_database(s.database_url),
        "Either sqlite:///path, or an address of the form postgresql://user@host/database.",
    ),
    _Check(
        "TRANSPORT_URL",
        lambda s: is_transport(s.transport_url),
        "embedded:, amqp://user:password@host:5672/vhost or kafka://host:9092,host:9092.",
    ),
    _Check(
        "BROKER_MANAGEMENT_URL",
        lambda s: s.broker_management_url is None or _is_http(s.broker_management_url),
        "An address such as http://user:password@broker.local:15672.",
    ),
    _Check(
        "TAP_URL",
        lambda s: (s.tap_url or "amqp://").startswith(("amqp://", "amqps://")),
        "An address such as amqp://user:password@rabbit.local:5672/vhost.",
    ),
    _Check("TRANSPORT_URL", lambda s: not says_whom_to_trust(s.transport_url), VERIFIED),
    _Check("TAP_URL", lambda s: not says_whom_to_trust(s.tap_url or ""), VERIFIED),
    _Check(
        "RABBITMQ_CA_FILE",
        lambda s: _is_read(_authorities, s.rabbitmq_ca_file),
        "A file that can be read, with at least one certificate in PEM.",
    ),
    _Check(
        "FILES_URL",
        lambda s: s.files_url is None or s.files_url.startswith("file:///"),
        "An address of the form file:///path; S3 is not in this release.",
    ),
    _Check(
        "MES_URL",
        lambda s: s.mes == "floor" or _is_http(s.mes_url),
        "A MES behind HTTP needs its address, such as http://mes.local:9000.",
    ),
)
_LISTENING = (
    _Check("PORT", lambda s: _is_port(s.port), "A number from 0 to 65535."),
    _Check("OFFICE_PORT", lambda s: _is_port(s.office_port), "A number from 0 to 65535."),
    _Check("METRICS_PORT", lambda s: _is_port(s.metrics_port or 0), "A number from 0 to 65535."),
    _Check(
        "TIME_ZONE",
        lambda s: _is_read(ZoneInfo, s.time_zone),
        "A place of the time zone database, such as Europe/Moscow.",
    ),
    _Check(
        "TRUSTED_PROXIES",
        lambda s: _is_read(_networks, s.trusted_proxies or ""),
        "Addresses and networks, such as 10.0.0.5, 10.1.0.0/16, 2001:db8::/64.",
    ),
    _Check(
        "LEAVE_NOTICE",
        lambda s: s.leave_notice <= LONGEST_NOTICE,
        "20s at most: the whole process has to end within 30.",
    ),
)
_MES = (
    *_far("MES", lambda s: s.mes_http, MES_NAMES),
    # What is to be taken back is looked for first, and again after no clear answer.
    _Check(
        "MES_RECALL",
        lambda s: s.mes == "floor" or s.mes_http.lookup or not s.mes_http.recall,
        "Without a look-up nothing proves that a work order was taken back: set MES_LOOKUP on too,"
        " or MES_RECALL off.",
    ),
    _Check("RECONCILE_LOOKUPS", lambda s: s.reconcile.lookups > 0, "At least one a second."),
)
_CRM = (
    _Check(
        "CRM_URL",
        lambda s: s.crm.url is None or _is_http(s.crm.url),
        "An address such as http://crm.local:9100.",
    ),
    *_far("CRM", lambda s: s.crm, CRM_NAMES),
    _Check(
        "CRM_STAGES",
        lambda s: s.crm.stages.keys() <= set(Stage),
        f"There is something else than {', '.join(Stage)}.",
    ),
)
_OTHERS = (
    _Check(
        "FAILPOINT",
        lambda s: s.failpoint is None or s.test_mode,
        "Failpoints are obeyed in test mode only.",
    ),
    _Check(
        "PRICE_BOOK",
        lambda s: s.price_book is None or s.price_book.is_file(),
        "There is no such file.",
    ),
)
_CHECKS = (*_ADDRESSES, *_LISTENING, *_MES, *_CRM, *_OTHERS)
"""In the order in which they are told."""


def _contradictions(settings: Settings) -> list[Fault]:
    """Values that are fine alone and wrong together, or not to be had in this profile."""
    broken = [one for one in _CHECKS if not one.holds(settings)]
    return [Fault(PREFIX + one.name, "wrong", one.sentence) for one in broken]
