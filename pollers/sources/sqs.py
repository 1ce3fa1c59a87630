"""SQS, standard and FIFO: long polls, heartbeats, deletes in tens, and what was not started handed back.

The queue keeps order (FIFO) and redelivers; this module only keeps what it received invisible until the flow has said
what became of it. `sqs_held` knows which messages those are, `sqs_calls` makes the calls, `sqs_shape` knows the event.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from pollers.aws.arn import QueueName
from pollers.aws.client import Clients
from pollers.aws.errors import CallFailed, Kind
from pollers.aws.queues import find_queue
from pollers.clock import Clock
from pollers.errors import ConfigurationError, Problem
from pollers.flow.records import Delivery, Grant, Page, Partition, Progress, Raw, Shape
from pollers.sources.sqs_calls import QueueCalls, SqsClient
from pollers.sources.sqs_custody import Custody
from pollers.sources.sqs_shape import SqsShape
from pollers.sources.sqs_terms import Terms
from pollers.spi import Granted, Lapsed

__all__ = ["SqsSource"]

PAGE: Final = 10  # AWS: messages of one receive
POLL: Final = 20  # AWS: seconds of the longest poll
PATIENCE: Final = 2.0  # seconds that a poll which was called off may still bring messages
_ATTEMPTS: Final = 3  # receives from a FIFO queue under one ReceiveRequestAttemptId
_FIRST: Final = 0.1  # seconds between the first two of them; doubles
_QUIET: Final = 1.0  # seconds between two receives that bring nothing, where a service does not poll long

_log = logging.getLogger(__name__)


class SqsSource:
    """Messages of one queue.

    `queue` is an ARN, a URL or a name. Region, endpoint and credentials come from where botocore's users keep them; an
    ARN or an AWS URL says its region itself, `region` says it for a name. `clients` are shared and not closed;
    without them the source has its own. Without `heartbeat` nothing is extended, and a queue whose visibility timeout
    is shorter than the function's is refused, as on AWS.
    """

    name = "sqs"

    def __init__(
        self,
        queue: str,
        *,
        clients: Clients | None = None,
        region: str | None = None,
        heartbeat: bool = True,
        clock: Clock | None = None,
    ) -> None:
        """Raises ConfigurationError where `queue` names none."""
        self._queue = _named(queue, region)
        self._resource = queue
        self._region = self._queue.region or region
        self._heartbeat = heartbeat
        self._clients = clients or Clients()
        self._owned = clients is None
        self._ids: Callable[[], str] = (clock or Clock()).ids
        self._fit = (10, 0.0, 3.0)
        self.arn = _arn_so_far(self._queue, queue)
        self.delivery = _delivery(fifo=self._queue.fifo, beat=None)
        self._shape = SqsShape(self.arn, self._region or "", fifo=self._queue.fifo, window=0.0)
        self.shape: Shape = self._shape
        self.warnings: Sequence[str] = ()
        self.ours_until = math.inf
        self._requests: dict[tuple[str, str], int] = {}
        self.requests: Mapping[tuple[str, str], int] = self._requests
        self._grant: Grant | None = None
        self._generation = 0
        self._news: asyncio.Queue[Lapsed | None] = asyncio.Queue()

    def fit(self, *, mapping: str, batch_size: int, window: float, timeout: float) -> None:
        """Learn what the mapping asks for, before `open`: visibility depends on it (3.2-5)."""
        self._fit = (batch_size, window, timeout)

    async def open(self) -> None:
        """Find the queue. Raises SourceError, and ConfigurationError where queue and mapping do not go together."""
        call = self._clients.get("sqs", self._region, "call")
        self._poll: SqsClient = self._clients.get("sqs", self._region, "poll")
        queue = await find_queue(call, self._queue, self._resource)
        terms = Terms.of(queue, *self._fit, heartbeat=self._heartbeat)
        self.arn = str(queue.arn)
        self.warnings = terms.warnings
        self.shape = self._shape = SqsShape(self.arn, queue.arn.region, fifo=terms.fifo, window=self._fit[1])
        self._calls = QueueCalls(call, queue.url, self._requests)
        self._custody = Custody(self._resource, terms, self._calls, self._lapsed)
        self.delivery = _delivery(fifo=terms.fifo, beat=self._custody.beat)
        self._visibility = terms.visibility
        self._parameters: dict[str, Any] = {
            "WaitTimeSeconds": POLL,
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        }
        if terms.says_visibility:
            self._parameters["VisibilityTimeout"] = terms.visibility

    async def changes(self) -> AsyncIterator[Granted | Lapsed]:
        """The queue is one partition, granted at once; then what could not be kept. Ends when the source is closed."""
        self._generation += 1
        grant = Grant(Partition(self._queue.name), self._generation)
        self._grant, self._news = grant, asyncio.Queue()
        yield Granted(grant)
        while (lapsed := await self._news.get()) is not None:
            yield lapsed

    # Reading

    def stop(self) -> None:
        """No partitions come by themselves."""

    async def read(self, grant: Grant, limit: int) -> Page:
        """One long poll for up to ten messages."""
        # A task of its own: the poll must outlive the reader that is called off, as what it brings is ours by then.
        poll = asyncio.get_running_loop().create_task(self._receive(min(limit, PAGE)))
        try:
            await asyncio.wait((poll,))
        except asyncio.CancelledError:
            if not await self._ends_soon(poll):
                raise
        try:
            messages, began, ended = poll.result()
        except CallFailed as failure:
            raise failure.about(self._resource) from failure.__cause__
        if not messages:
            return Page((), 0, pause=max(0.0, _QUIET - (ended - began)))
        if grant is self._grant:
            self._custody.add(messages, ended)
        return Page(messages, self._shape.size_of(messages))

    async def _receive(self, limit: int) -> tuple[Sequence[Raw], float, float]:
        """Messages, and when the call began and ended."""
        loop = asyncio.get_running_loop()
        parameters = {"MaxNumberOfMessages": limit, **self._parameters}
        attempts = 1
        if self.delivery.lane == "group":
            # AWS: a receive whose answer was lost is repeated under its id and gets the same messages. Otherwise they
            # would block their groups for one visibility timeout.
            parameters["ReceiveRequestAttemptId"] = self._ids()
            attempts = _ATTEMPTS
        for attempt in range(1, attempts + 1):
            began = loop.time()
            try:
                answer = await self._calls.call("ReceiveMessage", self._poll, **parameters)
            except CallFailed as failure:
                if failure.kind is not Kind.UNREACHABLE or attempt == attempts:
                    raise
                await asyncio.sleep(_FIRST * 2.0 ** (attempt - 1))
            else:
                break
        return answer.get("Messages") or (), began, loop.time()

    async def _ends_soon(self, poll: asyncio.Task[Any]) -> bool:
        """Give a poll that was called off its last chance; whether it brought an answer."""
        with suppress(asyncio.CancelledError):  # called off twice: no more patience. Our caller raises, or has a page.
            await asyncio.wait((poll,), timeout=PATIENCE)
        if not poll.done():
            poll.cancel()
            _log.info(
                "A receive from %s was cut off. Had the queue just sent messages, they stay invisible for %d seconds.",
                self.arn,
                self._visibility,
            )
            await asyncio.wait((poll,))
        return not poll.cancelled() and poll.exception() is None

    # Settling and keeping

    async def settle(self, grant: Grant, progress: Progress) -> None:
        """Delete, leave to the queue, or give back. Raises SourceError; then the same may be settled again."""
        await self._custody.settle(progress)

    async def keep(self, grant: Grant) -> None:
        """Extend what is held, ten messages to a call. What cannot be extended lapses."""
        await self._custody.keep()

    async def release(self, grant: Grant) -> None:
        """Extend nothing any more: what is not settled reappears when its visibility ends."""
        if grant is self._grant:
            self._grant = None
            self._custody.clear()

    def _lapsed(self, records: Sequence[Raw]) -> None:
        if self._grant is not None:
            self._news.put_nowait(Lapsed(self._grant, records))

    # The end

    async def close(self) -> None:
        self._news.put_nowait(None)
        if self._owned:
            await self._clients.close()


def _named(queue: str, region: str | None) -> QueueName:
    try:
        named = QueueName.parse(queue)
    except ValueError as error:
        raise ConfigurationError([Problem("queue", f"{error}.")]) from None
    if region and named.region and region != named.region:
        message = f"{queue} is in {named.region}, and the region given is {region}."
        raise ConfigurationError([Problem("region", message, "Leave the region out.")])
    return named


def _arn_so_far(queue: QueueName, text: str) -> str:
    """The ARN as far as it is known before SQS was asked: what identities are made from."""
    return str(queue.arn(queue.region)) if queue.region and queue.account else text


def _delivery(*, fifo: bool, beat: float | None) -> Delivery:
    return Delivery(
        lane="group" if fifo else "none",
        slots=None,
        mixed=True,
        spans=False,
        redelivers=True,
        readers=None,
        page=PAGE,
        beat=beat,
        ramps=not fifo,
    )
