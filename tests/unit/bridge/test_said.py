"""What foreign systems say by themselves: a word, a command, or nothing that we understand."""

from datetime import UTC, datetime

import msgspec

from orderkeep.adapters.mes_http import MesHttpSettings
from orderkeep.adapters.mes_http.answers import Reader
from orderkeep.bridge.ports import MesJob
from orderkeep.bridge.said import command_of, heard
from orderkeep.bridge.tray import Unknown
from orderkeep.delivery.envelope import Envelope
from orderkeep.kernel.ids import OrderNo
from orderkeep.orders.messages import CrmSaid

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MES = Reader(MesHttpSettings(base_url="http://mes.local"))
JOB = {"id": "M-1", "ref": "OK-000013", "status": "started"}


def page(*items: object) -> bytes:
    return msgspec.json.encode({"items": items, "next": "7"})


def test_one_odd_entry_of_a_feed_holds_up_none_behind_it() -> None:
    """A reference without an id used to make the whole page worth nothing, for ever."""
    nameless = {"ref": "OK-000021", "status": "started"}

    read = MES.feed(page("?", JOB, nameless, {"id": "M-9", "status": "of somebody else"}))

    assert read is not None
    said, following = read
    assert following == "7"
    assert said == [
        Unknown("mes", "unreadable", b'"?"'),
        MesJob("M-1", "OK-000013", "started"),
        Unknown("mes", "unreadable", msgspec.json.encode(nameless)),
    ]


def test_what_is_no_page_is_none() -> None:
    assert [MES.feed(body) for body in (b"<html>", b"[]", b'{"items": 3}', b"")] == [None] * 4


def test_a_job_without_a_status_says_nothing_and_is_kept() -> None:
    mute = heard("mes", "0:1", MesJob("M-1", "OK-000013", None), NOON)

    assert isinstance(mute, Unknown)
    assert (mute.why, mute.message_id) == ("no-status", "0:1")


def test_a_command_is_known_by_its_id_whichever_way_it_comes_and_whenever() -> None:
    said = CrmSaid(OrderNo("OK-000013"), "approve", "D-1")

    first, again = command_of(said, NOON), command_of(said, NOON.replace(hour=13))
    other = command_of(CrmSaid(said.order_no, "approve", "D-2"), NOON)

    assert isinstance(first, Envelope)
    assert isinstance(again, Envelope)
    assert isinstance(other, Envelope)
    assert first.id == again.id != other.id
    assert first.order_key == "OK-000013"
