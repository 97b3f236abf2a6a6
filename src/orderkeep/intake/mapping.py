"""What a present system's messages mean to us: read by configuration, never by code of ours.

A source is a system that already hands over orders. Its messages differ by kind, and for each kind
the configuration says where everything stands, in JMESPath, and what its words mean. Pure: bytes
and headers in, a body for ``intake`` out, or a sentence that says why not.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from math import isfinite
from typing import Any, Literal, NamedTuple, TypeAlias

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError

from orderkeep.intake import sentences as say
from orderkeep.intake.roads import Road, duration, read_road
from orderkeep.intake.submission import SubmissionBody
from orderkeep.kernel.errors import Fault, Invalid, Refused
from orderkeep.orders.home_words import WORDS

Preset: TypeAlias = Literal["plain", "spring", "masstransit"]

FIELDS = tuple(SubmissionBody.__struct_fields__)
_NEEDED = ("client_ref", "items", "customer")
_BESIDE = ("tracking_no", "carrier", "reason")
MEANS_NOTHING = "ignored"
"""Onto this, a word of ``status`` is mapped that orders need not know."""
_LONGEST_FACT = 200
_ANY_OTHER = "*"
_MAX_KIND = 200
_NAME = re.compile(r"[A-Za-z0-9_-]{1,24}")

_encoder = msgspec.json.Encoder(order="sorted")


class UnknownMessage(Refused):
    """No mapping knows this kind of message; ``facts["kind"]`` is the kind as far as it is seen."""


class NotMapped(Refused):
    """The mapping could not make an order of the message. The sentence holds nothing of it."""


class KindMapping(NamedTuple):
    """How messages of one kind become submissions, or words about orders that are there."""

    ignored: bool
    expressions: Mapping[str, Any]
    """Compiled JMESPath by field of a submission."""
    said: Mapping[str, Any]
    """The same by field of a word; without ``status`` nothing is said."""
    version: Any | None
    """The source's own version or time of what it sends, for messages without an id."""

    @property
    def is_submission(self) -> bool:
        """Whether its messages bring an order, and do not only speak of one."""
        return "items" in self.expressions

    @property
    def needed(self) -> Sequence[str]:
        """Fields that every message of the kind has to have."""
        return _NEEDED if self.is_submission else _NEEDED[:1]


class Source(NamedTuple):
    """One system that hands over orders."""

    name: str
    partner: str
    preset: Preset
    kinds: Mapping[str, KindMapping]
    words: Mapping[str, Mapping[str, Any]]
    """By field, their words onto ours; ``*`` stands for every other."""
    road: Road | None = None
    """Where it hands orders over; without it messages can be mapped, and none is taken."""
    within: timedelta = timedelta(hours=1)
    """How long the old road may take until the MES shows an order."""


class Message(NamedTuple):
    """A message as it came, and what its carrier says of it."""

    body: bytes
    headers: Mapping[str, Any] = {}
    routing_key: str = ""
    id: str | None = None
    """What its carrier calls it."""


class Word(NamedTuple):
    """What a source says of an order, as one of ``home_words.WORDS``."""

    client_ref: str
    status: str
    tracking_no: str | None = None
    carrier: str | None = None
    reason: str | None = None


class Mapped(NamedTuple):
    """A message understood; with neither submission nor word it is to be ignored."""

    kind: str
    submission: bytes | None
    version: str | None
    word: Word | None = None


def read(source: Source, message: Message) -> Mapped:
    """What a message means; a submission in JSON with sorted names: same message, same bytes.

    Raises:
        UnknownMessage: no mapping knows the kind.
        NotMapped: not JSON, a word without meaning, or a field that is needed and not there.
    """
    whole = _parsed(message.body)
    kind, inner = _UNPACK[source.preset](message, whole)
    mapping = source.kinds.get(kind) or source.kinds.get(_ANY_OTHER)
    if mapping is None:
        raise UnknownMessage(say.NO_MAPPING(), kind=kind[:_MAX_KIND])
    if mapping.ignored:
        return Mapped(kind, None, None)
    fields = {name: _found(name, asked, inner) for name, asked in mapping.expressions.items()}
    _require(fields, mapping.needed)
    said = _worded({name: v for name, v in fields.items() if v is not None}, source.words, "")
    # Order numbers are often numbers there; with us they are texts.
    said["client_ref"] = _text(said["client_ref"])
    submission = _encoded(said) if mapping.is_submission else None
    word = _word(said["client_ref"], source, mapping, inner)
    version = None if mapping.version is None else _found("version", mapping.version, inner)
    return Mapped(kind, submission, None if version is None else _text(version), word)


