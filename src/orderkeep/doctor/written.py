"""A broker as its papers have it: its exported definitions, or a ``rabbitmqctl report``.

Neither moves, and neither counts what is gone. So only rules that settings alone can break are
asked, and the report says that the others were not.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from orderkeep.doctor.snapshot import (
    Binding,
    Consumer,
    Exchange,
    Named,
    Overview,
    Parameter,
    Permission,
    Policy,
    Queue,
    Sample,
    Snapshot,
    Unseen,
    table,
)
from orderkeep.kernel.errors import Refused

OF_SETTINGS: Final = frozenset(
    {3, 4, 5, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 23, 28, 29, 31, 33, 34, 35, 36, 37, 45}
)
"""Rules that settings alone can break."""
OF_A_REPORT: Final = OF_SETTINGS - {33, 34} | {24, 38}
"""A report knows what rests as well, and not of shovels."""
OF_CONSUMERS: Final = frozenset({1, 21})
"""Some versions list programs, too."""
BUILT_IN: Final = ("direct", "fanout", "headers", "match", "topic")

_SETTING = re.compile(r'\{"([^"]+)",("(?:[^"\\]|\\.)*"|-?\d+|true|false)\}')
# In three ways within one report: `vhost /shop ...`, `vhost /shop...` and `vhost "/shop" ...`.
_VHOST = re.compile(r'(?:vhost|on) "?([^\s"]+?)"?:?\s*(?:\.\.\.)?\s*$', re.IGNORECASE)
_VERSION = re.compile(r"^RabbitMQ version: (\S+)", re.MULTILINE)
_CLUSTER = re.compile(r"^Cluster name: (\S+)", re.MULTILINE)


class CannotRead(Refused):
    """A file that is none of a broker's papers."""


# --- definitions.json -----------------------------------------------------------------------------


