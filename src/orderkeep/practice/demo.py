"""``make run``: fills an empty installation with a practice month and starts the product on it."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from orderkeep.config import Settings, load
from orderkeep.kernel.errors import Invalid, OrderkeepError
from orderkeep.observe.logs import set_up_logs
from orderkeep.practice.month import GALLERY, SHOP
from orderkeep.practice.seed import PASSWORD, PEOPLE, Seeded, seed

_WORDS = {
    "seller": "approves prices, answers clients",
    "operator": "takes, makes, packs and ships",
    "head": "keeps the floor moving",
    "support": "answers where an order is",
    "admin": "people, partners, keys",
}


def main() -> None:
    """Seed if empty, say where to look, and become ``orderkeep run``."""
    folder = Path.cwd()
    try:
        settings, _ = load(os.environ, folder)
    except Invalid as invalid:
        sys.exit("\n".join(f"{fault.pointer}: {fault.message}" for fault in invalid.faults))
    set_up_logs("warning", "practice")
    try:
        seeded = asyncio.run(seed(settings, datetime.now(UTC), _progress))
    except OrderkeepError as error:
        sys.exit(str(error))
    _say(settings, seeded)
    orderkeep = Path(sys.executable).with_name("orderkeep")
    os.execv(orderkeep, [str(orderkeep), "run"])  # noqa: S606  # Our own command, no shell.


def _progress(done: int, of: int) -> None:
    if done % 10 == 0 or done == of:
        sys.stderr.write(f"\rA practice month: {done} of {of} orders")
        sys.stderr.write("\n" if done == of else "")
        sys.stderr.flush()


def _say(settings: Settings, seeded: Seeded | None) -> None:
    office = f"http://{settings.office_host}:{settings.office_port}/"
    lines = [
        "",
        f"  Office   {office}",
        f"  API      http://127.0.0.1:{settings.port}/v1  (openapi.json beside it)",
        "",
        f"  Sign in with the password  {PASSWORD}  as",
        *(f"    {login:<10} {role:<9} {_WORDS[role]}" for login, _, role in PEOPLE),
        "",
    ]
    if seeded:
        lines += ["  API keys of the two practice partners, shown this once:"]
        lines += [f"    {name:<18} {seeded.keys[name]}" for name in (SHOP, GALLERY)]
    else:
        lines += ["  The data of the last run is kept; delete the folder var to begin anew."]
    sys.stdout.write("\n".join(lines) + "\n\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
