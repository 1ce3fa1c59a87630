"""Failure documents brought back to their records, and the records to the function: from files, queues and buckets."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4
from xml.sax.saxutils import escape

import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from pollers.aws.arn import QueueName
from pollers.flow.records import Partition, Throttled, Unreachable
from pollers.service.cli import cli
from pollers.service.replay.calling import Caller
from pollers.service.replay.documents import Document, Malformed, read
from pollers.service.replay.origins import Found
from pollers.service.replay.queue_origin import VISIBILITY, QueueOrigin
from pollers.service.replay.rebuilding import Rebuilt
from pollers.service.replay.rereading import Rereading
from pollers.sources.kinesis_shape import KinesisShape
from pollers.testing.front import EmbeddedAws
from pollers.testing.functions import ScriptedFunction
from pollers.testing.kinesis import KinesisLimits, KinesisModel
from pollers.testing.loop import VirtualLoop, clock, virtual_time
from pollers.testing.queues import EmbeddedQueue
from pollers.testing.sqs import SqsModel
from pollers.testing.streams import EmbeddedStream
from pollers.testing.tables import EmbeddedTable
from pollers.testing.wireless import Wireless

SHOP = """
import base64, json, pathlib

def handle(event, context):
    print("handled")
    journal = pathlib.Path(__file__).with_name("journal.jsonl")
    with journal.open("a") as file:
        file.write(json.dumps(event) + "\\n")
    bad = [record for record in event["Records"] if text(record) == "bad"]
    return {"batchItemFailures": [{"itemIdentifier": name(record)} for record in bad]}

def text(record):
    return base64.b64decode(record["kinesis"]["data"]).decode() if "kinesis" in record else ""

def name(record):
    return record["kinesis"]["sequenceNumber"]
"""
FILE = """
[functions.shop]
handler = "{module}.handle"
[[event_source_mappings]]
name = "clicks"
function_name = "shop"
event_source_arn = "{arn}"
starting_position = "TRIM_HORIZON"
function_response_types = ["ReportBatchItemFailures"]
"""
QUEUE_MAPPING = """
[[event_source_mappings]]
name = "orders"
function_name = "shop"
event_source_arn = "arn:aws:sqs:us-east-1:123456789012:orders"
"""


class Shop:
    """A folder with a configuration and its function, which writes down every event."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "mappings.toml"
        self.documents = folder / "failures.jsonl"

    def configure(self, arn: str, more: str = "") -> None:
        module = f"shop_{uuid4().hex}"
        (self.folder / f"{module}.py").write_text(SHOP)
        self.file.write_text(FILE.format(module=module, arn=arn) + more)

    def write(self, *documents: dict[str, Any] | str) -> None:
        lines = [one if isinstance(one, str) else json.dumps(one) for one in documents]
        self.documents.write_text("".join(f"{line}\n" for line in lines))

    def replay(self, *options: str | Path, documents: str | Path = "", mapping: str = "clicks") -> Result:
        place = str(documents or self.documents)
        arguments = ["replay", str(self.file), mapping, "--from", place, *map(str, options)]
        return CliRunner().invoke(cli, arguments, standalone_mode=False)

    def events(self) -> list[dict[str, Any]]:
        journal = self.folder / "journal.jsonl"
        return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []

    def sequences(self) -> list[list[str]]:
        return [[record["kinesis"]["sequenceNumber"] for record in event["Records"]] for event in self.events()]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def stream(shop: Shop, pollers_kinesis_stream: Callable[..., EmbeddedStream]) -> EmbeddedStream:
    made = pollers_kinesis_stream("clicks")
    shop.configure(made.arn)
    return made


