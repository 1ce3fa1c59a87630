"""The loopback front: HTTP as it is spoken by careful and by careless clients, and the three clients of AWS's own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from aiobotocore.session import get_session

from pollers.testing.front import EmbeddedAws
from pollers.testing.http import Connection

AUTHORIZATION = "Authorization: AWS4-HMAC-SHA256 Credential=embedded/x\r\n"


def _request(action, body=b"{}", *, headers=AUTHORIZATION, target="AmazonSQS"):
    head = (
        f"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: {target}.{action}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _json(action, **members):
    return _request(action, json.dumps(members).encode())


async def until(aws, condition):
    """Waits, from one event of the model to the next, until `condition` holds."""
    event = asyncio.Event()
    before = aws.sqs.changed

    def changed():
        before()
        event.set()

    aws.sqs.changed = changed
    while not condition():
        await event.wait()
        event.clear()
    aws.sqs.changed = before


@pytest.fixture
async def aws():
    async with EmbeddedAws() as aws:
        aws.sqs.call("CreateQueue", {"QueueName": "q"})
        yield aws


class Wire:
    """A raw connection."""

    def __init__(self, reader, writer):
        self._reader = reader
        self.writer = writer

    async def answer(self):
        """Status, headers by lower-case name, and the decoded body of the next answer."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return int(head[0].split(" ")[1]), headers, json.loads(body) if body else None

    async def ended(self):
        return await self._reader.read() == b""


@pytest.fixture
async def wire(aws):
    reader, writer = await asyncio.open_connection(*aws.endpoint_url.removeprefix("http://").split(":"))
    yield Wire(reader, writer)
    writer.close()


async def test_connection_serves_one_request_after_the_other(wire):
    for _ in range(3):
        wire.writer.write(_json("GetQueueUrl", QueueName="q"))
        status, headers, body = await wire.answer()
        assert (status, headers["content-type"]) == (200, "application/x-amz-json-1.0")
        assert body["QueueUrl"].endswith("/123456789012/q")


async def test_pipelined_requests_are_answered_in_order_behind_a_long_poll(wire, aws):
    poll = _json("ReceiveMessage", QueueUrl="q", WaitTimeSeconds=20)
    wire.writer.write(poll + _json("GetQueueUrl", QueueName="q") + _json("Nonsense"))
    await until(aws, lambda: aws.sqs.journal.count("ReceiveMessage"))
    assert aws.sqs.journal.count("GetQueueUrl") == 0
    aws.sqs.call("SendMessage", {"QueueUrl": "q", "MessageBody": "a"})
    assert (await wire.answer())[2]["Messages"][0]["Body"] == "a"
    assert "QueueUrl" in (await wire.answer())[2]
    assert (await wire.answer())[0] == 404


async def test_hundreds_of_pipelined_requests_are_all_answered(wire):
    wire.writer.write(_json("GetQueueUrl", QueueName="q", Padding="x" * 4_000) * 300)  # more than one read brings
    for _ in range(300):
        assert (await wire.answer())[0] == 200


async def test_client_that_does_not_read_is_served_when_it_does(wire, aws):
    aws.sqs.call("SendMessage", {"QueueUrl": "q", "MessageBody": "x" * 1_000_000})
    request = _json("ReceiveMessage", QueueUrl="q", VisibilityTimeout=0)
    for _ in range(20):
        wire.writer.write(request)
    for _ in range(20):
        assert len((await wire.answer())[2]["Messages"][0]["Body"]) == 1_000_000


async def test_request_may_come_byte_by_byte(wire):
    for byte in _json("GetQueueUrl", QueueName="q"):
        wire.writer.write(bytes([byte]))
        await wire.writer.drain()
        await asyncio.sleep(0)
    assert (await wire.answer())[0] == 200


