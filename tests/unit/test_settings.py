"""A wrong setting is told in a sentence at the start, not as a fault in the middle of the work."""

from dataclasses import fields
from pathlib import Path

import pytest

from orderkeep.adapters.mes_http.settings import MesHttpSettings
from orderkeep.config import MES_NAMES, load
from orderkeep.kernel.errors import Invalid

AT_A_MES = {"ORDERKEEP_MES": "http", "ORDERKEEP_MES_URL": "http://mes.local:9000"}


@pytest.mark.parametrize("name", ["sumbit_path", "capabilities", "max_connections"])
def test_a_name_that_no_mes_can_have_is_refused(tmp_path: Path, name: str) -> None:
    """It ended the process with a traceback, or was taken for a setting of ours."""
    with pytest.raises(Invalid) as refused:
        load({**AT_A_MES, "ORDERKEEP_MES_NAMES": f"{name}=x"}, tmp_path)

    assert [fault.pointer for fault in refused.value.faults] == ["ORDERKEEP_MES_NAMES"]


@pytest.mark.parametrize(
    "url",
    [
        "amqp://u:secret@broker:5672/v",
        "amqps://broker",
        "amqp://u:p@[::1]/%2F",
        "embedded:",
        "kafka://a:9092",
        "kafka://a:9092,b.local:9093/",
        "kafkas://u:secret@a:9092,b:9092",
    ],
)
def test_a_transport_is_in_the_database_or_at_a_broker(tmp_path: Path, url: str) -> None:
    settings, _ = load({"ORDERKEEP_TRANSPORT_URL": url}, tmp_path)

    assert settings.transport_url == url
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    "url",
    [
        "embedded",
        "amqp:",
        "amqp://",
        "kafka://b",
        "amqp://[b/",
        "amqp://b:secret/",
        "x",
        "kafka://",
    ],
)
def test_a_transport_that_there_is_not_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(Invalid) as refused:
        load({"ORDERKEEP_TRANSPORT_URL": url}, tmp_path)

    assert [fault.pointer for fault in refused.value.faults] == ["ORDERKEEP_TRANSPORT_URL"]
    assert "secret" not in str(refused.value)


def test_every_path_and_field_of_a_mes_may_have_another_name() -> None:
    texts = {one.name for one in fields(MesHttpSettings) if one.type is str}

    assert texts - {"base_url"} == MES_NAMES


def test_a_mes_that_takes_back_and_cannot_be_asked_is_refused(tmp_path: Path) -> None:
    """What is taken back is looked for first: each recall was tried again for ever, and unseen."""
    taking_back = {**AT_A_MES, "ORDERKEEP_MES_RECALL": "on"}

    with pytest.raises(Invalid) as refused:
        load({**taking_back, "ORDERKEEP_MES_LOOKUP": "off"}, tmp_path)

    assert [fault.pointer for fault in refused.value.faults] == ["ORDERKEEP_MES_RECALL"]
    assert "look-up" in str(refused.value.faults[0].message)
    assert load(taking_back, tmp_path)[0].mes_http.recall


@pytest.mark.parametrize("name", ["ORDERKEEP_PORT", "ORDERKEEP_OFFICE_PORT"])
@pytest.mark.parametrize("port", ["-1", "65536"])
def test_a_port_that_there_is_not_is_refused(tmp_path: Path, name: str, port: str) -> None:
    with pytest.raises(Invalid) as refused:
        load({name: port}, tmp_path)

    assert [fault.pointer for fault in refused.value.faults] == [name]
