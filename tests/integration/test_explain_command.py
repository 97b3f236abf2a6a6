"""`orderkeep explain` and the alerts on the balance, against a real database."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orderkeep.kernel.ids import OrderNo, order_no
from orderkeep.ledger.kept import OLD, STALE
from orderkeep.testing.counter import Shop

COMMAND = (sys.executable, "-c", "from orderkeep.cli import main; main()")
ROOT = Path(__file__).resolve().parents[2]
ALERT = re.compile(r"- alert: (\w+)\n(?:\s+#.*\n)*\s+expr: (.+)\n")
RULES = ROOT / "deploy/prometheus/orderkeep-balance.rules.yml"


def explained(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    ours = {name: value for name, value in os.environ.items() if "ORDERKEEP_" not in name}
    database = {"ORDERKEEP_DATABASE_URL": f"sqlite:///{folder / 'orderkeep.db'}"}
    return subprocess.run(
        [*COMMAND, "explain", *words], env=ours | database, cwd=folder,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


async def an_order_without_its_announcement(folder: Path) -> OrderNo:
    async with Shop(folder) as shop:
        no = await shop.submit("a", await shop.file(1))

        def lose(work: Any) -> None:
            work.raw.execute("DELETE FROM outbox WHERE order_key = ?", (no,))

        await shop.parts.store.write(lose)
        return no


@pytest.mark.parametrize(
    "language, sentence",
    [("en", "there is nothing"), ("ru", "здесь этого нет")],
)
def test_a_stranded_order_says_which_rule_is_broken(
    tmp_path: Path, language: str, sentence: str
) -> None:
    no = asyncio.run(an_order_without_its_announcement(tmp_path))

    text = explained(tmp_path, no, "--language", language)
    told = explained(tmp_path, no, "--json")

    assert sentence in text.stdout
    found = json.loads(told.stdout)
    assert (found["state"], found["rule"], found["last"]["hop"]) == ("stuck", "S6", "accepted")
    assert (text.returncode, told.returncode) == (1, 1)


def test_numbers_that_mean_no_order_are_told_apart(tmp_path: Path) -> None:
    asyncio.run(an_order_without_its_announcement(tmp_path))

    absent, misread = explained(tmp_path, order_no(9), "--json"), explained(tmp_path, "OK-000012")

    assert json.loads(absent.stdout)["todo"][0] == "check_number"
    assert "one digit may be wrong" in misread.stderr
    assert (absent.returncode, misread.returncode) == (1, 69)


def test_the_alerts_ask_for_metrics_that_there_are_and_mean_what_the_page_means() -> None:
    text = RULES.read_text(encoding="utf-8")
    source = (ROOT / "src/orderkeep/http/office/health.py").read_text(encoding="utf-8")
    by_name = dict(ALERT.findall(text))

    assert len(by_name) == text.count("alert:") == 3
    for expression in by_name.values():
        for metric in re.findall(r"orderkeep_\w+", expression):
            assert f'"{metric}"' in source
    assert f"> {int(OLD.total_seconds())}" in by_name["OrderkeepBalanceDiffers"]
    assert f"> {int(STALE.total_seconds())}" in by_name["OrderkeepBalanceStale"]
    assert "absent(" in by_name["OrderkeepBalanceStale"]
