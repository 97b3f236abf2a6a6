"""`orderkeep export --json`: every order with its events, one object a line."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from orderkeep.orders.commands import ApproveOrder
from orderkeep.testing.counter import Shop

COMMAND = (sys.executable, "-c", "from orderkeep.cli import main; main()")


def export(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    ours = {name: value for name, value in os.environ.items() if "ORDERKEEP_" not in name}
    database = {"ORDERKEEP_DATABASE_URL": f"sqlite:///{folder / 'orderkeep.db'}"}
    return subprocess.run(
        [*COMMAND, "export", *words],
        env=ours | database,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def lines(folder: Path) -> list[Any]:
    done = export(folder, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


async def test_every_order_is_a_line_with_its_events(tmp_path: Path) -> None:
    async with Shop(tmp_path) as shop:
        file_id = await shop.file(1)
        first, second = await shop.submit("a", file_id), await shop.submit("ü", file_id)
        await shop.settle()
        await shop.do(first, ApproveOrder())
        await shop.settle()

        made, priced = await asyncio.to_thread(lines, tmp_path)

        order = await shop.order(first)
        assert list(made) == ["order_no", "client_ref", "channel", "stage", "delivery", "events"]
        assert (made["order_no"], made["client_ref"], made["channel"]) == (first, "a", "api")
        assert made["stage"] == "MANUFACTURING_APPROVED"
        assert made["delivery"] == {"mes": "applied", "crm": None}
        assert [event["seq"] for event in made["events"]] == list(range(1, order.version + 1))
        assert made["events"][0]["kind"] == "order.submitted"
        assert made["events"][0]["actor"] == "partner:shop"
        assert datetime.fromisoformat(made["events"][0]["at"]) == order.created_at
        assert made["events"][-1]["stage"] == made["stage"]
        assert (priced["order_no"], priced["client_ref"]) == (second, "ü")
        assert priced["delivery"] == {"mes": None, "crm": None}
        assert "Anna" not in json.dumps([made, priced])


async def test_a_shop_without_orders_exports_nothing(tmp_path: Path) -> None:
    async with Shop(tmp_path):
        assert await asyncio.to_thread(lines, tmp_path) == []


@pytest.mark.parametrize(
    "words, code, sentence", [(("--json",), 69, "no database"), ((), 64, "--json")]
)
def test_what_cannot_be_exported_is_told(
    tmp_path: Path, words: tuple[str, ...], code: int, sentence: str
) -> None:
    done = export(tmp_path, *words)

    assert done.returncode == code
    assert done.stdout == ""
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
