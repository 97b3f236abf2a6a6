"""Strict reading: the quick way and the slow way must never disagree."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderkeep.intake.strict_json import MalformedBody, StrictDecoder
from orderkeep.intake.submission import SubmissionBody
from orderkeep.kernel.errors import Invalid

DECODER = StrictDecoder(SubmissionBody)
LINE = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30)
NULLABLE = st.none() | LINE
ITEMS = st.lists(
    st.fixed_dictionaries(
        {"quantity": st.integers(1, 10_000)},
        optional={"sku": NULLABLE, "material": NULLABLE, "engraving": NULLABLE},
    ),
    min_size=1,
    max_size=5,
)
BODIES = st.fixed_dictionaries(
    {
        "client_ref": LINE,
        "items": ITEMS,
        "customer": st.fixed_dictionaries({"name": LINE}),
    },
    optional={
        "note": NULLABLE,
        "delivery_address": st.none()
        | LINE
        | st.dictionaries(LINE, st.text("abA: {}", max_size=9), min_size=1, max_size=5),
    },
)


@given(body=BODIES, escaped=st.booleans(), spread=st.booleans())
def test_every_spelling_of_a_body_has_one_canonical_form(
    body: dict[str, Any], *, escaped: bool, spread: bool
) -> None:
    written = json.dumps(body, ensure_ascii=escaped, indent=2 if spread else None).encode()

    canonical = DECODER.decode(written).canonical

    assert json.loads(canonical) == without_nulls(body)
    assert canonical == DECODER.decode(canonical).canonical
    assert (
        canonical
        == json.dumps(
            without_nulls(body), ensure_ascii=False, sort_keys=True, separators=(",", ":")
        ).encode()
    )


@given(body=BODIES, data=st.data())
def test_a_name_given_twice_is_always_seen(body: dict[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(body)))
    again = data.draw(st.sampled_from([json.dumps(body[name]), "null", '":"', "{}", "1"]))
    blanks = data.draw(st.sampled_from(["", " ", "\n\t"]))
    written = json.dumps(body, ensure_ascii=False)
    twice = f'{{"{name}"{blanks}:{blanks}{again},{written[1:]}'

    with pytest.raises(MalformedBody) as refused:
        DECODER.decode(twice.encode())

    assert (f"/{name}", "duplicate-name") in {
        (fault.pointer, fault.code) for fault in refused.value.faults
    }


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(noise: bytes) -> None:
    with pytest.raises(Invalid):
        DECODER.decode(noise)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
        max_leaves=30,
    )
)
def test_no_json_breaks_the_reader_and_every_refusal_says_why(value: Any) -> None:
    with pytest.raises(Invalid) as refused:
        DECODER.decode(json.dumps(value).encode("utf-8", "surrogatepass"))

    assert refused.value.faults
    assert all(fault.code != "shape" for fault in refused.value.faults)


def test_names_that_could_carry_a_message_are_not_told_back() -> None:
    body = b'{"client_ref":"a","items":[],"customer":{"<script>":1,"price":2}}'

    with pytest.raises(Invalid) as refused:
        DECODER.decode(body)

    assert [fault.pointer for fault in refused.value.faults if fault.code == "unknown-field"] == [
        "/customer",
        "/customer/price",
    ]


def test_texts_are_kept_as_sent_and_not_normalised() -> None:
    composed, decomposed = "é", "e\u0301"
    bodies = [
        f'{{"client_ref":"{name}","items":[{{"quantity":1}}],"customer":{{"name":"A"}}}}'
        for name in (composed, decomposed)
    ]

    first, second = (DECODER.decode(body.encode()).canonical for body in bodies)

    assert first != second


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(one) for name, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value
