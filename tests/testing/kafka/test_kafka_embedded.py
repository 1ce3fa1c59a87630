"""The embedded Kafka as its clients see it, and what it says where it cannot run."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from confluent_kafka import Consumer

from pollers.errors import PollersError
from pollers.testing.kafka import EmbeddedKafka, EmbeddedTopic

TopicMaker = Callable[..., EmbeddedTopic]


@asynccontextmanager
async def member(topic: EmbeddedTopic, group: str | None = "group") -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(
        topic.name,
        bootstrap_servers=topic.servers,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        heartbeat_interval_ms=100,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def read(consumer: Any, count: int) -> list[Any]:
    async with asyncio.timeout(30):
        return [await consumer.getone() for _ in range(count)]


async def test_records_come_back_as_they_were_written(pollers_kafka_topic: TopicMaker) -> None:
    topic = pollers_kafka_topic("orders", partitions=2)
    headers = [("trace", b"1"), ("trace", b"2"), ("none", None)]
    assert topic.put("first", "key", partition=1, headers=headers) == (1, 0)
    assert topic.put(None, b"key", partition=1) == (1, 1)
    async with member(topic, group=None) as consumer:
        first, tombstone = await read(consumer, 2)
    assert (first.topic, first.partition, first.key, first.value) == ("orders", 1, b"key", b"first")
    assert list(first.headers) == headers
    assert (tombstone.offset, tombstone.value) == (1, None)


def test_a_key_decides_on_the_partition(pollers_kafka_topic: TopicMaker) -> None:
    topic = pollers_kafka_topic(partitions=4)
    places = {key: {topic.put("value", key)[0] for _ in range(3)} for key in "abcdefgh"}
    assert all(len(partitions) == 1 for partitions in places.values())
    assert len(set.union(*places.values())) > 1


async def test_members_of_a_group_share_partitions_and_hand_them_over(pollers_kafka_topic: TopicMaker) -> None:
    topic = pollers_kafka_topic(partitions=3)
    async with member(topic) as one:
        async with member(topic) as two, member(topic) as three:
            async with asyncio.timeout(30):
                while sorted(len(each.assignment()) for each in (one, two, three)) != [1, 1, 1]:
                    await asyncio.sleep(0.05)
        async with asyncio.timeout(30):
            while len(one.assignment()) < 3:
                await asyncio.sleep(0.05)


def test_clients_of_another_make_share_a_group_too(pollers_kafka_topic: TopicMaker) -> None:
    topic = pollers_kafka_topic(partitions=2)
    settings = {"bootstrap.servers": topic.servers, "group.id": "group", "heartbeat.interval.ms": 100}
    members = [Consumer({**settings, "session.timeout.ms": 6_000}) for _ in range(2)]
    for one in members:
        one.subscribe([topic.name])
    deadline = time.monotonic() + 30
    while [len(one.assignment()) for one in members] != [1, 1]:
        assert time.monotonic() < deadline, "they never came to share"
        for one in members:
            one.poll(0.05)
    for one in members:
        one.close()


def test_a_cluster_ends_quietly_under_its_clients(capfd: pytest.CaptureFixture[str]) -> None:
    with EmbeddedKafka() as kafka:
        client = socket.create_connection(("127.0.0.1", kafka.servers.split(":")[1]))
        client.sendall(b"\0\0\0\x0b" + b"\0\x12\0\0\0\0\0\x07\0\x01x")  # ApiVersions
        assert client.recv(8)[4:] == b"\0\0\0\x07"
    while client.recv(1_024):
        pass
    client.close()
    assert capfd.readouterr().err == ""


async def test_what_a_group_has_committed_can_be_looked_up(pollers_kafka_topic: TopicMaker) -> None:
    topic = pollers_kafka_topic(partitions=2)
    assert await asyncio.to_thread(topic.committed, "group") == {}
    topic.put("value", partition=1)
    async with member(topic) as consumer:
        await read(consumer, 1)
        await consumer.commit({TopicPartition(topic.name, 1): OffsetAndMetadata(1, "text")})
    assert await asyncio.to_thread(topic.committed, "group") == {1: 1}


async def test_a_cluster_that_is_down_takes_no_connection_and_keeps_what_it_has() -> None:
    with EmbeddedKafka() as kafka:
        topic = kafka.create_topic("topic")
        topic.put("value")
        kafka.down()
        reader, writer = await asyncio.open_connection(*kafka.servers.split(":"))
        assert await reader.read() == b""
        writer.close()
        kafka.up()
        async with member(topic) as consumer:
            (record,) = await read(consumer, 1)
    assert record.value == b"value"


def test_a_topic_is_created_once(pollers_kafka: EmbeddedKafka) -> None:
    pollers_kafka.create_topic("topic")
    with pytest.raises(PollersError, match="refuses topic"):
        pollers_kafka.create_topic("topic")


def test_a_record_for_a_partition_that_is_not_there_is_refused(pollers_kafka_topic: TopicMaker) -> None:
    with pytest.raises(PollersError, match="was not written"):
        pollers_kafka_topic("topic").put("value", partition=7)


def test_clusters_leave_no_thread_of_ours_behind() -> None:
    before = threading.active_count()
    with EmbeddedKafka() as kafka:
        kafka.create_topic("topic").put("value")
    assert threading.active_count() == before


START = "from pollers.testing.kafka import EmbeddedKafka\nEmbeddedKafka()"


def failure(folder: Path) -> str:
    """What starting says where the packages of a folder come first."""
    environment = {"PYTHONPATH": ":".join([str(folder), *sys.path])}
    done = subprocess.run([sys.executable, "-c", START], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    return str(done.stderr.splitlines()[-1])


def test_another_version_of_the_library_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "confluent_kafka").mkdir()
    (tmp_path / "confluent_kafka" / "__init__.py").touch()
    (tmp_path / "confluent_kafka-3.0.0.dist-info").mkdir()
    (tmp_path / "confluent_kafka-3.0.0.dist-info" / "METADATA").write_text("Name: confluent-kafka\nVersion: 3.0.0\n")
    said = failure(tmp_path)
    assert "needs confluent-kafka 2.16.1 and finds 3.0.0" in said
    assert 'pip install "pollers[kafka,demo]"' in said


@pytest.mark.parametrize("name", ["confluent_kafka", "aiokafka"])
def test_a_library_that_is_missing_is_named_with_a_remedy(name: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "{name}":
            raise ModuleNotFoundError("No module named '{name}'", name=name)
sys.meta_path.insert(0, Missing())
""")
    said = failure(tmp_path)
    assert name.replace("_", "-") in said
    assert 'pip install "pollers[kafka,demo]"' in said
