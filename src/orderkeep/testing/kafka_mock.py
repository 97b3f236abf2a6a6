"""librdkafka's mock cluster: brokers in this process that speak Kafka's protocol over TCP.

It is no Kafka: it keeps messages in memory, replicates nothing and ends with the process. It can do
what a real one does not do on request: go away, answer late, refuse.
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import confluent_kafka
from confluent_kafka import Consumer, TopicPartition

from orderkeep.adapters.kafka import TOPIC
from orderkeep.adapters.kafka.address import Timing

PRODUCE, FETCH, OFFSET_COMMIT, JOIN_GROUP, HEARTBEAT = 0, 1, 8, 11, 12
"""Kinds of requests, by the numbers of Kafka's protocol."""
LEADER_UNKNOWN, TOO_LARGE, NOT_COORDINATOR, NOT_ENOUGH_REPLICAS, OUT_OF_ORDER = 5, 10, 16, 19, 45
REBALANCING, DISK_FAILED = 27, 56
"""Answers, by the same."""

HASTY = Timing(publish=4, look=0.05, probe=1, pause=0.1, session=6, refused=0.5, close=2)
"""A test does not wait as long as a night shift does."""

_PRODUCER = 0


class KafkaMock:
    """A cluster of brokers with one topic; use it as ``with KafkaMock() as cluster``."""

    def __init__(self, brokers: int = 3, partitions: int = 4) -> None:
        self._brokers = brokers
        self._partitions = partitions
        self._lib = _library()
        self._client: Any = None
        self._cluster: Any = None

    def __enter__(self) -> Self:
        said = ctypes.create_string_buffer(512)
        conf = self._lib.rd_kafka_conf_new()
        self._lib.rd_kafka_conf_set(conf, b"log_level", b"0", said, len(said))
        self._client = self._lib.rd_kafka_new(_PRODUCER, conf, said, len(said))
        if not self._client:
            raise RuntimeError(said.value.decode())
        self._cluster = self._lib.rd_kafka_mock_cluster_new(self._client, self._brokers)
        self._lib.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self.create(TOPIC, self._partitions, self._brokers)
        return self

    def __exit__(self, *_: object) -> None:
        self._lib.rd_kafka_mock_cluster_destroy(self._cluster)
        self._lib.rd_kafka_destroy(self._client)

    @property
    def url(self) -> str:
        """As ``ORDERKEEP_TRANSPORT_URL`` has it."""
        found: bytes = self._lib.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return f"kafka://{found.decode()}"

    @property
    def servers(self) -> str:
        """As Kafka's own clients have it."""
        return self.url.removeprefix("kafka://")

    def create(self, topic: str, partitions: int, copies: int) -> None:
        """Make a topic."""
        told = self._lib.rd_kafka_mock_topic_create(
            self._cluster, topic.encode(), partitions, copies
        )
        assert told == 0, told

    def down(self, *brokers: int) -> None:
        """Take brokers down, all if none is named: connections close, new ones are refused."""
        for broker in brokers or range(1, self._brokers + 1):
            assert self._lib.rd_kafka_mock_broker_set_down(self._cluster, broker) == 0

    def up(self, *brokers: int) -> None:
        """Bring brokers back."""
        for broker in brokers or range(1, self._brokers + 1):
            assert self._lib.rd_kafka_mock_broker_set_up(self._cluster, broker) == 0

    def slow(self, ms: int) -> None:
        """Let every answer take so long."""
        for broker in range(1, self._brokers + 1):
            assert self._lib.rd_kafka_mock_broker_set_rtt(self._cluster, broker, ms) == 0

    def refuse(self, request: int, answers: Sequence[int]) -> None:
        """Answer the next requests of a kind with these errors, whichever broker is asked."""
        errors = (ctypes.c_int * len(answers))(*answers)
        self._lib.rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(request), ctypes.c_size_t(len(answers)), errors
        )

    def forgive(self, request: int) -> None:
        """Refuse no more of a kind."""
        self._lib.rd_kafka_mock_clear_request_errors(self._cluster, ctypes.c_int16(request))

    def forget(self) -> None:
        """Delete everything that the topic holds, as a retention does."""
        client = Consumer({"bootstrap.servers": self.servers, "group.id": "forget"})
        for partition in range(self._partitions):
            _, end = client.get_watermark_offsets(TopicPartition(TOPIC, partition), timeout=60)
            told = self._lib.rd_kafka_mock_partition_delete_records(
                self._cluster, TOPIC.encode(), partition, end
            )
            assert told == 0, told
        client.close()


def _library() -> Any:
    """The library that the client itself has loaded: the mock is part of it."""
    folder = Path(confluent_kafka.__file__).parent.with_name("confluent_kafka.libs")
    found = sorted(folder.glob("librdkafka*.so*"))
    if not found:
        raise RuntimeError("confluent-kafka was not installed from its wheel: no mock cluster")
    library = ctypes.CDLL(str(found[0]))
    pointer = ctypes.c_void_p
    library.rd_kafka_conf_new.restype = pointer
    library.rd_kafka_conf_set.argtypes = [
        *(pointer, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
    ]
    library.rd_kafka_new.restype = pointer
    library.rd_kafka_new.argtypes = [ctypes.c_int, pointer, ctypes.c_char_p, ctypes.c_size_t]
    library.rd_kafka_destroy.argtypes = [pointer]
    library.rd_kafka_mock_cluster_new.restype = pointer
    library.rd_kafka_mock_cluster_new.argtypes = [pointer, ctypes.c_int]
    library.rd_kafka_mock_cluster_destroy.argtypes = [pointer]
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    library.rd_kafka_mock_cluster_bootstraps.argtypes = [pointer]
    library.rd_kafka_mock_topic_create.argtypes = [
        *(pointer, ctypes.c_char_p, ctypes.c_int, ctypes.c_int)
    ]
    library.rd_kafka_mock_broker_set_down.argtypes = [pointer, ctypes.c_int32]
    library.rd_kafka_mock_broker_set_up.argtypes = [pointer, ctypes.c_int32]
    library.rd_kafka_mock_broker_set_rtt.argtypes = [pointer, ctypes.c_int32, ctypes.c_int]
    library.rd_kafka_mock_group_initial_rebalance_delay_ms.argtypes = [pointer, ctypes.c_int32]
    library.rd_kafka_mock_clear_request_errors.argtypes = [pointer, ctypes.c_int16]
    library.rd_kafka_mock_partition_delete_records.argtypes = [
        *(pointer, ctypes.c_char_p, ctypes.c_int32, ctypes.c_int64)
    ]
    library.rd_kafka_mock_push_request_errors_array.argtypes = [
        *(pointer, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int))
    ]
    return library
