"""``orderkeep topology``: what has to be at the broker, what is there, and what to do about it."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import msgspec
import typer

from orderkeep.adapters.rabbitmq.differences import DECLARE, REMAKE, Difference
from orderkeep.adapters.rabbitmq.topology import Topology
from orderkeep.cli.settings import settings_or_exit
from orderkeep.config import Settings
from orderkeep.kernel.errors import Fault, Invalid, Unavailable

DIFFERS = 1
SECONDS = 10.0
"""The deadline of each question."""


def topology(
    check: Annotated[bool, typer.Option("--check", help="Compare it with the broker.")] = False,
    declare: Annotated[
        bool, typer.Option("--declare", help="Make what is missing, then compare.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Answer with JSON; alone, as a definitions file of RabbitMQ."),
    ] = False,
) -> None:
    """Print what has to be at the RabbitMQ, compare it with what is there, or make it so.

    Nothing is ever deleted or changed there. With ORDERKEEP_BROKER_MANAGEMENT_URL arguments,
    bindings and policies are compared one by one; without it only what AMQP shows is seen.

    Exit status: 0 when all is as it has to be, 1 when something differs, 69 when the broker does
    not answer.
    """
    settings = settings_or_exit()
    if not settings.transport_url.startswith("amqp"):
        sentence = "There is no RabbitMQ: messages go through the database, or another broker."
        raise Invalid([Fault("ORDERKEEP_TRANSPORT_URL", "no-broker", sentence)])
    if not (check or declare):
        wanted = _wanted(settings, None)
        print(_definitions(wanted, _vhost(settings)) if as_json else _text(wanted))
        return
    found = asyncio.run(_compared(settings, make=declare))
    if as_json:
        print(msgspec.json.encode({"differences": found}).decode())
    else:
        sys.stdout.writelines(f"{one}\n" for one in found)
        print(f"{len(found)} differences" if found else "The broker is as it has to be.")
    if found:
        raise typer.Exit(DIFFERS)


async def _compared(settings: Settings, *, make: bool) -> list[Difference]:
    """Every difference, after making what was missing if that was asked for.

    Raises:
        Unavailable: the broker does not answer.
    """
    from aio_pika.exceptions import AMQPError

    from orderkeep.adapters.rabbitmq.declare import declare, drift, version_of_broker
    from orderkeep.adapters.rabbitmq.link import Wire, said

    wire = Wire(settings.transport_url, "topology", 10, settings.rabbitmq_ca_file)
    try:
        async with asyncio.timeout(SECONDS):
            await wire.connect(timeout=SECONDS)
        wanted = _wanted(settings, version_of_broker(wire))
        told = await (declare if make else drift)(wire, wanted, SECONDS)
    except (AMQPError, OSError, TimeoutError) as away:
        raise Unavailable(f"The broker does not answer: {said(away)}") from None
    finally:
        await wire.end(SECONDS, orderly=True)
    if settings.broker_management_url is None:
        return [_from_sentence(one) for one in told]
    return await asyncio.to_thread(_looked, settings, wanted, settings.broker_management_url)


def _looked(settings: Settings, wanted: Topology, url: str) -> list[Difference]:
    from orderkeep.adapters.rabbitmq.differences import differences
    from orderkeep.adapters.rabbitmq_management import RabbitManagement

    with RabbitManagement(url, ca_file=settings.rabbitmq_ca_file) as broker:
        return differences(wanted, broker.sample(), _vhost(settings))


def _from_sentence(told: str) -> Difference:
    """All that AMQP says: that something is missing or differs, in the broker's own words."""
    missing = told.endswith("is missing.")
    thing = told.removesuffix(" is missing.").split(" differs: ", maxsplit=1)[0]
    return Difference(
        thing,
        "missing" if missing else "told",
        "as declared",
        "not there" if missing else told,
        DECLARE if missing else REMAKE,
    )


def _wanted(settings: Settings, version: tuple[int, ...] | None) -> Topology:
    from orderkeep.adapters.rabbitmq.topology import AT_LEAST_ONCE_SINCE
    from orderkeep.adapters.rabbitmq.topology import topology as described
    from orderkeep.roles.routing import routes_of

    wanted = routes_of(settings)
    return described(wanted, AT_LEAST_ONCE_SINCE if version is None else version)


def _vhost(settings: Settings) -> str:
    return unquote(urlsplit(settings.transport_url).path.removeprefix("/")) or "/"


def _definitions(wanted: Topology, vhost: str) -> str:
    """A file that `rabbitmqctl import_definitions` reads."""

    def at(name: str, arguments: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        more |= {"name": name, "vhost": vhost, "durable": True, "auto_delete": False}
        return more | {"arguments": dict(arguments)}

    told = {
        "exchanges": [
            at(one.name, one.arguments, type=one.type, internal=False) for one in wanted.exchanges
        ],
        "queues": [at(one.name, one.arguments, type="quorum") for one in wanted.queues],
        "bindings": [
            {
                "source": one.exchange,
                "vhost": vhost,
                "destination": one.queue,
                "destination_type": "queue",
                "routing_key": one.key,
                "arguments": {},
            }
            for one in wanted.bindings
        ],
    }
    return msgspec.json.format(msgspec.json.encode(told), indent=2).decode()


def _text(wanted: Topology) -> str:
    lines = [
        *(f"exchange {x.name} ({x.type}) {_said(x.arguments)}".rstrip() for x in wanted.exchanges),
        *(f"queue {q.name} {_said(q.arguments)}" for q in wanted.queues),
        *(f"binding {b.exchange} -> {b.queue} by {b.key or 'everything'}" for b in wanted.bindings),
    ]
    return "\n".join(lines)


def _said(arguments: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in arguments.items())
