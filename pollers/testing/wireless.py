"""AWS's models without a wire: what sources take for `Clients`, so that whole days of a stream pass in virtual time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError

from pollers.aws.client import Client, Clients, Purpose
from pollers.aws.errors import CallFailed, diagnose
from pollers.aws.events import Events
from pollers.testing.service import EVENTS, Answer, Dropped, Fault, Service, Waiting
from pollers.testing.service import Events as ModelEvents

__all__ = ["Made", "Wireless"]


class Made(NamedTuple):
    """One call that was made."""

    operation: str
    parameters: dict[str, Any]
    time: float  # loop time


class Wireless(Clients):
    """Clients that call models directly. `services` are models by botocore's names: {"kinesis": KinesisModel(...)}."""

    def __init__(self, services: Mapping[str, Service], *, latency: float = 0.01, region: str = "us-east-1") -> None:
        """`latency`: seconds of (virtual) time that each call takes."""
        super().__init__(_no_session)
        self.calls: deque[Made] = deque(maxlen=100_000)
        self.latency = latency
        self.region_name = region
        self.gates: dict[str, asyncio.Event] = {}  # calls of an operation wait for its event before they are made
        self.services = services

    def get(self, service: str, region: str | None = None, purpose: Purpose = "call") -> Client:
        return _WirelessClient(self, service, region or self.region_name, purpose)

    async def close(self) -> None:
        """There is nothing to close."""


class _WirelessClient(Client):
    def __init__(self, wireless: Wireless, service: str, region: str, purpose: Purpose) -> None:
        super().__init__(wireless, service, region, purpose)
        self._wireless = wireless
        self._model = wireless.services[service]

    async def open(self) -> None:
        return None

    async def call(self, operation: str, /, **parameters: Any) -> dict[str, Any]:
        wireless = self._wireless
        wireless.calls.append(Made(operation, parameters, asyncio.get_running_loop().time()))
        if (gate := wireless.gates.get(operation)) is not None:
            await gate.wait()
        await asyncio.sleep(wireless.latency / 2)
        try:
            answer = await self._answer(operation, parameters)
        except (Fault, Dropped) as trouble:
            raise self._failed_as(operation, trouble) from trouble
        await asyncio.sleep(wireless.latency / 2)
        return {**answer, "ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {}}}

    async def events(self, operation: str, /, **parameters: Any) -> Events:
        answer = await self.call(operation, **parameters)
        return _WirelessEvents(self._wireless, self._model, answer[EVENTS], partial(self._failed_as, operation))

    def _failed_as(self, operation: str, trouble: Fault | Dropped) -> CallFailed:
        if isinstance(trouble, Fault):
            return self._failure(operation, _client_error(operation, trouble))
        return self._failure(operation, ConnectionClosedError(endpoint_url=self.endpoint))

    async def _answer(self, operation: str, parameters: dict[str, Any]) -> Answer:
        answer = self._model.call(operation, parameters)
        if not isinstance(answer, Waiting):
            return answer
        future: asyncio.Future[Answer | Fault] = asyncio.get_running_loop().create_future()
        answer.notify(future.set_result)
        result = await future
        if isinstance(result, Fault):
            raise result
        return result

    def _failure(self, operation: str, error: ClientError | BotoCoreError) -> CallFailed:
        code = str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else ""
        why = diagnose(error, service=self.service, operation=operation, endpoint=self.endpoint)
        return CallFailed(operation, why, code)


class _WirelessEvents:
    """Events of a model, which is told the time while somebody waits for one."""

    def __init__(
        self, wireless: Wireless, model: Service, events: ModelEvents, failed: Callable[[Fault | Dropped], CallFailed]
    ) -> None:
        self._wireless = wireless
        self._model = model
        self._events = events
        self._failed = failed
        self._ready = asyncio.Event()
        events.ready = self._ready.set

    async def receive(self) -> dict[str, Any] | None:
        await asyncio.sleep(self._wireless.latency)
        while True:
            self._ready.clear()
            try:
                event = self._events.take()
            except (Fault, Dropped) as trouble:
                raise self._failed(trouble) from trouble
            if event is not None or self._events.over:
                return event
            await self._wait()

    async def _wait(self) -> None:
        at = self._model.wake_at()
        try:
            async with asyncio.timeout(None if at is None else max(0.0, at - self._model.now())):
                await self._ready.wait()
        except TimeoutError:
            self._model.tick()

    def close(self) -> None:
        self._events.cancel()


def _client_error(operation: str, fault: Fault) -> ClientError:
    metadata = {"HTTPStatusCode": fault.status}
    return ClientError(
        {"Error": {"Code": fault.code, "Message": fault.message}, "ResponseMetadata": metadata}, operation
    )


def _no_session() -> Any:
    raise AssertionError("nothing here connects")
