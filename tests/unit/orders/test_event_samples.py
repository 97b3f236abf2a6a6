"""A stored event is readable for ever: each kind and schema version has a sample.

Samples are added, not edited. A new shape of a kind gets a new version and a new sample beside
the old one; both have to be read.
"""

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from orderkeep.orders.events import SCHEMA_VERSION, OrderEvent, decode, encode

SAMPLES = Path(__file__).parents[2] / "fixtures" / "events"
NAME = re.compile(r"(?P<kind>[a-z_]+\.[a-z_]+)\.v(?P<version>\d+)\.json")
KINDS = {str(kind.__struct_config__.tag): kind for kind in get_args(OrderEvent)}

sample = pytest.mark.parametrize("path", sorted(SAMPLES.iterdir()), ids=lambda path: path.name)


@sample
def test_a_sample_is_still_read_as_what_it_was(path: Path) -> None:
    name = NAME.fullmatch(path.name)
    assert name is not None
    stored = path.read_bytes()

    event = decode(stored)

    assert type(event) is KINDS[name["kind"]]
    assert int(name["version"]) <= SCHEMA_VERSION


@sample
def test_nothing_of_a_sample_is_lost(path: Path) -> None:
    """Every fact of the sample is still known; newer facts may have joined it."""
    stored = json.loads(path.read_bytes())
    known = json.loads(encode(decode(path.read_bytes())))

    assert stored.items() <= known.items()


@sample
def test_a_sample_says_everything_its_kind_can_say(path: Path) -> None:
    name = NAME.fullmatch(path.name)
    assert name is not None
    if int(name["version"]) < SCHEMA_VERSION:
        return
    fields = {*KINDS[name["kind"]].__struct_fields__, "kind"}

    assert fields == set(json.loads(path.read_bytes()))


def test_every_kind_has_a_sample_of_its_present_version() -> None:
    assert {f"{kind}.v{SCHEMA_VERSION}.json" for kind in KINDS} <= {
        path.name for path in SAMPLES.iterdir()
    }


def test_a_stranger_is_not_taken_for_an_event() -> None:
    with pytest.raises(ValueError, match=r"order\.vanished"):
        decode(b'{"kind": "order.vanished"}')
