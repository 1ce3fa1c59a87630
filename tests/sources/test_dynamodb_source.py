"""DynamoDB Streams, on its model in virtual time: events, rollover, order by item, positions, and what goes wrong."""

from __future__ import annotations

import asyncio
import random

import pytest
from stream_stage import Stage, records, values

from pollers.config.library import EventSourceMapping
from pollers.engine.supervisor import Pollers
from pollers.errors import ConfigurationError, SourceError
from pollers.sources.dynamodb import DynamoDbSource
from pollers.sources.shards.pace import Paces
from pollers.spi import Failed, Outcome, Returned
from pollers.stores.memory import MemoryStore
from pollers.telemetry import PartitionGranted, RecordsMissed, Warned
from pollers.testing.functions import Invoked, ScriptedFunction
from pollers.testing.loop import clock, virtual_time


@pytest.mark.rule("2.3-1", "2.3-2", "2.3-3", "2.3-5")
@virtual_time
async def test_the_event_is_that_of_lambda() -> None:
    stage = Stage()
    made = int(stage.loop.wall())
    stage.change("1", "a", "b")
    function = await stage.read_for(5, stage.dynamodb_source())
    _, second = records(function)
    identifier, sequence = second["eventID"], second["dynamodb"]["SequenceNumber"]
    assert second == {
        "eventID": identifier,
        "eventName": "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "ApproximateCreationDateTime": float(made),
            "Keys": {"id": {"S": "1"}},
            "NewImage": {"id": {"S": "1"}, "value": {"S": "b"}},
            "OldImage": {"id": {"S": "1"}, "value": {"S": "a"}},
            "SequenceNumber": sequence,
            "SizeBytes": 3 + 2 * (3 + 6),
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "eventSourceARN": stage.table.stream_arn,
    }
    assert len(identifier) == 32
    assert int(identifier, 16) >= 0


