"""AWS in this process: the models behind a loopback server, inside a running loop or in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TypeVar

from pollers.testing.dispatch import Front
from pollers.testing.dynamodb import DynamoDbModel
from pollers.testing.kinesis import KinesisLimits, KinesisModel
from pollers.testing.sqs import Limits, SqsModel

__all__ = ["EmbeddedAws"]

T = TypeVar("T")


class EmbeddedAws:
    """Embedded services, on 127.0.0.1 from entering to leaving; their content stays with the object.

    `async with EmbeddedAws() as aws:` in asyncio programs, `with EmbeddedAws.in_thread() as aws:` elsewhere.
    `aws.sqs` is the model: look into it, order trouble, read its journal. So are
    `aws.kinesis`, `aws.dynamodb.tables` and `aws.dynamodb.streams`.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        port: int = 0,
        region: str = "us-east-1",
        limits: Limits | None = None,
        kinesis_limits: KinesisLimits | None = None,
    ) -> None:
        """`clock`: wall time in seconds; after moving it by hand call `aws.sqs.tick()`. `port` 0 chooses one."""
        self.region = region
        self.sqs = SqsModel(clock, region=region, limits=limits)
        self.kinesis = KinesisModel(clock, region=region, limits=kinesis_limits)
        self.dynamodb = DynamoDbModel(clock, region=region)
        self.endpoint_url = ""  # known once entered
        self._port = port
        self._front = Front([self.sqs, self.kinesis, self.dynamodb.tables, self.dynamodb.streams])
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that lead botocore's clients here, with credentials of no worth."""
        return {
            "AWS_ENDPOINT_URL_SQS": self.endpoint_url,
            "AWS_ENDPOINT_URL_KINESIS": self.endpoint_url,
            "AWS_ENDPOINT_URL_DYNAMODB": self.endpoint_url,
            "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": self.endpoint_url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": "embedded",
            "AWS_SECRET_ACCESS_KEY": "embedded",
        }

    async def __aenter__(self) -> EmbeddedAws:
        self._loop = asyncio.get_running_loop()
        self.endpoint_url = await self._front.start("127.0.0.1", self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._front.close()
        self._loop = None

    @classmethod
    @contextmanager
    def in_thread(
        cls,
        *,
        clock: Callable[[], float] = time.time,
        port: int = 0,
        region: str = "us-east-1",
        limits: Limits | None = None,
        kinesis_limits: KinesisLimits | None = None,
    ) -> Iterator[EmbeddedAws]:
        """The same for code without a loop: it serves from a thread of its own. Touch its models by `run`."""
        aws = cls(clock=clock, port=port, region=region, limits=limits, kinesis_limits=kinesis_limits)
        entered = threading.Event()
        failure: list[BaseException] = []
        leave = asyncio.Event()

        async def serve() -> None:
            async with aws:
                entered.set()
                await leave.wait()

        def work() -> None:
            try:
                asyncio.run(serve())
            except BaseException as error:
                failure.append(error)
                entered.set()

        thread = threading.Thread(target=work, name="embedded-aws", daemon=True)
        thread.start()
        entered.wait()
        if failure:
            raise failure[0]
        try:
            yield aws
        finally:
            aws.run(leave.set)
            thread.join()

    def run(self, function: Callable[[], T]) -> T:
        """Call `function` in the thread of the models and return what it returns. Not for use inside their own loop."""
        if self._loop is None:
            raise RuntimeError("The embedded services are not running: enter them first.")

        async def call() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()
