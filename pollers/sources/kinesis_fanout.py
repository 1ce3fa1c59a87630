"""Kinesis with a throughput of one's own: a consumer subscribes to shards, and their records are pushed to it.

AWS: a subscription lasts five minutes and is made anew behind its last event; within five seconds of one another is
refused. An event is taken when somebody wants records, so that a slow function stops the stream and not the memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pollers.aws.arn import Arn
from pollers.aws.client import Client, Clients
from pollers.aws.errors import CallFailed, Diagnosis, Kind
from pollers.aws.events import Events
from pollers.errors import SourceError
from pollers.flow.lineage import Shard
from pollers.flow.records import Page, Partition, Position, Raw
from pollers.sources.kinesis_aggregates import one_by_one
from pollers.sources.kinesis_calls import KinesisStream, child_shard, role_of
from pollers.sources.kinesis_shape import PushedShape
from pollers.sources.shards.reader import THROTTLED, ShardGone, Terms, gap_after
from pollers.sources.shards.stream import Where

__all__ = ["PushedReader", "PushedStream", "is_consumer"]

IN_USE: Final = "ResourceInUseException"
GUARD: Final = 5.0  # seconds after a subscription in which another one is refused
REFUSALS: Final = 10  # in a row that are waited out, a second each, before it is said

_CONSUMER: Final = "/consumer/"
_ARN: Final = re.compile(r"(?P<stream>arn:.*)/consumer/[a-zA-Z0-9_.-]{1,128}:[0-9]+")
_SILENT: Final = Diagnosis(
    Kind.UNREACHABLE,
    "the subscription ended before it had brought an event",
    "Check what stands between here and Kinesis; it is tried again, more slowly.",
)
_MORE: Final = 0.001  # seconds behind, at least, while records of an event are left


def is_consumer(stream: str) -> bool:
    """Whether this names a consumer of a stream and not the stream."""
    return stream.startswith("arn:") and _CONSUMER in stream


class PushedStream(KinesisStream):
    """A stream as one of its consumers sees it. `arn` is the consumer's: events and failure documents carry it."""

    def __init__(self, consumer: str, region: str | None, clients: Clients) -> None:
        """Raises ConfigurationError where `consumer` is not the ARN of one."""
        found = _ARN.fullmatch(consumer)
        super().__init__(found["stream"] if found else consumer, region, clients)
        self._consumer = consumer
        self._push: Client = clients.get("kinesis", self._call.region, "events")
        self._know(Arn.parse(self.arn))

    def _know(self, stream: Arn) -> None:
        self.arn = self._consumer
        self.shape = PushedShape(self.arn, self._call.region, role_of(stream, self._call.region))

    async def open(self) -> str:
        """Also see that records are pushed to the consumer. Raises `SourceError` where they are not."""
        origin = await super().open()
        answer = await self._ask(self._call, "DescribeStreamConsumer", ConsumerARN=self._consumer)
        status = answer["ConsumerDescription"]["ConsumerStatus"]
        if status != "ACTIVE":
            remedy = (
                "It is ACTIVE some seconds after it was registered, as 'aws kinesis describe-stream-consumer' shows."
            )
            raise SourceError(self._consumer, f"the consumer is {status}", remedy)
        return origin

    async def subscribe(self, partition: Partition, where: Where) -> Events:
        """The events of a shard, which are to be closed. Raises `CallFailed`."""
        position: dict[str, Any] = {"Type": where.kind}
        if where.kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
            position["SequenceNumber"] = str(where.sequence)
        elif where.kind == "AT_TIMESTAMP":
            position["Timestamp"] = where.moment
        request = {"ConsumerARN": self._consumer, "ShardId": partition, "StartingPosition": position}
        return await self._count("SubscribeToShard", self._push.events("SubscribeToShard", **request))

    def reader(
        self,
        terms: Terms,
        partition: Partition,
        /,
        *,
        safe: Position | None,
        start: float | None,
        fresh: bool,
        saved: float,
    ) -> PushedReader:
        """An `OpenReader`. `fresh` makes no difference: a subscription can begin at a moment."""
        return PushedReader(self, terms, partition, safe=safe, start=start, saved=saved)


