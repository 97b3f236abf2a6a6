"""A snapshot with the questions rules ask of it: settings in force, dead letters, versions."""

import json
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from orderkeep.doctor.findings import Place
from orderkeep.doctor.snapshot import Binding, Channel, Exchange, Policy, Queue, Snapshot, table

UNLIMITED = -1
COUNTS_ANEW_S = 5.0
"""How often a broker counts, unless somebody has changed that."""


class Setting(NamedTuple):
    """A value in force and the field it was read from."""

    value: Any
    field: str

    @property
    def evidence(self) -> dict[str, Any]:
        """The field with its value."""
        return {self.field: self.value}


class Look:
    """The later sample, indexed; the earlier one for what must have lasted."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.now = snapshot.second
        self.before = snapshot.first
        self.seconds = snapshot.seconds
        self.queues = {(queue.vhost, queue.name): queue for queue in self.now.queues}
        self.exchanges = {(one.vhost, one.name): one for one in self.now.exchanges}

    def sees(self, *names: str) -> bool:
        """Whether these lists could be read: an absence proves nothing where they could not."""
        return not {*names} & {one.what for one in self.now.unseen}

    @property
    def too_close(self) -> bool:
        """Whether the broker may not have counted anew between the looks: nothing seems to move."""
        return self.seconds < COUNTS_ANEW_S

    @cached_property
    def version(self) -> tuple[int, int]:
        """Major and minor version; (0, 0) when the broker does not tell."""
        numbers = re.findall(r"\d+", self.now.overview.rabbitmq_version)[:2]
        major, minor = ([int(number) for number in numbers] + [0, 0])[:2]
        return major, minor

    @cached_property
    def lasting(self) -> list[Queue]:
        """Queues meant to keep messages: streams and queues of one connection are not."""
        return [one for one in self.now.queues if one.kind != "stream" and not one.exclusive]

    @cached_property
    def bindings(self) -> Mapping[tuple[str, str], list[Binding]]:
        """Bindings by virtual host and source exchange."""
        found: dict[tuple[str, str], list[Binding]] = defaultdict(list)
        for binding in self.now.bindings:
            found[binding.vhost, binding.source].append(binding)
        return found

    @cached_property
    def channels(self) -> Mapping[str, Channel]:
        """Channels by name."""
        return {channel.name: channel for channel in self.now.channels}

    @cached_property
    def channels_before(self) -> Mapping[str, Channel]:
        """Channels of the first sample by name."""
        return {channel.name: channel for channel in self.before.channels}

    @cached_property
    def queues_before(self) -> Mapping[tuple[str, str], Queue]:
        """Queues of the first sample."""
        return {(queue.vhost, queue.name): queue for queue in self.before.queues}

    @cached_property
    def quarantines(self) -> frozenset[tuple[str, str]]:
        """Where the road ends: queues of dead letters, and of what no other queue takes."""
        reached = {
            (queue.vhost, name)
            for queue in self.lasting
            for name in self.dead_letter_targets(queue)
            if name != queue.name
        }
        return frozenset(reached | self._of_the_unroutable)

    @cached_property
    def _of_the_unroutable(self) -> set[tuple[str, str]]:
        """Queues that are bound to alternate exchanges and to nothing else."""
        alternates = {
            (exchange.vhost, str(found.value))
            for exchange in self.now.exchanges
            if (found := self.alternate(exchange))
        }
        bound = [one for one in self.now.bindings if one.source]
        queues = [one for one in bound if one.destination_type == "queue"]
        ordinary = {
            (one.vhost, one.destination)
            for one in queues
            if (one.vhost, one.source) not in alternates
        }
        return {(one.vhost, one.destination) for one in queues} - ordinary

    @cached_property
    def working(self) -> list[Queue]:
        """Queues that programs read; a quarantine is the end of the road, with rules of its own."""
        return [one for one in self.lasting if (one.vhost, one.name) not in self.quarantines]

    def setting(self, queue: Queue, key: str) -> Setting | None:
        """A queue's setting as an argument or by policy; of two numbers the smaller counts."""
        argument = table(queue.arguments).get(f"x-{key}")
        by_policy = table(queue.effective_policy_definition).get(key)
        of_argument = Setting(argument, f"arguments.x-{key}")
        of_policy = Setting(by_policy, f"effective_policy_definition.{key}")
        if argument is None:
            return None if by_policy is None else of_policy
        if isinstance(argument, int) and isinstance(by_policy, int):
            return min(of_argument, of_policy)
        return of_argument

    def dlx(self, queue: Queue) -> Setting | None:
        """The exchange a queue's dead letters go to."""
        return self.setting(queue, "dead-letter-exchange")

    def dead_letter_key(self, queue: Queue) -> str | None:
        """The routing key dead letters get, or None when they keep their own."""
        found = self.setting(queue, "dead-letter-routing-key")
        return str(found.value) if found else None

    def dead_letter_targets(self, queue: Queue) -> list[str]:
        """Names of the queues that a queue's dead letters can reach."""
        dlx = self.dlx(queue)
        if dlx is None:
            return []
        key = self.dead_letter_key(queue)
        if dlx.value == "":
            return [key] if key is not None and (queue.vhost, key) in self.queues else []
        return list(self._reached(queue.vhost, str(dlx.value), key, set()))

    def _reached(self, vhost: str, exchange: str, key: str | None, seen: set[str]) -> Iterator[str]:
        if exchange in seen or (vhost, exchange) not in self.exchanges:
            return
        seen.add(exchange)
        kind = self.exchanges[vhost, exchange].type
        for binding in self.bindings.get((vhost, exchange), []):
            if not matches(kind, binding.routing_key, key):
                continue
            if binding.destination_type == "queue":
                yield binding.destination
            else:
                yield from self._reached(vhost, binding.destination, key, seen)
        alternate = self.alternate(self.exchanges[vhost, exchange])
        if alternate:
            yield from self._reached(vhost, str(alternate.value), key, seen)

    def alternate(self, exchange: Exchange) -> Setting | None:
        """Where an exchange hands what it cannot route, or what may say so and cannot be read."""
        argument = table(exchange.arguments).get("alternate-exchange")
        if argument is not None:
            return Setting(argument, "arguments.alternate-exchange")
        if exchange.policy is not None and not self.sees("policies"):
            return Setting("", f"policy {exchange.policy}")
        policy = self._policy(exchange.vhost, exchange.policy)
        value = table(policy.definition).get("alternate-exchange") if policy else None
        return None if value is None else Setting(value, f"policy {exchange.policy}")

    def policies_for(self, queue: Queue) -> list[Policy]:
        """Policies whose pattern fits a queue, the one in force first."""
        fitting = [
            policy
            for policy in self.now.policies
            if policy.vhost == queue.vhost
            and policy.apply_to in {"all", "queues", f"{queue.kind}_queues"}
            and _fits(policy.pattern, queue.name)
        ]
        return sorted(fitting, key=lambda one: (one.name != queue.policy, -one.priority))

    def policy_in_force(self, queue: Queue) -> Policy | None:
        """The one policy that applies to a queue, operators' policies aside."""
        return next((one for one in self.policies_for(queue) if one.name == queue.policy), None)

    def policy_fix(self, queue: Queue, wanted: Mapping[str, Any]) -> str:
        """A command that changes keys of the policy in force on a queue, and keeps the rest."""
        return _set_policy(queue, "queues", self.policy_in_force(queue), wanted)

    def exchange_policy_fix(self, exchange: Exchange, wanted: Mapping[str, Any]) -> str:
        """The same for an exchange."""
        in_force = self._policy(exchange.vhost, exchange.policy)
        return _set_policy(exchange, "exchanges", in_force, wanted)

    def _policy(self, vhost: str, name: str | None) -> Policy | None:
        named = (one for one in self.now.policies if (one.vhost, one.name) == (vhost, name))
        return next(named, None)


