"""JSON as strict as an order deserves: one reading only, and every fault with its place.

The happy path is msgspec and three searches for bytes that cannot be harmless. Whatever looks
unusual is read a second time, slowly, and either cleared or refused with all its faults.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import cache
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar, cast

import msgspec
from msgspec import inspect

from orderkeep.kernel.errors import Fault, Invalid

T = TypeVar("T")
MAX_DEPTH = 32
MAX_DIGITS = 20
MAX_FAULTS = 200

MULTILINE = {"multiline": True}
"""``Meta(extra=MULTILINE)`` lets line ends and tabs into a text."""

# Escapes may hide what the bytes do not show; the others are control characters in UTF-8.
_ODD = re.compile(rb"\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xa9]")
_CONTROL = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
_NOT_IN_A_TEXT = re.compile(f"[{_CONTROL}]")
_NOT_IN_A_LINE = re.compile(f"[{_CONTROL}\t\n\r]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_PATH_STEP = re.compile(r"\.([a-z_][a-z0-9_]*)|\[(\d+)\]")
_MALFORMED = frozenset(
    {"depth", "duplicate-name", "encoding", "not-a-number", "number-too-long", "surrogate", "nul"}
)


class MalformedBody(Invalid):
    """The body is not JSON as strict as we read it."""


class Strict(NamedTuple, Generic[T]):
    """What was read, and its canonical form: sorted names, no blanks, no nulls, texts as sent."""

    value: T
    canonical: bytes


@cache
def _info(shape: Hashable) -> inspect.Type:
    return inspect.type_info(shape)


class StrictDecoder(Generic[T]):
    """Reads bodies of one shape: a struct that forbids unknown fields and omits defaults."""

    def __init__(self, shape: type[T]) -> None:
        self._decoder = msgspec.json.Decoder(shape)
        self._encoder = msgspec.json.Encoder(order="sorted", decimal_format="string")
        self._type = _info(cast("Hashable", shape))

    def decode(self, body: bytes) -> Strict[T]:
        """Read a body.

        Raises:
            MalformedBody: not strict JSON.
            Invalid: JSON, but not of this shape.
        """
        try:
            value = self._decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._refuse(body, error)
        canonical = self._encoder.encode(value)
        if not _is_plain(body, canonical):
            self._look_closely(body)
        return Strict(value, canonical)

    def _refuse(self, body: bytes, error: Exception) -> NoReturn:
        self._look_closely(body)
        raise Invalid([Fault(_pointer_of(str(error)), "shape", "is not as it must be")]) from error

    def _look_closely(self, body: bytes) -> None:
        faults = _first(faults_in(parse(body), self._type), MAX_FAULTS)
        if any(fault.code in _MALFORMED for fault in faults):
            raise MalformedBody(faults)
        if faults:
            raise Invalid(faults)


def _is_plain(body: bytes, canonical: bytes) -> bool:
    """Whether nothing can hide in the body.

    Every name costs a colon, and a name given twice is once in the canonical form: with as many
    colons on both sides, and without escapes and nulls, no name was given twice.
    """
    return (
        b"\\" not in body
        and b"\x7f" not in body
        and b"null" not in body
        and body.count(b":") == canonical.count(b":")
        and (body.isascii() or _ODD.search(body) is None)
    )


# --- the second, slow reading -------------------------------------------------------------------


class _Object(dict[str, Any]):
    """An object that remembers which names came twice."""

    twice: frozenset[str] = frozenset()


class _Odd(NamedTuple):
    """A number that no number of ours can be."""

    code: str
    message: str


def parse(body: bytes) -> Any:
    """Read any JSON value, slowly.

    Raises:
        MalformedBody: it is not JSON, or not in UTF-8.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _malformed("encoding", "must be UTF-8") from error
    if text.startswith("\ufeff"):
        raise _malformed("encoding", "must not begin with a byte order mark")
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except RecursionError as error:
        raise _malformed("depth", f"must not be nested deeper than {MAX_DEPTH}") from error
    except ValueError as error:
        raise _malformed("syntax", "must be one JSON value and nothing else") from error


def _malformed(code: str, message: str) -> MalformedBody:
    return MalformedBody([Fault("", code, message)])


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) != len(pairs):
        names = Counter(name for name, _ in pairs)
        found.twice = frozenset(name for name, count in names.items() if count > 1)
    return found


