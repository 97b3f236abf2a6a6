"""What is wrong with an envelope that somebody has edited."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.ids import EnvelopeId
from orderkeep.ledger.already_done import already_done, faults_of
from orderkeep.orders.messages import FLOOR_WORD
from orderkeep.orders.order import Stage
from orderkeep.testing.orders import a_story

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def edited(body: bytes, kind: str = "price.wanted", order_key: str = "OK-000013") -> Envelope:
    return Envelope(EnvelopeId("e"), kind, 1, order_key, NOON, "0" * 32, body)


def test_a_body_of_its_kind_for_its_own_order_is_faultless() -> None:
    assert faults_of(edited(b'{"order_no": "OK-000013", "version": 2}')) == []


@pytest.mark.parametrize(
    "body, place, code",
    [
        (b"no JSON", "/body", "schema"),
        (b"[" * 10_000, "/body", "schema"),
        (b'{"order_no": "OK-000013"}', "/body", "schema"),
        (b'{"order_no": "OK-000013", "version": 1, "x": 1}', "/body/x", "unknown"),
        (b'{"order_no": "OK-000021", "version": 1}', "/body/order_no", "other-order"),
    ],
)
def test_each_fault_says_where_it_is(body: bytes, place: str, code: str) -> None:
    assert [(one.pointer, one.code) for one in faults_of(edited(body))] == [(place, code)]


def test_of_a_kind_that_nobody_knows_nothing_can_be_checked() -> None:
    assert [one.code for one in faults_of(edited(b"{}", "price.asked"))] == ["unknown"]


@pytest.mark.parametrize(
    "stage, heard",
    [
        (Stage.MANUFACTURING_APPROVED, {"accepted"}),
        (Stage.MANUFACTURING_STARTED, {"accepted", "started"}),
        (Stage.PACKAGING, {"accepted", "started", "completed", "packaging"}),
        (Stage.SHIPPED, {"accepted", "started", "completed", "packaging", "shipped"}),
    ],
)
def test_what_the_floor_said_earlier_than_the_order_knows_need_not_be_sent(
    stage: Stage, heard: set[str]
) -> None:
    story = a_story(stage)
    work = SimpleNamespace(orders=SimpleNamespace(history=lambda _: story.history))
    words = ("accepted", "started", "completed", "packaging", "shipped", "scrapped")

    done = {word for word in words if already_done(work, said(story.reference, word))}

    assert done == heard
    assert not already_done(work, said("OK-000013/2", "accepted"))


def said(reference: str, word: str) -> Envelope:
    body = {"order_no": "OK-000013", "reference": reference, "seq": 1, "said": {"word": word}}
    return edited(json.dumps(body).encode(), FLOOR_WORD)
