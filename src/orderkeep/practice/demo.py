"""``make run``: fills an empty installation with a practice month and starts the product on it."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NoReturn

from orderkeep.config import Settings, load
from orderkeep.http.serve import run as run_loop
from orderkeep.kernel.errors import Invalid, OrderkeepError
from orderkeep.observe.logs import set_up_logs
from orderkeep.practice.month import GALLERY, SHOP
from orderkeep.practice.seed import PASSWORD, PEOPLE, Seeded, seed
from orderkeep.roles.run import ROLES, run

WRONG_USAGE = 64

_WORDS = {
    "seller": "approves prices, answers clients",
    "operator": "takes, makes, packs and ships",
    "head": "keeps the floor moving",
    "support": "answers where an order is",
    "admin": "people, partners, keys",
}


def main() -> None:
    """Seed if there is nothing yet, run everything, and say where to look once it is ready."""
    try:
        settings, _ = load(os.environ, Path.cwd())
    except Invalid as invalid:
        _leave("\n".join(f"{fault.pointer}: {fault.message}" for fault in invalid.faults))
    set_up_logs("warning", "all")
    try:
        seeded = asyncio.run(seed(settings, datetime.now(UTC), _progress))
        run_loop(run(settings, ROLES, partial(_say, settings, seeded)))
    except (OrderkeepError, OSError) as error:
        _leave(str(error))


def _leave(sentence: str) -> NoReturn:
    sys.stderr.write(sentence + "\n")
    sys.exit(WRONG_USAGE)


def _progress(done: int, of: int) -> None:
    if done % 10 == 0 or done == of:
        sys.stderr.write(f"\rA practice month: {done} of {of} orders")
        sys.stderr.write("\n" if done == of else "")
        sys.stderr.flush()


def _say(settings: Settings, seeded: Seeded | None, ports: dict[str, int]) -> None:
    lines = [
        "",
        f"  Office   http://{settings.office_host}:{ports['office']}/",
        f"  API      http://127.0.0.1:{ports['door']}/v1  (openapi.json beside it)",
        "",
        f"  Sign in with the password  {PASSWORD}  as",
        *(f"    {login:<10} {role:<9} {_WORDS[role]}" for login, _, role in PEOPLE),
        "",
        *_keys(seeded),
        "",
        "  orderkeep is ready; Ctrl+C stops it.",
    ]
    sys.stdout.write("\n".join(lines) + "\n\n")
    sys.stdout.flush()


def _keys(seeded: Seeded | None) -> list[str]:
    if seeded is None:
        return ["  The data of the last run is kept; delete the folder var to begin anew."]
    told = [f"    {name:<18} {seeded.keys[name]}" for name in (SHOP, GALLERY)]
    return ["  API keys of the two practice partners, shown this once:", *told]


if __name__ == "__main__":
    main()