def document(
    stream: EmbeddedStream, written: list[tuple[str, str]], *, size: int = 0, events: Any = None, **members: Any
) -> dict[str, Any]:
    """A document about records as `put` returned them."""
    made: dict[str, Any] = {
        "requestContext": {"requestId": str(uuid4()), "condition": "RetryAttemptsExhausted"},
        "version": "1.0",
        "timestamp": "2026-01-31T12:00:00.000Z",
        "KinesisBatchInfo": {
            "shardId": written[0][0],
            "startSequenceNumber": written[0][1],
            "endSequenceNumber": written[-1][1],
            "batchSize": size or len(written),
            "streamArn": stream.arn,
        },
        **members,
    }
    if events is not None:
        made["payload"] = json.dumps({"Records": events})
    return made


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def outcomes(result: Result) -> list[str]:
    return [line["outcome"] for line in lines(result) if "outcome" in line]


def code(result: Result) -> Any:
    return result.return_value or 0


# What is called


def test_records_are_read_again_and_given_to_the_function_as_the_mapping_would(
    shop: Shop, stream: EmbeddedStream
) -> None:
    written = [stream.put(text) for text in ("before", "one", "two", "after")]
    shop.write(document(stream, written[1:3]))

    result = shop.replay()

    (event,) = shop.events()
    first, second = event["Records"]
    assert first["eventID"] == f"{written[1][0]}:{written[1][1]}"
    assert first["invokeIdentityArn"] == "arn:aws:iam::123456789012:role/pollers"
    assert [record["kinesis"]["data"] for record in (first, second)] == ["b25l", "dHdv"]
    assert outcomes(result) == ["replayed"]
    assert lines(result)[0]["origin"] == "stream"
    assert lines(result)[-1]["summary"] == {"replayed": 1}
    assert code(result) == 0
    assert "handled" not in result.stdout


def test_documents_are_replayed_in_the_order_of_their_records_and_a_batch_once(
    shop: Shop, stream: EmbeddedStream
) -> None:
    written = [stream.put(str(number)) for number in range(4)]
    early, late = document(stream, written[:2]), document(stream, written[2:])
    shop.write(late, early, late)

    result = shop.replay()

    assert shop.sequences() == [[one[1] for one in written[:2]], [one[1] for one in written[2:]]]
    assert outcomes(result) == ["replayed", "replayed", "repeated"]


def test_changes_of_a_table_are_read_again(shop: Shop, pollers_dynamodb_table: Callable[..., EmbeddedTable]) -> None:
    table = pollers_dynamodb_table("orders")
    shop.configure(table.stream_arn)
    for number in range(3):
        table.put({"id": {"S": "1"}, "n": {"N": str(number)}})
    (shard,) = table.shards()
    info = {"shardId": shard.id, "startSequenceNumber": shard.sequences[1], "endSequenceNumber": shard.sequences[2]}
    context = {"requestId": "1", "condition": "RecordAgeExceeded"}
    batch = {**info, "batchSize": 2, "streamArn": table.stream_arn}
    shop.write({"requestContext": context, "timestamp": "2026-01-31T12:00:00Z", "DDBStreamBatchInfo": batch})

    assert outcomes(shop.replay()) == ["replayed"]

    (event,) = shop.events()
    assert [record["dynamodb"]["NewImage"]["n"] for record in event["Records"]] == [{"N": "1"}, {"N": "2"}]
    table.trim(shard.id, shard.sequences[1])
    result = shop.replay()
    assert outcomes(result) == ["gone"]
    assert code(result) == 1


def test_reported_record_makes_the_replay_of_its_document_a_failure(shop: Shop, stream: EmbeddedStream) -> None:
    good, bad = stream.put("good"), stream.put("bad")
    shop.write(document(stream, [good, bad]), document(stream, [good]))

    result = shop.replay()

    assert sorted(outcomes(result)) == ["failed", "replayed"]
    assert any(f"1 of 2 records were reported as failed, the first is {bad[1]}" in str(line) for line in lines(result))
    assert code(result) == 1


def test_dry_run_calls_nothing(shop: Shop, stream: EmbeddedStream) -> None:
    shop.write(document(stream, [stream.put("one")]))

    result = shop.replay("--dry-run")

    assert (outcomes(result), shop.events(), code(result)) == (["would be replayed"], [], 0)


# What the stream no longer has