async def test_chunked_body_is_read(wire):
    head = (
        f"POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.GetQueueUrl\r\n{AUTHORIZATION}Transfer-Encoding: chunked\r\n\r\n"
    )
    wire.writer.write(head.encode() + b'8\r\n{"QueueN\r\n8\r\name":"q"\r\n1\r\n}\r\n0\r\n\r\n')
    assert (await wire.answer())[0] == 200


async def test_client_that_asks_is_told_to_continue(wire):
    request = _request("GetQueueUrl", b'{"QueueName": "q"}', headers=AUTHORIZATION + "Expect: 100-continue\r\n")
    head, body = request.split(b"\r\n\r\n")
    wire.writer.write(head + b"\r\n\r\n")
    assert (await wire.answer())[0] == 100
    wire.writer.write(body)
    assert (await wire.answer())[0] == 200


async def test_client_is_told_to_continue_only_in_its_turn(wire, aws):
    request = _request("GetQueueUrl", b'{"QueueName": "q"}', headers=AUTHORIZATION + "Expect: 100-continue\r\n")
    head, body = request.split(b"\r\n\r\n")
    wire.writer.write(_json("ReceiveMessage", QueueUrl="q", WaitTimeSeconds=20) + head + b"\r\n\r\n")
    await until(aws, lambda: aws.sqs.journal.count("ReceiveMessage"))
    aws.sqs.call("SendMessage", {"QueueUrl": "q", "MessageBody": "a"})
    assert "Messages" in (await wire.answer())[2]
    assert (await wire.answer())[0] == 100
    wire.writer.write(body)
    assert (await wire.answer())[0] == 200


async def test_connection_close_is_obeyed(wire):
    wire.writer.write(_request("ListQueues", headers=AUTHORIZATION + "Connection: close\r\n"))
    status, headers, _ = await wire.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert await wire.ended()


@pytest.mark.parametrize(
    ("sent", "status", "kind"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "SerializationException"),
        (b"GET / HTTP/1.1\r\n\r\n", 404, "UnknownOperationException"),
        (b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 404, "UnknownOperationException"),
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, "SerializationException"),
        (b"POST / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", 400, "SerializationException"),
        (b"CONNECT x:1 HTTP/1.1\r\n\r\n", 400, "SerializationException"),
        (b"POST / HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", 431, "SerializationException"),
        (_request("ListQueues", b" " * (16 * 1024 * 1024 + 1)), 413, "SerializationException"),
        (_request("ListQueues", target="Nonsense"), 404, "UnknownOperationException"),
        (_request("Nonsense"), 404, "UnknownOperationException"),
        (_request("ListQueues", headers=""), 403, "MissingAuthenticationTokenException"),
        (_request("ListQueues", b"{"), 400, "SerializationException"),
        (_request("ListQueues", b"[]"), 400, "SerializationException"),
        (_request("ListQueues", b'{"a": "\xff"}'), 400, "SerializationException"),
        (_request("ListQueues", b'{"QueueNamePrefix": "\\ud800"}'), 400, "SerializationException"),
        (_request("ListQueues", b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"), 400, "SerializationException"),
        (_request("ListQueues", b'{"MaxResults": ' + b"9" * 20_000 + b"}"), 400, "SerializationException"),
        (_request("ListQueues", b'{"MaxResults": 1e999}'), 400, "SerializationException"),
    ],
)
async def test_nonsense_gets_an_error_as_from_aws_and_the_front_lives(wire, aws, sent, status, kind):
    wire.writer.write(sent)
    got, headers, body = await wire.answer()
    assert (got, body["__type"].partition("#")[2]) == (status, kind)
    assert headers["x-amzn-requestid"]
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(*aws.endpoint_url.removeprefix("http://").split(":"))
        writer.write(_request("ListQueues"))
        assert (await Wire(reader, writer).answer())[0] == 200
        writer.close()


