"""Kill -9 while dead letters are sent again: each is handled once, and the MES makes it once."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from orderkeep.testing.product import COMMAND, DEADLINE_S, Keys, Product, change
from orderkeep.testing.shop import Shop, check, live_until_dead, running, until

BREAK = (
    "CREATE TRIGGER broken AFTER INSERT ON inbox WHEN NEW.consumer = 'bridge' BEGIN"
    " UPDATE inbox SET dead_at = NEW.received_at, why = 'Broken: ' || NEW.order_key,"
    " fingerprint = '0123456789abcdef' WHERE row = NEW.row; END"
)


def tell(product: Product, *words: str) -> Any:
    """``orderkeep dead-letters … --json``, beside the product or without it."""
    return json.loads(command(product, "dead-letters", *words, "--json"))


def command(product: Product, *words: str) -> str:
    """What a command says."""
    done = subprocess.run(
        [*COMMAND, *words],
        capture_output=True, text=True, timeout=DEADLINE_S, check=True,
        env=product.environment, cwd=product.folder,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("passage", [1, 2, 3])
@pytest.mark.parametrize("name", ["replay.before_batch", "replay.after_batch"])
def test_a_replay_goes_on_after_a_kill_and_doubles_nothing(
    name: str, passage: int, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with running(tmp_path, template) as (product, mes):
        shop = Shop(product)
        change(product, BREAK)
        assert product.start()
        shop.send_all()
        dead = "SELECT count(*) FROM inbox WHERE consumer = 'bridge' AND dead_at IS NOT NULL"
        until(lambda: product.rows(dead) == [(shop.wanted,)], "the letters did not die")
        product.signal(signal.SIGKILL)
        product.wait()
        assert mes.effects().total() == 0
        change(product, "DROP TRIGGER broken")

        [group] = tell(product, "list")
        fingerprint = group["fingerprint"]
        assert group["count"] == shop.wanted
        previewed = tell(product, "replay", fingerprint, "--dry-run")
        assert previewed["verdicts"] == {"send": shop.wanted}
        command(product, "people", "add", "--login", "vera", "--role", "support", "--name", "V")
        why = ("--by", "vera", "--reason", "mended")
        replay = tell(product, "replay", fingerprint, *why, "--per-minute", "6000")
        if product.start(f"{name}:kill@{passage}"):
            live_until_dead(product, shop, lambda: None)
        assert product.wait() == -9
        assert product.start()

        until(shop.at_rest, "not every order came to rest")
        state = f"SELECT state FROM replays WHERE id = '{replay['id']}'"
        until(lambda: product.rows(state) == [("done",)], "the replay did not end")
        assert product.rows("SELECT state, count(*) FROM replay_items GROUP BY state") == [
            ("handled", shop.wanted)
        ]
        check(product, shop, mes.effects())
        assert tell(product, "list") == []
