"""Recorded messages beside a mapping, each with what has to become of it: the mapping's tests."""

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple

import msgspec

from orderkeep.intake.mapping import Message, NotMapped, Source, UnknownMessage, read
from orderkeep.intake.strict_json import StrictDecoder
from orderkeep.intake.submission import SubmissionBody
from orderkeep.kernel.errors import Invalid

IGNORED = "ignored"
UNKNOWN = "unknown"
REFUSED = "refused"


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recorded message. ``body`` is JSON, or a text that is sent as it stands.

    ``expect`` is the submission, with what is said of its order (``status`` and the facts beside
    it), or one of the words ``ignored``, ``unknown``, ``refused``.
    """

    body: Any
    expect: dict[str, Any] | Annotated[str, msgspec.Meta(pattern="^(ignored|unknown|refused)$")]
    headers: dict[str, Any] = {}
    routing_key: str = ""


class Checked(NamedTuple):
    """A sample's result: ``difference`` is empty when it is as expected."""

    name: str
    kind: str | None
    difference: str


_decoder = StrictDecoder(SubmissionBody)


def check_all(source: Source, samples: Mapping[str, bytes]) -> list[Checked]:
    """Check every recorded sample of a source; a kind that no sample shows is a failure too."""
    checked = [_check(source, name, recorded) for name, recorded in sorted(samples.items())]
    return [*checked, *_unshown(source, checked)]


def _check(source: Source, name: str, recorded: bytes) -> Checked:
    try:
        sample = msgspec.json.decode(recorded, type=Sample)
    except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
        return Checked(name, None, f"not a sample: {wrong}")
    body = (
        sample.body.encode() if isinstance(sample.body, str) else json.dumps(sample.body).encode()
    )
    kind, got = _result(source, Message(body, sample.headers, sample.routing_key))
    expected = sample.expect if isinstance(sample.expect, dict) else [sample.expect]
    # What was refused may be told with its reason; the sample need only say that it is refused.
    same = got == expected or (isinstance(got, list) and got[:1] == expected)
    return Checked(name, kind, "" if same else _difference(expected, got))


def result_of(source: Source, message: Message) -> tuple[str, str]:
    """A message's kind and what became of it, in words that hold nothing of its body."""
    kind, got = _result(source, message)
    return kind or "?", " ".join(got) if isinstance(got, list) else "mapped"


def _result(source: Source, message: Message) -> tuple[str | None, Any]:
    """The kind, and the submission or a word with its reason."""
    try:
        mapped = read(source, message)
    except UnknownMessage as unknown:
        return None, [UNKNOWN, f"kind {unknown.facts['kind']!r}"]
    except NotMapped as refused:
        return None, [REFUSED, str(refused)]
    if mapped.submission is None and mapped.word is None:
        return mapped.kind, [IGNORED]
    said = {} if mapped.word is None else mapped.word._asdict()
    said = {name: value for name, value in said.items() if value is not None}
    if mapped.submission is None:
        return mapped.kind, said
    try:
        _decoder.decode(mapped.submission)
    except Invalid as wrong:
        return mapped.kind, [REFUSED, str(wrong)]
    return mapped.kind, json.loads(mapped.submission) | said


def _unshown(source: Source, checked: list[Checked]) -> Iterator[Checked]:
    shown = {one.kind for one in checked}
    for kind in source.kinds:
        if kind not in shown and kind != "*":
            yield Checked(kind, kind, "no sample shows what becomes of this kind")


def _difference(expected: Any, got: Any) -> str:
    before, after = (
        json.dumps(one, indent=2, sort_keys=True, ensure_ascii=False).splitlines()
        for one in (expected, got)
    )
    return "\n".join(difflib.unified_diff(before, after, "expected", "mapped", lineterm="", n=2))
