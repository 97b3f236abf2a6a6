"""Where messages go that nobody could handle: rules 12 to 15, 18 to 20, 35 to 37."""

from collections.abc import Iterator, Mapping
from typing import Any

from orderkeep.doctor.findings import Effect, Hit
from orderkeep.doctor.look import UNLIMITED, Look, Setting, admin, declare, place
from orderkeep.doctor.rules.queues import without
from orderkeep.doctor.snapshot import Queue, table

AT_LEAST_ONCE_SINCE = (3, 10)
LIMIT_BY_DEFAULT_SINCE = (4, 0)
DEFAULT_LIMIT = 20
PROTECTING = ("dead-letter-exchange", "delivery-limit", "overflow", "dead-letter-strategy")
QUARANTINE = "quarantine"
AT_LEAST_ONCE = {"dead-letter-strategy": "at-least-once", "overflow": "reject-publish"}


def none(look: Look) -> Iterator[Hit]:
    """12: what a consumer rejects is gone."""
    for queue in look.working:
        if look.dlx(queue) is None:
            evidence = {
                "arguments": dict(table(queue.arguments)),
                "effective_policy_definition": dict(table(queue.effective_policy_definition)),
            }
            yield _without_dlx(look, queue, evidence)


def to_nowhere(look: Look) -> Iterator[Hit]:
    """13: dead letters go to an exchange that does not exist."""
    if not look.sees("exchanges"):
        return
    for queue in look.lasting:
        dlx = look.dlx(queue)
        if dlx and dlx.value != "" and (queue.vhost, str(dlx.value)) not in look.exchanges:
            evidence = dlx.evidence | {f"exchanges/{dlx.value}": "404"}
            yield Hit(place(queue), evidence, queue.at_risk, _exchange(queue, str(dlx.value)))


def unbound(look: Look) -> Iterator[Hit]:
    """14: the exchange for dead letters is there and hands them to nobody."""
    if not look.sees("exchanges", "bindings"):
        return
    for queue in look.lasting:
        dlx = look.dlx(queue)
        if dlx is None or not _ends_nowhere(look, queue, dlx):
            continue
        evidence = dlx.evidence | {
            "bindings/source": [],
            "dead-letter-routing-key": look.dead_letter_key(queue),
            "messages_dlx": queue.messages_dlx,
        }
        milder = (Effect.STALLS,) if _at_least_once(look, queue) else None
        at_risk = queue.at_risk + queue.messages_dlx
        yield Hit(place(queue), evidence, at_risk, _bound(queue, str(dlx.value)), milder)


def shadowed(look: Look) -> Iterator[Hit]:
    """15: the policy that protects a queue lost against another one."""
    for queue in look.lasting:
        in_force = table(queue.effective_policy_definition)
        for policy in look.policies_for(queue):
            lost = sorted({*PROTECTING} & {*table(policy.definition)} - {*in_force})
            if policy.name != queue.policy and lost:
                evidence = {"policy": queue.policy, "shadowed": policy.name, "without": lost}
                keys = {key: table(policy.definition)[key] for key in lost}
                yield Hit(place(queue), evidence, queue.at_risk, policy=keys)


def endless_delivery(look: Look) -> Iterator[Hit]:
    """18: a message that breaks its consumer is given out for ever."""
    for queue in _quorum(look):
        limit = look.setting(queue, "delivery-limit")
        unlimited = limit is not None and limit.value == UNLIMITED
        if unlimited or (limit is None and look.version < LIMIT_BY_DEFAULT_SINCE):
            evidence = {
                "delivery-limit": limit.value if limit else None,
                "message_stats.redeliver": queue.message_stats.redeliver,
                "message_stats.publish": queue.message_stats.publish,
            }
            yield Hit(place(queue), evidence, queue.at_risk, policy={"delivery-limit": 10})


def limit_without_dlx(look: Look) -> Iterator[Hit]:
    """19: after some deliveries the message is thrown away."""
    for queue in _quorum(look):
        limit = look.setting(queue, "delivery-limit")
        if limit is None and look.version >= LIMIT_BY_DEFAULT_SINCE:
            limit = Setting(DEFAULT_LIMIT, "delivery-limit (default of 4.x)")
        if limit and limit.value != UNLIMITED and look.dlx(queue) is None:
            yield _without_dlx(look, queue, limit.evidence)


