"""How programs take messages out: rules 1, 2, 21 to 24, 40, 41, 44."""

from collections.abc import Iterator

from orderkeep.doctor.findings import Hit, Place
from orderkeep.doctor.look import Look, place
from orderkeep.doctor.snapshot import Consumer, Parent, Queue

SHORT_TIMEOUT_MS = 60_000
LONG_TIMEOUT_MS = 1_800_000
HOT_LOOP_PER_S = 1.0


def auto_ack(look: Look) -> Iterator[Hit]:
    """1: the broker forgets a message before the consumer has it on disk."""
    told = {(one.queue.vhost, one.queue.name): one for one in look.now.consumers}
    accused = {(c.queue.vhost, c.queue.name): c for c in look.now.consumers if not c.ack_required}
    for queue in look.now.queues:
        key, taken = (queue.vhost, queue.name), queue.message_stats.deliver_no_ack
        if key in accused:
            evidence = {"consumers.ack_required": False, "consumer_tag": accused[key].consumer_tag}
            yield Hit(
                place(queue), evidence | {"message_stats.deliver_no_ack": taken}, queue.at_risk
            )
        elif taken and key not in told and queue.kind != "stream":
            evidence = {"message_stats.deliver_no_ack": taken}
            yield Hit(place(queue), evidence, queue.at_risk)


def polled_without_ack(look: Look) -> Iterator[Hit]:
    """2: fetched one by one, forgotten as they leave."""
    for queue in look.now.queues:
        if queue.message_stats.get_no_ack:
            evidence = {"message_stats.get_no_ack": queue.message_stats.get_no_ack}
            yield Hit(place(queue), evidence, queue.at_risk)


def prefetch_unlimited(look: Look) -> Iterator[Hit]:
    """21: a consumer takes the whole backlog into its memory."""
    for consumer, queue in _acking(look):
        channel = look.channels.get(_parent(consumer).name)
        if consumer.prefetch_count == 0 and not (channel and channel.global_prefetch_count):
            evidence = {
                "consumers.prefetch_count": 0,
                "consumer_tag": consumer.consumer_tag,
                "messages_unacknowledged": queue.messages_unacknowledged,
            }
            yield Hit(place(queue), evidence, queue.at_risk)


def held_deliveries(look: Look) -> Iterator[Hit]:
    """22: deliveries are held, and nothing was acknowledged between the samples."""
    if look.too_close:
        return  # Of a count that is not new yet nothing follows.
    for channel in look.now.channels:
        before = look.channels_before.get(channel.name)
        if before is None or not channel.consumer_count:
            continue
        held = min(before.messages_unacknowledged, channel.messages_unacknowledged)
        if held and channel.message_stats.ack == before.message_stats.ack:
            evidence = {
                "messages_unacknowledged": channel.messages_unacknowledged,
                "message_stats.ack": channel.message_stats.ack,
                "ack.rise": 0,
                "seconds": round(look.seconds, 1),
                "queues": sorted(
                    {
                        consumer.queue.name
                        for consumer, _ in _acking(look)
                        if _parent(consumer).name == channel.name
                    }
                ),
            }
            where = Place("channel", channel.name, channel.vhost)
            yield Hit(where, evidence, channel.messages_unacknowledged)


def consumer_timeout(look: Look) -> Iterator[Hit]:
    """23: the broker takes deliveries back sooner than the work is done."""
    for queue in look.lasting:
        found = look.setting(queue, "consumer-timeout")
        if found is None:
            continue
        unheeded = look.version >= (4, 3) and queue.kind != "quorum"
        if unheeded or (isinstance(found.value, int) and found.value < SHORT_TIMEOUT_MS):
            policy = {} if unheeded else {"consumer-timeout": LONG_TIMEOUT_MS}
            evidence = found.evidence | {"type": queue.kind}
            yield Hit(place(queue), evidence, queue.at_risk, policy=policy)


def nobody_consumes(look: Look) -> Iterator[Hit]:
    """24: messages and no consumer; what people read, the quarantine, is left out."""
    for queue in look.lasting:
        before = look.queues_before.get((queue.vhost, queue.name))
        waited = before is not None and before.messages > 0 and before.consumers == 0
        if waited and queue.messages > 0 and queue.consumers == 0 and not _put_aside(look, queue):
            evidence = {"consumers": 0, "messages": queue.messages, "idle_since": queue.idle_since}
            yield Hit(place(queue), evidence, queue.at_risk)


def competing_consumers(look: Look) -> Iterator[Hit]:
    """40: several consumers, where single-active-consumer is asked for and not in force."""
    for queue in look.lasting:
        asked = look.setting(queue, "single-active-consumer")
        if asked is not None and asked.value is not True and queue.consumers > 1:
            evidence = asked.evidence | {"consumers": queue.consumers}
            yield Hit(place(queue), evidence, queue.at_risk)


def global_prefetch(look: Look) -> Iterator[Hit]:
    """41: one limit for a whole channel; quorum queues refuse it."""
    for channel in look.now.channels:
        if channel.global_prefetch_count:
            evidence = {"global_prefetch_count": channel.global_prefetch_count}
            where = Place("channel", channel.name, channel.vhost)
            yield Hit(where, evidence, channel.messages_unacknowledged)


def hot_loop(look: Look) -> Iterator[Hit]:
    """44: messages are handed back and given out again without end."""
    for queue in look.now.queues:
        before = look.queues_before.get((queue.vhost, queue.name))
        if before is None or look.seconds <= 0:
            continue
        again = queue.message_stats.redeliver - before.message_stats.redeliver
        published = queue.message_stats.publish - before.message_stats.publish
        if again / look.seconds >= HOT_LOOP_PER_S and again > published:
            evidence = {"message_stats.redeliver": queue.message_stats.redeliver, "rise": again}
            policy = {"delivery-limit": 10} if queue.kind == "quorum" else {}
            yield Hit(place(queue), evidence, queue.at_risk, policy=policy)


def _put_aside(look: Look, queue: Queue) -> bool:
    return (queue.vhost, queue.name) in look.quarantines


def _acking(look: Look) -> Iterator[tuple[Consumer, Queue]]:
    for consumer in look.now.consumers:
        queue = look.queues.get((consumer.queue.vhost, consumer.queue.name))
        if consumer.ack_required and queue is not None and queue.kind != "stream":
            yield consumer, queue


def _parent(consumer: Consumer) -> Parent:
    found = consumer.channel_details
    return found if isinstance(found, Parent) else Parent()
