"""From ``kafka://user:password@host:9092,host:9092`` to what librdkafka wants to be told."""

from urllib.parse import unquote, urlsplit

import msgspec

Told = dict[str, str | int | bool]
"""Settings of librdkafka by their names there."""


class Timing(msgspec.Struct, frozen=True):
    """Deadlines and pauses in seconds."""

    publish: float = 8.0
    """One envelope, until all in-sync replicas have it; shorter than the relay's lease."""
    look: float = 0.1
    """How long a call waits for something to come."""
    probe: float = 2.0
    """How long the cluster may take to say which topics it has."""
    pause: float = 1.0
    """How long to rest before asking a cluster or a store again that is away."""
    session: float = 10.0
    """So long without a word, and the cluster hands our partitions to another process."""
    refused: float = 60.0
    """How long an envelope rests that the cluster refused for what it is."""
    close: float = 5.0


USUAL = Timing()


def told(url: str, timing: Timing) -> Told:
    """What producer and consumer share: where the cluster is, and how to sign in.

    ``kafkas`` speaks TLS; a user signs in by SCRAM-SHA-512.
    """
    parts = urlsplit(url)
    user, _, hosts = parts.netloc.rpartition("@")
    secure = parts.scheme == "kafkas"
    settings: Told = {
        "bootstrap.servers": hosts,
        "client.id": "orderkeep",
        "security.protocol": "ssl" if secure else "plaintext",
        "socket.timeout.ms": _ms(timing.publish),
        "reconnect.backoff.max.ms": _ms(timing.pause),
        "log_level": 0,  # Its own lines would stand beside ours; what matters we say ourselves.
    }
    if user:
        name, _, password = user.partition(":")
        settings |= {
            "security.protocol": "sasl_ssl" if secure else "sasl_plaintext",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": unquote(name),
            "sasl.password": unquote(password),
        }
    return settings


def producing(url: str, timing: Timing) -> Told:
    """A producer whose confirm means that every in-sync replica has it, once and in order."""
    return {
        **told(url, timing),
        "acks": "all",
        "enable.idempotence": True,
        "delivery.timeout.ms": _ms(timing.publish),
        "linger.ms": 1,
        "partitioner": "murmur2_random",  # As the Java client does, for others who look by key.
    }


def consuming(url: str, group: str, timing: Timing) -> Told:
    """A consumer that moves on only when told to."""
    return {
        **told(url, timing),
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",  # What was there before us is for us as well.
        "session.timeout.ms": _ms(timing.session),
        "heartbeat.interval.ms": _ms(timing.session / 5),
        "queued.min.messages": 1000,
        "queued.max.messages.kbytes": 16_384,
    }


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
