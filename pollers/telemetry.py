"""What happened: frozen values for observers, plain counters for metrics.

No event is made per record and none per successful batch; those are counted (`Meter`), by integers that cost
nothing until they are read.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TypeAlias

from pollers.flow.counts import Counts

__all__ = [
    "DeliveryHeld",
    "Drained",
    "Draining",
    "Event",
    "Histogram",
    "InvocationFailed",
    "InvocationLate",
    "LaneStalled",
    "LoopBlocked",
    "MappingStarted",
    "Meter",
    "PartitionFinished",
    "PartitionGranted",
    "PartitionLost",
    "PollerCrashed",
    "RecordsDiscarded",
    "RecordsMissed",
    "ReportUnusable",
    "SourceTroubled",
    "TargetUnavailable",
    "Warned",
]


@dataclass(frozen=True, slots=True)
class MappingStarted:
    """A mapping reads from now on."""

    mapping: str
    source: str  # ARN
    function: str
    detail: str  # one line: how the function is isolated, its timeout, its limits, the store used


@dataclass(frozen=True, slots=True)
class Warned:
    """A configuration that works and may surprise: said once, at start."""

    mapping: str
    message: str


@dataclass(frozen=True, slots=True)
class PartitionGranted:
    """A partition is ours from now on; `note` is a sentence, when there is something to know about it."""

    mapping: str
    partition: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class PartitionFinished:
    """A closed partition has been read to its end and everything in it is finished."""

    mapping: str
    partition: str


@dataclass(frozen=True, slots=True)
class RecordsMissed:
    """Records were gone before they could be read. `detail` is a sentence that says where and, if known, how many."""

    mapping: str
    partition: str
    detail: str


@dataclass(frozen=True, slots=True)
class PartitionLost:
    """Revoked or lost; `reason` says which."""

    mapping: str
    partition: str
    reason: str


@dataclass(frozen=True, slots=True)
class InvocationFailed:
    """The function failed once for a batch."""

    mapping: str
    request_id: str
    records: int
    attempt: int  # 1 for the first
    error: str
    message: str


@dataclass(frozen=True, slots=True)
class InvocationLate:
    """A function that cannot be stopped is still running after its timeout."""

    mapping: str
    request_id: str
    seconds: float  # past the deadline


@dataclass(frozen=True, slots=True)
class ReportUnusable:
    """A partial batch response that says nothing usable: the whole batch fails."""

    mapping: str
    request_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class TargetUnavailable:
    """Throttled or unreachable: no attempt is spent. Sent when that begins and, with `over`, when it ends."""

    mapping: str
    reason: str
    over: bool = False


@dataclass(frozen=True, slots=True)
class RecordsDiscarded:
    """Records given up. `destination` is None where they were dropped."""

    mapping: str
    condition: str
    request_id: str
    partition: str
    records: int
    attempts: int
    destination: str | None


@dataclass(frozen=True, slots=True)
class DeliveryHeld:
    """A destination does not take a document: the lane waits."""

    mapping: str
    destination: str
    reason: str
    retry_in: float  # seconds


@dataclass(frozen=True, slots=True)
class LaneStalled:
    """A partition stopped reading because one lane does not get on."""

    mapping: str
    partition: str
    lane: str
    reason: str
    since: float  # loop time, seconds


@dataclass(frozen=True, slots=True)
class SourceTroubled:
    """A call of the source failed and is tried again."""

    mapping: str
    operation: str  # "read", "settle", "keep"
    reason: str
    retry_in: float  # seconds


@dataclass(frozen=True, slots=True)
class PollerCrashed:
    """A fault of ours: the mapping starts again."""

    mapping: str
    reason: str
    retry_in: float  # seconds


@dataclass(frozen=True, slots=True)
class LoopBlocked:
    """Something kept the event loop from turning: a function that does not await, most likely."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Draining:
    mapping: str
    invocations: int  # that are waited for
    handed_back: int  # records that had not started


@dataclass(frozen=True, slots=True)
class Drained:
    mapping: str
    left: int  # invocations that were cut off at the deadline
    unsettled: int  # records finished whose settlement did not reach the source


Event: TypeAlias = (
    MappingStarted
    | Warned
    | PartitionGranted
    | PartitionFinished
    | RecordsMissed
    | PartitionLost
    | InvocationFailed
    | InvocationLate
    | ReportUnusable
    | TargetUnavailable
    | RecordsDiscarded
    | DeliveryHeld
    | LaneStalled
    | SourceTroubled
    | PollerCrashed
    | LoopBlocked
    | Draining
    | Drained
)


DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0, 300.0, 900.0)
RECORDS = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0)


class Histogram:
    """Counts per bucket. `bounds` are upper bounds, included, ascending; the last count is what exceeds them all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Meter:
    """The plain numbers of one mapping. Its pump writes them, whoever exposes metrics reads them; nobody else does."""

    __slots__ = (
        "batch_records",
        "behind",
        "bisects",
        "concurrency_limit",
        "dead_lettered",
        "delivery_failures",
        "draining",
        "dropped",
        "duration",
        "failed_records",
        "filtered",
        "gaps",
        "inflight_bytes",
        "inflight_records",
        "invocations",
        "invoked_records",
        "lapsed",
        "mapping",
        "processed",
        "received",
        "requests",
        "retries",
        "returned",
        "source",
        "stalled",
        "throttles",
        "waiting",
    )

    def __init__(self, mapping: str, source: str) -> None:
        self.mapping = mapping
        self.source = source  # its kind: "sqs"
        self.received = 0  # records. AWS: PolledEventCount
        self.filtered = 0  # records. AWS: FilteredOutEventCount
        self.processed = 0  # records whose function succeeded
        self.invoked_records = 0  # records handed to the function, every retry again. AWS: InvokedEventCount
        self.failed_records = 0  # records in failed or partly failed invocations. AWS: FailedInvokeEventCount
        self.dropped = 0  # records given up and kept nowhere. AWS: DroppedEventCount
        self.dead_lettered = 0  # records whose failure document was delivered
        self.delivery_failures = 0  # documents that a destination did not take, each try
        self.returned = 0  # records given back unstarted
        self.lapsed = 0  # records that stopped being ours while we held them
        self.retries = 0  # batches tried again by us
        self.bisects = 0  # batches cut in two
        self.throttles = 0  # invocations refused for want of capacity
        self.invocations = {"ok": 0, "partial": 0, "failed": 0, "throttled": 0, "unreachable": 0, "aborted": 0}
        self.requests: dict[
            tuple[str, str], int
        ] = {}  # calls of the source by (operation, "ok" | "error" | "throttled")
        self.duration = Histogram(DURATIONS)  # seconds of an invocation
        self.batch_records = Histogram(RECORDS)
        self.inflight_records = 0  # read and not finished
        self.inflight_bytes = 0
        self.concurrency_limit = 0  # invocations at once that the mapping may have now
        self.waiting = 0  # batches that could start if there were a permit: 0 or 1
        self.gaps = 0  # times that records were gone before they could be read
        self.behind: float | None = None  # seconds behind the newest record, of the partition that is furthest behind
        self.stalled = 0  # partitions that stopped reading because a lane does not get on
        self.draining = False

    def count(self, counts: Counts) -> None:
        """Take over what the flow counted."""
        for name in Counts.__slots__:
            setattr(self, name, getattr(counts, name))
