"""Consumers and subscriptions of the model of Kinesis, on a clock that is moved by hand."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from pollers.testing.kinesis import KinesisLimits, KinesisModel
from pollers.testing.service import Dropped, Events, Fault

SHARD = "shardId-000000000000"


class Bench:
    def __init__(self, **limits: Any) -> None:
        self.now = 1_700_000_000.0
        self.model = KinesisModel(lambda: self.now, limits=KinesisLimits(**limits))
        self.model.call("CreateStream", {"StreamName": "s", "ShardCount": 1})
        self.stream = self.model.stream("s")
        self.consumer = self.register("mine")

    def register(self, name: str) -> str:
        request = {"StreamARN": self.stream.arn, "ConsumerName": name}
        return str(self.model.call("RegisterStreamConsumer", request)["Consumer"]["ConsumerARN"])

    def subscribe(self, kind: str = "TRIM_HORIZON", *, consumer: str = "", shard: str = SHARD, **where: Any) -> Events:
        position = {"Type": kind, **where}
        request = {"ConsumerARN": consumer or self.consumer, "ShardId": shard, "StartingPosition": position}
        events = self.model.call("SubscribeToShard", request)["EventStream"]
        assert isinstance(events, Events)
        return events

    def refused(self, **options: Any) -> str:
        with pytest.raises(Fault) as caught:
            self.subscribe(**options)
        return caught.value.kind


def texts(events: Events) -> list[str]:
    """What the events that are ready bring."""
    found: list[str] = []
    while (event := events.take()) is not None:
        found += [base64.b64decode(record["Data"]).decode() for record in event["Records"]]
    return found


def test_records_come_as_they_are_written_and_say_where_to_go_on() -> None:
    bench = Bench()
    bench.stream.put("key", b"1")
    events = bench.subscribe()
    _, sequence = bench.stream.put("key", b"2")
    event = events.take()
    assert event is not None
    assert len(event["Records"]) == 2
    assert (event["ContinuationSequenceNumber"], event["MillisBehindLatest"]) == (sequence, 0)
    assert events.take() is None
    bench.stream.put("key", b"3")
    assert texts(events) == ["3"]


def test_whoever_waits_is_told_of_records_of_time_and_of_the_end() -> None:
    bench = Bench()
    events = bench.subscribe()
    told: list[float] = []
    events.ready = lambda: told.append(bench.now)
    events.take()
    bench.stream.put("key", b"1")
    assert len(told) == 1
    assert texts(events) == ["1"]
    assert bench.model.wake_at() == bench.now + 5
    bench.now += 5
    bench.model.tick()
    bench.model.tick()
    assert len(told) == 2, "a client that does not read is told once"
    assert bench.model.wake_at() is None
    assert events.take() == {"Records": [], "MillisBehindLatest": 0, "ContinuationSequenceNumber": _last(bench)}
    bench.stream.split(SHARD)
    assert len(told) == 3


def _last(bench: Bench) -> str:
    return str(bench.stream.shard(SHARD).newest())


def test_a_closed_shard_ends_with_its_children_and_no_number_to_go_on_with() -> None:
    bench = Bench()
    bench.stream.put("key", b"1")
    children = bench.stream.split(SHARD)
    events = bench.subscribe()
    event = events.take()
    assert event is not None
    assert events.over
    assert "ContinuationSequenceNumber" not in event
    assert [child["ShardId"] for child in event["ChildShards"]] == list(children)
    assert bench.model.wake_at() is None


def test_subscriptions_begin_where_they_say() -> None:
    bench = Bench(subscription_guard=0.0, subscription_calls=None)
    sequences = []
    for text in ("1", "2", "3"):
        sequences.append(bench.stream.put("key", text.encode())[1])
        bench.now += 1
    assert texts(bench.subscribe("AT_SEQUENCE_NUMBER", SequenceNumber=sequences[1])) == ["2", "3"]
    assert texts(bench.subscribe("AFTER_SEQUENCE_NUMBER", SequenceNumber=sequences[1])) == ["3"]
    assert texts(bench.subscribe("AT_TIMESTAMP", Timestamp=bench.now - 2)) == ["2", "3"]
    assert texts(bench.subscribe("LATEST")) == []
    assert bench.refused(kind="AT_SEQUENCE_NUMBER", SequenceNumber="5") == "InvalidArgumentException"
    assert bench.refused(kind="SOMEWHERE") == "InvalidArgumentException"


def test_a_subscription_lasts_five_minutes() -> None:
    bench = Bench()
    events = bench.subscribe()
    bench.now += 299
    bench.stream.put("key", b"1")
    assert texts(events) == ["1"]
    assert bench.model.wake_at() == bench.now + 1
    bench.now += 1
    bench.stream.put("key", b"2")
    assert events.take() is None
    assert events.over


def test_a_subscription_is_taken_over_after_five_seconds_and_not_before() -> None:
    bench = Bench()
    former = bench.subscribe()
    assert bench.refused() == "LimitExceededException"
    bench.now += 1
    assert bench.refused() == "ResourceInUseException"
    bench.subscribe(consumer=bench.register("another"))
    former.cancel()
    bench.now += 3.9
    assert bench.refused() == "ResourceInUseException", "nor where its connection is closed"
    bench.now += 1
    again = bench.subscribe()
    bench.now += 5
    bench.subscribe()
    with pytest.raises(Fault) as caught:
        again.take()
    assert caught.value.kind == "ResourceInUseException"
    assert again.over


def test_no_event_is_larger_than_it_may_be_and_none_empty_for_it() -> None:
    bench = Bench(event_bytes=1_000, write_bytes_per_second=None)
    for size in (400, 400, 400, 5_000, 100):
        bench.stream.put("k", bytes(size))
    events = bench.subscribe()
    assert [len(event["Records"]) for event in iter(events.take, None)] == [2, 1, 1, 1]


def test_pushed_records_cost_the_readers_of_shared_throughput_nothing() -> None:
    bench = Bench(write_bytes_per_second=None)
    for _ in range(5):
        bench.stream.put("k", bytes(1_000_000))
    events = bench.subscribe()
    while events.take() is not None:
        pass
    where = {"StreamName": "s", "ShardId": SHARD, "ShardIteratorType": "TRIM_HORIZON"}
    iterator = bench.model.call("GetShardIterator", where)["ShardIterator"]
    bench.model.call("GetRecords", {"ShardIterator": iterator})


def test_a_consumer_is_active_after_a_while() -> None:
    bench = Bench(consumer_seconds=10.0)
    described = bench.model.call("DescribeStreamConsumer", {"ConsumerARN": bench.consumer})["ConsumerDescription"]
    assert described["ConsumerStatus"] == "CREATING"
    assert bench.refused() == "ResourceInUseException"
    bench.now += 10
    bench.subscribe()


def test_a_consumer_that_is_gone_takes_its_subscriptions_along_and_its_name_comes_back_with_another_arn() -> None:
    bench = Bench()
    events = bench.subscribe()
    bench.model.call("DeregisterStreamConsumer", {"ConsumerARN": bench.consumer})
    with pytest.raises(Fault) as caught:
        events.take()
    assert caught.value.kind == "ResourceNotFoundException"
    bench.now += 5
    bench.register("mine")
    assert bench.refused() == "ResourceNotFoundException"


def test_a_stream_with_consumers_is_deleted_only_where_that_is_meant() -> None:
    bench = Bench()
    events = bench.subscribe()
    with pytest.raises(Fault) as caught:
        bench.model.call("DeleteStream", {"StreamName": "s"})
    assert caught.value.kind == "ResourceInUseException"
    bench.model.call("DeleteStream", {"StreamName": "s", "EnforceConsumerDeletion": True})
    with pytest.raises(Fault):
        events.take()


def test_a_stream_has_twenty_consumers_at_most() -> None:
    bench = Bench()
    for number in range(19):
        bench.register(f"consumer-{number}")
    with pytest.raises(Fault) as caught:
        bench.register("one-too-many")
    assert caught.value.kind == "LimitExceededException"


def test_trouble_comes_to_the_call_or_to_an_event() -> None:
    bench = Bench(subscription_guard=0.0, subscription_calls=None)
    bench.model.trouble.fail("SubscribeToShard", code="InternalFailure", resource=f"s/{SHARD}")
    assert bench.refused() == "InternalFailure"
    bench.model.trouble.drop("SubscribeToShardEvent", after=True)
    bench.stream.put("key", b"1")
    events = bench.subscribe()
    with pytest.raises(Dropped):
        events.take()
    assert events.over