@pytest.mark.rule("2.3-6")
@virtual_time
async def test_an_item_that_expired_says_who_deleted_it() -> None:
    stage = Stage()
    stage.change("1", "a")
    stage.table.expire({"id": {"S": "1"}})
    function = await stage.read_for(5, stage.dynamodb_source())
    assert [record["eventName"] for record in records(function)] == ["INSERT", "REMOVE"]
    assert records(function)[1]["userIdentity"] == {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    assert "NewImage" not in records(function)[1]["dynamodb"]


@pytest.mark.rule("2.3-7")
@virtual_time
async def test_a_write_that_changes_nothing_is_not_delivered() -> None:
    stage = Stage()
    stage.change("1", "a", "a", "b")
    assert values(await stage.read_for(5, stage.dynamodb_source())) == ["a", "b"]


@pytest.mark.rule("2.3-4")
@virtual_time
async def test_attribute_values_keep_dynamodbs_json() -> None:
    stage = Stage()
    item = {
        "id": {"S": "1"},
        "number": {"N": "42.5"},
        "binary": {"B": "AAEC/w=="},
        "set": {"NS": ["1", "2"]},
        "map": {"M": {"list": {"L": [{"BOOL": True}, {"NULL": True}]}}},
    }
    stage.table.put(item)
    function = await stage.read_for(5, stage.dynamodb_source())
    assert records(function)[0]["dynamodb"]["NewImage"] == item


@virtual_time
async def test_what_a_function_does_to_its_event_is_not_seen_by_the_next_attempt() -> None:
    stage = Stage()
    stage.change("1", "a")
    seen = []

    def answer(call: Invoked) -> Outcome:
        image = call.event["Records"][0]["dynamodb"]["NewImage"]
        seen.append(image["value"]["S"])
        image["value"]["S"] = "spoilt"
        return Failed("ValueError", "once") if len(seen) == 1 else Returned()

    async with stage.run(stage.dynamodb_source(), ScriptedFunction(answer)):
        await asyncio.sleep(10)
    assert seen == ["a", "a"]


@pytest.mark.rule("8-5", "4-4")
@pytest.mark.parametrize("factor", [1, 4])
def test_rollover_and_splits_keep_the_changes_of_each_item_in_order(factor: int) -> None:
    virtual_time(_rollover)(factor)


async def _rollover(factor: int) -> None:
    stage, chance = Stage(shards=3), random.Random(factor)
    expected: dict[str, list[str]] = {}

    async def answer(call: Invoked) -> Outcome:
        await asyncio.sleep(chance.random())
        return Failed("ValueError", "one in ten") if chance.random() < 0.1 else Returned()

    function = ScriptedFunction(answer)
    source = stage.dynamodb_source(parallelization_factor=factor)
    async with stage.run(source, function, batch_size=7, bisect_batch_on_function_error=True):
        for number in range(400):
            item = f"item-{chance.randrange(25)}"
            stage.change(item, str(number))
            expected.setdefault(item, []).append(str(number))
            if number % 40 == 39:
                stage.table.roll()
            if number % 90 == 89:
                stage.table.split(chance.choice([shard.id for shard in stage.table.shards if shard.open]))
            await asyncio.sleep(chance.random() * 2)
        await asyncio.sleep(900)
    first: dict[str, int] = {}
    for value in values(function):
        first.setdefault(value, len(first))
    assert len(first) == 400
    for changes in expected.values():
        order = [first[value] for value in changes]
        assert order == sorted(order)


@pytest.mark.rule("8-1", "12-19")
@virtual_time
async def test_latest_skips_what_was_there_and_after_a_stop_delivers_what_came_meanwhile() -> None:
    stage = Stage()
    stage.change("1", "before")
    await asyncio.sleep(10)
    assert values(await stage.read_for(5, stage.dynamodb_source(starting_position="LATEST"))) == []
    stage.change("1", "meanwhile")
    await asyncio.sleep(10)
    assert values(await stage.read_for(5, stage.dynamodb_source(starting_position="LATEST"))) == ["meanwhile"]


@pytest.mark.rule("8-3")
@virtual_time
async def test_a_restart_goes_on_in_shards_that_were_rolled_meanwhile() -> None:
    stage = Stage()
    stage.change("1", "a", "b")
    await stage.read_for(5, stage.dynamodb_source())
    stage.change("1", "c")
    stage.table.roll()
    stage.change("1", "d")
    stage.table.roll()
    stage.change("1", "e")
    assert values(await stage.read_for(30, stage.dynamodb_source())) == ["c", "d", "e"]


@pytest.mark.rule("8-7")
@virtual_time
async def test_what_was_trimmed_while_nobody_read_goes_on_at_the_horizon_and_is_said() -> None:
    stage = Stage()
    stage.change("1", "a")
    await stage.read_for(5, stage.dynamodb_source())
    stage.change("1", "lost", "left")
    (shard,) = stage.table.shards
    stage.table.trim(shard.id, shard.records[1]["dynamodb"]["SequenceNumber"])
    assert values(await stage.read_for(5, stage.dynamodb_source())) == ["left"]
    assert len(stage.notes.of(RecordsMissed)) == 1


@virtual_time
async def test_shards_that_aged_out_while_nobody_read_are_said_and_their_descendants_read() -> None:
    stage = Stage()
    stage.change("1", "a")
    await stage.read_for(5, stage.dynamodb_source())
    for number in range(9):
        stage.change("1", f"lost-{number}")
        await asyncio.sleep(4 * 3_600 + 60)
    stage.change("1", "left")
    function = await stage.read_for(60, stage.dynamodb_source())
    assert values(function)[-1] == "left"
    missing = {f"lost-{number}" for number in range(9)} - set(values(function))
    assert missing
    assert stage.notes.of(RecordsMissed) or any(event.note for event in stage.notes.of(PartitionGranted))


@pytest.mark.rule("8-7")
@virtual_time
async def test_more_than_two_mappings_of_a_stream_take_turns_and_that_is_said() -> None:
    stage = Stage()
    stage.change("1", *map(str, range(50)))
    paces = Paces()
    functions = [ScriptedFunction() for _ in range(3)]
    mappings = [
        EventSourceMapping(stage.dynamodb_source(paces=paces), function, name=f"mapping-{number}")
        for number, function in enumerate(functions)
    ]
    async with Pollers(mappings, observers=[stage.notes], clock=clock()):
        begun = stage.loop.time()
        await asyncio.sleep(20)
        reads = sum(1 for call in stage.wireless.calls if call.operation == "GetRecords")
        assert reads <= 8 * (stage.loop.time() - begun) + 1
    assert all(values(function) == list(map(str, range(50))) for function in functions)
    assert any("take turns" in event.message for event in stage.notes.of(Warned))


@virtual_time
async def test_hundreds_of_quiet_shards_are_read_at_their_idle_pace() -> None:
    stage = Stage(shards=300)
    async with stage.run(stage.dynamodb_source(), ScriptedFunction()):
        await asyncio.sleep(60)
        stage.wireless.calls.clear()
        await asyncio.sleep(50)
        reads = sum(1 for call in stage.wireless.calls if call.operation == "GetRecords")
        assert 300 * 9 <= reads <= 300 * 11


@virtual_time
async def test_a_stream_that_is_not_there_is_said_before_anything_runs() -> None:
    stage = Stage()
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/none/stream/2024-01-01T00:00:00.000"
    source = DynamoDbSource(arn, store=stage.store, clients=stage.wireless, clock=clock())
    with pytest.raises(SourceError, match="table/none") as caught:
        await stage.read_for(1, source)
    assert caught.value.missing


@pytest.mark.parametrize("stream", ["arn:aws:dynamodb:us-east-1:123456789012:table/t", "items", "arn:aws:sqs:a:1:b"])
def test_what_names_no_stream_is_refused(stream: str) -> None:
    with pytest.raises(ConfigurationError, match="LatestStreamArn"):
        DynamoDbSource(stream, store=MemoryStore())