def at_most_once(look: Look) -> Iterator[Hit]:
    """20: a dead letter is thrown away if its new queue does not take it."""
    if look.version < AT_LEAST_ONCE_SINCE:
        return
    for queue in _quorum(look):
        if look.dlx(queue) is not None and not _at_least_once(look, queue):
            strategy = look.setting(queue, "dead-letter-strategy")
            overflow = look.setting(queue, "overflow")
            evidence = {
                "dead-letter-strategy": strategy.value if strategy else None,
                "overflow": overflow.value if overflow else None,
            }
            yield Hit(place(queue), evidence, queue.at_risk, policy=AT_LEAST_ONCE)


def quarantine_forgets(look: Look) -> Iterator[Hit]:
    """35: the place for dead letters throws them away in its turn."""
    for queue in _put_aside(look):
        for key in ("message-ttl", "max-length", "max-length-bytes", "expires"):
            found = look.setting(queue, key)
            if found and look.dlx(queue) is None:
                yield without(look, queue, found)


def circle(look: Look) -> Iterator[Hit]:
    """36: dead letters by age or length that come back to where they were are dropped silently."""
    for queue in look.lasting:
        ages = look.setting(queue, "message-ttl") or look.setting(queue, "max-length")
        if ages and _comes_back(look, queue):
            dlx = look.dlx(queue)
            evidence = ages.evidence | (dlx.evidence if dlx else {})
            yield Hit(place(queue), evidence, queue.at_risk)


def refuses_dead_letters(look: Look) -> Iterator[Hit]:
    """37: a limit with reject-publish on a quorum queue for dead letters is not kept to."""
    for queue in _put_aside(look):
        limit = look.setting(queue, "max-length") or look.setting(queue, "max-length-bytes")
        overflow = look.setting(queue, "overflow")
        if queue.kind == "quorum" and limit and overflow and overflow.value == "reject-publish":
            yield Hit(place(queue), limit.evidence | overflow.evidence, queue.at_risk)


def _put_aside(look: Look) -> Iterator[Queue]:
    return (one for one in look.lasting if (one.vhost, one.name) in look.quarantines)


def _quorum(look: Look) -> Iterator[Queue]:
    return (one for one in look.working if one.kind == "quorum")


def _at_least_once(look: Look, queue: Queue) -> bool:
    strategy = look.setting(queue, "dead-letter-strategy")
    overflow = look.setting(queue, "overflow")
    asked = strategy is not None and strategy.value == "at-least-once"
    allowed = overflow is not None and overflow.value == "reject-publish"
    return queue.kind == "quorum" and asked and allowed


def _ends_nowhere(look: Look, queue: Queue, dlx: Setting) -> bool:
    if dlx.value == "":
        key = look.dead_letter_key(queue)
        return key is not None and (queue.vhost, key) not in look.queues
    there = (queue.vhost, str(dlx.value)) in look.exchanges
    return there and not look.dead_letter_targets(queue)


def _comes_back(look: Look, queue: Queue) -> bool:
    seen: set[str] = set()
    ahead = [queue]
    while ahead:
        names = {*look.dead_letter_targets(ahead.pop())} - seen
        seen |= names
        ahead += [
            look.queues[queue.vhost, one] for one in names if (queue.vhost, one) in look.queues
        ]
    return queue.name in seen


def _without_dlx(look: Look, queue: Queue, evidence: Mapping[str, Any]) -> Hit:
    aside = f"{queue.name}.{QUARANTINE}"
    keys = {"dead-letter-exchange": aside}
    if queue.kind == "quorum" and look.version >= AT_LEAST_ONCE_SINCE:
        keys |= AT_LEAST_ONCE
    return Hit(place(queue), evidence, queue.at_risk, _exchange(queue, aside), policy=keys)


def _exchange(queue: Queue, name: str) -> tuple[str, ...]:
    """An exchange of this queue alone: a shared fanout would copy a dead letter for each queue."""
    words = ("declare", "exchange", f"name={name}", "type=fanout", "durable=true")
    return (admin("--vhost", queue.vhost, *words), *_bound(queue, name))


def _bound(queue: Queue, exchange: str) -> tuple[str, ...]:
    aside = f"{queue.name}.{QUARANTINE}"
    words = (f"source={exchange}", f"destination={aside}", "destination_type=queue")
    binding = admin("--vhost", queue.vhost, "declare", "binding", *words, "routing_key=#")
    return (declare(queue, aside), binding)
