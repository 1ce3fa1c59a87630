"""Failure documents as they are found: what one names, and whether it is asked for. No I/O. AWS: semantics 5.9."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias

import msgspec

from pollers.flow.records import Partition
from pollers.service.replay.origins import Found

__all__ = ["Document", "Malformed", "Offsets", "Range", "Wanted", "read", "read_event"]


@dataclass(frozen=True, slots=True)
class Range:
    """The records of a document, by sequence number or offset. Other records may lie between them."""

    start: int
    end: int  # included
    size: int  # records


@dataclass(frozen=True, slots=True)
class Offsets:
    """The records of a document that are of one partition. Other records may lie between them."""

    partition: Partition
    first: int
    last: int  # included


@dataclass(frozen=True, slots=True)
class Document:
    """What a failure document names."""

    place: str  # where it was found, for people
    handle: str  # what its origin knows it by
    request_id: str
    condition: str
    timestamp: datetime  # of giving up, aware
    stream: str  # ARN of a stream or of its consumer; of a topic as its mapping has it
    shard: Partition  # of the first record
    range: Range | None  # None: a final call of a tumbling window that had no records
    offsets: tuple[Offsets, ...]  # of topics: what is in the batch of each partition
    windowed: bool  # of a tumbling window, whose state is in the event only
    holds_event: bool

    @property
    def batch(self) -> tuple[str, Partition, Range | None]:
        """Equal for two documents of one batch: a destination may be given one twice."""
        return self.request_id, self.shard, self.range

    @property
    def order(self) -> tuple[bool, int, datetime]:
        """By sequence number: they grow within a shard, and from a shard to those that follow it."""
        return self.range is None, self.range.start if self.range is not None else 0, self.timestamp


@dataclass(frozen=True, slots=True)
class Malformed:
    """What was found is no failure document of a log."""

    place: str
    handle: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which documents are asked for; None: whatever it is."""

    shard: str | None = None
    conditions: frozenset[str] | None = None
    request_ids: frozenset[str] | None = None
    since: datetime | None = None  # included
    until: datetime | None = None  # excluded

    def includes(self, document: Document) -> bool:
        return (
            self.shard in (None, document.shard)
            and (self.conditions is None or document.condition in self.conditions)
            and (self.request_ids is None or document.request_id in self.request_ids)
            and (self.since is None or document.timestamp >= self.since)
            and (self.until is None or document.timestamp < self.until)
        )


Sequence: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,200}$")]
Name: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^.+-[0-9]{1,10}$")]  # of a partition of a topic


class _Context(msgspec.Struct, rename="camel"):
    request_id: str
    condition: str


class _Batch(msgspec.Struct, rename="camel"):
    stream_arn: str
    shard_id: str
    start_sequence_number: Sequence | None = None
    end_sequence_number: Sequence | None = None
    batch_size: Annotated[int, msgspec.Meta(ge=1)] | None = None


class _Records(msgspec.Struct, rename="camel"):
    first_record_offset: Sequence
    last_record_offset: Sequence


class _Topics(msgspec.Struct, rename="camel"):
    bootstrap_servers: str
    batch_size: Annotated[int, msgspec.Meta(ge=1)]
    records_info: Annotated[dict[Name, _Records], msgspec.Meta(min_length=1)]
    event_source_arn: str = ""


class _Written(msgspec.Struct, rename="camel"):
    request_context: _Context
    timestamp: datetime
    kinesis: _Batch | None = msgspec.field(default=None, name="KinesisBatchInfo")
    dynamodb: _Batch | None = msgspec.field(default=None, name="DDBStreamBatchInfo")
    kafka: _Topics | None = msgspec.field(default=None, name="KafkaBatchInfo")
    time_window_info: Any = None
    payload: Any = None


def read(found: Found) -> Document | Malformed:
    """What was found. Never raises."""
    try:
        written = msgspec.convert(_object(found.content), _Written)
        info = written.kinesis or written.dynamodb
        if info is not None:
            shard, where = Partition(info.shard_id), _range(info, written)
            return _document(found, written, info.stream_arn, shard, where)
        if written.kafka is not None:
            return _of_topic(found, written, written.kafka)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        return Malformed(found.place, found.handle, str(error))
    reason = "it has none of KinesisBatchInfo, DDBStreamBatchInfo and KafkaBatchInfo"
    return Malformed(found.place, found.handle, reason)


def read_event(content: bytes) -> dict[str, Any]:
    """The event that a document holds. Raises ValueError where it holds none that can be read."""
    payload = _object(content).get("payload")
    event = json.loads(payload) if isinstance(payload, str) else payload
    if isinstance(event, dict) and (isinstance(event.get("Records"), list) or isinstance(event.get("records"), dict)):
        return event
    raise ValueError("its payload is no event")


def _object(content: bytes) -> dict[str, Any]:
    """json, not msgspec: the events of documents may hold halves of surrogate pairs."""
    value = json.loads(content.decode())
    if isinstance(value, dict) and value.get("Type") == "Notification" and isinstance(value.get("Message"), str):
        value = json.loads(value["Message"])  # AWS: a topic wraps what it hands on to a queue
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    return value


def _of_topic(found: Found, written: _Written, info: _Topics) -> Document:
    offsets = tuple(
        Offsets(Partition(name), int(one.first_record_offset), int(one.last_record_offset))
        for name, one in info.records_info.items()
    )
    if any(one.last < one.first for one in offsets):
        raise ValueError("its records end before they start")
    first = offsets[0]
    source = info.event_source_arn or f"kafka://{info.bootstrap_servers}"
    topic = first.partition.rpartition("-")[0]
    where = Range(first.first, first.last, info.batch_size)
    return _document(found, written, f"{source}/{topic}", first.partition, where, offsets)


def _document(
    found: Found,
    written: _Written,
    stream: str,
    shard: Partition,
    where: Range | None,
    offsets: tuple[Offsets, ...] = (),
) -> Document:
    timestamp = written.timestamp
    return Document(
        place=found.place,
        handle=found.handle,
        request_id=written.request_context.request_id,
        condition=written.request_context.condition,
        timestamp=timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC),
        stream=stream,
        shard=shard,
        range=where,
        offsets=offsets,
        windowed=written.time_window_info is not None,
        holds_event=written.payload is not None,
    )


def _range(info: _Batch, written: _Written) -> Range | None:
    start, end, size = info.start_sequence_number, info.end_sequence_number, info.batch_size
    if start is None and end is None and written.time_window_info is not None:
        return None
    if start is None or end is None or size is None:
        raise ValueError("it does not say which records it is about")
    if int(end) < int(start):
        raise ValueError("its records end before they start")
    return Range(int(start), int(end), size)
