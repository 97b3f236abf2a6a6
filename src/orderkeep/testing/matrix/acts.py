"""What people and machines do, so that every failpoint is reached."""

import asyncio
import os
import signal
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from orderkeep.kernel.ids import order_no
from orderkeep.testing import nursery
from orderkeep.testing.crew import Crew
from orderkeep.testing.matrix.callbacks import call_back
from orderkeep.testing.matrix.clients import MOST, Clients
from orderkeep.testing.matrix.verdict import Made, Verdict
from orderkeep.testing.matrix.works import (
    STRUCK_WITHIN_S,
    Works,
    state_of,
    wait_for,
    wait_until_made,
)
from orderkeep.testing.product import DEADLINE_S, OPERATOR, Product, change
from orderkeep.testing.shop import ARRIVED

if TYPE_CHECKING:
    from orderkeep.testing.matrix.cell import Scene

SOME = 6
"""Orders that are there before the process with the failpoint starts."""
TABLE_ROWS = 40
STOPPED_S = 30.0


def begin_nothing(_works: Works, _clients: Clients) -> None:
    """Nothing has to be there before."""


def nobody_acts(_works: Works, _clients: Clients) -> None:
    """Nothing but orders coming in."""


def orders_keep_coming(_works: Works, clients: Clients) -> None:
    """One more, for as long as it takes: the watch has nothing to do for those that rest."""
    clients.let_come(1)


def a_client_cancels(works: Works, clients: Clients) -> None:
    """A partner calls off an order that is at the MES already."""
    for number in list(clients.receipts.values())[:3]:
        answer = works.product.ask("GET", f"/v1/orders/{number}")
        order = answer.json() if answer.status_code == 200 else None
        if order and order["stage"] != "CANCELLED" and order["delivery"]["mes"] in ARRIVED:
            why = {"reason": "changed my mind"}
            works.product.ask("POST", f"/v1/orders/{number}/cancel", json=why)


def mes_calls_back(works: Works, _clients: Clients) -> None:
    """The MES says, and signs, that it has begun with what it made; again and again."""
    for one in [one for one in works.mes.entries() if one.effect == "created"][:SOME]:
        call_back(works, one, "started")


def operators_work(works: Works, _clients: Clients) -> None:
    """An operator takes the next order and begins with it."""
    product = works.product
    if not product.office or product.act(OPERATOR, "/board/take-next").status_code != 200:
        return
    for (n,) in product.rows("SELECT n FROM orders WHERE claim_operator IS NOT NULL"):
        page = product.act(OPERATOR, f"/orders/{order_no(n)}", method="GET")
        if page.status_code == 200:
            version = {"version": page.json()["order"]["version"]}
            product.act(OPERATOR, f"/orders/{order_no(n)}/start", version)


def made_on_the_floor(works: Works) -> Made:
    """The built-in workshop is ours: its jobs are in our own tables."""
    found = works.product.rows("SELECT reference, status FROM floor_work_orders")
    gone = Counter(reference for reference, status in found if status in {"recalled", "scrapped"})
    return Made(Counter(reference for reference, _ in found), gone)


# --- what has to be there before ----------------------------------------------------------------


def some_orders_rest(works: Works, clients: Clients) -> None:
    """Run without any failpoint until some orders are at the MES."""
    works.begin()
    wait_for(lambda: len(clients.receipts) >= SOME, "no orders come in")


def the_mes_forgets(works: Works, clients: Clients) -> None:
    """Everything that it was to make."""
    # A MES that denies more than ten at once is not believed, and nothing is repaired by itself.
    clients.wait_after(SOME)
    some_orders_rest(works, clients)
    wait_for(lambda: works.mes.effects().total() >= SOME, "nothing is made")
    works.end()
    works.mes.stop()
    works.mes.journal.unlink()
    works.mes.start()
    clients.let_come(MOST - SOME)


def all_is_made_again(works: Works, clients: Clients) -> None:
    """What the MES forgot is known to be there until the comparison has found it."""
    clients.finish()
    wanted = set(clients.receipts.values())
    with suppress(TimeoutError):  # Then the verdict says which is not.
        wait_until_made(works, wanted)


