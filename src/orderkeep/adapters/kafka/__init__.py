"""The transport over Kafka: confirmed by all in-sync replicas, in the inbox before the offset.

Pulled, not pushed: while the store is away nothing is fetched, and what was fetched is fetched
again. The broker may be away at any time; envelopes then wait in the outbox.

Tested on librdkafka's mock cluster, not on a real broker.
"""

TESTED = "on librdkafka's mock cluster, not on a real broker"
"""Shown wherever this transport is: whoever runs it has to know."""

TOPIC = "orderkeep.envelopes"
GROUP = "orderkeep.inboxes"
