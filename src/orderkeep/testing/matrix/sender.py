"""A sender that is stopped between its intent and the bytes, while another stands ready."""

import signal
import time
from collections.abc import Iterator
from functools import partial

from orderkeep.testing.matrix.cell import EMBEDDED, SCALED_OUT, Cell, Scene
from orderkeep.testing.matrix.mes import ABILITIES
from orderkeep.testing.matrix.verdict import Verdict
from orderkeep.testing.matrix.works import wait_for

STOPPED_S = 30.0
"""Longer than any lease, and than the proof that somebody is gone takes."""
ENDS = ("and goes on", "and is killed")


def cells() -> Iterator[Cell]:
    """Stopped just before the bytes leave, and while they are under way."""
    for profile in (EMBEDDED, SCALED_OUT):
        for ability in ABILITIES:
            for end in ENDS:
                trial = partial(before_the_bytes, ability=ability, end=end)
                yield Cell(profile, "paused sender", f"mes with {ability}, {end}", trial)
        for ability in ("look-up", "nothing"):
            trial = partial(under_way, ability=ability)
            yield Cell(profile, "paused sender", f"mes with {ability}, in mid-call", trial)


def before_the_bytes(scene: Scene, ability: str, end: str) -> Verdict:
    """Stopped at the last failpoint before the send."""
    can = ABILITIES[ability]
    with scene.works(*can.flags, settings=can.settings) as works, works.clients() as clients:
        works.begin("bridge", "bridge.before_send:stop@2")
        works.wait_until_struck(lambda: None)
        works.wait_until_stopped()
        works.again()
        time.sleep(STOPPED_S)
        if end == "and is killed":
            works.kill()
            works.again()
        else:
            works.signal(signal.SIGCONT)
        return works.verdict(clients, may_be_uncertain=True, ask_mes=can.answers)


def under_way(scene: Scene, ability: str) -> Verdict:
    """Stopped at any moment at which the MES works on a call of ours."""
    can = ABILITIES[ability]
    flags = (*can.flags, "--work", "0.5")
    with scene.works(*flags, settings=can.settings) as works, works.clients() as clients:
        works.begin("bridge")
        wait_for(lambda: works.mes.ask("GET", "/practice/stats")["in_flight"] > 0, "no call")
        works.signal(signal.SIGSTOP)
        works.wait_until_stopped()
        works.again()
        time.sleep(STOPPED_S)
        works.signal(signal.SIGCONT)
        return works.verdict(clients, may_be_uncertain=True, ask_mes=can.answers)