class PushedReader:
    """One shard of one mapping while records are pushed to it."""

    def __init__(
        self,
        stream: PushedStream,
        terms: Terms,
        partition: Partition,
        *,
        safe: Position | None,
        start: float | None,
        saved: float,
    ) -> None:
        """`safe`, `start` and `saved` as for `Reader`; `safe` may lie within an aggregate."""
        self.partition = partition
        self.children: Sequence[Shard] = ()
        self._stream = stream
        self._terms = terms
        self._where = _first(safe, start)
        self._skip = safe  # records up to it are finished
        self._resumed = saved if safe is not None else None  # until the first records have come
        self._events: Events | None = None
        self._told = False  # the subscription has brought an event
        self._due = 0.0  # when another one may be made
        self._refusals = self._throttles = 0  # in a row
        self._records: Sequence[Raw] = ()  # of the latest event
        self._next = 0  # the first of them that is not handed out
        self._behind = 0.0
        self._ended = False

    async def read(self, limit: int) -> Page:
        """Up to `limit` records; waits for an event. Raises `CallFailed`, `ShardGone`."""
        gap = ""
        if self._next == len(self._records):
            try:
                event = await self._receive()
            except CallFailed as failure:
                return self._failed(failure)
            if event is None:
                return self._over()
            gap = self._take(event)
        return self._page(limit, gap)

    async def close(self) -> None:
        """End the subscription."""
        self._drop()

    # The subscription

    async def _receive(self) -> Mapping[str, Any] | None:
        """The next event; None where the subscription has ended, or another one cannot be made yet."""
        if self._events is None:
            if self._rest() > 0:
                return None
            self._events = await self._stream.subscribe(self.partition, self._where)
            self._due = self._terms.time() + GUARD
            self._told = False
        event = await self._events.receive()
        if event is not None:
            self._told, self._refusals, self._throttles = True, 0, 0
        return event

    def _rest(self) -> float:
        """Seconds until another subscription may be made."""
        return max(0.0, self._due - self._terms.time())

    def _drop(self) -> None:
        events, self._events = self._events, None
        if events is not None:
            events.close()

    def _over(self) -> Page:
        """The subscription has ended, as they all do, and the next may be made soon."""
        silent = self._events is not None and not self._told
        self._drop()
        if silent:  # for ever so, perhaps: it must not look like a quiet shard
            raise CallFailed("SubscribeToShard", _SILENT)
        return Page((), 0, pause=self._rest())

    def _failed(self, failure: CallFailed) -> Page:
        """A page without records for what passes by itself; raises for everything else."""
        told = self._events is not None and self._told
        self._drop()
        if failure.kind is Kind.MISSING:
            raise ShardGone from failure
        chance = 0.5 + self._terms.clock.chance() / 2
        if failure.kind is Kind.THROTTLED:
            self._throttles += 1
            first, most = THROTTLED
            return Page((), 0, pause=first + min(first * 2.0 ** min(self._throttles - 1, 10), most) * chance)
        if not told and failure.code.rpartition(".")[2] == IN_USE and self._refusals < REFUSALS:
            # A former subscription, of this process or of the worker that had the shard. Some say so only in an event.
            self._refusals, self._due = self._refusals + 1, 0.0
            return Page((), 0, pause=0.5 + chance)
        if told and failure.kind in (Kind.UNREACHABLE, Kind.OTHER):
            return Page((), 0, pause=self._rest())  # a connection that was cut, after it had been of use
        raise failure

    # What came

    def _take(self, event: Mapping[str, Any]) -> str:
        """Keep an event's records; returns what was missed before them."""
        records, following = one_by_one(event["Records"]), event.get("ContinuationSequenceNumber")
        gap = self._missed(records[0]) if records and self._resumed is not None else ""
        self._records, self._next = self._unfinished(records), 0
        self._behind = event.get("MillisBehindLatest", 0) / 1_000
        self._ended = not following  # AWS: the last event of a closed shard has none
        if following:
            # AWS: it says how far the subscription is, also where nothing was written.
            self._where = Where("AFTER_SEQUENCE_NUMBER", sequence=int(following))
        else:
            self.children = tuple(map(child_shard, event.get("ChildShards") or ()))
            self._drop()
        return gap

    def _missed(self, first: Raw) -> str:
        """Whether the record that was finished last has left the stream, and others may have with it (12-14)."""
        assert self._resumed is not None
        assert self._skip is not None
        away, self._resumed = self._terms.clock.wall() - self._resumed, None
        retention = self._stream.retention
        if retention is None or away <= retention or self._stream.shape.position(first)[0] <= self._skip[0]:
            return ""
        return gap_after(self._skip[0])

    def _unfinished(self, records: Sequence[Raw]) -> Sequence[Raw]:
        """Those behind where an earlier owner had come to. A position within an aggregate is found only here."""
        if self._skip is None or not records:
            return records
        position = self._stream.shape.position
        for index, raw in enumerate(records):
            if position(raw) > self._skip:
                self._skip = None
                return records[index:]
        return ()

    def _page(self, limit: int, gap: str) -> Page:
        shape = self._stream.shape
        records = self._records[self._next : self._next + limit]
        self._next += len(records)
        left = self._next < len(self._records)
        if not left:
            self._records, self._next = (), 0
        return Page(
            records,
            nbytes=sum(map(shape.size_bound, records)),
            position=shape.position(records[-1]) if records else None,
            behind=max(self._behind, _MORE) if left else self._behind,
            end=self._ended and not left,
            gap=gap,
        )


def _first(safe: Position | None, start: float | None) -> Where:
    """Where the first subscription begins: with the record finished last, as others of its aggregate may not be."""
    if safe is not None:
        return Where("AT_SEQUENCE_NUMBER", sequence=safe[0])
    return Where("TRIM_HORIZON") if start is None else Where("AT_TIMESTAMP", moment=start)
