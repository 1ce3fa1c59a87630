"""An SQS that does nothing but answer, at once and always the same: ten messages to a receive, success to a delete.

It runs in a process of its own (`python stub.py`), prints its port and ends when its standard input does. Answers are
fixed bytes, so that it is never what a benchmark measures; `sqs_noop` prints how fast it alone is.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import threading
from collections.abc import Mapping
from uuid import UUID

BODY = "x" * 256


def message(number: int) -> dict[str, object]:
    return {
        "MessageId": str(UUID(int=number)),
        "ReceiptHandle": f"AQEB{number:032d}",
        "MD5OfBody": hashlib.md5(BODY.encode()).hexdigest(),
        "Body": BODY,
        "Attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1700000000000",
            "SenderId": "AIDAEXAMPLE",
            "ApproximateFirstReceiveTimestamp": "1700000000001",
        },
    }


def answer(body: object) -> bytes:
    payload = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(payload)}\r\n\r\n"
    return head.encode() + payload


RECEIVED = answer({"Messages": [message(number) for number in range(10)]})
DELETED = answer({"Successful": [{"Id": str(number)} for number in range(10)], "Failed": []})
URL = answer({"QueueUrl": "http://127.0.0.1/000000000000/bench"})
ATTRIBUTES = answer({"Attributes": {"VisibilityTimeout": "30", "QueueArn": "arn:aws:sqs:us-east-1:000000000000:bench"}})
ANSWERS = {
    b"AmazonSQS.ReceiveMessage": RECEIVED,
    b"AmazonSQS.DeleteMessageBatch": DELETED,
    b"AmazonSQS.ChangeMessageVisibilityBatch": DELETED,
    b"AmazonSQS.GetQueueUrl": URL,
    b"AmazonSQS.GetQueueAttributes": ATTRIBUTES,
}


class Stub(asyncio.Protocol):
    def __init__(self, answers: Mapping[bytes, bytes]) -> None:
        self._answers = answers
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]) if b"content-length:" in head else 0
            if len(self._buffer) < end + 4 + length:
                return
            target = self._buffer[:end].split(b"arget: ", 1)[1].split(b"\r\n", 1)[0]
            self._buffer = self._buffer[end + 4 + length :]
            self._transport.write(self._answers[target])  # type: ignore[attr-defined]


async def serve(answers: Mapping[bytes, bytes]) -> None:
    """Answer each call by its target, until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Stub(answers), "127.0.0.1", 0)
    ended = asyncio.Event()

    def until_parent_ends() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=until_parent_ends, daemon=True).start()
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(ANSWERS))
    else:
        uvloop.run(serve(ANSWERS))
