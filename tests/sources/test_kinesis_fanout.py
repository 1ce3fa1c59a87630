"""Enhanced fan-out on the model of Kinesis, in virtual time: renewal, aggregates, and what goes wrong."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from stream_stage import Stage, records, texts

from pollers.config.library import EventSourceMapping
from pollers.engine.supervisor import Pollers
from pollers.errors import ConfigurationError, SourceError
from pollers.sources.kinesis import KinesisSource
from pollers.spi import Failed, Outcome, Returned, Source
from pollers.stores.memory import MemoryStore
from pollers.telemetry import RecordsMissed, SourceTroubled
from pollers.testing.conformance import CHECKS, Check
from pollers.testing.functions import Invoked, ScriptedFunction
from pollers.testing.kinesis.aggregates import aggregate
from pollers.testing.loop import clock, virtual_time

REPORTS = ["ReportBatchItemFailures"]
CONSUMER = "arn:aws:kinesis:us-east-1:123456789012:stream/clicks/consumer/mine:1700000000"


class ConformanceStage:
    def __init__(self) -> None:
        self.stage = Stage(shards=2)

    def source(self) -> Source:
        return self.stage.pushed_source()

    async def put(self, text: str, key: str) -> None:
        self.stage.clicks(text, key=key)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@virtual_time
async def test_a_consumer_is_a_source(check: Check) -> None:
    await check(ConformanceStage())


@pytest.mark.rule("2.2-2", "5.9-6")
@virtual_time
async def test_events_carry_the_consumers_arn_and_so_do_failure_documents() -> None:
    stage = Stage()
    stage.clicks("1")
    source = stage.pushed_source()
    function = await stage.read_for(5, source)
    (record,) = records(function)
    assert record["eventSourceARN"] == source.arn == stage.consumer()
    shard = stage.stream.shards[0]
    assert record["invokeIdentityArn"] == "arn:aws:iam::123456789012:role/pollers"
    failure = source.shape.failure([(shard.id, shard.records)])["KinesisBatchInfo"]  # type: ignore[list-item]
    assert failure["streamArn"] == stage.consumer()


@virtual_time
async def test_records_arrive_as_they_are_written_and_nobody_asks_for_them() -> None:
    stage = Stage()
    function = ScriptedFunction()
    source = stage.pushed_source()
    async with stage.run(source, function):
        for number in range(20):
            await asyncio.sleep(7)
            stage.clicks(str(number))
            await asyncio.sleep(0.1)
            assert texts(function)[-1:] == [str(number)]
    assert source.requests["SubscribeToShard", "ok"] == 1
    assert not source.requests.get(("GetRecords", "ok"))


@virtual_time
async def test_subscriptions_are_renewed_under_load_and_nothing_is_lost_or_doubled() -> None:
    stage = Stage(shards=2)
    function = ScriptedFunction()
    source = stage.pushed_source()
    async with stage.run(source, function):
        for number in range(2_000):
            stage.clicks(str(number), key=f"key-{number % 7}")
            await asyncio.sleep(0.5)
        await asyncio.sleep(10)
    assert sorted(map(int, texts(function))) == list(range(2_000))
    assert source.requests["SubscribeToShard", "ok"] == 8  # of two shards, every 300 s
    assert set(source.requests) >= {("SubscribeToShard", "ok")}
    assert not source.requests.get(("SubscribeToShard", "error"))
    assert not stage.notes.of(SourceTroubled)


@virtual_time
async def test_connections_that_are_cut_cost_no_record_and_double_none() -> None:
    stage = Stage()
    function = ScriptedFunction()
    source = stage.pushed_source()
    async with stage.run(source, function):
        for number in range(600):
            if number % 40 == 7:
                stage.kinesis.trouble.drop("SubscribeToShardEvent", after=number % 80 == 7)
            stage.clicks(str(number))
            await asyncio.sleep(0.5)
        await asyncio.sleep(20)
    assert texts(function) == list(map(str, range(600)))
    assert not stage.notes.of(SourceTroubled), "a connection that had been of use is made anew without a word"
    assert source.requests["SubscribeToShard", "ok"] == 16
    assert not source.requests.get(("SubscribeToShard", "error")), "and not before it may be"


@virtual_time
async def test_a_connection_that_is_cut_before_it_was_of_use_is_said() -> None:
    stage = Stage()
    stage.kinesis.trouble.drop("SubscribeToShardEvent", 3)
    stage.clicks("1")
    assert texts(await stage.read_for(60, stage.pushed_source())) == ["1"]
    assert len(stage.notes.of(SourceTroubled)) == 3


@virtual_time
async def test_subscriptions_that_end_before_they_were_of_use_are_said() -> None:
    stage = Stage(subscription_seconds=0.0)
    await stage.read_for(30, stage.pushed_source())
    troubles = stage.notes.of(SourceTroubled)
    assert len(troubles) > 2
    assert all("ended before it had brought an event" in trouble.reason for trouble in troubles)


@pytest.mark.rule("5.1-5")
@pytest.mark.parametrize(
    ("code", "said"),
    [("LimitExceededException", 0), ("ResourceInUseException", 0), ("AccessDeniedException", 3)],
)
@virtual_time
async def test_a_subscription_that_is_refused_is_tried_again(code: str, said: int) -> None:
    stage = Stage()
    stage.kinesis.trouble.fail("SubscribeToShard", 3, code=code, status=400)
    stage.clicks("1")
    assert texts(await stage.read_for(60, stage.pushed_source())) == ["1"]
    assert len(stage.notes.of(SourceTroubled)) == said


@virtual_time
async def test_a_service_that_refuses_in_the_first_event_is_asked_again_and_not_for_ever_without_a_word() -> None:
    stage = Stage(subscription_guard=0.0)
    stage.kinesis.trouble.fail("SubscribeToShardEvent", 12, code="ResourceInUseException", status=400)
    stage.clicks("1")
    assert texts(await stage.read_for(60, stage.pushed_source())) == ["1"]
    assert len(stage.notes.of(SourceTroubled)) == 2


@virtual_time
async def test_a_consumer_that_another_program_uses_too_is_said_and_nothing_is_lost() -> None:
    stage = Stage()
    function = ScriptedFunction()
    shard = stage.stream.shards[0].id
    theirs = {"ConsumerARN": stage.consumer(), "ShardId": shard, "StartingPosition": {"Type": "LATEST"}}
    async with stage.run(stage.pushed_source(), function):
        await asyncio.sleep(10)
        for number in range(3):
            stage.kinesis.call("SubscribeToShard", theirs)
            stage.clicks(str(number))
            await asyncio.sleep(20)
    assert texts(function) == ["0", "1", "2"]
    troubles = stage.notes.of(SourceTroubled)
    assert len(troubles) == 3
    assert all("ResourceInUseException" in trouble.reason for trouble in troubles)


@virtual_time
async def test_a_function_that_does_not_keep_up_stops_the_stream_and_not_the_memory() -> None:
    stage = Stage(event_bytes=10_000, write_bytes_per_second=None)
    for number in range(5_000):
        stage.clicks(f"{number:0100}")
    function = ScriptedFunction()
    function.hold()
    source = stage.pushed_source()
    async with stage.run(source, function) as pollers:
        await asyncio.sleep(200)
        assert pollers.meters()[0].received <= 3_000
        function.let_go()
        await asyncio.sleep(100)
    assert list(map(int, texts(function))) == list(range(5_000))


@pytest.mark.rule("8-1", "8-3")
@virtual_time
async def test_latest_begins_with_what_comes_after_the_start_and_goes_on_there_after_a_stop() -> None:
    stage = Stage()
    stage.clicks("before")
    await asyncio.sleep(1)
    assert texts(await stage.read_for(5, stage.pushed_source(starting_position="LATEST"))) == []
    stage.clicks("meanwhile")
    await asyncio.sleep(100)
    assert texts(await stage.read_for(5, stage.pushed_source(starting_position="LATEST"))) == ["meanwhile"]


@pytest.mark.rule("8-2")
@virtual_time
async def test_at_timestamp_begins_with_that_moment() -> None:
    stage = Stage()
    stage.clicks("before")
    await asyncio.sleep(10)
    moment = datetime.fromtimestamp(stage.loop.wall(), UTC)
    stage.clicks("since")
    assert texts(await stage.read_for(5, stage.pushed_source(starting_position=moment))) == ["since"]


@pytest.mark.rule("8-5")
@virtual_time
async def test_a_shard_that_is_split_while_it_is_subscribed_to_ends_before_its_children_begin() -> None:
    stage = Stage()
    function = ScriptedFunction()
    async with stage.run(stage.pushed_source(), function, batch_size=1):
        stage.clicks("1", "2", "3")
        await asyncio.sleep(5)
        function.hold()
        stage.clicks("4", "5")
        left, right = stage.stream.split(stage.stream.shards[0].id)
        stage.clicks("6", key="a")
        stage.clicks("7", key="b")
        await asyncio.sleep(30)
        assert texts(function) == ["1", "2", "3", "4"]
        function.let_go()
        await asyncio.sleep(30)
    assert texts(function)[:5] == ["1", "2", "3", "4", "5"]
    assert sorted(texts(function)[5:]) == ["6", "7"]
    assert {record["eventID"].partition(":")[0] for record in records(function)[5:]} <= {left, right}


@virtual_time
async def test_the_last_event_of_a_shard_may_be_larger_than_a_read() -> None:
    stage = Stage()
    stage.clicks(*map(str, range(2_500)))
    stage.stream.split(stage.stream.shards[0].id)
    stage.clicks("child")
    function = ScriptedFunction(seconds=0.5)
    async with stage.run(stage.pushed_source(), function):
        await asyncio.sleep(60)
    assert texts(function) == [*map(str, range(2_500)), "child"]


@pytest.mark.rule("12-14")
@virtual_time
async def test_a_stop_longer_than_retention_goes_on_at_the_horizon_and_is_said() -> None:
    stage = Stage()
    stage.clicks("1")
    await stage.read_for(5, stage.pushed_source())
    stage.clicks("lost")
    await asyncio.sleep(2 * 86_400)
    stage.clicks("left")
    assert texts(await stage.read_for(5, stage.pushed_source())) == ["left"]
    assert len(stage.notes.of(RecordsMissed)) == 1


@virtual_time
async def test_a_shard_that_left_the_stream_unread_is_said_and_its_children_are_read() -> None:
    stage = Stage()
    stage.clicks("1")
    await stage.read_for(5, stage.pushed_source())
    stage.clicks("lost")
    stage.stream.split(stage.stream.shards[0].id)
    await asyncio.sleep(2 * 86_400)
    stage.clicks("2")
    assert texts(await stage.read_for(30, stage.pushed_source())) == ["2"]
    (missed,) = stage.notes.of(RecordsMissed)
    assert "has left the stream" in missed.detail


@virtual_time
async def test_a_record_that_expired_after_it_was_finished_is_no_gap() -> None:
    stage = Stage()
    _, sequence = stage.stream.put("key", b"1")
    await stage.read_for(5, stage.pushed_source())
    await asyncio.sleep(3_600)
    stage.stream.trim(stage.stream.shards[0].id, sequence)
    stage.clicks("2")
    assert texts(await stage.read_for(10, stage.pushed_source())) == ["2"]
    assert not stage.notes.of(RecordsMissed)


@virtual_time
async def test_a_long_stop_in_which_nothing_was_lost_is_no_gap() -> None:
    stage = Stage()
    stage.kinesis.call("IncreaseStreamRetentionPeriod", {"StreamName": "clicks", "RetentionPeriodHours": 100})
    stage.clicks("1")
    await stage.read_for(5, stage.pushed_source())
    await asyncio.sleep(2 * 86_400)
    stage.clicks("2")
    assert texts(await stage.read_for(5, stage.pushed_source())) == ["2"]
    assert not stage.notes.of(RecordsMissed)


@virtual_time
async def test_a_worker_that_begins_while_the_former_ones_subscription_stands_waits_for_it() -> None:
    stage = Stage()
    for text in ("1", "2", "3"):
        stage.clicks(text)
        assert texts(await stage.read_for(10, stage.pushed_source())) == [text]
        stage.clicks(f"{text}, at once")
        assert texts(await stage.read_for(10, stage.pushed_source())) == [f"{text}, at once"]
    assert not stage.notes.of(SourceTroubled)


@virtual_time
async def test_two_consumers_see_every_record_and_a_mapping_on_shared_throughput_too() -> None:
    stage = Stage()
    sources = [stage.pushed_source(stage.consumer("one")), stage.pushed_source(stage.consumer("two"))]
    sources.append(stage.kinesis_source())
    functions = [ScriptedFunction() for _ in sources]
    mappings = [
        EventSourceMapping(source, function, name=f"mapping-{number}")
        for number, (source, function) in enumerate(zip(sources, functions, strict=True))
    ]
    async with Pollers(mappings, clock=clock()):
        stage.clicks(*map(str, range(300)))
        await asyncio.sleep(30)
    assert all(texts(function) == list(map(str, range(300))) for function in functions)


@pytest.mark.rule("7-4")
@virtual_time
async def test_windows_of_a_backlog_are_closed_once_each_with_everything_in_them() -> None:
    stage = Stage(event_bytes=100)
    for window in range(5):
        for number in range(60):
            stage.clicks(f"{window}-{number}")
            await asyncio.sleep(1)
    stage.wireless.latency = 0.5  # slower than the function: between two events nothing is held

    async def fold(call: Invoked) -> Outcome:
        state = call.event["state"]
        return Returned({"state": {"n": state.get("n", 0) + len(call.event["Records"])}})

    function = ScriptedFunction(fold)
    async with stage.run(stage.pushed_source(), function, batch_size=7, tumbling_window_in_seconds=60):
        await asyncio.sleep(300)
    finals = [call.event for call in function.calls if call.event["isFinalInvokeForWindow"]]
    assert len({event["window"]["start"] for event in finals}) == len(finals)
    assert sum(event["state"]["n"] for event in finals) == 300


# Aggregates


@pytest.mark.rule("2.2-2")
@virtual_time
async def test_aggregated_records_come_one_by_one_and_share_what_the_aggregate_had() -> None:
    stage = Stage()
    inner = [("red", b"1"), ("blue", b"2"), ("red", b"3")]
    _, sequence = stage.stream.put("aggregate", aggregate(inner))
    stage.clicks("4", key="plain")
    function = await stage.read_for(5, stage.pushed_source())
    assert texts(function) == ["1", "2", "3", "4"]
    found = records(function)
    assert [record["kinesis"]["partitionKey"] for record in found] == ["red", "blue", "red", "plain"]
    assert {record["kinesis"]["sequenceNumber"] for record in found[:3]} == {sequence}
    assert len({record["eventID"] for record in found}) == 2
    assert all(set(record["kinesis"]) == set(found[3]["kinesis"]) for record in found)


@pytest.mark.rule("2.2-2")
@virtual_time
async def test_on_shared_throughput_an_aggregate_stays_whole() -> None:
    stage = Stage()
    stage.aggregated("1", "2")
    assert len(records(await stage.read_for(5, stage.kinesis_source()))) == 1


@virtual_time
async def test_a_mapping_that_stops_within_an_aggregate_goes_on_there() -> None:
    stage = Stage()
    stage.clicks("before")
    stage.aggregated(*"abcde")
    stage.clicks("after")

    async def answer(call: Invoked) -> Outcome:
        await asyncio.sleep(2)
        return Returned()

    function = ScriptedFunction(answer)
    async with stage.run(stage.pushed_source(), function, batch_size=2):
        await asyncio.sleep(3)
    assert texts(function) == ["before", "a", "b", "c"]
    assert texts(await stage.read_for(10, stage.pushed_source())) == ["d", "e", "after"]
    assert texts(await stage.read_for(10, stage.pushed_source())) == []


@virtual_time
async def test_a_mapping_that_goes_back_to_shared_throughput_within_an_aggregate_reads_it_again_whole() -> None:
    stage = Stage()
    stage.aggregated(*"abcde")

    async def answer(call: Invoked) -> Outcome:
        await asyncio.sleep(2)
        return Returned()

    async with stage.run(stage.pushed_source(), ScriptedFunction(answer), batch_size=2):
        await asyncio.sleep(1)
    stage.clicks("after")
    function = await stage.read_for(10, stage.kinesis_source())
    assert len(records(function)) == 2
    assert len(records(await stage.read_for(10, stage.kinesis_source()))) == 0
    stage.clicks("later")
    assert texts(await stage.read_for(10, stage.pushed_source())) == ["later"]


@virtual_time
async def test_records_of_an_aggregate_that_finish_out_of_order_are_not_seen_again_after_a_restart() -> None:
    stage = Stage()
    keys = [f"key-{number}" for number in range(40)]
    stage.stream.put("aggregate", aggregate((key, key.encode()) for key in keys))
    stuck = keys[3]

    async def answer(call: Invoked) -> Outcome:
        failing = any(record["kinesis"]["partitionKey"] == stuck for record in call.event["Records"])
        return Failed("ValueError", "stuck") if failing else Returned()

    function = ScriptedFunction(answer)
    async with stage.run(stage.pushed_source(lanes="key"), function, batch_size=1):
        await asyncio.sleep(30)
    assert set(texts(function)) == set(keys)
    assert texts(await stage.read_for(10, stage.pushed_source(lanes="key"))) == [stuck]


@pytest.mark.rule("5.4-4", "5.4-5")
@virtual_time
async def test_a_reported_aggregate_is_tried_again_from_its_first_record_in_the_batch() -> None:
    stage = Stage()
    stage.clicks("before")
    sequence = stage.aggregated("a", "b", "c")
    stage.clicks("after")
    failed = Returned({"batchItemFailures": [{"itemIdentifier": sequence}]})
    function = ScriptedFunction([failed, failed, Returned()])
    async with stage.run(stage.pushed_source(), function, function_response_types=REPORTS):
        await asyncio.sleep(30)
    assert [len(call.event["Records"]) for call in function.calls] == [5, 4, 4]


@pytest.mark.rule("9-5", "4-3")
@virtual_time
async def test_lanes_are_those_of_the_records_within_aggregates() -> None:
    stage = Stage()
    for start in range(0, 400, 20):
        inner = [(f"key-{number % 40}", str(number).encode()) for number in range(start, start + 20)]
        stage.stream.put("aggregate", aggregate(inner))

    async def answer(call: Invoked) -> Outcome:
        await asyncio.sleep(1)
        return Failed("ValueError", "now and then") if stage.loop.time() % 7 < 1 else Returned()

    function = ScriptedFunction(answer)
    async with stage.run(stage.pushed_source(parallelization_factor=3), function, batch_size=5):
        await asyncio.sleep(600)
    assert function.most == 3
    first: dict[str, int] = {}
    for text in texts(function):
        first.setdefault(text, len(first))
    for key in range(40):
        order = [first[str(number)] for number in range(key, 400, 40)]
        assert order == sorted(order)


# What cannot be read


@virtual_time
async def test_a_consumer_that_is_not_active_yet_is_said_before_anything_runs() -> None:
    stage = Stage(consumer_seconds=30.0)
    with pytest.raises(SourceError, match="the consumer is CREATING"):
        await stage.read_for(1, stage.pushed_source())
    await asyncio.sleep(30)
    stage.clicks("1")
    assert texts(await stage.read_for(10, stage.pushed_source())) == ["1"]


@virtual_time
async def test_a_consumer_that_is_not_there_is_said_before_anything_runs() -> None:
    stage = Stage()
    with pytest.raises(SourceError, match="mine") as caught:
        await stage.read_for(1, stage.pushed_source(CONSUMER))
    assert caught.value.missing


@virtual_time
async def test_a_consumer_that_goes_while_it_is_read_is_an_error_and_no_end_of_a_shard() -> None:
    stage = Stage()
    function = ScriptedFunction()
    async with stage.run(stage.pushed_source(), function):
        await asyncio.sleep(10)
        stage.kinesis.call("DeregisterStreamConsumer", {"ConsumerARN": stage.consumer()})
        await asyncio.sleep(10)
    assert stage.notes.of(SourceTroubled)
    assert not stage.notes.of(RecordsMissed)


@pytest.mark.parametrize(
    "consumer",
    [
        "arn:aws:kinesis:us-east-1:123456789012:stream/clicks/consumer/mine",
        "arn:aws:kinesis:us-east-1:123456789012:stream/clicks/consumer/:1",
        "arn:aws:kinesis:us-east-1:123456789012:stream/consumer/mine:1",
        "arn:aws:sqs:us-east-1:123456789012:stream/clicks/consumer/mine:1",
    ],
)
def test_what_names_no_consumer_is_refused(consumer: str) -> None:
    with pytest.raises(ConfigurationError, match="is not the ARN of a Kinesis stream"):
        KinesisSource(consumer, store=MemoryStore())


def test_a_region_that_is_not_the_consumers_is_refused() -> None:
    options: dict[str, Any] = {"region": "eu-west-1", "store": MemoryStore()}
    with pytest.raises(ConfigurationError, match="the region given is eu-west-1"):
        KinesisSource(CONSUMER, **options)
