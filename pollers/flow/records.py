"""The values that pass between a source, the flow and the engine. They know no source, no time and no I/O.

A raw record stays what the source's client returned: nothing here copies or wraps it. Seconds are floats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, NewType, Protocol, TypeAlias

__all__ = [
    "Aborted",
    "Batch",
    "Condition",
    "DataRule",
    "Delivery",
    "Failed",
    "Grant",
    "Instant",
    "Outcome",
    "Page",
    "Partition",
    "Parts",
    "Policy",
    "Position",
    "Progress",
    "Range",
    "Raw",
    "Resume",
    "Returned",
    "Shape",
    "Throttled",
    "Unreachable",
]

Raw: TypeAlias = Any  # one record exactly as the source's client returned it
Partition = NewType("Partition", str)  # a shard id, "topic-0", or the queue's name
Position: TypeAlias = tuple[int, int]  # (sequence number or offset, number within it); ordered, unique in a partition
Parts: TypeAlias = Sequence[tuple[Partition, Sequence[Raw]]]  # a batch by partition, each part in order
Range: TypeAlias = tuple[Position, Position]  # first and last position, both included

EVENT_LIMIT = 6_291_456  # bytes of the encoded event. AWS: Lambda's synchronous payload limit (6 MB)


class Instant(NamedTuple):
    """One moment on both clocks: ages follow the wall, everything else is monotonic."""

    monotonic: float
    wall: float


@dataclass(frozen=True, slots=True)
class Resume:
    """What an earlier owner of a partition left: where to go on."""

    safe: Position | None = None  # everything up to and including it is finished; None: nothing yet
    above: tuple[Range, ...] = ()  # finished above `safe`
    state: Mapping[str, Any] | None = None  # of an open tumbling window


@dataclass(frozen=True, slots=True, eq=False)
class Grant:
    """The right to read and settle one partition until it is revoked or lost. Compared by identity."""

    partition: Partition
    generation: int = 0  # grows with each new owner; answers that belong to an older one are dropped
    resume: Resume = Resume()


@dataclass(slots=True)
class Page:
    """Records of one read, in order."""

    records: Sequence[Raw]  # the source's own list, kept as it is
    nbytes: int  # at least what the records take in an encoded event
    position: Position | None = None  # the last one covered, with or without a record; None for queues
    behind: float | None = None  # seconds behind the newest record; None where the source does not say
    pause: float = 0.0  # seconds before another read makes sense
    end: bool = False  # the partition is closed and this was its last page
    gap: str = ""  # a sentence, when records before this page were gone before they could be read


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a grant has come. The first three are raw records since the last settled progress, for queues only."""

    done: Sequence[Raw] = ()  # processed or filtered: delete them
    failed: Sequence[Raw] = ()  # tried in vain: leave them to the queue
    unstarted: Sequence[Raw] = ()  # never tried: give them back, in this order
    safe: Position | None = None  # everything up to and including it is finished
    above: tuple[Range, ...] = ()  # finished above `safe`, ascending
    state: Mapping[str, Any] | None = None  # of an open tumbling window
    finished: bool = False  # the partition is closed and everything in it is finished


@dataclass(frozen=True, slots=True)
class Delivery:
    """The order that a source keeps and who redelivers: all that tells sources apart outside `sources/`."""

    lane: Literal["none", "group", "partition", "hash", "key"]  # what is kept in order
    slots: int | None  # lanes or batches at once per partition; None: as many as permits allow
    mixed: bool  # one batch may hold several lanes
    spans: bool  # one batch may hold several partitions
    redelivers: bool  # the queue gives failed records again; otherwise the engine retries
    readers: int | None = 1  # reads at once; None: as many as permits and room need
    paced: bool = False  # a read never waits for records: `Page.pause` says when the next one makes sense
    page: int = 1_000  # records that one read brings at most
    oversize: Literal["attempt", "discard", "drop"] = "drop"  # what becomes of a log's record that fits no event
    beat: float | None = None  # seconds between two `Source.keep`; None: nothing to keep
    settle_every: float = 0.0  # seconds between two settles; 0: at once
    ranges: int = 1_000  # finished ranges above `safe` that a partition of a log keeps, before it is read no further
    window_default: float = 0.0  # seconds a batch waits for more when the mapping does not say
    ramps: bool = False  # concurrency starts low and grows while the backlog lasts. AWS: standard queues (9-1)


