"""A cluster of three RabbitMQ nodes that falls apart: ours is alone, or the other two hang."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial

from orderkeep.testing.cluster import Cluster, cluster
from orderkeep.testing.matrix.cell import SCALED_OUT, Cell, Scene
from orderkeep.testing.matrix.verdict import Verdict
from orderkeep.testing.matrix.wire import Line
from orderkeep.testing.matrix.works import NotReached, Works

APART_S = 20.0
NOTICED_WITHIN_S = 60.0
ITEM = "rabbitmq cluster"


def cells() -> Iterator[Cell]:
    """Every process of ours speaks to the first node; the queues have a copy on each."""
    for handling in ("pause_minority", "ignore"):
        for line in (Line.CUT, Line.SILENT):
            fault = f"our node alone {APART_S:.0f} s, {line.value}, {handling}"
            yield Cell(SCALED_OUT, ITEM, fault, partial(parted, handling=handling, line=line))
    yield Cell(SCALED_OUT, ITEM, f"two of three SIGSTOP {APART_S:.0f} s", majority_hangs)


def parted(scene: Scene, handling: str, line: Line) -> Verdict:
    """Whatever our node takes then, no majority has."""
    with cluster(handling) as three, _at_the_first(scene, three) as works:
        return works.amid_orders(partial(part, three, line))


def part(three: Cluster, line: Line) -> None:
    """Cut our node off until it has seen that it is alone, and for a while more."""
    ours = three.nodes[0]
    three.isolate(ours, line)
    try:
        _wait_until_alone(three)
        time.sleep(APART_S)
    finally:
        three.isolate(ours, Line.OPEN)


def _wait_until_alone(three: Cluster) -> None:
    ends = time.monotonic() + NOTICED_WITHIN_S
    while three.seen_by(three.nodes[0]):
        if time.monotonic() > ends:
            raise NotReached("our node still sees the others")


def majority_hangs(scene: Scene) -> Verdict:
    """Connections to both stay, and nobody answers there."""
    with cluster() as three, _at_the_first(scene, three) as works:
        return works.amid_orders(partial(_pause, three))


def _at_the_first(scene: Scene, three: Cluster) -> AbstractContextManager[Works]:
    return scene.works(settings={"transport_url": three.nodes[0].url})


def _pause(three: Cluster) -> None:
    others = three.nodes[1:]
    try:
        for node in others:
            node.pause()
        time.sleep(APART_S)
    finally:
        for node in others:
            node.resume()
