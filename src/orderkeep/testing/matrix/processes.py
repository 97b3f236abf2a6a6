"""Processes killed, stopped and told to end at any moment, under load."""

import signal
import time
from collections.abc import Iterator
from functools import partial

from orderkeep.testing.crew import ROLES
from orderkeep.testing.matrix.cell import EMBEDDED, SCALED_OUT, Cell, Scene
from orderkeep.testing.matrix.verdict import Verdict

ROUNDS = 3
STOPPED_S = 30.0
SIGNALS = {"kill -9": signal.SIGKILL, "SIGTERM": signal.SIGTERM}


def cells() -> Iterator[Cell]:
    """The one process, and each role among many."""
    for profile, roles in ((EMBEDDED, ("",)), (SCALED_OUT, ROLES)):
        for role in roles:
            item = f"process {role}".strip()
            for fault, number in SIGNALS.items():
                trial = partial(ended, role=role, number=number)
                yield Cell(profile, item, f"{fault} at any moment", trial)
            stop = partial(stopped, role=role)
            yield Cell(profile, item, f"SIGSTOP {STOPPED_S:.0f} s at any moment", stop)


def ended(scene: Scene, role: str, number: signal.Signals) -> Verdict:
    """End it again and again, and start another."""
    with scene.works() as works, works.clients(with_files=role == "quoter") as clients:
        works.begin(role)
        for _ in range(ROUNDS):
            clients.more()
            time.sleep(scene.chance.random())
            works.signal(number)
            works.again()
        clients.more()
        return works.verdict(clients)


def stopped(scene: Scene, role: str) -> Verdict:
    """Stop it, start another beside it where there may be one, and let it go on."""
    with scene.works() as works, works.clients(with_files=role == "quoter") as clients:
        works.begin(role)
        clients.more()
        works.signal(signal.SIGSTOP)
        works.wait_until_stopped()
        works.again()
        time.sleep(STOPPED_S)
        works.signal(signal.SIGCONT)
        clients.more()
        return works.verdict(clients)
