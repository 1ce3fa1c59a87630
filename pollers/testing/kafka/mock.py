"""librdkafka's mock cluster, by the C functions of the library that the wheel of confluent-kafka brings along.

Its interface is experimental, so one version of the wheel is pinned. It keeps records and committed offsets; it knows
no transactions, no administration and no look-up by time, and forgets what lies some 5 MB back in a partition. It is
not asked to coordinate groups: see `groups`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, c_char_p, c_int, c_int16, c_int32, c_size_t, c_void_p
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from pollers.errors import PollersError

__all__ = ["REMEDY", "VERSION", "KafkaNotInstalled", "MockCluster"]

VERSION: Final = "2.16.1"  # of confluent-kafka, as in the extra "demo"
ALL: Final = -1  # brokers

REMEDY: Final = 'Install it with: pip install "pollers[kafka,demo]"'
_PRODUCER: Final = 0
_FUNCTIONS: Final[dict[str, tuple[Any, list[Any]]]] = {
    "rd_kafka_conf_new": (c_void_p, []),
    "rd_kafka_conf_set": (c_int, [c_void_p, c_char_p, c_char_p, c_char_p, c_size_t]),
    "rd_kafka_new": (c_void_p, [c_int, c_void_p, c_char_p, c_size_t]),
    "rd_kafka_destroy": (None, [c_void_p]),
    "rd_kafka_mock_cluster_new": (c_void_p, [c_void_p, c_int]),
    "rd_kafka_mock_cluster_destroy": (None, [c_void_p]),
    "rd_kafka_mock_cluster_bootstraps": (c_char_p, [c_void_p]),
    "rd_kafka_mock_topic_create": (c_int, [c_void_p, c_char_p, c_int, c_int]),
    "rd_kafka_mock_push_request_errors_array": (None, [c_void_p, c_int16, c_size_t, POINTER(c_int)]),
    "rd_kafka_mock_broker_set_down": (c_int, [c_void_p, c_int32]),
    "rd_kafka_mock_broker_set_up": (c_int, [c_void_p, c_int32]),
    "rd_kafka_mock_partition_set_leader": (c_int, [c_void_p, c_char_p, c_int32, c_int32]),
    "rd_kafka_mock_coordinator_set": (c_int, [c_void_p, c_char_p, c_char_p, c_int32]),
}


class KafkaNotInstalled(PollersError):
    """The embedded Kafka needs confluent-kafka, of the version that is pinned."""


class MockCluster:
    """A cluster on ports of 127.0.0.1, served by threads of the library. Brokers are numbered from 1."""

    def __init__(self, brokers: int) -> None:
        """Raises `KafkaNotInstalled`."""
        self._library = library = _library()
        reason = ctypes.create_string_buffer(512)
        settings = library.rd_kafka_conf_new()
        library.rd_kafka_conf_set(settings, b"log_level", b"0", reason, len(reason))  # it would print to stderr
        self._client = library.rd_kafka_new(_PRODUCER, settings, reason, len(reason))
        if not self._client:
            raise PollersError(f"The embedded Kafka cannot start: {reason.value.decode()}.")
        self._cluster = library.rd_kafka_mock_cluster_new(self._client, brokers)
        self.servers: str = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def create_topic(self, name: str, partitions: int) -> None:
        """Raises `PollersError` for a topic that is there already."""
        self._must(self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1), name)

    def fail(self, api: int, errors: Sequence[int]) -> None:
        """Answer the next requests of one API with these errors, in their order."""
        codes = (c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, api, len(errors), codes)

    def down(self, broker: int = ALL) -> None:
        """Cut its connections, and take none."""
        self._must(self._library.rd_kafka_mock_broker_set_down(self._cluster, broker), f"broker {broker}")

    def up(self, broker: int = ALL) -> None:
        """Take connections again."""
        self._must(self._library.rd_kafka_mock_broker_set_up(self._cluster, broker), f"broker {broker}")

    def lead(self, topic: str, partition: int, broker: int) -> None:
        """Have another broker lead a partition."""
        function = self._library.rd_kafka_mock_partition_set_leader
        self._must(function(self._cluster, topic.encode(), partition, broker), f"{topic}-{partition}")

    def coordinate(self, group: str, broker: int) -> None:
        """Have another broker coordinate a group."""
        function = self._library.rd_kafka_mock_coordinator_set
        self._must(function(self._cluster, b"group", group.encode(), broker), f"group {group}")

    def close(self) -> None:
        """End it, with all that it holds. May be called twice."""
        if self._cluster:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._library.rd_kafka_destroy(self._client)
        self._cluster = None

    def _must(self, error: int, name: str) -> None:
        if error:
            from confluent_kafka import KafkaError

            raise PollersError(f"The embedded Kafka refuses {name}: {KafkaError(error).str()}.")


def _library() -> Any:
    """The library inside the wheel, its functions declared."""
    try:
        import confluent_kafka
    except ModuleNotFoundError:
        raise KafkaNotInstalled(f"The embedded Kafka needs confluent-kafka {VERSION}. {REMEDY}") from None
    if (found := version("confluent-kafka")) != VERSION:
        raise KafkaNotInstalled(f"The embedded Kafka needs confluent-kafka {VERSION} and finds {found}. {REMEDY}")
    package = Path(confluent_kafka.__file__).parent
    places = [package.with_name("confluent_kafka.libs"), package / ".dylibs"]
    libraries = [path for place in places for path in place.glob("*rdkafka*") if "++" not in path.name]
    if not libraries:
        raise KafkaNotInstalled(f"confluent-kafka is not installed from its wheel, which brings librdkafka. {REMEDY}")
    library = ctypes.CDLL(str(libraries[0]))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
