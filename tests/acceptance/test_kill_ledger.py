"""Kill -9 while we compare what we hold with what others hold: nothing half done or forgotten."""

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from orderkeep.testing.product import Keys, Product
from orderkeep.testing.shop import Shop, check, live_until_dead, running, until


def nobody_acts() -> None:
    """Nothing but orders coming in."""


@pytest.mark.parametrize("name", ["balance.before_keep", "balance.after_keep"])
def test_the_balance_goes_on_after_a_kill(
    name: str, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with running(tmp_path, template) as (product, mes):
        shop = Shop(product)
        if product.start(f"{name}:kill@1"):
            live_until_dead(product, shop, nobody_acts)
        assert product.wait() == -9
        kept = runs(product)
        assert len(kept) == (1 if name.endswith("after_keep") else 0)

        assert product.start()
        until(shop.at_rest, "not every order came to rest")
        until(lambda: len(runs(product)) >= 1, "no balance was kept")
        check(product, shop, mes.effects())


def runs(product: Product) -> list[Any]:
    """The balances on disk."""
    rows = product.rows("SELECT sums, differences FROM balance_runs ORDER BY row")
    return [(json.loads(sums), differences) for sums, differences in rows]


@pytest.mark.parametrize(
    "name", ["reconcile.after_page", "reconcile.before_repair", "reconcile.after_repair"]
)
def test_a_comparison_and_its_repair_go_on_after_a_kill(
    name: str, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    """The MES forgets everything; what it is proven not to have is made there again, once."""
    with running(
        tmp_path,
        template,
        mes_poll="1h",  # the bridge itself does not learn that anything is missing
        reconcile_every="500ms",
        reconcile_missing_there="resend",
    ) as (product, mes):
        shop = Shop(product)
        assert product.start()
        until(shop.at_rest, "not every order came to rest")
        product.signal(signal.SIGKILL)
        product.wait()
        mes.stop()
        mes.journal.unlink()
        mes.start()

        if product.start(f"{name}:kill@1"):
            live_until_dead(product, shop, nobody_acts)
        assert product.wait() == -9
        assert product.start()

        until(lambda: set(mes.effects()) == set(shop.receipts.values()), "not all were made again")
        until(shop.at_rest, "not every order came to rest")
        check(product, shop, mes.effects())
        states = Counter(state for (state,) in product.rows("SELECT state FROM reconcile_findings"))
        assert states == {"repaired": len(shop.receipts)}


@pytest.mark.parametrize("name", ["lost.before_import", "lost.after_import", "lost.after_look"])
def test_a_table_is_imported_whole_or_not_at_all(
    name: str, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    table = tmp_path / "lost.csv"
    table.write_text("number\n" + "".join(f"L-{n}\n" for n in range(40)))
    with running(tmp_path, template) as (product, _):
        if name == "lost.after_look":
            assert product.command("import", "lost", str(table)) == 0
            product.start(f"{name}:kill@1")
            until(lambda: product.dead, "the MES was not asked")
            assert product.wait() == -9
        else:
            assert product.command("import", "lost", str(table), failpoint=f"{name}:kill@1") == -9
            kept = product.rows("SELECT count(*) FROM lost_orders")
            assert kept == [(40 if name == "lost.after_import" else 0,)]

        assert product.command("import", "lost", str(table)) == 0
        assert product.start()

        def asked() -> bool:
            return product.rows("SELECT DISTINCT mes FROM lost_orders") == [("absent",)]

        until(asked, "not all were looked up")
        assert product.rows("SELECT count(*) FROM lost_orders") == [(40,)]