async def test_refusal_waits_for_earlier_answers_and_ends_the_connection(wire):
    wire.writer.write(_json("GetQueueUrl", QueueName="q") + b"nonsense\r\n\r\n" + _json("ListQueues"))
    assert (await wire.answer())[0] == 200
    status, headers, _ = await wire.answer()
    assert (status, headers["connection"]) == (400, "close")
    assert await wire.ended()


async def test_fault_carries_the_type_and_the_query_code(wire):
    wire.writer.write(_json("GetQueueUrl", QueueName="none"))
    status, headers, body = await wire.answer()
    assert status == 400
    assert headers["x-amzn-query-error"] == "AWS.SimpleQueueService.NonExistentQueue;Sender"
    assert body == {"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "The specified queue does not exist."}


async def test_failing_model_is_answered_with_500_and_logged(wire, aws, caplog):
    aws.sqs.journal.calls = None
    wire.writer.write(_json("ListQueues"))
    status, headers, body = await wire.answer()
    assert (status, headers["x-amzn-query-error"]) == (500, "InternalFailure;Receiver")
    assert body["__type"].endswith("#InternalFailure")
    assert "The model failed" in caplog.text


async def test_dropped_connection_cancels_its_long_poll(wire, aws):
    wire.writer.write(_json("ReceiveMessage", QueueUrl="q", WaitTimeSeconds=20))
    await until(aws, lambda: aws.sqs.wake_at() is not None)
    wire.writer.close()
    async with asyncio.timeout(5):  # much less than the poll would last
        await until(aws, lambda: aws.sqs.wake_at() is None)
    aws.sqs.call("SendMessage", {"QueueUrl": "q", "MessageBody": "a"})
    assert "Messages" in aws.sqs.call("ReceiveMessage", {"QueueUrl": "q"})


class Transport(asyncio.Transport):
    """A transport that only remembers."""

    def __init__(self):
        super().__init__()
        self.written = b""

    def write(self, data):
        self.written += data

    def is_closing(self):
        return False


def test_end_of_the_clients_side_is_a_loss_at_once():
    events = []

    def handle(request, connection):
        connection.on_lost = lambda: events.append("lost")

    connection = Connection(handle, set())
    connection.connection_made(Transport())
    connection.data_received(_request("ReceiveMessage"))
    connection.eof_received()
    assert events == ["lost"]
    connection.connection_lost(None)
    assert events == ["lost"]


def test_nothing_is_begun_for_a_client_that_does_not_read():
    begun = []
    connection = Connection(lambda request, connection: begun.append(request), set())
    connection.connection_made(Transport())
    connection.pause_writing()
    connection.data_received(_request("ListQueues"))
    assert begun == []
    connection.resume_writing()
    assert len(begun) == 1


async def test_ordered_drop_ends_the_connection_without_an_answer(wire, aws):
    aws.sqs.trouble.drop("ListQueues")
    wire.writer.write(_request("ListQueues"))
    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
        await wire.answer()


async def test_waiting_poll_is_answered_in_time_by_the_front_alone(wire, aws):
    """A message that becomes visible, and the end of the wait, both come from the front's own timer."""
    aws.sqs.call("SendMessage", {"QueueUrl": "q", "MessageBody": "a"})
    aws.sqs.call("ReceiveMessage", {"QueueUrl": "q", "VisibilityTimeout": 1})
    poll = _json("ReceiveMessage", QueueUrl="q", WaitTimeSeconds=3)
    wire.writer.write(poll)
    assert "Messages" in (await wire.answer())[2]
    wire.writer.write(_json("ReceiveMessage", QueueUrl="q", WaitTimeSeconds=1))
    assert (await wire.answer())[2] == {}


async def test_clock_of_the_test_ends_a_poll():
    time = [1_000.0]
    async with EmbeddedAws(clock=lambda: time[0]) as aws:
        url = aws.sqs.call("CreateQueue", {"QueueName": "q"})["QueueUrl"]
        poll = aws.sqs.call("ReceiveMessage", {"QueueUrl": url, "WaitTimeSeconds": 20})
        time[0] += 20
        aws.sqs.tick()
        assert poll.answer == {}


async def test_leaving_ends_open_polls_and_frees_the_port():
    async with EmbeddedAws() as aws:
        aws.sqs.call("CreateQueue", {"QueueName": "q"})
        host, port = aws.endpoint_url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(_json("ReceiveMessage", QueueUrl="q", WaitTimeSeconds=20))
        await until(aws, lambda: aws.sqs.wake_at() is not None)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()
    async with EmbeddedAws(port=int(port)) as again:
        assert again.endpoint_url == f"http://{host}:{port}"


async def test_aiobotocore_uses_it_as_sqs(aws):
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
    async with get_session().create_client(
        "sqs", endpoint_url=aws.endpoint_url, region_name="us-east-1", **keys
    ) as client:
        url = (await client.create_queue(QueueName="aio"))["QueueUrl"]
        attributes = {
            "n": {"DataType": "Number", "StringValue": "1"},
            "b": {"DataType": "Binary", "BinaryValue": b"\0"},
        }
        receive = client.receive_message(QueueUrl=url, WaitTimeSeconds=20, MessageAttributeNames=["All"])
        received = asyncio.create_task(receive)
        await client.send_message(QueueUrl=url, MessageBody="é", MessageAttributes=attributes)
        (message,) = (await received)["Messages"]
        assert (message["Body"], message["MessageAttributes"]) == ("é", attributes)
        await client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        with pytest.raises(client.exceptions.QueueDoesNotExist) as caught:
            await client.get_queue_url(QueueName="none")
        assert caught.value.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"
        with pytest.raises(client.exceptions.ReceiptHandleIsInvalid):
            await client.delete_message(QueueUrl=url, ReceiptHandle="x")


def test_boto3_uses_it_as_sqs_from_a_thread():
    with EmbeddedAws.in_thread(region="eu-west-1") as aws:
        keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
        client = boto3.client("sqs", endpoint_url=aws.endpoint_url, region_name="eu-west-1", **keys)
        url = client.create_queue(QueueName="boto", tags={"a": "b"})["QueueUrl"]
        entries = [{"Id": id, "MessageBody": id} for id in "ab"]
        assert len(client.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]) == 2
        arn = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        assert arn == "arn:aws:sqs:eu-west-1:123456789012:boto"
        with pytest.raises(client.exceptions.QueueNameExists):
            client.create_queue(QueueName="boto", Attributes={"DelaySeconds": "5"})
        assert aws.run(lambda: aws.sqs.queue("boto").bodies()) == ["a", "b"]
        client.close()


def test_aws_cli_uses_it_as_sqs():
    cli = Path(sys.executable).with_name("aws")
    with EmbeddedAws.in_thread() as aws:

        def run(*arguments):
            command = [str(cli), "sqs", *arguments, "--endpoint-url", aws.endpoint_url]
            environment = {**os.environ, **aws.environment}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
            return done.returncode, json.loads(done.stdout or "null"), done.stderr

        url = run("create-queue", "--queue-name", "cli")[1]["QueueUrl"]
        assert run("send-message", "--queue-url", url, "--message-body", "hello")[0] == 0
        assert run("receive-message", "--queue-url", url)[1]["Messages"][0]["Body"] == "hello"
        code, _, error = run("get-queue-url", "--queue-name", "none")
        assert code != 0
        assert "AWS.SimpleQueueService.NonExistentQueue" in error


def test_port_that_is_taken_is_the_callers_error():
    with EmbeddedAws.in_thread() as aws:
        port = int(aws.endpoint_url.rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"), EmbeddedAws.in_thread(port=port):
            raise AssertionError("two servers share a port")


def test_run_outside_of_its_time_says_what_to_do():
    with pytest.raises(RuntimeError, match="enter them first"):
        EmbeddedAws().run(list)