def test_event_in_the_document_stands_in_for_records_that_are_gone(
    shop: Shop, stream: EmbeddedStream, pollers_aws: EmbeddedAws
) -> None:
    written = [stream.put(text) for text in ("one", "two")]
    event = {"kinesis": {"sequenceNumber": written[0][1], "data": "b25l"}, "kept": True}
    shop.write(document(stream, written[:1], events=[event]), document(stream, written[:1]))
    pollers_aws.run(lambda: pollers_aws.kinesis.stream("clicks").shard(written[0][0]).trim(int(written[0][1])))

    result = shop.replay()

    assert shop.events() == [{"Records": [event]}]
    assert sorted(outcomes(result)) == ["gone", "replayed"]
    assert {"document", None} == {line["origin"] for line in lines(result) if "origin" in line}
    assert code(result) == 1


def test_records_of_another_stream_of_that_name_are_gone(shop: Shop, stream: EmbeddedStream) -> None:
    shop.write(document(stream, [("shardId-000000000077", "1")]), document(stream, [("shardId-000000000000", "7")]))

    assert outcomes(shop.replay()) == ["gone", "gone"]


def test_document_of_a_window_needs_the_event_that_holds_its_state(shop: Shop, stream: EmbeddedStream) -> None:
    written = [stream.put("one")]
    window: dict[str, Any] = {"timeWindowInfo": {"window": {}}}
    final = document(stream, written, **window)
    final["KinesisBatchInfo"] = {"shardId": written[0][0], "streamArn": stream.arn}
    held = {**final, "payload": json.dumps({"Records": [], "state": {"sum": 1}, "isFinalInvokeForWindow": True})}
    held["requestContext"] = {"requestId": "held", "condition": "RetryAttemptsExhausted"}
    shop.write(document(stream, written, **window), final, held)

    result = shop.replay()

    assert sorted(outcomes(result)) == ["gone", "gone", "replayed"]
    assert [event["state"] for event in shop.events()] == [{"sum": 1}]


# Which records of a range


def between(shop: Shop, stream: EmbeddedStream, more: str) -> list[tuple[str, str]]:
    """Records of two keys, taking turns, under a mapping with these lines more."""
    shop.configure(stream.arn, more)
    return [stream.put(json.dumps({"kind": key}), key=key) for key in ("a", "b", "a", "b", "a")]


@pytest.mark.parametrize(
    "more",
    [
        "parallelization_factor = 10\n",
        'filter_criteria = { Filters = [{ Pattern = "{\\"partitionKey\\":[\\"a\\"]}" }] }\n',
    ],
    ids=["lane", "filter"],
)
def test_records_of_other_lanes_and_filtered_ones_are_left_out(shop: Shop, stream: EmbeddedStream, more: str) -> None:
    written = between(shop, stream, more)
    shop.write(document(stream, written, size=3))

    assert outcomes(shop.replay()) == ["replayed"]

    assert shop.sequences() == [[one[1] for one in written[::2]]]


def test_what_cannot_be_told_is_replayed_only_when_asked_for_or_named_by_the_event(
    shop: Shop, stream: EmbeddedStream
) -> None:
    written = between(shop, stream, "")
    shop.write(document(stream, written, size=2))
    refused = shop.replay()

    assert (outcomes(refused), shop.events(), code(refused)) == (["ambiguous"], [], 1)

    assert outcomes(shop.replay("--whole-range")) == ["replayed"]
    events = [{"kinesis": {"sequenceNumber": one[1], "data": ""}} for one in (written[0], written[4])]
    shop.write(document(stream, written, size=2, events=events))
    assert outcomes(shop.replay()) == ["replayed"]
    assert shop.sequences() == [[one[1] for one in written], [written[0][1], written[4][1]]]


# Which documents