def _set_policy(
    target: Queue | Exchange, apply_to: str, in_force: Policy | None, wanted: Mapping[str, Any]
) -> str:
    """Only one policy applies, so a new one has to repeat what the old one said."""
    keys = {**(table(in_force.definition) if in_force else {}), **wanted}
    definition = {key: value for key, value in keys.items() if value is not None}
    words = ["set_policy", "--vhost", target.vhost, "--apply-to", apply_to]
    words += ["--priority", str(in_force.priority + 1 if in_force else 1)]
    words += [f"keep-{target.name}", f"^{re.escape(target.name)}$"]
    # The broker refuses a policy that says nothing; this key means nothing without a limit.
    return ctl(*words, json.dumps(definition or {"overflow": "reject-publish"}))


def place(queue: Queue) -> Place:
    """Where a queue is."""
    return Place("queue", queue.name, queue.vhost)


def admin(*words: str) -> str:
    """A command of ``rabbitmqadmin``."""
    return shlex.join(["rabbitmqadmin", *words])


def ctl(*words: str) -> str:
    """A command of ``rabbitmqctl``."""
    return shlex.join(["rabbitmqctl", *words])


def declare(queue: Queue, name: str | None = None) -> str:
    """A command that declares a queue as a durable quorum queue."""
    words = (f"name={name or queue.name}", "durable=true", 'arguments={"x-queue-type":"quorum"}')
    return admin("--vhost", queue.vhost, "declare", "queue", *words)


def matches(kind: str, pattern: str, key: str | None) -> bool:
    """Whether an exchange of this type hands a message with this key to this binding.

    An unknown key, and any type other than direct and topic, gets the benefit of the doubt.
    """
    if key is None or kind not in {"direct", "topic"}:
        return True
    if kind == "direct":
        return pattern == key
    words = [re.escape(word) for word in pattern.split(".")]
    text = r"\.".join(words).replace(r"\*", r"[^.]*")
    text = text.replace(r"\#\.", r"(?:.*\.)?").replace(r"\.\#", r"(?:\..*)?").replace(r"\#", ".*")
    return re.fullmatch(text, key) is not None


def _fits(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return False  # The broker's dialect knows more than ours; then we say nothing.