def _integer(digits: str) -> int | _Odd:
    if len(digits) > MAX_DIGITS:
        return _Odd("number-too-long", f"must not have more than {MAX_DIGITS} digits")
    return int(digits)


def _float(digits: str) -> float | _Odd:
    number = float(digits) if len(digits) <= 2 * MAX_DIGITS else float("inf")
    if number in {float("inf"), float("-inf")}:
        return _Odd("number-too-long", "must be a number of ordinary size")
    return number


def _constant(_word: str) -> _Odd:
    return _Odd("not-a-number", "NaN and Infinity are not JSON")


def faults_in(
    value: Any, shape: inspect.Type, pointer: str = "", depth: int = 1
) -> Iterator[Fault]:
    """Everything that is wrong with a parsed value, in the order of the body."""
    if depth > MAX_DEPTH:
        yield Fault(pointer, "depth", f"must not be nested deeper than {MAX_DEPTH}")
    elif isinstance(value, _Odd):
        yield Fault(pointer, value.code, value.message)
    elif type(shape) in _JUDGES:
        yield from _JUDGES[type(shape)](value, shape, pointer, depth)


def _described(value: Any, shape: inspect.Metadata, pointer: str, depth: int) -> Iterator[Fault]:
    if shape.extra == MULTILINE and isinstance(value, str):
        yield from _length(value, shape.type, pointer)
        yield from _characters(value, _NOT_IN_A_TEXT, pointer)
    else:
        yield from faults_in(value, shape.type, pointer, depth)


def _union(value: Any, shape: inspect.UnionType, pointer: str, depth: int) -> Iterator[Fault]:
    """Judge by the member that the value looks like; by the first, if it looks like none."""
    members = [member for member in shape.types if not isinstance(member, inspect.NoneType)]
    if value is None and len(members) < len(shape.types):
        return
    alike = next((member for member in members if _looks_like(value, member)), members[0])
    yield from faults_in(value, alike, pointer, depth)


def _looks_like(value: Any, shape: inspect.Type) -> bool:
    if isinstance(shape, inspect.Metadata):
        return _looks_like(value, shape.type)
    kinds: dict[type, tuple[type[inspect.Type], ...]] = {
        str: (inspect.StrType,),
        int: (inspect.IntType,),
        list: (inspect.ListType,),
        _Object: (inspect.DictType, inspect.StructType),
    }
    return isinstance(shape, kinds.get(type(value), ()))


def _struct(value: Any, shape: inspect.StructType, pointer: str, depth: int) -> Iterator[Fault]:
    if not isinstance(value, _Object):
        yield Fault(pointer, "type", "must be an object")
        return
    fields = {field.encode_name: field for field in shape.fields}
    for name in value.twice:
        yield Fault(_below(pointer, name), "duplicate-name", "must be given once only")
    for name, member in value.items():
        if name in fields:
            yield from faults_in(member, fields[name].type, _below(pointer, name), depth + 1)
        else:
            yield Fault(_below(pointer, name), "unknown-field", "is not a field we know")
            yield from _characters(name, _NOT_IN_A_LINE, pointer)
            yield from _hidden(member, _below(pointer, name), depth + 1)
    for field in shape.fields:
        if field.required and field.encode_name not in value:
            yield Fault(f"{pointer}/{field.encode_name}", "required", "is missing")


def _hidden(value: Any, pointer: str, depth: int) -> Iterator[Fault]:
    """What makes JSON malformed counts inside unknown fields too."""
    if isinstance(value, list | _Object):
        if depth > MAX_DEPTH:
            yield Fault(pointer, "depth", f"must not be nested deeper than {MAX_DEPTH}")
            return
        for member in value.values() if isinstance(value, _Object) else value:
            yield from _hidden(member, pointer, depth + 1)
    elif isinstance(value, _Odd):
        yield Fault(pointer, value.code, value.message)


def _list(value: Any, shape: inspect.ListType, pointer: str, depth: int) -> Iterator[Fault]:
    if not isinstance(value, list):
        yield Fault(pointer, "type", "must be an array")
        return
    yield from _count(len(value), shape, pointer)
    for index, item in enumerate(value[: shape.max_length or MAX_FAULTS]):
        yield from faults_in(item, shape.item_type, f"{pointer}/{index}", depth + 1)


