"""What is at the broker against what has to be there: each difference with what to do about it.

A pure comparison of the topology with what the management API says; nothing is asked or changed.
"""

from collections.abc import Iterator, Mapping

import msgspec

from orderkeep.adapters.rabbitmq.topology import (
    EXCHANGE,
    UNROUTABLE,
    Binding,
    Exchange,
    Queue,
    Topology,
)
from orderkeep.doctor import snapshot as seen

BITES: Mapping[str, str] = {
    "message-ttl": "throws messages away when they are too old",
    "expires": "deletes the queue with its messages when nobody uses it",
    "max-length": "bounds the queue",
    "max-length-bytes": "bounds the queue",
    "overflow": "decides what a full queue does",
    "delivery-limit": "takes messages for dead letters earlier",
    "dead-letter-exchange": "sends dead letters somewhere else",
    "dead-letter-routing-key": "sends dead letters somewhere else",
    "dead-letter-strategy": "may lose dead letters on their way",
    "alternate-exchange": "sends what no queue takes somewhere else",
    "ha-mode": "mirrors, which quorum queues do not know",
    "queue-mode": "changes where messages are kept",
}
"""What a foreign policy may do to ours, by its key."""


class Difference(msgspec.Struct, frozen=True):
    """One thing that is not as it has to be.

    ``kind``: ``missing``, ``type``, ``not-durable``, ``argument``, ``alternate-exchange``,
    ``binding``, ``policy``, ``stranger`` or ``told`` (only a sentence of the broker's).
    """

    thing: str
    kind: str
    wanted: str
    found: str
    do: str

    def __str__(self) -> str:
        return f"{self.thing}: {self.found}, should be {self.wanted}. {self.do}"


DECLARE = "Run `orderkeep topology --declare`, or restart orderkeep: it declares what is missing."
REMAKE = (
    "Stop orderkeep, let the queue run empty, delete it, start orderkeep: arguments cannot be"
    " changed on a queue that exists."
)
REMAKE_EXCHANGE = (
    "Stop orderkeep, delete the exchange, start orderkeep: meanwhile messages wait in the outbox."
)


def differences(wanted: Topology, sample: seen.Sample, vhost: str) -> list[Difference]:
    """Every difference within one virtual host, in the order of the topology."""
    exchanges = {one.name: one for one in sample.exchanges if one.vhost == vhost}
    queues = {one.name: one for one in sample.queues if one.vhost == vhost}
    bound = {
        (one.source, one.destination, one.routing_key): one
        for one in sample.bindings
        if one.vhost == vhost
    }
    return [
        *(found for one in wanted.exchanges for found in _exchange(one, exchanges.get(one.name))),
        *(found for one in wanted.queues for found in _queue(one, queues.get(one.name))),
        *(found for one in wanted.bindings for found in _binding(one, bound)),
        *_strangers(wanted, bound),
        *_policies(wanted, sample, exchanges, vhost),
    ]


def _exchange(wanted: Exchange, found: seen.Exchange | None) -> Iterator[Difference]:
    thing = f"exchange {wanted.name}"
    if found is None:
        yield Difference(thing, "missing", wanted.type, "not there", DECLARE)
        return
    if found.type != wanted.type:
        yield Difference(thing, "type", wanted.type, found.type, REMAKE_EXCHANGE)
    if not found.durable:
        yield Difference(thing, "not-durable", "durable", "gone at a restart", REMAKE_EXCHANGE)
    given = seen.table(found.arguments)
    for name, value in wanted.arguments.items():
        if given.get(name) != value:
            kind = name if name == "alternate-exchange" else "argument"
            yield Difference(
                thing, kind, f"{name} {value}", f"{name} {given.get(name, 'none')}", REMAKE_EXCHANGE
            )


def _queue(wanted: Queue, found: seen.Queue | None) -> Iterator[Difference]:
    thing = f"queue {wanted.name}"
    if found is None:
        yield Difference(thing, "missing", "a quorum queue", "not there", DECLARE)
        return
    if not found.durable:
        yield Difference(thing, "not-durable", "durable", "gone at a restart", REMAKE)
    given = seen.table(found.arguments)
    for name in sorted({*wanted.arguments, *given}):
        if given.get(name) != wanted.arguments.get(name):
            yield Difference(
                thing,
                "argument",
                f"{name} {wanted.arguments.get(name, 'none')}",
                f"{name} {given.get(name, 'none')}",
                REMAKE,
            )


def _binding(wanted: Binding, bound: Mapping[tuple[str, str, str], object]) -> Iterator[Difference]:
    if (wanted.exchange, wanted.queue, wanted.key) not in bound:
        thing = f"binding of {wanted.queue} to {wanted.exchange}"
        key = f"by {wanted.key or 'everything'}"
        yield Difference(thing, "binding", key, "not there", DECLARE)


def _strangers(
    wanted: Topology, bound: Mapping[tuple[str, str, str], seen.Binding]
) -> Iterator[Difference]:
    """Bindings of ours that nobody declared: they bring messages that nobody expects."""
    ours = {(one.exchange, one.queue, one.key) for one in wanted.bindings}
    queues = {one.name for one in wanted.queues}
    for source, queue, key in sorted(bound):
        if source and queue in queues and (source, queue, key) not in ours:
            yield Difference(
                f"binding of {queue} to {source}",
                "stranger",
                "none",
                f"by {key or 'everything'}",
                "An older release left it, or somebody added it. If no release needs it, unbind it"
                " in the management pages; what comes that way is kept or quarantined.",
            )


def _policies(
    wanted: Topology, sample: seen.Sample, exchanges: Mapping[str, seen.Exchange], vhost: str
) -> Iterator[Difference]:
    """Policies of others that match ours: where they bite, the declaration is not what counts."""
    names = {one.name: one for one in wanted.queues}
    for queue in sample.queues:
        if queue.vhost != vhost or queue.name not in names:
            continue
        for key, value in sorted(seen.table(queue.effective_policy_definition).items()):
            if key in BITES and names[queue.name].arguments.get(f"x-{key}") != value:
                who = " and ".join(filter(None, (queue.policy, queue.operator_policy)))
                yield _policy(f"queue {queue.name}", who, key, value)
    definitions = {one.name: one for one in sample.policies if one.vhost == vhost}
    for one in wanted.exchanges:
        found = exchanges.get(one.name)
        policy = definitions.get(found.policy or "") if found else None
        rules = seen.table(policy.definition) if policy else {}
        value = rules.get("alternate-exchange")
        if policy and value is not None and (one.name != EXCHANGE or value != UNROUTABLE):
            yield _policy(f"exchange {one.name}", policy.name, "alternate-exchange", value)


def _policy(thing: str, policy: str, key: str, value: object) -> Difference:
    return Difference(
        thing,
        "policy",
        "no foreign policy",
        f"policy {policy} sets {key} {value}: it {BITES[key]}",
        f"Narrow the pattern of policy {policy} so that it does not match `orderkeep.`, or give"
        " orderkeep a virtual host of its own.",
    )
