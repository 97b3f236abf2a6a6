"""How queues keep what they are given: rules 3 to 6, 16, 17, 28 to 30, 38, 42."""

from collections.abc import Iterator

from orderkeep.doctor.findings import Effect, Hit, Place
from orderkeep.doctor.look import Look, Setting, ctl, declare, place
from orderkeep.doctor.snapshot import Queue, table

SAFE_OVERFLOWS = {"reject-publish", "reject-publish-dlx"}
HEALTHY_STATES = {"running", "idle", "flow"}
BIG_MESSAGE_BYTES = 1 << 20
ENOUGH_MEMBERS = 3


def not_durable(look: Look) -> Iterator[Hit]:
    """3: gone after the next restart of the broker."""
    for queue in look.now.queues:
        if not queue.durable and not queue.exclusive:
            yield Hit(place(queue), {"durable": False}, queue.at_risk, _declared_anew(queue))


def goes_with_its_user(look: Look) -> Iterator[Hit]:
    """4: gone when a connection ends."""
    for queue in look.now.queues:
        if queue.auto_delete or queue.exclusive:
            evidence = {"auto_delete": queue.auto_delete, "exclusive": queue.exclusive}
            yield Hit(place(queue), evidence, queue.at_risk, _declared_anew(queue))


def expires(look: Look) -> Iterator[Hit]:
    """5: the queue vanishes with its messages when nobody used it for a while."""
    for queue in look.now.queues:
        found = look.setting(queue, "expires")
        if found:
            yield without(look, queue, found)


def transient_messages(look: Look) -> Iterator[Hit]:
    """6: a durable queue with messages that were not meant to survive."""
    for queue in look.now.queues:
        kept = queue.messages_persistent
        if kept is None or not queue.durable or queue.kind != "classic":
            continue
        if queue.messages > kept:
            evidence = {"messages": queue.messages, "messages_persistent": kept}
            yield Hit(place(queue), evidence, queue.messages - kept, _declared_anew(queue))


def time_limit(look: Look) -> Iterator[Hit]:
    """16: messages too old are thrown away."""
    for queue in look.working:
        found = look.setting(queue, "message-ttl")
        if found and look.dlx(queue) is None:
            yield without(look, queue, found)


def drops_the_oldest(look: Look) -> Iterator[Hit]:
    """17: a full queue throws its oldest message away, or puts it aside where it has a DLX."""
    for queue in look.working:
        limit = look.setting(queue, "max-length") or look.setting(queue, "max-length-bytes")
        overflow = look.setting(queue, "overflow")
        if limit is None or (overflow and overflow.value in SAFE_OVERFLOWS):
            continue
        evidence = limit.evidence | (overflow.evidence if overflow else {"overflow": "drop-head"})
        evidence |= {"message_stats.publish": queue.message_stats.publish}
        milder = (Effect.STALLS,) if look.dlx(queue) else None
        policy = {"overflow": "reject-publish"}
        yield Hit(place(queue), evidence, queue.at_risk, effects=milder, policy=policy)


def mirrored(look: Look) -> Iterator[Hit]:
    """28: classic mirroring: loses in a failover, and is gone in 4.0."""
    for queue in look.now.queues:
        found = look.setting(queue, "ha-mode")
        if found:
            behind = sorted({*queue.slave_nodes} - {*queue.synchronised_slave_nodes})
            evidence = found.evidence | {"slave_nodes not synchronised": behind}
            yield Hit(place(queue), evidence, queue.at_risk, _declared_anew(queue))


def lazy(look: Look) -> Iterator[Hit]:
    """29: a declaration that 4.3 refuses."""
    for queue in look.now.queues:
        found = look.setting(queue, "queue-mode")
        if found and found.value == "lazy":
            yield without(look, queue, found)


def too_few_members(look: Look) -> Iterator[Hit]:
    """30: a quorum queue that one lost machine stops or takes with it."""
    for queue in look.now.queues:
        if queue.kind != "quorum" or not queue.members:
            continue
        few, missing = len(queue.members) < ENOUGH_MEMBERS, len(queue.online) < len(queue.members)
        if few or missing:
            evidence = {"members": len(queue.members), "online": len(queue.online)}
            effects = None if few else (Effect.STALLS,)
            fix = _more_members(look, queue) if few else ()
            yield Hit(place(queue), evidence, queue.at_risk, fix, effects)
    for node in look.now.nodes:
        if not node.running:
            yield Hit(Place("node", node.name), {"running": False}, effects=(Effect.STALLS,))
    found = look.now.health.get("node-is-quorum-critical")
    if found and found.status == 503:
        told = {"health/checks/node-is-quorum-critical": 503, "reason": found.reason}
        yield Hit(Place("broker", look.now.overview.cluster_name), told, effects=(Effect.STALLS,))


def not_running(look: Look) -> Iterator[Hit]:
    """38: a queue that the broker itself calls down."""
    for queue in look.now.queues:
        if queue.state not in HEALTHY_STATES:
            yield Hit(place(queue), {"state": queue.state}, queue.at_risk)


def big_messages(look: Look) -> Iterator[Hit]:
    """42: whole model files travel in messages."""
    for queue in look.now.queues:
        if queue.messages and queue.message_bytes / queue.messages > BIG_MESSAGE_BYTES:
            evidence = {"message_bytes": queue.message_bytes, "messages": queue.messages}
            yield Hit(place(queue), evidence, queue.at_risk)


def _declared_anew(queue: Queue) -> tuple[str, ...]:
    """A queue's nature cannot be changed: a second one takes over."""
    return (declare(queue, f"{queue.name}.kept"),)


def without(look: Look, queue: Queue, found: Setting) -> Hit:
    """A policy can be changed in place, an argument only by a second queue."""
    key = found.field.partition(".")[2]
    in_force = look.policy_in_force(queue)
    by_policy = in_force is not None and key in table(in_force.definition)
    if found.field.startswith("arguments."):
        fix = _declared_anew(queue)
    else:  # What no policy says, an operator's does; that one we can only show.
        fix = () if by_policy else (ctl("list_operator_policies", "--vhost", queue.vhost),)
    policy = {key: None} if by_policy else {}
    return Hit(place(queue), found.evidence, queue.at_risk, fix, policy=policy)


def _more_members(look: Look, queue: Queue) -> tuple[str, ...]:
    others = [node.name for node in look.now.nodes if node.name not in queue.members]
    missing = ENOUGH_MEMBERS - len(queue.members)
    return tuple(
        f"rabbitmq-queues add_member --vhost {queue.vhost} {queue.name} {node}"
        for node in others[:missing]
    )
