"""``orderkeep explain``: why is this order where it is, and what is to be done?"""

import asyncio
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import msgspec
import typer

from orderkeep.cli.settings import settings_or_exit
from orderkeep.cli.stores import opened
from orderkeep.config import Settings
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.errors import Refused
from orderkeep.kernel.ids import OrderNo, order_n, order_no
from orderkeep.ledger import words
from orderkeep.ledger.explain import Explanation, Facts, explain
from orderkeep.ledger.words import say
from orderkeep.orders.policy import Policy

STUCK = 1
"""Exit status when the order is missing or stands."""


def explain_order(
    number: Annotated[str, typer.Argument(metavar="ORDER_NO", help="Such as OK-000013.")],
    as_json: Annotated[bool, typer.Option("--json", help="Answer with JSON.")] = False,
    language: Annotated[
        str, typer.Option("--language", help="en or ru; of the text, not of the JSON.")
    ] = "en",
) -> None:
    """Say why an order is where it is: the last proof, the next one, the rule likely broken.

    Exit status: 0 when it moves, waits or is over, 1 when it is missing or stands. Works beside a
    running server and without one, and changes nothing.
    """
    n = order_n(number)
    if n is None:
        raise Refused(f"{number} is no order number: one digit may be wrong.")
    if language not in words.LANGUAGES:
        raise typer.BadParameter("one of: en, ru", param_hint="--language")
    settings, now = settings_or_exit(), SystemClock().now()
    found = explain(asyncio.run(_facts(settings, order_no(n))), now)
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines(found, language))
    if found.state in {"missing", "stuck"}:
        raise typer.Exit(STUCK)


async def _facts(settings: Settings, no: OrderNo) -> Facts:
    from orderkeep.adapters.sql.explain import facts_of

    async with opened(settings) as store:
        found: Facts = await store.read(lambda work: facts_of(work, no, Policy()))
        return found


def lines(found: Explanation, language: str) -> Iterator[str]:
    """An explanation as text."""
    names = _NAMES[language]
    yield f"{found.order_no}: {say(words.STATES, found.state, language)}"
    if found.last is not None:
        hop = say(words.HOPS, found.last.hop, language)
        yield f"{names['last']}: {hop}, {_at(found.last.at)} {found.last.detail}".rstrip()
    if found.next is not None:
        hop, owner = say(words.HOPS, found.next.hop, language), found.next.owner
        by = f", {names['by']} {_at(found.next.by)}" if found.next.by else ""
        yield f"{names['next']}: {hop} ({say(words.OWNERS, owner, language)}{by})"
    if found.rule is not None:
        yield f"{names['rule']}: {say(words.RULES, found.rule, language)}"
    if found.detail:
        yield f"{names['said']}: {found.detail}"
    for todo in found.todo:
        yield f"- {say(words.STEPS, todo, language)}"


def _at(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"


_NAMES: dict[str, dict[str, Any]] = {
    "en": {
        "last": "Last proof",
        "next": "Next expected",
        "by": "by",
        "rule": "Likely broken",
        "said": "It was said",
    },
    "ru": {
        "last": "Последнее доказательство",
        "next": "Ожидается дальше",
        "by": "до",
        "rule": "Вероятно, нарушено",
        "said": "Сказано",
    },
}
