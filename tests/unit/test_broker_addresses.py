"""Whom a broker's address lets us believe: nobody but those that the setting names."""

from pathlib import Path

import pytest

from orderkeep.config import load
from orderkeep.kernel.errors import Invalid

QUEUE = """
[sources.shop]
order = "id"
[sources.shop.queue]
exchange = "orders"
keys = ["order.placed"]
name = "mes.orders"
url = "amqps://u:secret@rabbit/v?no_verify_ssl=1"
"""
"""What else the source needs is not looked at here."""


@pytest.mark.parametrize("name", ["ORDERKEEP_TRANSPORT_URL", "ORDERKEEP_TAP_URL"])
@pytest.mark.parametrize(
    "words", ["no_verify_ssl=1", "NO_VERIFY_SSL", "cafile=/x.pem", "heartbeat=5&certfile=/c.pem"]
)
def test_an_address_cannot_switch_verifying_off(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        load({name: f"amqps://u:secret@broker/v?{words}"}, tmp_path)

    assert [fault.pointer for fault in refused.value.faults] == [name]
    assert "always verified" in refused.value.faults[0].message
    assert "secret" not in str(refused.value)


def test_nor_can_a_sources_own_address(tmp_path: Path) -> None:
    (tmp_path / "orderkeep.toml").write_text(QUEUE, encoding="utf-8")

    with pytest.raises(Invalid) as refused:
        load({}, tmp_path)

    faults = {fault.pointer.rpartition(": ")[2]: fault.message for fault in refused.value.faults}
    assert "always verified" in faults["sources.shop.queue.url"]


@pytest.mark.parametrize("text", [None, "", "rubbish"])
def test_a_file_of_authorities_that_names_nobody_is_refused(
    tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text, encoding="ascii")

    with pytest.raises(Invalid) as refused:
        load({"ORDERKEEP_RABBITMQ_CA_FILE": str(file)}, tmp_path)

    assert [fault.pointer for fault in refused.value.faults] == ["ORDERKEEP_RABBITMQ_CA_FILE"]
