"""Three RabbitMQ nodes whose wires between each other can be cut, as a switch that fails does.

Erlang's nodes ask a name service on which port another one listens. Here each node asks one of its
own, which answers with the port of a proxy: every byte between two nodes goes over a wire of ours.
"""

import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import permutations
from types import TracebackType
from typing import Final, Self

from orderkeep.testing.matrix.wire import Line, Wire
from orderkeep.testing.rabbitmq_node import RabbitNode

_WHO_IS_THERE: Final = b"n"
"""``NAMES_REQ`` of the name service's protocol, answered by its own port and the names."""
_WHERE_IS: Final = b"z"
"""``PORT_PLEASE2_REQ``, answered by these two bytes and the port."""
_IT_IS_AT: Final = b"w\x00"
NOTICED_S = 5
"""After so long without a word a node takes another one for gone; a minute is the default."""


class Names:
    """A name service in front of the real one, for one node; others' ports are those of wires."""

    def __init__(self, port: int, wires: Mapping[str, Wire]) -> None:
        self._real = ("127.0.0.1", port)
        self._wires = wires
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        where: TracebackType | None,
    ) -> None:  # fmt: skip
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                asking, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(asking,), daemon=True).start()

    def _serve(self, asking: socket.socket) -> None:
        with suppress(OSError), asking, socket.create_connection(self._real) as real:
            size = _exactly(asking, 2)
            question = _exactly(asking, int.from_bytes(size))
            real.sendall(size + question)
            if question[:1] == _WHO_IS_THERE:
                asking.sendall(self.port.to_bytes(4) + _rest(real)[4:])
            elif question[:1] == _WHERE_IS:
                asking.sendall(self._through_a_wire(question[1:].decode(), _rest(real)))
            else:  # A node that tells its name stays connected for as long as it lives.
                threading.Thread(target=_pass, args=(asking, real), daemon=True).start()
                _pass(real, asking)

    def _through_a_wire(self, name: str, answer: bytes) -> bytes:
        wire = self._wires.get(name)
        if wire is None or not answer.startswith(_IT_IS_AT):
            return answer
        return _IT_IS_AT + wire.port.to_bytes(2) + answer[4:]


class Cluster:
    """Three nodes, all connected, and the wires between them."""

    def __init__(self, nodes: list[RabbitNode], wires: Mapping[tuple[str, str], Wire]) -> None:
        self.nodes = nodes
        self._wires = wires

    def isolate(self, node: RabbitNode, line: Line) -> None:
        """Change the wires between a node and both others."""
        for pair, wire in self._wires.items():
            if node.name in pair:
                wire.be(line)

    def handle(self, handling: str) -> None:
        """Have every node behave another way from now on when it is parted from the others."""
        for node in self.nodes:
            node.ctl(
                "eval", f"application:set_env(rabbit, cluster_partition_handling, {handling})."
            )

    def seen_by(self, node: RabbitNode) -> int:
        """How many others it is connected to."""
        return node.ctl("eval", "nodes().").count("@")


@contextmanager
def cluster(handling: str = "pause_minority") -> Iterator[Cluster]:
    """Start three nodes; ``handling`` is what they do when they are parted."""
    with ExitStack() as stack:
        settings = {"cluster_partition_handling": handling}
        node = partial(RabbitNode, plugins=(), settings=settings, silent_s=NOTICED_S)
        first = node()
        nodes = [first, node(beside=first), node(beside=first)]
        for one in nodes:
            stack.callback(one.remove)
        for one in nodes:
            one.find(nodes)
        first.start_names()
        wires = {
            (this.name, other.name): stack.enter_context(Wire(other.distribution_port))
            for this, other in permutations(nodes, 2)
        }
        for one in nodes:
            one.asks_names_at = stack.enter_context(_names_for(one, wires)).port
        with ThreadPoolExecutor(len(nodes)) as pool:
            list(pool.map(RabbitNode.start, nodes))
        members = first.ctl("cluster_status", "--formatter", "json")
        for one in nodes[1:]:
            if one.name not in members:  # It did not find the others in time.
                one.join(first)
        yield Cluster(nodes, wires)


def _names_for(node: RabbitNode, wires: Mapping[tuple[str, str], Wire]) -> Names:
    theirs = {
        other.partition("@")[0]: wire for (one, other), wire in wires.items() if one == node.name
    }
    return Names(node.names_port, theirs)


def _exactly(source: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        data = source.recv(size - len(found))
        if not data:
            raise ConnectionResetError
        found += data
    return found


def _rest(source: socket.socket) -> bytes:
    found = b""
    while data := source.recv(4096):
        found += data
    return found


def _pass(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(4096):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