def of_definitions(text: bytes) -> Snapshot:
    """A broker as its exported definitions have it.

    Raises:
        CannotRead: it is no such file.
    """
    try:
        told = json.loads(text)
        lists = {name: told.get(name, []) for name in ("policies", "permissions", "parameters")}
        operators = [one for one in lists["parameters"] if one["component"] == "operator_policy"]
        others = [one for one in lists["parameters"] if one not in operators]
        sample = Sample(
            overview=Overview(rabbitmq_version=str(told.get("rabbitmq_version", "0"))),
            exchanges=[*_built_in(told["queues"]), *_many(told["exchanges"], Exchange)],
            queues=_many(told["queues"], Queue),
            bindings=_many(told.get("bindings", []), Binding),
            policies=_many(lists["policies"], Policy),
            permissions=_many(lists["permissions"], Permission),
            parameters=_many(others, Parameter),
            unseen=[Unseen("programs, counters, nodes", "definitions")],
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CannotRead("This is no export of a RabbitMQ's definitions.") from error
    return _still(_in_force(sample, operators), OF_SETTINGS)


def _many(found: Sequence[Any], shape: type[Any]) -> list[Any]:
    return [msgspec.convert(one, shape, strict=False) for one in found]


def _built_in(queues: Sequence[Mapping[str, Any]]) -> list[Exchange]:
    """Every virtual host has them, and no export names them."""
    vhosts = sorted({str(one["vhost"]) for one in queues})
    kinds = {"match": "headers"}
    return [
        Exchange(f"amq.{name}", vhost, kinds.get(name, name))
        for vhost in vhosts
        for name in BUILT_IN
    ] + [Exchange("", vhost) for vhost in vhosts]


def _in_force(sample: Sample, operators: Sequence[Mapping[str, Any]] = ()) -> Sample:
    """The same with what the broker would work out: which policy is in force where."""
    named = [{**one["value"], "name": one["name"], "vhost": one["vhost"]} for one in operators]
    theirs = _many(named, Policy)

    def ruled(queue: Queue) -> Queue:
        mine, operator = _first(sample.policies, queue), _first(theirs, queue)
        definition = table(mine.definition) if mine else {}
        definition = {**definition, **(table(operator.definition) if operator else {})}
        return msgspec.structs.replace(
            queue,
            policy=mine.name if mine else None,
            operator_policy=operator.name if operator else None,
            effective_policy_definition=definition,
        )

    def led(exchange: Exchange) -> Exchange:
        found = _first(sample.policies, exchange)
        return msgspec.structs.replace(exchange, policy=found.name if found else None)

    return msgspec.structs.replace(
        sample,
        queues=[ruled(one) for one in sample.queues],
        exchanges=[led(one) for one in sample.exchanges],
    )


def _first(policies: Sequence[Policy], target: Queue | Exchange) -> Policy | None:
    """Of all policies that fit the one with the highest priority: only one applies."""
    kinds = {"all", "exchanges"}
    if isinstance(target, Queue):
        kinds = {"all", "queues", f"{target.kind}_queues"}
    fitting = [
        one
        for one in policies
        if one.vhost == target.vhost and one.apply_to in kinds and _fits(one.pattern, target.name)
    ]
    return max(fitting, key=lambda one: one.priority, default=None)


def _fits(pattern: str, name: str) -> bool:
    try:
        return bool(name) and re.search(pattern, name) is not None
    except re.error:
        return False


def _still(sample: Sample, asked: frozenset[int]) -> Snapshot:
    return Snapshot(sample, sample, 0.0, asked=asked)


# --- rabbitmqctl report ---------------------------------------------------------------------------


def of_report(text: str) -> Snapshot:
    """A broker as its ``rabbitmqctl report`` has it.

    Raises:
        CannotRead: no table of queues is in it.
    """
    tables = list(_tables(text))
    queues = [_queue(row) for row in _rows(tables, "auto_delete", "owner_pid")]
    if not any("owner_pid" in head for head, _ in tables):
        raise CannotRead("This is no output of `rabbitmqctl report`: it lists no queues.")
    version, cluster = _VERSION.search(text), _CLUSTER.search(text)
    sample = Sample(
        overview=Overview(
            rabbitmq_version=version[1] if version else "0",
            cluster_name=cluster[1] if cluster else "",
        ),
        queues=queues,
        exchanges=[_exchange(row) for row in _rows(tables, "internal", "auto_delete")],
        bindings=[_binding(row) for row in _rows(tables, "source_name", "destination_name")],
        consumers=[_consumer(row) for row in _rows(tables, "queue_name", "ack_required")],
        policies=[_policy(row) for row in _rows(tables, "pattern", "definition")],
        permissions=[
            Permission(row["user"], row["vhost"], row["configure"], row["write"], row["read"])
            for row in _rows(tables, "user", "configure")
        ],
        unseen=[Unseen("counters, shovels, what moves", "report")],
    )
    listed = any("ack_required" in head for head, _ in tables)
    return _still(_in_force(sample), OF_A_REPORT | (OF_CONSUMERS if listed else frozenset()))


def _tables(text: str) -> Iterator[tuple[list[str], list[dict[str, str]]]]:
    """Every table with its columns; each row knows the virtual host it was listed for."""
    head: list[str] = []
    rows: list[dict[str, str]] = []
    vhost = "/"
    for line in [*text.splitlines(), ""]:
        if "\t" not in line:
            if head:
                yield head, rows
            head, rows = [], []
            found = _VHOST.search(line)
            vhost = found[1] if found else vhost
        elif not head:
            head = line.split("\t")
        else:
            rows.append({"vhost": vhost, **dict(zip(head, line.split("\t"), strict=False))})


def _rows(
    tables: Sequence[tuple[list[str], list[dict[str, str]]]], *columns: str
) -> Iterator[dict[str, str]]:
    for head, rows in tables:
        if {*columns} <= {*head}:
            yield from rows


def _queue(row: Mapping[str, str]) -> Queue:
    return Queue(
        name=row["name"],
        vhost=row["vhost"],
        type=row.get("type", "classic"),
        durable=row.get("durable") == "true",
        auto_delete=row.get("auto_delete") == "true",
        exclusive=row.get("exclusive") == "true",
        arguments=_settings(row.get("arguments", "")),
        state=row.get("state") or "running",
        consumers=_number(row, "consumers"),
        messages=_number(row, "messages"),
        messages_ready=_number(row, "messages_ready"),
        messages_unacknowledged=_number(row, "messages_unacknowledged"),
    )


def _exchange(row: Mapping[str, str]) -> Exchange:
    durable, internal = row.get("durable") == "true", row.get("internal") == "true"
    arguments = _settings(row.get("arguments", ""))
    return Exchange(row["name"], row["vhost"], row["type"], durable, internal, arguments)


def _binding(row: Mapping[str, str]) -> Binding:
    kind, key = row.get("destination_kind", "queue"), row.get("routing_key", "")
    return Binding(row["source_name"], row["vhost"], row["destination_name"], kind, key)


def _consumer(row: Mapping[str, str]) -> Consumer:
    queue = Named(row["queue_name"], row["vhost"])
    acks = row["ack_required"] == "true"
    return Consumer(queue, row.get("consumer_tag", ""), acks, _number(row, "prefetch_count"))


def _policy(row: Mapping[str, str]) -> Policy:
    try:
        definition = json.loads(row["definition"])
    except ValueError:
        definition = _settings(row["definition"])
    kind = row.get("apply-to", "all")
    priority = _number(row, "priority")
    return Policy(row["name"], row["vhost"], row["pattern"], definition, priority, kind)


def _number(row: Mapping[str, str], column: str) -> int:
    told = row.get(column, "")
    return int(told) if told.lstrip("-").isdigit() else 0


def _settings(told: str) -> dict[str, Any]:
    """Arguments as Erlang writes them: ``[{"x-message-ttl",60000},{"x-queue-type","quorum"}]``."""
    return {name: json.loads(value) for name, value in _SETTING.findall(told)}
