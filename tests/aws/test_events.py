"""Answers in events: as the wire has them, errors by their codes, and nothing lost when nobody waits any more."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest

from pollers.aws.client import Clients
from pollers.aws.errors import CallFailed, Kind, diagnose
from pollers.aws.events import WireEvents
from pollers.testing.frames import event_frame, exception_frame
from pollers.testing.front import EmbeddedAws
from pollers.testing.streams import EmbeddedStream

JSON = "application/json"
EVENT = event_frame("Event", JSON, b'{"a":1}')


class Body:
    """A response whose bytes come when the test wants."""

    def __init__(self, *pieces: bytes, end: bool = True) -> None:
        self.content = self
        self.closed = False
        self._pieces = deque([*pieces, b""] if end else pieces)
        self._more = asyncio.Event()

    def feed(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._more.set()

    async def readany(self) -> bytes:
        while not self._pieces:
            await self._more.wait()
        return self._pieces.popleft()

    def close(self) -> None:
        self.closed = True


def events_of(body: Body) -> WireEvents:
    def failed(error: Exception) -> CallFailed:
        diagnosis = diagnose(error, service="kinesis", operation="SubscribeToShard", endpoint="here")
        return CallFailed(
            "SubscribeToShard", diagnosis, getattr(error, "response", {}).get("Error", {}).get("Code", "")
        )

    return WireEvents(body, "Event", "here", failed)


async def everything(events: WireEvents) -> list[dict[str, Any]]:
    found = []
    while (event := await events.receive()) is not None:
        found.append(event)
    return found


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
async def test_events_come_whole_however_they_are_cut_on_their_way(size: int) -> None:
    wire = event_frame("initial-response", JSON, b"{}") + EVENT + event_frame("New", JSON, b"?") + EVENT
    pieces = [wire[start : start + size] for start in range(0, len(wire), size)]
    assert await everything(events_of(Body(*pieces))) == [{"a": 1}, {"a": 1}]


async def test_an_exception_has_its_code_and_its_message() -> None:
    frame = exception_frame("ResourceInUseException", JSON, b'{"message":"taken"}')
    events = events_of(Body(EVENT, frame))
    assert await events.receive() == {"a": 1}
    with pytest.raises(CallFailed, match="ResourceInUseException: taken") as caught:
        await events.receive()
    assert caught.value.code == "ResourceInUseException"


async def test_a_fault_of_the_service_is_told_from_one_of_the_request() -> None:
    with pytest.raises(CallFailed) as caught:
        await events_of(Body(exception_frame("InternalFailureException", JSON, b"{}"))).receive()
    assert caught.value.kind is Kind.OTHER


@pytest.mark.parametrize(
    "wire",
    [
        b"<html>" + bytes(200),
        EVENT[:-1] + b"?",
        event_frame("Event", JSON, b"<html>"),
        event_frame("Event", JSON, b"1"),
    ],
    ids=["no frame", "a wrong checksum", "no JSON", "no object"],
)
async def test_what_is_no_stream_of_events_is_said_to_be_none(wire: bytes) -> None:
    with pytest.raises(CallFailed) as caught:
        await events_of(Body(wire)).receive()
    assert caught.value.kind is Kind.UNREADABLE


async def test_a_wait_that_is_called_off_loses_nothing() -> None:
    body = Body(EVENT[:20], end=False)
    events = events_of(body)
    wait = asyncio.create_task(events.receive())
    await asyncio.sleep(0)
    wait.cancel()
    await asyncio.wait([wait])
    body.feed(EVENT[20:])
    assert await events.receive() == {"a": 1}


async def test_a_subscription_is_read_as_the_wire_has_it(pollers_aws: EmbeddedAws) -> None:
    stream = EmbeddedStream.create(pollers_aws, "clicks")
    stream.put(b"\x00\xff")
    request = {"ConsumerARN": stream.consumer("mine"), "ShardId": stream.open_shards()[0]}
    async with Clients() as clients:
        client = clients.get("kinesis", None, "events")
        events = await client.events("SubscribeToShard", **request, StartingPosition={"Type": "TRIM_HORIZON"})
        event = await events.receive()
        events.close()
    assert event is not None
    (record,) = event["Records"]
    assert record["Data"] == "AP8="
    assert isinstance(record["ApproximateArrivalTimestamp"], float)


async def test_a_connection_that_is_cut_is_unreachable(pollers_aws: EmbeddedAws) -> None:
    stream = EmbeddedStream.create(pollers_aws, "clicks")
    request = {"ConsumerARN": stream.consumer("mine"), "ShardId": stream.open_shards()[0]}
    pollers_aws.run(lambda: pollers_aws.kinesis.trouble.drop("SubscribeToShardEvent"))
    async with Clients() as clients:
        client = clients.get("kinesis", None, "events")
        events = await client.events("SubscribeToShard", **request, StartingPosition={"Type": "TRIM_HORIZON"})
        with pytest.raises(CallFailed) as caught:
            await events.receive()
        events.close()
    assert caught.value.kind is Kind.UNREACHABLE