@pytest.mark.parametrize(
    ("options", "replayed"),
    [
        (["--shard", "shardId-000000000000"], 2),
        (["--shard", "shardId-000000000001"], 0),
        (["--condition", "RecordAgeExceeded"], 1),
        (["--condition", "RecordAgeExceeded", "--condition", "RetryAttemptsExhausted"], 2),
        (["--request-id", "second"], 1),
        (["--since", "2026-02-01"], 1),
        (["--until", "2026-02-01T00:00:00+00:00"], 1),
        (["--since", "2026-01-31T12:00:00Z", "--until", "2026-02-01T12:00:00Z"], 1),
    ],
)
def test_only_what_is_asked_for_is_replayed(
    shop: Shop, stream: EmbeddedStream, options: list[str], replayed: int
) -> None:
    second = {"requestId": "second", "condition": "RecordAgeExceeded"}
    later: dict[str, Any] = {"requestContext": second, "timestamp": "2026-02-01T12:00:00.000Z"}
    shop.write(document(stream, [stream.put("one")]), document(stream, [stream.put("two")], **later))

    result = shop.replay("--dry-run", *options)

    assert len(outcomes(result)) == replayed
    assert lines(result)[-1]["not_asked_for"] == 2 - replayed
    assert code(result) == 0


def test_documents_of_other_sources_are_counted_and_malformed_ones_named(shop: Shop, stream: EmbeddedStream) -> None:
    other = document(stream, [stream.put("one")])
    other["KinesisBatchInfo"]["streamArn"] += "-2"
    consumer = document(stream, [stream.put("two")])
    consumer["KinesisBatchInfo"]["streamArn"] += "/consumer/fan:1"
    shop.write("{", other, "", consumer, "[1]")

    result = shop.replay()

    assert outcomes(result) == ["malformed", "malformed", "replayed"]
    assert [line["document"].rpartition(":")[2] for line in lines(result)[:3]] == ["1", "5", "4"]
    assert lines(result)[-1]["other_sources"] == 1
    assert code(result) == 1


def test_a_consumers_documents_bring_records_one_by_one(shop: Shop, stream: EmbeddedStream) -> None:
    shop.configure(consumer := stream.consumer("fan"))
    stream.put("before")
    written = [stream.put("one"), stream.put_aggregated(["two", "three"]), stream.put("four")]
    whole, part = document(stream, written, size=4), document(stream, written[1:2], size=1)
    for made in (whole, part):
        made["KinesisBatchInfo"]["streamArn"] = consumer
    shop.write(whole, part)

    result = shop.replay()

    assert outcomes(result) == ["replayed", "ambiguous"]
    (event,) = shop.events()
    assert [base64.b64decode(one["kinesis"]["data"]) for one in event["Records"]] == [b"one", b"two", b"three", b"four"]
    assert {one["eventSourceARN"] for one in event["Records"]} == {consumer}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mapping": "nothing"}, "there is no mapping nothing"),
        ({"mapping": "orders"}, "reads a queue"),
        ({"documents": "arn:aws:sns:us-east-1:123456789012:t"}, "no place for failure documents"),
        ({"documents": "ftp://x/y"}, "no place for failure documents"),
        ({"documents": "arn:aws:sqs:us-east-1:123456789012:q.fifo"}, "FIFO queue"),
        ({"documents": "s3://"}, "names no bucket"),
        ({"documents": "/nowhere/at/all.jsonl"}, "no such file"),
    ],
)
def test_what_cannot_be_replayed_from_is_told(
    shop: Shop, stream: EmbeddedStream, arguments: dict[str, str], message: str
) -> None:
    shop.configure(stream.arn, QUEUE_MAPPING)

    result = shop.replay(**arguments)

    assert result.return_value == 78
    assert message in result.stderr


def test_lines_of_a_file_cannot_be_deleted(shop: Shop, stream: EmbeddedStream) -> None:
    shop.write()

    assert "is no bucket" in shop.replay("--delete").stderr


# Queues