def _require(fields: Mapping[str, Any], needed: Iterable[str]) -> None:
    missing = [name for name in needed if fields.get(name) is None]
    if missing:
        raise NotMapped(say.FOUND_NOTHING(fields=", ".join(missing)))


def _word(client_ref: str, source: Source, mapping: KindMapping, inner: Any) -> Word | None:
    """What the message says of its order; None when it says nothing, or what means nothing here."""
    found = {name: _found(name, asked, inner) for name, asked in mapping.said.items()}
    if not mapping.is_submission:
        _require(found, ["status"])
    if found.get("status") is None:
        return None
    status = _worded(_text(found["status"]), source.words, "status")
    if status == MEANS_NOTHING:
        return None
    if status not in WORDS:
        raise NotMapped(say.WORD_WITHOUT_MEANING(field="status", values="status"))
    beside = {name: _short(found.get(name)) for name in _BESIDE}
    return Word(client_ref, str(status), **beside)


def _short(value: Any) -> str | None:
    """A fact beside the word; one that is no text or too long is left out: the word counts."""
    told = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return told if isinstance(told, str) and 0 < len(told) <= _LONGEST_FACT else None


def _encoded(said: Mapping[str, Any]) -> bytes:
    try:
        return _encoder.encode(said)
    except (UnicodeEncodeError, OverflowError) as wrong:
        raise NotMapped(say.NOT_TO_JSON(failure=type(wrong).__name__)) from wrong


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(
            body.decode(),
            object_pairs_hook=_object,
            parse_float=_number,
            parse_constant=_number,
        )
    except (ValueError, RecursionError) as wrong:
        raise NotMapped(say.NOT_JSON(failure=type(wrong).__name__)) from wrong


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name came twice")  # Two readers would see two orders.
    return found


