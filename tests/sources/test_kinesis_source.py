"""Kinesis, on its model in virtual time: events, starting positions, iterators, limits, and what goes wrong."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from stream_stage import Stage, records, texts

from pollers.config.library import EventSourceMapping
from pollers.engine.supervisor import Pollers
from pollers.errors import ConfigurationError, SourceError
from pollers.sources.kinesis import KinesisSource
from pollers.sources.shards.pace import Paces
from pollers.spi import Failed, Outcome, Partition, Returned, Row
from pollers.stores.memory import MemoryStore
from pollers.telemetry import RecordsMissed, SourceTroubled
from pollers.testing.functions import Invoked, ScriptedFunction
from pollers.testing.loop import clock, virtual_time


@pytest.mark.parametrize(("within", "expected"), [(0, ["two", "three"]), (1, ["one", "two", "three"])])
@virtual_time
async def test_an_aggregate_of_which_others_have_finished_a_part_is_read_again(
    within: int, expected: list[str]
) -> None:
    stage = Stage()
    shard, sequence = stage.stream.put("key", b"one")
    stage.clicks("two", "three")
    await stage.store.create("mapping", [Row(Partition(shard), safe=(int(sequence), within))])
    assert texts(await stage.read_for(5, stage.kinesis_source())) == expected


@pytest.mark.rule("2.2-1")
@virtual_time
async def test_the_event_is_that_of_lambda() -> None:
    stage = Stage()
    shard, sequence = stage.stream.put("1", b"Hello, this is a test.")
    arrived = stage.loop.wall()
    function = await stage.read_for(5, stage.kinesis_source())
    assert function.calls[0].event == {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": "1",
                    "sequenceNumber": sequence,
                    "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
                    "approximateArrivalTimestamp": pytest.approx(arrived),
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"{shard}:{sequence}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::123456789012:role/pollers",
                "awsRegion": "us-east-1",
                "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/clicks",
            }
        ]
    }


@pytest.mark.rule("4-8", "8-1")
@virtual_time
async def test_trim_horizon_delivers_all_that_is_retained_in_put_order() -> None:
    stage = Stage()
    for key in ("test_0", "test_1", "test_3"):
        stage.clicks(*(f"{key}-{number}" for number in range(10)), key=key)
    function = await stage.read_for(10, stage.kinesis_source(), batch_size=10)
    assert [len(call.event["Records"]) for call in function.calls] == [10, 10, 10]
    assert texts(function) == [f"{key}-{number}" for key in ("test_0", "test_1", "test_3") for number in range(10)]


@pytest.mark.rule("8-1", "8-3")
@virtual_time
async def test_latest_delivers_what_comes_after_the_start_and_after_a_stop_what_came_meanwhile() -> None:
    stage = Stage()
    stage.clicks("before")
    await asyncio.sleep(1)
    assert texts(await stage.read_for(5, stage.kinesis_source(starting_position="LATEST"))) == []
    stage.clicks("meanwhile")
    await asyncio.sleep(100)
    assert texts(await stage.read_for(5, stage.kinesis_source(starting_position="LATEST"))) == ["meanwhile"]
    stage.clicks("later")
    assert texts(await stage.read_for(5, stage.kinesis_source(starting_position="TRIM_HORIZON"))) == ["later"]


@pytest.mark.rule("8-2")
@virtual_time
async def test_at_timestamp_begins_with_that_moment() -> None:
    stage = Stage()
    stage.clicks("before")
    await asyncio.sleep(10)
    moment = datetime.fromtimestamp(stage.loop.wall(), UTC)
    stage.clicks("since")
    assert texts(await stage.read_for(5, stage.kinesis_source(starting_position=moment))) == ["since"]


@pytest.mark.rule("8-6")
@virtual_time
async def test_an_iterator_that_expires_while_there_is_no_room_costs_no_record() -> None:
    stage = Stage()
    stage.clicks(*map(str, range(5_000)))
    function = ScriptedFunction()
    function.hold()
    async with stage.run(stage.kinesis_source(), function):
        await asyncio.sleep(600)
        function.let_go()
        await asyncio.sleep(100)
    assert texts(function) == list(map(str, range(5_000)))
    assert not stage.notes.of(RecordsMissed)


@pytest.mark.rule("8-6", "4-13")
@virtual_time
async def test_two_mappings_of_a_process_see_every_record_and_are_never_throttled() -> None:
    stage = Stage()
    stage.clicks(*map(str, range(900)))
    paces = Paces()
    functions = [ScriptedFunction(), ScriptedFunction()]
    sources = [stage.kinesis_source(paces=paces, idle_poll=0.2) for _ in functions]
    mappings = [
        EventSourceMapping(source, function, name=f"mapping-{number}")
        for number, (source, function) in enumerate(zip(sources, functions, strict=True))
    ]
    async with Pollers(mappings, clock=clock()):
        await asyncio.sleep(120)
    assert all(texts(function) == list(map(str, range(900))) for function in functions)
    assert all(not source.requests.get(("GetRecords", "throttled")) for source in sources)


@virtual_time
async def test_somebody_else_who_reads_the_shard_too_delays_and_loses_nothing() -> None:
    stage = Stage()
    stage.kinesis.trouble.fail("GetRecords", 5, code="ProvisionedThroughputExceededException", status=400)
    stage.clicks("1", "2")
    source = stage.kinesis_source()
    assert texts(await stage.read_for(60, source)) == ["1", "2"]
    assert source.requests["GetRecords", "throttled"] == 5
    assert not stage.notes.of(SourceTroubled)


@pytest.mark.rule("12-14")
@virtual_time
async def test_a_stop_longer_than_retention_goes_on_at_the_horizon_and_is_said() -> None:
    stage = Stage()
    stage.clicks("1")
    await stage.read_for(5, stage.kinesis_source())
    stage.clicks("lost")
    await asyncio.sleep(2 * 86_400)
    stage.clicks("left")
    assert texts(await stage.read_for(5, stage.kinesis_source())) == ["left"]
    (missed,) = stage.notes.of(RecordsMissed)
    assert missed.partition == "shardId-000000000000"


@pytest.mark.rule("5.1-5")
@virtual_time
async def test_lost_permission_pauses_the_mapping_and_costs_nothing() -> None:
    stage = Stage()
    function = ScriptedFunction()
    source = stage.kinesis_source()
    async with stage.run(source, function):
        await asyncio.sleep(5)
        stage.kinesis.trouble.fail("GetRecords", 3, code="AccessDeniedException", status=400)
        stage.clicks("1")
        await asyncio.sleep(60)
        assert texts(function) == ["1"]
    assert len(stage.notes.of(SourceTroubled)) == 3
    assert all(trouble.operation == "read" for trouble in stage.notes.of(SourceTroubled))


@virtual_time
async def test_a_stream_that_is_not_there_is_said_before_anything_runs() -> None:
    stage = Stage()
    source = stage.kinesis_source("arn:aws:kinesis:us-east-1:123456789012:stream/nowhere")
    with pytest.raises(SourceError, match="nowhere") as caught:
        await stage.read_for(1, source)
    assert caught.value.missing


@virtual_time
async def test_a_stream_named_by_its_name_gets_its_arn_from_the_service() -> None:
    stage = Stage()
    stage.clicks("1")
    source = stage.kinesis_source("clicks")
    function = await stage.read_for(5, source)
    assert source.arn == stage.stream.arn
    assert records(function)[0]["eventSourceARN"] == stage.stream.arn


@virtual_time
async def test_a_stream_that_was_deleted_and_made_anew_is_not_read_from_old_positions() -> None:
    stage = Stage()
    stage.clicks("1")
    await stage.read_for(5, stage.kinesis_source())
    stage.kinesis.call("DeleteStream", {"StreamName": "clicks"})
    await asyncio.sleep(5)
    stage.make()
    stage.clicks("2")
    with pytest.raises(SourceError, match="earlier stream of this name"):
        await stage.read_for(5, stage.kinesis_source())


@pytest.mark.rule("9-5", "4-3")
@virtual_time
async def test_a_shard_has_as_many_batches_at_once_as_its_factor_and_keys_stay_in_order() -> None:
    stage = Stage(shards=2)
    for number in range(400):
        stage.clicks(str(number), key=f"key-{number % 40}")

    async def answer(call: Invoked) -> Outcome:
        await asyncio.sleep(1)
        return Failed("ValueError", "now and then") if stage.loop.time() % 7 < 1 else Returned()

    function = ScriptedFunction(answer)
    async with stage.run(stage.kinesis_source(parallelization_factor=3), function, batch_size=5):
        await asyncio.sleep(600)
    assert function.most == 6
    first: dict[str, int] = {}
    for text in texts(function):
        first.setdefault(text, len(first))
    assert len(first) == 400
    for key in range(40):
        order = [first[str(number)] for number in range(key, 400, 40)]
        assert order == sorted(order)


@pytest.mark.rule("3.3-1")
@virtual_time
async def test_a_record_too_large_for_any_event_spends_the_retries_and_lets_the_next_pass() -> None:
    stage = Stage()
    _, before = stage.stream.put("key", b"small")
    stage.stream.shards[0].append(
        int(before) + 1,
        {
            "SequenceNumber": str(int(before) + 1),
            "ApproximateArrivalTimestamp": stage.loop.wall(),
            "Data": "A" * 6_700_000,
            "PartitionKey": "key",
        },
        5 << 20,
        stage.loop.wall(),
    )
    stage.clicks("after")
    function = ScriptedFunction()
    async with stage.run(stage.kinesis_source(), function, maximum_retry_attempts=2) as pollers:
        await asyncio.sleep(60)
        assert pollers.meters()[0].dropped == 1
    assert texts(function) == ["small", "after"]


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ("arn:aws:sqs:us-east-1:123456789012:orders", "is not the ARN of a Kinesis stream"),
        ("arn:aws:kinesis:us-east-1:123456789012:stream/clicks/mine", "is not the ARN of a Kinesis stream"),
        ("arn:kinesis", "is no ARN"),
    ],
)
def test_what_names_no_stream_is_refused(stream: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        KinesisSource(stream, store=MemoryStore())


def test_a_region_that_is_not_the_streams_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="the region given is eu-west-1"):
        KinesisSource("arn:aws:kinesis:us-east-1:123456789012:stream/s", region="eu-west-1", store=MemoryStore())
