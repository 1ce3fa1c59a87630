"""A stage for the SQS source: the model of SQS in virtual time, without a wire, and a note of every call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from botocore.exceptions import ClientError, ConnectionClosedError

from pollers.aws.errors import CallFailed, diagnose
from pollers.flow.records import Grant, Raw
from pollers.sources.sqs import SqsSource
from pollers.spi import Granted, Lapsed
from pollers.testing.loop import VirtualLoop, clock
from pollers.testing.service import Dropped, Fault, Waiting
from pollers.testing.sqs import SqsModel

ARN = "arn:aws:sqs:us-east-1:123456789012:"


class Call(NamedTuple):
    operation: str
    parameters: dict[str, Any]
    time: float  # loop time
    purpose: str


class Stage:
    """Stands where `Clients` stands; `sqs` is the service behind it."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.loop = loop
        self.sqs = SqsModel(loop.wall)
        self.sqs.changed = self._rearm
        self.calls: list[Call] = []
        self.gates: dict[str, asyncio.Event] = {}  # calls of an operation wait for its event, then reach the service
        self.late: dict[str, asyncio.Event] = {}  # their answers wait
        self.forgetful: set[str] = set()  # batch calls that are applied to nothing, and answered with nothing
        self.polls_long = True
        self._timer: asyncio.TimerHandle | None = None

    def get(self, service: str, region: str | None = None, purpose: str = "call") -> StageClient:
        assert service == "sqs"
        return StageClient(self, region or "us-east-1", purpose)

    async def close(self) -> None:
        raise AssertionError("shared clients are not the source's to close")

    # What tests do

    def queue(self, name: str = "orders", **attributes: str) -> str:
        """Make a queue; returns its ARN."""
        if name.endswith(".fifo"):
            attributes |= {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        self.now("CreateQueue", QueueName=name, Attributes=attributes)
        return ARN + name

    def now(self, action: str, **members: Any) -> dict[str, Any]:
        """Call the service as somebody else would."""
        answer = self.sqs.call(action, members)
        assert isinstance(answer, dict)
        return answer

    def url(self, name: str = "orders") -> str:
        return str(self.now("GetQueueUrl", QueueName=name)["QueueUrl"])

    def send(self, *bodies: str, name: str = "orders", **members: Any) -> list[str]:
        """Returns message ids."""
        url = self.url(name)
        return [self.now("SendMessage", QueueUrl=url, MessageBody=body, **members)["MessageId"] for body in bodies]

    def steal(self, name: str = "orders") -> list[str]:
        """Receive what is visible, as somebody else would; returns bodies."""
        answer = self.now("ReceiveMessage", QueueUrl=self.url(name), MaxNumberOfMessages=10, WaitTimeSeconds=0)
        return [message["Body"] for message in answer.get("Messages", [])]

    def left(self, name: str = "orders") -> list[str]:
        """The bodies of all messages that are not deleted."""
        queue = self.sqs.queue(name)
        queue.advance(self.loop.wall())
        return queue.bodies()

    def of(self, operation: str) -> list[Call]:
        return [call for call in self.calls if call.operation == operation]

    def entries(self, operation: str) -> list[list[dict[str, Any]]]:
        return [call.parameters["Entries"] for call in self.of(operation)]

    @asynccontextmanager
    async def source(
        self, name: str = "orders", *, timeout: float = 3.0, window: float = 0.0, batch_size: int = 10, **options: Any
    ) -> AsyncIterator[Opened]:
        source = SqsSource(ARN + name, clients=self, clock=clock(), **options)  # type: ignore[arg-type]
        source.fit(mapping="mapping", batch_size=batch_size, window=window, timeout=timeout)
        await source.open()
        changes = source.changes()
        granted = await anext(changes)
        assert isinstance(granted, Granted)
        opened = Opened(source, granted.grant)
        follower = asyncio.create_task(opened.follow(changes))
        try:
            yield opened
        finally:
            await source.close()
            follower.cancel()  # where it was replaced by another
            await asyncio.wait([follower])
            assert follower.cancelled() or follower.exception() is None

    def _rearm(self) -> None:
        at = self.sqs.wake_at()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None:
            self._timer = self.loop.call_later(max(0.0, at - self.loop.wall()), self.sqs.tick)


class Opened:
    """An opened source with its grant, beaten like the engine beats it."""

    def __init__(self, source: SqsSource, grant: Grant) -> None:
        self.source = source
        self.grant = grant
        self.lapsed: list[Raw] = []

    async def follow(self, changes: AsyncIterator[Granted | Lapsed]) -> None:
        async for change in changes:
            assert isinstance(change, Lapsed)
            assert change.grant is self.grant
            self.lapsed += change.records

    async def read(self, limit: int = 10) -> list[Raw]:
        return list((await self.source.read(self.grant, limit)).records)

    async def beat_for(self, seconds: float) -> None:
        """Let time pass, with a heartbeat."""
        loop = asyncio.get_running_loop()
        end, beat = loop.time() + seconds, self.source.delivery.beat
        assert beat is not None
        while loop.time() + beat <= end:
            await asyncio.sleep(beat)
            await self.source.keep(self.grant)
        await asyncio.sleep(end - loop.time())


class StageClient:
    """Stands where `Client` stands."""

    endpoint = "http://sqs.test"

    def __init__(self, stage: Stage, region: str, purpose: str) -> None:
        self.region = region
        self._stage = stage
        self._purpose = purpose

    async def open(self) -> None:
        return None

    async def call(self, operation: str, /, **parameters: Any) -> dict[str, Any]:
        stage = self._stage
        stage.calls.append(Call(operation, parameters, stage.loop.time(), self._purpose))
        if (gate := stage.gates.get(operation)) is not None:
            await gate.wait()
        try:
            answer = await self._answer(operation, parameters)
        except Fault as fault:
            raise _failed(operation, _client_error(operation, fault)) from fault
        except Dropped as dropped:
            raise _failed(operation, ConnectionClosedError(endpoint_url=self.endpoint)) from dropped
        if (gate := stage.late.get(operation)) is not None:
            await gate.wait()
        return answer

    async def _answer(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        if operation in self._stage.forgetful:
            return {}
        if operation == "ReceiveMessage" and not self._stage.polls_long:
            parameters = {**parameters, "WaitTimeSeconds": 0}
        answer = self._stage.sqs.call(operation, parameters)
        if not isinstance(answer, Waiting):
            return answer
        future: asyncio.Future[dict[str, Any] | Fault] = self._stage.loop.create_future()
        answer.notify(future.set_result)
        try:
            result = await future
        except asyncio.CancelledError:
            answer.cancel()
            raise
        if isinstance(result, Fault):
            raise result
        return result


def _client_error(operation: str, fault: Fault) -> ClientError:
    response = {
        "Error": {"Code": fault.code, "Message": fault.message},
        "ResponseMetadata": {"HTTPStatusCode": fault.status},
    }
    return ClientError(response, operation)


def _failed(operation: str, error: Exception) -> CallFailed:
    found = diagnose(error, service="sqs", operation=operation, endpoint="http://sqs.test")
    return CallFailed(operation, found, error.response["Error"]["Code"] if isinstance(error, ClientError) else "")
