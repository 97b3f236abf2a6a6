"""A MES that calls back more than once, and in no order: each step is heard once."""

import time
from collections.abc import Iterator, Sequence
from functools import partial

import msgspec

from orderkeep.http.door.callbacks import sign
from orderkeep.practice.mes_journal import Entry
from orderkeep.testing.matrix.cell import EMBEDDED, SCALED_OUT, Cell, Scene
from orderkeep.testing.matrix.verdict import Verdict
from orderkeep.testing.matrix.works import (
    Works,
    wait_for,
    wait_until_made,
    wait_while_it_goes_on,
)
from orderkeep.testing.product import Gone

SECRET = "a secret that only the MES knows"
STEPS = {
    "started": "order.started",
    "completed": "order.completed",
    "packaging": "order.packaging",
    "shipped": "order.shipped",
}
"""What the MES says, and the event that it becomes."""
TIMES = 3
"""How often it says the same."""


def call_back(works: Works, made: Entry, word: str) -> bool:
    """The MES says, and signs, how far it is with what it made; whether that was taken."""
    body = msgspec.json.encode({"id": made.mes_id, "ref": made.reference, "status": word})
    at = int(time.time())
    headers = {
        "Orderkeep-Signature": f"t={at},v1={sign(SECRET, at, body)}",
        "Event-Id": f"{word}-{made.mes_id}",
    }
    try:
        answer = works.product.ask(
            "POST", "/callbacks/mes", content=body, headers=headers, timeout=5
        )
    except Gone:
        return False
    return answer.status_code == 202


def cells() -> Iterator[Cell]:
    """In order and in none, in both profiles."""
    for profile in (EMBEDDED, SCALED_OUT):
        for fault, turned in (("doubled", False), ("doubled and turned around", True)):
            yield Cell(profile, "call-backs", fault, partial(said_again, turned=turned))


def said_again(scene: Scene, *, turned: bool) -> Verdict:
    """Everything that was made goes its whole way, told three times, while orders come in."""
    settings = {"mes_callback_secret": SECRET}
    with scene.works(settings=settings) as works, works.clients() as clients:
        works.begin()
        clients.more()
        clients.finish()
        wanted = set(clients.receipts.values())
        wait_until_made(works, wanted)
        made = [one for one in works.mes.entries() if one.effect == "created"]
        _say(works, made, turned=turned)
        wait_while_it_goes_on(
            lambda: _shipped(works) == len(made), partial(_shipped, works), "not shipped"
        )
        verdict = works.verdict(clients)
        verdict.wrong += _heard_wrongly(works)
        return verdict


def _say(works: Works, made: Sequence[Entry], *, turned: bool) -> None:
    """Each word again and again, until it has been taken so often."""
    said = [(one, word) for word in STEPS for one in made for _ in range(TIMES)]
    if turned:
        works.chance.shuffle(said)
    for one, word in said:
        wait_for(partial(call_back, works, one, word), "a call-back is not taken")


def _shipped(works: Works) -> int:
    rows = works.product.rows("SELECT count(*) FROM orders WHERE stage = 'SHIPPED'")
    return int(rows[0][0])


def _heard_wrongly(works: Works) -> list[str]:
    """Steps that an order took twice, or in another sequence than things are made in."""
    kinds = ", ".join(f"'{kind}'" for kind in STEPS.values())
    rows = works.product.rows(
        f"SELECT order_n, kind FROM events WHERE kind IN ({kinds}) ORDER BY order_n, seq"  # noqa: S608  # Our own names.
    )
    heard: dict[int, list[str]] = {}
    for number, kind in rows:
        heard.setdefault(number, []).append(kind)
    road = [*STEPS.values()]
    return [f"order {n} went {steps}" for n, steps in heard.items() if steps != road]