def test_replayed_messages_are_deleted_and_the_others_can_be_received_at_once(
    shop: Shop, stream: EmbeddedStream, pollers_sqs_queue: Callable[..., EmbeddedQueue]
) -> None:
    queue = pollers_sqs_queue("failures")
    kept = document(stream, [stream.put("bad")])
    notification = {"Type": "Notification", "Message": json.dumps(document(stream, [stream.put("three")]))}
    bodies = [json.dumps(one) for one in (document(stream, [stream.put("one")]), kept, notification)] + ["{"]
    for body in bodies:
        queue.send(body)

    dry = shop.replay("--dry-run", documents=queue.arn)
    assert sorted(outcomes(dry)) == ["malformed", *["would be replayed"] * 3]
    assert queue.counts() == (4, 0, 0)
    result = shop.replay(documents=queue.url)

    assert sorted(outcomes(result)) == ["failed", "malformed", "replayed", "replayed"]
    assert queue.bodies() == [bodies[1], "{"]
    assert queue.counts() == (2, 0, 0)


# Buckets


class Bucket:
    """A bucket as far as replay needs one; two keys on a page."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def handle(self, request: web.Request) -> web.Response:
        bucket, _, key = request.match_info["path"].partition("/")
        assert bucket == "failures"
        if not key:
            return self._list(request.query)
        if request.method == "DELETE":
            del self.objects[key]
            return web.Response(status=204)
        return web.Response(body=self.objects[key])

    def _list(self, query: Any) -> web.Response:
        after = query.get("continuation-token", "")
        keys = sorted(key for key in self.objects if key.startswith(query["prefix"]) and key > after)
        contents = "".join(f"<Contents><Key>{escape(key)}</Key></Contents>" for key in keys[:2])
        more = f"<NextContinuationToken>{escape(keys[1])}</NextContinuationToken>" if len(keys) > 2 else ""
        truncated = str(len(keys) > 2).lower()
        body = f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{contents}{more}</ListBucketResult>"
        return web.Response(text=body, content_type="application/xml")


@pytest.fixture
def bucket(pollers_aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Served from a thread of its own."""
    made = Bucket()
    ready, over = threading.Event(), asyncio.Event()
    served: list[tuple[asyncio.AbstractEventLoop, str]] = []

    async def serve() -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", made.handle)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        served.append((asyncio.get_running_loop(), f"http://127.0.0.1:{runner.addresses[0][1]}"))
        ready.set()
        await over.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(10)
    loop, url = served[0]
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
    yield made
    loop.call_soon_threadsafe(over.set)
    thread.join()


def test_objects_are_read_page_by_page_and_deleted_only_on_demand(
    shop: Shop, stream: EmbeddedStream, bucket: Bucket
) -> None:
    for number in range(3):
        bucket.objects[f"aws/lambda/clicks/{number}"] = json.dumps(document(stream, [stream.put("good")])).encode()
    failing = "aws/lambda/other/3"
    bucket.objects[failing] = json.dumps(document(stream, [stream.put("bad")])).encode()
    bucket.objects["elsewhere"] = b"{"

    assert outcomes(shop.replay(documents="s3://failures/aws/lambda/clicks/")) == ["replayed"] * 3
    assert len(bucket.objects) == 5
    result = shop.replay("--delete", documents="arn:aws:s3:::failures")

    assert sorted(outcomes(result)) == ["failed", *["replayed"] * 3]
    assert sorted(bucket.objects) == [failing, "elsewhere"]


# What a document says


def changed(**members: Any) -> bytes:
    info = {"shardId": "s", "startSequenceNumber": "1", "endSequenceNumber": "2", "batchSize": 2, "streamArn": "a"}
    context = {"requestId": "1", "condition": "RecordAgeExceeded"}
    made = {"requestContext": context, "timestamp": "2026-01-31T12:00:00Z", "KinesisBatchInfo": info}
    info.update(members.pop("info", {}))
    return json.dumps({**made, **members}).encode()


def topic_document(name: str = "orders-0", first: str = "5", last: str = "6") -> bytes:
    records = {name: {"firstRecordOffset": first, "lastRecordOffset": last}}
    info = {"bootstrapServers": "broker:9092", "batchSize": 2, "recordsInfo": records}
    return changed(KinesisBatchInfo=None, KafkaBatchInfo=info)


