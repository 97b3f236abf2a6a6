"""Replays one history with a readable log: ``python -m orderkeep.testing.replay SEED``."""

import sys
import tempfile
from pathlib import Path

import structlog

from orderkeep.testing.store import SimStore
from orderkeep.testing.world import World


def replay(seed: int) -> World:
    """Live through the history of a seed again, and tell each step.

    Raises:
        AssertionError: the promise was broken.
    """
    # A history is told by its steps alone: log lines carry the instant they are written at.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory(prefix="orderkeep-replay-") as folder:
        world = World(seed, SimStore(), Path(folder), log=say)
        say(f"seed {seed}: aims at {world.aim}; {'floor' if world.on_floor else 'foreign MES'}")
        planned = world.faults
        say(f"planned: {planned.crashes} {planned.mes} {planned.jump} {planned.odds}")
        try:
            world.run()
        finally:
            _tell(world)
    return world


def say(line: str) -> None:
    """Write a line."""
    sys.stdout.write(line + "\n")


def _tell(world: World) -> None:
    say(f"struck: {dict(world.faults.struck)}")
    for n in sorted(world.book.events):
        for one in world.book.events[n]:
            say(f"{one.order_no} {one.seq:3} {one.at:%H:%M:%S} {one.cause.actor} {one.event}")
    if world.sim_mes:
        say(f"made: {dict(world.sim_mes.effects)} {world.sim_mes.jobs}")


if __name__ == "__main__":
    replay(int(sys.argv[1]))