@dataclass(frozen=True, slots=True)
class DataRule:
    """How a filter pattern meets the payload of a record. AWS: one row of the table in semantics 6.2."""

    key: str  # the pattern's name for the payload: "body", "data", "dynamodb", "value"
    mismatch: Literal["drop", "ignore"]  # when payload and pattern are not of one format
    plain: bool  # a list of alternatives for the payload's text is a valid pattern


class Shape(Protocol):
    """How one source's records look. Nothing else in pollers takes a raw record apart."""

    data_rule: DataRule

    def position(self, raw: Raw) -> Position | None:
        """Where the record stands in its partition; None for queues."""

    def identifier(self, partition: Partition, raw: Raw) -> object:
        """What `itemIdentifier` names it by: a string, or for an object the tuple of its sorted items."""

    def key(self, raw: Raw) -> bytes | None:
        """The bytes whose equality means "keep these in order"; None: free of order."""

    def arrived(self, raw: Raw) -> float:
        """When it reached the source, seconds since the epoch (the approximate arrival timestamp)."""

    def size_bound(self, raw: Raw) -> int:
        """Bytes of the encoded record in an event, never too few."""

    def view(self, partition: Partition, raw: Raw) -> Mapping[str, Any]:
        """The record's metadata as a filter sees them, named as in the event, without the payload."""

    def data(self, raw: Raw) -> str | bytes:
        """The payload that a pattern's `data_rule.key` looks into; decoded where the event has base64."""

    def event(self, parts: Parts, window: Mapping[str, Any] | None) -> dict[str, Any]:
        """Lambda's event for a batch: a plain dict, new at each call, ready for JSON."""

    def failure(self, parts: Parts) -> dict[str, Any]:
        """The member of a failure document that describes the batch: `{"KinesisBatchInfo": {...}}`."""


class RecordFilter(Protocol):
    """Compiled FilterCriteria (`flow.filters`)."""

    def passes(self, partition: Partition, raw: Raw) -> bool:
        """Whether any of the filters matches. Never raises, whatever the record holds."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a mapping asks for, in plain values. AWS: the fields of CreateEventSourceMapping."""

    batch_size: int = 10  # records, 1 to 10,000
    window: float = 0.0  # seconds to wait for a full batch
    reports: bool = False  # ReportBatchItemFailures
    retries: int | None = None  # MaximumRetryAttempts; None: until the record expires at the source
    max_age: float | None = None  # MaximumRecordAgeInSeconds; None: forever
    bisect: bool = False  # BisectBatchOnFunctionError
    tumbling: float = 0.0  # seconds, TumblingWindowInSeconds; 0: none
    filters: RecordFilter | None = None
    destination: bool = False  # an on-failure destination is configured
    drop_undelivered: bool = False  # semantics 13-1: as AWS, when the destination refuses
    throttle_hold: float = 900.0  # seconds that a redelivering source's record waits for a permit (13-2)
    backoff_cap: float = 60.0  # seconds, of a failing batch (12-1)
    max_bytes: int = EVENT_LIMIT  # bytes of an encoded event


Condition: TypeAlias = Literal["RetryAttemptsExhausted", "RecordAgeExceeded", "MaximumPayloadSizeExceeded"]


# What came of one invocation. A function's behaviour is always one of these, never an exception.


@dataclass(frozen=True, slots=True)
class Returned:
    """The function returned. `payload` is its answer as JSON types; `unreadable` says why it has none."""

    payload: Any = None
    unreadable: str | None = None  # set when the answer is no JSON: a failure only where the mapping reads answers


@dataclass(frozen=True, slots=True)
class Failed:
    """The function may have run and did not return: raised, crashed, ran out of time. Counts as an attempt."""

    error: str  # a type, for logs and metrics: "ValueError", "Sandbox.Timedout"
    message: str


@dataclass(frozen=True, slots=True)
class Throttled:
    """No capacity for the call. Spends no attempt."""

    after: float | None = None  # seconds that the target asked to wait


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The function was not reached. Spends no attempt, tried again within a second."""

    reason: str


@dataclass(frozen=True, slots=True)
class Aborted:
    """We ended the call ourselves, at the deadline of a drain. Spends no attempt."""


Outcome: TypeAlias = Returned | Failed | Throttled | Unreachable | Aborted


class Batch(Protocol):
    """Records that are invoked together, as targets, destinations and observers see them."""

    request_id: str  # a UUID that the batch keeps through its retries
    attempts: int  # invocations of this very batch that ended

    def __len__(self) -> int: ...

    @property
    def parts(self) -> Parts:
        """The records by partition, each part in order."""
