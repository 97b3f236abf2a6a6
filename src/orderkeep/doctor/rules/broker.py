"""The broker, its links and its guests: rules 25 to 27, 31 to 34, 39, 43, 45."""

from collections import Counter
from collections.abc import Iterator

from orderkeep.doctor.findings import Hit, Place
from orderkeep.doctor.look import Look, admin, ctl
from orderkeep.doctor.snapshot import Node, table

CHURN_PER_S = 1.0
FEW = 5
"""Connections between two samples that are too few to speak of churn, however short the time."""
MOST_CHANNELS = 50
NEARLY_FULL = 0.8
WIDE = ".*"
DEFAULT_USER = "guest"
RESOURCES = (
    ("fd_used", "fd_total"),
    ("sockets_used", "sockets_total"),
    ("proc_used", "proc_total"),
)


def alarm(look: Look) -> Iterator[Hit]:
    """25: the broker takes nothing until memory or disk is there again."""
    waiting = sum(queue.at_risk for queue in look.now.queues)
    for node in look.now.nodes:
        if node.mem_alarm or node.disk_free_alarm:
            evidence = {"mem_alarm": node.mem_alarm, "disk_free_alarm": node.disk_free_alarm}
            fix = (ctl("--node", node.name, "status"),)
            yield Hit(Place("node", node.name), evidence, waiting, fix)
    check = look.now.health.get("alarms")
    if check and check.status == 503:
        told = {"health/checks/alarms": 503, "reason": check.reason}
        yield Hit(_broker(look), told, waiting)
    for connection in look.now.connections:
        if connection.state in {"blocked", "blocking"}:
            where = Place("connection", connection.name, connection.vhost)
            yield Hit(where, {"state": connection.state, "user": connection.user})


def heartbeat_off(look: Look) -> Iterator[Hit]:
    """26: a connection cut half-way is noticed by nobody."""
    for connection in look.now.connections:
        if connection.timeout == 0 and connection.type == "network":
            where = Place("connection", connection.name, connection.vhost)
            evidence = {"timeout": 0, "user": connection.user, "peer_host": connection.peer_host}
            yield Hit(where, evidence)


def churn(look: Look) -> Iterator[Hit]:
    """27: a connection for every message."""
    now, before = look.now.overview.churn_rates, look.before.overview.churn_rates
    opened = now.connection_created - before.connection_created
    if opened > FEW and opened >= CHURN_PER_S * look.seconds:
        evidence = {
            "churn_rates.connection_created": now.connection_created,
            "rise": opened,
            "seconds": round(look.seconds, 1),
        }
        yield Hit(_broker(look), evidence)


def wide_rights(look: Look) -> Iterator[Hit]:
    """31: the default user, or a program that may change and delete everything."""
    permitted = {one.user for one in look.now.permissions}
    connected = Counter(one.user for one in look.now.connections)
    if DEFAULT_USER in permitted | {*connected}:
        evidence = {"user": DEFAULT_USER, "connections": connected[DEFAULT_USER]}
        yield Hit(Place("user", DEFAULT_USER), evidence, fix=(ctl("delete_user", DEFAULT_USER),))
    for one in look.now.permissions:
        wide = one.configure == WIDE and one.write == WIDE and one.read == WIDE
        if one.user != DEFAULT_USER and wide and connected[one.user]:
            evidence = {"configure": WIDE, "write": WIDE, "read": WIDE}
            fix = ctl("set_permissions", "--vhost", one.vhost, one.user, "^$", "^orders", "^orders")
            yield Hit(Place("user", one.user, one.vhost), evidence, fix=(fix,))


def partitioned(look: Look) -> Iterator[Hit]:
    """32: the cluster fell apart, and both halves went on."""
    for node in look.now.nodes:
        if node.partitions:
            yield Hit(Place("node", node.name), {"partitions": node.partitions})


def shovel(look: Look) -> Iterator[Hit]:
    """33: a shovel that acknowledges before the far side has the message."""
    for one in look.now.parameters:
        mode = table(one.value).get("ack-mode", "on-confirm")
        if one.component == "shovel" and mode != "on-confirm":
            yield Hit(Place("shovel", one.name, one.vhost), {"value.ack-mode": mode})


def federation(look: Look) -> Iterator[Hit]:
    """34: a federation that acknowledges before the far side has the message."""
    for one in look.now.parameters:
        mode = table(one.value).get("ack-mode", "on-confirm")
        if one.component == "federation-upstream" and mode != "on-confirm":
            yield Hit(Place("upstream", one.name, one.vhost), {"value.ack-mode": mode})


def nearly_full(look: Look) -> Iterator[Hit]:
    """39: soon no connection and no file can be opened."""
    for node in look.now.nodes:
        for used, total in RESOURCES:
            if _share(node, used, total) >= NEARLY_FULL:
                evidence = {used: getattr(node, used), total: getattr(node, total)}
                yield Hit(Place("node", node.name), evidence)


def leaking_channels(look: Look) -> Iterator[Hit]:
    """43: a program opens channels and never closes them."""
    for connection in look.now.connections:
        if connection.channels > MOST_CHANNELS:
            where = Place("connection", connection.name, connection.vhost)
            yield Hit(where, {"channels": connection.channels, "user": connection.user})


def delayed_exchange(look: Look) -> Iterator[Hit]:
    """45: delayed messages lie on one node only."""
    for one in look.now.exchanges:
        if one.type == "x-delayed-message":
            fix = admin("--vhost", one.vhost, "list", "bindings")
            yield Hit(Place("exchange", one.name, one.vhost), {"type": one.type}, fix=(fix,))


def _broker(look: Look) -> Place:
    return Place("broker", look.now.overview.cluster_name)


def _share(node: Node, used: str, total: str) -> float:
    one, all_ = getattr(node, used), getattr(node, total)
    return one / all_ if isinstance(one, int) and isinstance(all_, int) and all_ > 0 else 0.0