def _dict(value: Any, shape: inspect.DictType, pointer: str, depth: int) -> Iterator[Fault]:
    if not isinstance(value, _Object):
        yield Fault(pointer, "type", "must be an object")
        return
    yield from _count(len(value), shape, pointer)
    for name in value.twice:
        yield Fault(_below(pointer, name), "duplicate-name", "must be given once only")
    for name, member in value.items():
        yield from faults_in(name, shape.key_type, pointer, depth + 1)
        yield from faults_in(member, shape.value_type, _below(pointer, name), depth + 1)


def _count(count: int, shape: inspect.ListType | inspect.DictType, pointer: str) -> Iterator[Fault]:
    if shape.min_length is not None and count < shape.min_length:
        yield Fault(pointer, "too-few", f"must have at least {shape.min_length}")
    if shape.max_length is not None and count > shape.max_length:
        yield Fault(pointer, "too-many", f"must have at most {shape.max_length}")


def _text(value: Any, shape: inspect.StrType, pointer: str, _depth: int) -> Iterator[Fault]:
    if not isinstance(value, str):
        yield Fault(pointer, "type", "must be a text")
        return
    yield from _length(value, shape, pointer)
    yield from _characters(value, _NOT_IN_A_LINE, pointer)
    if shape.pattern is not None and re.search(shape.pattern, value) is None:
        yield Fault(pointer, "format", "does not have the form it must have")


def _length(value: str, shape: inspect.Type, pointer: str) -> Iterator[Fault]:
    if not isinstance(shape, inspect.StrType):
        return
    if shape.min_length is not None and len(value) < shape.min_length:
        yield Fault(pointer, "too-short", f"must have at least {shape.min_length} characters")
    if shape.max_length is not None and len(value) > shape.max_length:
        yield Fault(pointer, "too-long", f"must have at most {shape.max_length} characters")


def _characters(value: str, forbidden: re.Pattern[str], pointer: str) -> Iterator[Fault]:
    if _SURROGATE.search(value):
        yield Fault(pointer, "surrogate", "must not have half a character (lone surrogate)")
    elif "\x00" in value:
        yield Fault(pointer, "nul", "must not have the character NUL")
    elif forbidden.search(value):
        yield Fault(pointer, "control-character", "must not have control characters")


def _whole_number(value: Any, shape: inspect.IntType, pointer: str, _depth: int) -> Iterator[Fault]:
    if not isinstance(value, int) or isinstance(value, bool):
        yield Fault(pointer, "type", "must be a whole number")
    elif shape.ge is not None and value < shape.ge:
        yield Fault(pointer, "too-small", f"must be at least {shape.ge}")
    elif shape.le is not None and value > shape.le:
        yield Fault(pointer, "too-large", f"must be at most {shape.le}")


def _truth(value: Any, _shape: inspect.BoolType, pointer: str, _depth: int) -> Iterator[Fault]:
    if not isinstance(value, bool):
        yield Fault(pointer, "type", "must be true or false")


# Other types are left to msgspec: a refusal then names one fault, without a reason.
_JUDGES: dict[type, Callable[[Any, Any, str, int], Iterator[Fault]]] = {
    inspect.BoolType: _truth,
    inspect.DictType: _dict,
    inspect.IntType: _whole_number,
    inspect.ListType: _list,
    inspect.Metadata: _described,
    inspect.StrType: _text,
    inspect.StructType: _struct,
    inspect.UnionType: _union,
}


def _below(pointer: str, name: str) -> str:
    """A member's pointer; a name that could carry a message is not repeated, only its object."""
    return f"{pointer}/{name}" if _PLAIN_NAME.fullmatch(name) else pointer


def _pointer_of(message: str) -> str:
    """The JSON pointer in a message of msgspec's; the rest of it may repeat the body."""
    path = message.rpartition("`$")[2]
    return "".join(f"/{name or index}" for name, index in _PATH_STEP.findall(path))


def _first(faults: Iterator[Fault], count: int) -> Sequence[Fault]:
    return [fault for fault, _ in zip(faults, range(count), strict=False)]
