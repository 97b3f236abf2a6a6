"""How programs hand messages in, and where exchanges lead: rules 7 to 11."""

from collections.abc import Iterator

from orderkeep.doctor.findings import Hit, Place
from orderkeep.doctor.look import Look, admin
from orderkeep.doctor.snapshot import Exchange

OWN_PREFIX = "amq."


def without_confirms(look: Look) -> Iterator[Hit]:
    """7: a publisher that never hears whether the broker kept what it sent."""
    for channel in look.now.channels:
        published = channel.message_stats.publish
        if not channel.confirm and not channel.transactional and published:
            evidence = {
                "confirm": False,
                "message_stats.publish": published,
                "user": channel.user,
            }
            yield Hit(Place("channel", channel.name, channel.vhost), evidence)


def dropped(look: Look) -> Iterator[Hit]:
    """8: the broker confirms what it throws away, because no queue wants it."""
    total = look.now.overview.message_stats.drop_unroutable
    if total:
        where = Place("broker", look.now.overview.cluster_name)
        yield Hit(where, {"overview.message_stats.drop_unroutable": total})
    for channel in look.now.channels:
        lost = channel.message_stats.drop_unroutable
        if lost:
            evidence = {"message_stats.drop_unroutable": lost, "user": channel.user}
            yield Hit(Place("channel", channel.name, channel.vhost), evidence)
    for exchange, lost in unrouted(look):
        stats = exchange.message_stats
        evidence = {
            "message_stats.publish_in": stats.publish_in,
            "message_stats.publish_out": stats.publish_out,
            "routed nowhere, at least": lost,
        }
        yield Hit(_where(exchange), evidence, fix=_alternate(look, exchange))


def unrouted(look: Look) -> Iterator[tuple[Exchange, int]]:
    """Exchanges that took in more than they handed on, and how many messages at least.

    In is read from the first sample and out from the second: what is under way then counts as
    handed on. The default exchange is left out: it counts as handed on what it dropped.
    """
    before = {(one.vhost, one.name): one for one in look.before.exchanges}
    for exchange in look.now.exchanges:
        earlier = before.get((exchange.vhost, exchange.name))
        if earlier is None or exchange.name == "" or look.alternate(exchange):
            continue
        lost = earlier.message_stats.publish_in - exchange.message_stats.publish_out
        if lost > 0:
            yield exchange, lost


def ignores_returns(look: Look) -> Iterator[Hit]:
    """9: the broker hands back what it cannot route; whoever does not listen has lost it."""
    known = 0
    for channel in look.now.channels:
        returned = channel.message_stats.return_unroutable
        known += returned
        if returned:
            evidence = {"message_stats.return_unroutable": returned, "user": channel.user}
            yield Hit(Place("channel", channel.name, channel.vhost), evidence)
    total = look.now.overview.message_stats.return_unroutable
    if total > known:
        where = Place("broker", look.now.overview.cluster_name)
        yield Hit(where, {"overview.message_stats.return_unroutable": total})


def leads_nowhere(look: Look) -> Iterator[Hit]:
    """10: an exchange without a queue behind it."""
    if not look.sees("bindings"):
        return
    for exchange in _theirs(look):
        bound = look.bindings.get((exchange.vhost, exchange.name))
        if not bound and not look.alternate(exchange):
            evidence = {
                "bindings/source": [],
                "arguments": exchange.arguments or {},
                "message_stats.publish_in": exchange.message_stats.publish_in,
            }
            yield Hit(_where(exchange), evidence, fix=_alternate(look, exchange))


def exchange_not_durable(look: Look) -> Iterator[Hit]:
    """11: after a restart the exchange and its bindings are gone."""
    for exchange in _theirs(look):
        if not exchange.durable:
            words = ("--vhost", exchange.vhost, "declare", "exchange")
            declared = (f"name={exchange.name}.kept", f"type={exchange.type}", "durable=true")
            yield Hit(_where(exchange), {"durable": False}, fix=(admin(*words, *declared),))


def _theirs(look: Look) -> Iterator[Exchange]:
    """Exchanges that somebody declared, and those of the broker's own that are used."""
    for exchange in look.now.exchanges:
        own = exchange.name.startswith(OWN_PREFIX) or exchange.internal
        if exchange.name and (not own or exchange.message_stats.publish_in):
            yield exchange


def _where(exchange: Exchange) -> Place:
    return Place("exchange", exchange.name, exchange.vhost)


def _alternate(look: Look, exchange: Exchange) -> tuple[str, ...]:
    vhost = ("--vhost", exchange.vhost)
    return (
        admin(*vhost, "declare", "exchange", "name=unrouted", "type=fanout", "durable=true"),
        admin(
            *vhost,
            "declare",
            "queue",
            "name=unrouted",
            "durable=true",
            'arguments={"x-queue-type":"quorum"}',
        ),
        admin(*vhost, "declare", "binding", "source=unrouted", "destination=unrouted"),
        look.exchange_policy_fix(exchange, {"alternate-exchange": "unrouted"}),
    )