def test_document_with_half_a_surrogate_pair_is_one() -> None:
    assert isinstance(read(Found("p", "h", changed(payload='{"Records": ["\ud83d"]}'))), Document)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff", "decode"),
        (b"[" * 100_000, "recursion"),
        (b"3", "no JSON object"),
        (b"{}", "requestContext"),
        (changed(timestamp="yesterday"), "timestamp"),
        (changed(KinesisBatchInfo=None), "has none of"),
        (changed(info={"batchSize": 0}), "batchSize"),
        (changed(info={"startSequenceNumber": "x"}), "startSequenceNumber"),
        (changed(info={"startSequenceNumber": "3"}), "end before they start"),
        (changed(KinesisBatchInfo=None, KafkaBatchInfo={}), "KafkaBatchInfo"),
        (topic_document(first="7", last="6"), "end before they start"),
        (topic_document(first="x"), "firstRecordOffset"),
        (topic_document(name="orders"), "recordsInfo"),
        (changed(info={"startSequenceNumber": None, "endSequenceNumber": None}), "which records"),
    ],
)
def test_malformed_document_says_why(content: bytes, reason: str) -> None:
    found = read(Found("p", "h", content))

    assert isinstance(found, Malformed)
    assert reason in found.reason


# While it takes time


def model_queue() -> tuple[SqsModel, QueueOrigin]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    sqs = SqsModel(loop.wall)
    sqs.call("CreateQueue", {"QueueName": "failures"})
    name = "arn:aws:sqs:us-east-1:123456789012:failures"
    return sqs, QueueOrigin(Wireless({"sqs": sqs}), QueueName.parse(name), name)


@virtual_time
async def test_messages_stay_away_from_others_for_as_long_as_they_are_held() -> None:
    sqs, origin = model_queue()
    queue = sqs.queue("failures")
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/failures"
    for number in range(12):
        sqs.call("SendMessage", {"QueueUrl": url, "MessageBody": str(number)})
    async with asyncio.TaskGroup() as group:
        keeper = group.create_task(origin.keep())
        assert len([found async for found in origin.look()]) == 12
        await asyncio.sleep(4 * VISIBILITY)
        queue.advance(sqs.now())
        assert queue.counts[1:3] == [0, 12]
        keeper.cancel()
    await origin.close()
    queue.advance(sqs.now())
    assert queue.counts[1:3] == [12, 0]


@virtual_time
async def test_function_that_is_throttled_is_called_again_for_a_while() -> None:
    rebuilt = Rebuilt({"Records": []}, (), "stream")
    function = ScriptedFunction([Throttled(after=30.0), Unreachable("down")])
    started = asyncio.get_running_loop().time()

    assert await Caller(function, clock(), reports=True).call(rebuilt) == ""
    assert asyncio.get_running_loop().time() - started == 31.0

    never = ScriptedFunction(lambda invoked: Throttled())
    assert await Caller(never, clock(), reports=True).call(rebuilt) == "the function is throttled"
    assert len(never.calls) == 5


@virtual_time
async def test_function_that_never_ends_is_cut_off_at_its_timeout() -> None:
    function = ScriptedFunction(seconds=60.0, timeout=3.0)
    reason = await Caller(function, clock(), reports=False).call(Rebuilt({"Records": []}, (), "stream"))
    assert reason == "Sandbox.Timedout: Task timed out after 3.00 seconds"


@virtual_time
async def test_throttled_read_is_made_again_and_pages_are_put_together() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    kinesis = KinesisModel(loop.wall, limits=KinesisLimits(writes_per_second=None, reads_per_second=1))
    kinesis.call("CreateStream", {"StreamName": "clicks", "ShardCount": 1})
    stream = kinesis.stream("clicks")
    written = [stream.put("key", b"x") for _ in range(2_500)]
    wireless = Wireless({"kinesis": kinesis})
    shape = KinesisShape(stream.arn, "us-east-1", "role")
    shard, first, last = Partition(written[0][0]), int(written[1][1]), int(written[2_400][1])

    records = await Rereading("Kinesis", stream.arn, shape, wireless).records(shard, first, last)

    assert [raw["SequenceNumber"] for raw in records] == [number for _, number in written[1:2_401]]
    assert sum(made.operation == "GetRecords" for made in wireless.calls) > 3
