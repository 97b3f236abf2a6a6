"""Every rule with its number, what it does to orders, how soon to act and what would end it."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from orderkeep.doctor.findings import Effect, Hit, Severity, Step
from orderkeep.doctor.look import Look
from orderkeep.doctor.rules import broker, consumers, dead_letters, publishers, queues


class Rule(NamedTuple):
    """One rule; ``key`` is its stable word in reports."""

    number: int
    key: str
    find: Callable[[Look], Iterable[Hit]]
    effects: tuple[Effect, ...]
    severity: Severity
    step: Step


_L, _D, _S = (Effect.LOSES,), (Effect.DOUBLES,), (Effect.STALLS,)
_X = (Effect.EXPOSES,)
_CRITICAL, _SERIOUS, _NOTICE = Severity.CRITICAL, Severity.SERIOUS, Severity.NOTICE
_SETTINGS, _BRIDGE, _PULL, _RELIEVE = Step.SETTINGS, Step.BRIDGE, Step.PULL, Step.RELIEVE

RULES = (
    Rule(1, "auto-ack", consumers.auto_ack, _L, _CRITICAL, _BRIDGE),
    Rule(2, "polled-without-ack", consumers.polled_without_ack, _L, _CRITICAL, _BRIDGE),
    Rule(3, "queue-not-durable", queues.not_durable, _L, _CRITICAL, _SETTINGS),
    Rule(4, "queue-goes-with-its-user", queues.goes_with_its_user, _L, _SERIOUS, _SETTINGS),
    Rule(5, "queue-expires", queues.expires, _L, _CRITICAL, _SETTINGS),
    Rule(6, "transient-messages", queues.transient_messages, _L, _CRITICAL, _BRIDGE),
    Rule(7, "no-confirms", publishers.without_confirms, _L, _CRITICAL, _BRIDGE),
    Rule(8, "unroutable-dropped", publishers.dropped, _L, _CRITICAL, _SETTINGS),
    Rule(9, "returns-ignored", publishers.ignores_returns, _L, _SERIOUS, _BRIDGE),
    Rule(10, "exchange-leads-nowhere", publishers.leads_nowhere, _L, _CRITICAL, _SETTINGS),
    Rule(11, "exchange-not-durable", publishers.exchange_not_durable, _L, _CRITICAL, _SETTINGS),
    Rule(12, "no-dead-letters", dead_letters.none, _L, _SERIOUS, _SETTINGS),
    Rule(13, "dead-letters-to-nowhere", dead_letters.to_nowhere, _L, _CRITICAL, _SETTINGS),
    Rule(14, "dead-letters-unbound", dead_letters.unbound, _L, _CRITICAL, _SETTINGS),
    Rule(15, "policy-shadowed", dead_letters.shadowed, _L, _CRITICAL, _SETTINGS),
    Rule(16, "ttl-throws-away", queues.time_limit, _L, _CRITICAL, _SETTINGS),
    Rule(17, "full-queue-drops", queues.drops_the_oldest, _L, _CRITICAL, _SETTINGS),
    Rule(18, "endless-delivery", dead_letters.endless_delivery, _S + _D, _SERIOUS, _SETTINGS),
    Rule(19, "limit-throws-away", dead_letters.limit_without_dlx, _L, _CRITICAL, _SETTINGS),
    Rule(20, "dead-letters-at-most-once", dead_letters.at_most_once, _L, _SERIOUS, _SETTINGS),
    Rule(21, "prefetch-unlimited", consumers.prefetch_unlimited, _S + _D, _SERIOUS, _PULL),
    Rule(22, "deliveries-held", consumers.held_deliveries, _D + _S, _SERIOUS, _PULL),
    Rule(23, "consumer-timeout", consumers.consumer_timeout, _D, _SERIOUS, _PULL),
    Rule(24, "nobody-consumes", consumers.nobody_consumes, _S, _SERIOUS, _RELIEVE),
    Rule(25, "alarm", broker.alarm, _S, _CRITICAL, _RELIEVE),
    Rule(26, "heartbeat-off", broker.heartbeat_off, _S, _SERIOUS, _BRIDGE),
    Rule(27, "connection-churn", broker.churn, _S, _NOTICE, _BRIDGE),
    Rule(28, "classic-mirroring", queues.mirrored, _L, _CRITICAL, _SETTINGS),
    Rule(29, "lazy-queue", queues.lazy, _S, _NOTICE, _SETTINGS),
    Rule(30, "too-few-members", queues.too_few_members, _L + _S, _SERIOUS, _SETTINGS),
    Rule(31, "wide-rights", broker.wide_rights, _X, _NOTICE, _SETTINGS),
    Rule(32, "cluster-partitioned", broker.partitioned, _L, _CRITICAL, _SETTINGS),
    Rule(33, "shovel-ack-mode", broker.shovel, _L, _CRITICAL, _SETTINGS),
    Rule(34, "federation-ack-mode", broker.federation, _L, _CRITICAL, _SETTINGS),
    Rule(35, "quarantine-forgets", dead_letters.quarantine_forgets, _L, _CRITICAL, _SETTINGS),
    Rule(36, "dead-letter-circle", dead_letters.circle, _L, _CRITICAL, _SETTINGS),
    Rule(37, "quarantine-limit", dead_letters.refuses_dead_letters, _S, _NOTICE, _SETTINGS),
    Rule(38, "queue-down", queues.not_running, _S, _CRITICAL, _SETTINGS),
    Rule(39, "nearly-full", broker.nearly_full, _S, _SERIOUS, _RELIEVE),
    Rule(40, "order-not-kept", consumers.competing_consumers, _S, _NOTICE, _SETTINGS),
    Rule(41, "global-prefetch", consumers.global_prefetch, _S, _NOTICE, _BRIDGE),
    Rule(42, "big-messages", queues.big_messages, _S, _NOTICE, _BRIDGE),
    Rule(43, "channel-leak", broker.leaking_channels, _S, _NOTICE, _BRIDGE),
    Rule(44, "hot-loop", consumers.hot_loop, _S + _D, _SERIOUS, _PULL),
    Rule(45, "delayed-exchange", broker.delayed_exchange, _L, _SERIOUS, _SETTINGS),
)