def a_table_is_imported(works: Works, _clients: Clients) -> None:
    """Orders that another system lost, of which the MES is asked."""
    assert works.product.command("import", "lost", str(_table(works))) == 0


_BREAK = {
    "sqlite": [
        """CREATE TRIGGER broken AFTER INSERT ON inbox WHEN NEW.consumer = 'bridge' BEGIN
        UPDATE inbox SET dead_at = NEW.received_at, why = 'Broken: ' || NEW.order_key,
        fingerprint = '0123456789abcdef'
        WHERE row = NEW.row; END"""
    ],
    "postgresql": [
        """CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        NEW.dead_at := NEW.received_at; NEW.why := 'Broken: ' || NEW.order_key;
        NEW.fingerprint := '0123456789abcdef';
        RETURN NEW; END $$""",
        """CREATE TRIGGER broken BEFORE INSERT ON inbox FOR EACH ROW
        WHEN (NEW.consumer = 'bridge') EXECUTE FUNCTION broken()""",
    ],
}
_MEND = {"sqlite": "DROP TRIGGER broken", "postgresql": "DROP TRIGGER broken ON inbox"}


def letters_die_and_are_sent_again(works: Works, clients: Clients) -> None:
    """What the bridge is told cannot be handled; once mended, somebody sends it again."""
    product = works.product
    kind = "postgresql" if isinstance(product, Crew) else "sqlite"
    for statement in _BREAK[kind]:
        run_sql(product, statement)
    some_orders_rest(works, clients)
    dead = "SELECT count(*) FROM inbox WHERE consumer = 'bridge' AND dead_at IS NOT NULL"
    wait_for(lambda: product.rows(dead)[0][0] >= SOME, "the letters did not die")
    works.end()
    run_sql(product, _MEND[kind])
    [group, *_] = _tell(product, "list")
    _tell(product, "replay", group["fingerprint"], "--reason", "mended", "--per-minute", "6000")


def run_sql(product: Product, statement: str) -> None:
    """Change the tables behind the product's back."""
    if isinstance(product, Crew):
        asyncio.run(_execute(product.url, statement))
    else:
        change(product, statement)


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url, timeout=DEADLINE_S)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _tell(product: Product, *words: str) -> Any:
    """``orderkeep dead-letters … --json``."""
    words = ("dead-letters", *words, "--json")
    done = nursery.run(words, product.environment, product.folder, DEADLINE_S)
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout)


def _table(works: Works) -> Any:
    table = works.product.folder / "lost.csv"
    table.write_text("number\n" + "".join(f"L-{n}\n" for n in range(TABLE_ROWS)))
    return table


# --- a command that is struck -------------------------------------------------------------------


def strike_the_command(scene: "Scene", name: str, action: str) -> Verdict:
    """Strike ``orderkeep import`` beside the running product: all rows or none."""
    with scene.works() as works, works.clients() as clients:
        works.begin()
        product, words = works.product, ("import", "lost", str(_table(works)))
        environment = product.environment | {"ORDERKEEP_FAILPOINT": f"{name}:{action}@1"}
        log = product.folder / "orderkeep.log"
        command = nursery.start(words, environment, product.folder, log)
        if action == "stop":
            wait_for(partial(_is_stopped, command.pid), "it was not stopped")
            time.sleep(STOPPED_S)
            os.kill(command.pid, signal.SIGCONT)
        command.wait(STRUCK_WITHIN_S)
        works.wait_until_struck(lambda: None)
        kept = product.rows("SELECT count(*) FROM lost_orders")[0][0]
        again = product.command(*words)
        whole = product.rows("SELECT count(*) FROM lost_orders")[0][0]
        verdict = works.verdict(clients)
    if (kept not in {0, TABLE_ROWS}) or again != 0 or whole != TABLE_ROWS:
        verdict.wrong.append(f"{kept} rows after the fault, then {whole}; exit {again}")
    return verdict


def _is_stopped(pid: int) -> bool:
    return state_of(pid) == "T"