def _number(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise ValueError("not a number")
    return number


def _found(name: str, asked: Any, inner: Any) -> Any:
    try:
        return asked.search(inner)
    except JMESPathError as wrong:
        # Their sentence quotes the value: its class says enough.
        raise NotMapped(say.EXPRESSION_FAILED(field=name, failure=type(wrong).__name__)) from wrong


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise NotMapped(say.NEITHER_TEXT())


def _worded(value: Any, words: Mapping[str, Mapping[str, Any]], field: str) -> Any:
    """Their words onto ours, and without nulls, at every depth."""
    if isinstance(value, Mapping):
        pairs = ((name, _worded(inner, words, name)) for name, inner in value.items())
        return {name: inner for name, inner in pairs if inner is not None}
    if isinstance(value, list):
        return [_worded(inner, words, field) for inner in value]
    table = words.get(field)
    if table is None or value is None:
        return value
    if isinstance(value, str) and value in table:
        return table[value]
    if _ANY_OTHER in table:
        return table[_ANY_OTHER]
    raise NotMapped(say.WORD_WITHOUT_MEANING(field=field, values=field))


# --- presets: where a carrier puts the kind, and what it wraps around the message -----------------


def _plain(message: Message, whole: Any) -> tuple[str, Any]:
    said = message.headers.get("type") or message.headers.get("kind")
    return str(said or message.routing_key), whole


def _spring(message: Message, whole: Any) -> tuple[str, Any]:
    """Spring AMQP names the class in a header; its package is nobody's business."""
    said = str(message.headers.get("__TypeId__") or message.routing_key)
    return said.rpartition(".")[2] if "__TypeId__" in message.headers else said, whole


def _masstransit(message: Message, whole: Any) -> tuple[str, Any]:
    """MassTransit wraps: ``messageType`` lists ``urn:message:Namespace:Name``, closest first."""
    types = whole.get("messageType") if isinstance(whole, dict) else None
    if not isinstance(types, list) or not types or "message" not in whole:
        raise UnknownMessage(say.NO_MASSTRANSIT(), kind=message.routing_key[:_MAX_KIND])
    return str(types[0]).removeprefix("urn:message:").rpartition(":")[2], whole["message"]


_UNPACK: Mapping[Preset, Callable[[Message, Any], tuple[str, Any]]] = {
    "plain": _plain,
    "spring": _spring,
    "masstransit": _masstransit,
}


# --- reading the configuration -------------------------------------------------------------------


def read_sources(table: Any, file: str) -> dict[str, Source]:
    """The sources of a configuration's ``sources`` table.

    Raises:
        Invalid: with every fault and its place.
    """
    faults: list[Fault] = []
    if not isinstance(table, dict):
        raise Invalid([Fault(f"{file}: sources", "wrong", "A table of sources.")])
    sources = {
        name: _source(name, given, f"{file}: sources.{name}", faults)
        for name, given in table.items()
    }
    if faults:
        raise Invalid(faults)
    return sources


def _source(name: str, given: Any, place: str, faults: list[Fault]) -> Source:
    given = _table(given, place, faults)
    if not _NAME.fullmatch(name):
        sentence = "A name of at most 24 letters, digits, - and _."
        faults.append(Fault(place, "wrong", sentence))
    partner, preset = given.pop("partner", None), given.pop("preset", "plain")
    if not isinstance(partner, str) or not partner.strip():
        faults.append(Fault(f"{place}.partner", "wrong", "The partner whose orders these are."))
    if preset not in _UNPACK:
        faults.append(Fault(f"{place}.preset", "wrong", f"One of: {', '.join(_UNPACK)}."))
    words = {
        field: _table(one, f"{place}.values.{field}", faults)
        for field, one in _table(given.pop("values", {}), f"{place}.values", faults).items()
    }
    kinds = {
        kind: _kind(one, f"{place}.messages.{kind}", faults)
        for kind, one in _table(given.pop("messages", {}), f"{place}.messages", faults).items()
    }
    if not kinds:
        faults.append(Fault(f"{place}.messages", "wrong", "At least one kind of message."))
    if any(kind.said for kind in kinds.values()):
        faults += _strange_words(words.get("status", {}), f"{place}.values.status")
    road = read_road(given, place, faults)
    within = duration(given.pop("within", "1h"))
    if within is None:
        faults.append(Fault(f"{place}.within", "wrong", "A duration such as 10m or 1h."))
    faults += _unknown(given, place)
    return Source(name, str(partner), preset, kinds, words, road, within or timedelta(hours=1))


def _kind(given: Any, place: str, faults: list[Fault]) -> KindMapping:
    given = _table(given, place, faults)
    ignored = given.pop("ignore", False)
    if not isinstance(ignored, bool):
        faults.append(Fault(f"{place}.ignore", "wrong", "true or false."))
    version = given.pop("version", None)
    asked = {name: given.pop(name) for name in FIELDS if name in given}
    said = {name: given.pop(name) for name in ("status", *_BESIDE) if name in given}
    faults += _unknown(given, place)
    if not ignored:
        faults += _not_said(asked, said, place)
    compiled = {name: _compiled(one, f"{place}.{name}", faults) for name, one in asked.items()}
    words = {name: _compiled(one, f"{place}.{name}", faults) for name, one in said.items()}
    of_version = None if version is None else _compiled(version, f"{place}.version", faults)
    return KindMapping(bool(ignored), compiled, words, of_version)


def _not_said(asked: Mapping[str, Any], said: Mapping[str, Any], place: str) -> Iterator[Fault]:
    only_speaks = "status" in said and asked.keys() <= {"client_ref"}
    for name in _NEEDED[:1] if only_speaks else _NEEDED:
        if name not in asked:
            yield Fault(f"{place}.{name}", "wrong", "Is needed: where it stands, in JMESPath.")
    for name in said if "status" not in said else ():
        yield Fault(f"{place}.{name}", "wrong", "Goes with `status`.")


def _strange_words(table: Mapping[str, Any], place: str) -> Iterator[Fault]:
    for theirs, ours in table.items():
        if ours not in {*WORDS, MEANS_NOTHING}:
            known = ", ".join((*WORDS, MEANS_NOTHING))
            yield Fault(f"{place}.{theirs}", "wrong", f"One of: {known}.")


def _compiled(given: Any, place: str, faults: list[Fault]) -> Any:
    if not isinstance(given, str):
        faults.append(Fault(place, "wrong", "An expression in JMESPath."))
        return None
    try:
        return jmespath.compile(given)
    except JMESPathError as wrong:
        faults.append(Fault(place, "wrong", " ".join(str(wrong).split())))
        return None


def _table(given: Any, place: str, faults: list[Fault]) -> dict[str, Any]:
    if isinstance(given, dict):
        return dict(given)
    faults.append(Fault(place, "wrong", "A table."))
    return {}


def _unknown(given: Mapping[str, Any], place: str) -> Iterator[Fault]:
    for name in given:
        yield Fault(f"{place}.{name}", "unknown", "There is no such setting.")
