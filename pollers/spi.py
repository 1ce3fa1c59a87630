"""What a plug-in author needs, on one page: the protocols of the edges and the values that cross them.

A source is three ideas: `changes` says which partitions are ours, `read` brings pages, `settle` takes progress back.
Every call comes from one event loop; seconds everywhere. `pollers.testing` checks an implementation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from pollers.flow.records import (
    Aborted,
    Batch,
    Condition,
    DataRule,
    Delivery,
    Failed,
    Grant,
    Outcome,
    Page,
    Partition,
    Parts,
    Position,
    Progress,
    Range,
    Raw,
    Resume,
    Returned,
    Shape,
    Throttled,
    Unreachable,
)
from pollers.telemetry import Event

__all__ = [
    "Aborted",
    "Batch",
    "Change",
    "Condition",
    "DataRule",
    "Delivery",
    "Destination",
    "Failed",
    "Failure",
    "Function",
    "Grant",
    "Granted",
    "Invocation",
    "Lapsed",
    "Lost",
    "Observer",
    "Outcome",
    "Page",
    "Partition",
    "Parts",
    "Position",
    "Progress",
    "Range",
    "Raw",
    "Resume",
    "Returned",
    "Revoked",
    "Row",
    "Shape",
    "Source",
    "Store",
    "Target",
    "Throttled",
    "Troubled",
    "Unreachable",
]


@dataclass(frozen=True, slots=True)
class Granted:
    """A partition is ours from now on."""

    grant: Grant
    note: str = ""  # a sentence, when there is something to know about it


@dataclass(frozen=True, slots=True)
class Revoked:
    """A partition must be given up: attempts that run may end, then it is settled and released, by the deadline."""

    grant: Grant
    deadline: float  # loop time, seconds


@dataclass(frozen=True, slots=True)
class Lost:
    """A partition belongs to somebody else already: nothing of it is settled any more."""

    grant: Grant


@dataclass(frozen=True, slots=True)
class Lapsed:
    """These very objects of an earlier page are no longer ours (their visibility could not be extended)."""

    grant: Grant
    records: Sequence[Raw]


@dataclass(frozen=True, slots=True)
class Troubled:
    """Something that the source does by itself failed and is tried again: only to be said."""

    operation: str  # "discover"
    reason: str
    retry_in: float  # seconds


Change: TypeAlias = Granted | Revoked | Lost | Lapsed | Troubled


class Source(Protocol):
    """Where records come from."""

    name: str  # "sqs", "kinesis": for logs and metrics
    arn: str  # of the queue or stream; what failure documents and mapping identities carry
    delivery: Delivery  # final once `open` has returned
    shape: Shape  # final once `open` has returned
    warnings: Sequence[str]  # after `open`: what works and may surprise
    requests: Mapping[tuple[str, str], int]  # calls made, by (operation, "ok" | "error" | "throttled")

    def fit(self, *, mapping: str, batch_size: int, window: float, timeout: float) -> None:
        """Learn what the mapping asks for, before `open`.

        `mapping` is its identity, under which positions are kept; then records, seconds to wait for them, seconds of
        a function.
        """

    async def open(self) -> None:
        """Check that the source can be read, before anything is. Called once. Raises `SourceError`."""

    def changes(self) -> AsyncIterator[Change]:
        """Which partitions are ours. Consumed at once, by one consumer, never while something drains.

        Called again after a fault of ours, once every grant was released: grants come anew.
        """

    @property
    def ours_until(self) -> float:
        """Loop time from which on another process may have its grants, so that nothing is started; math.inf: never.

        It moves on as the source hears that they are still its own.
        """

    def stop(self) -> None:
        """The mapping drains: take no more partitions. Those that are granted are settled and released in order."""

    async def read(self, grant: Grant, limit: int) -> Page:
        """Up to `limit` records after the last page, in order. May wait unless `delivery.paced`, may return none.

        At most `delivery.readers` calls per grant run at once. Once a mapping drains none begins. A call that is
        cancelled lets the request under way end within 2 s and then returns what it brought, instead of raising;
        after that it cuts it off and logs that messages may stay invisible for one visibility timeout.
        """

    async def settle(self, grant: Grant, progress: Progress) -> None:
        """Make progress durable. Idempotent, one call per grant at a time.

        Raises `LostGrant`; any other error means that the same progress, or more, is settled again later.
        """

    async def keep(self, grant: Grant) -> None:
        """Extend what was read and not settled. Called every `delivery.beat` seconds, from a task of its own."""

    async def release(self, grant: Grant) -> None:
        """Give the partition up. Nothing of it is read or settled afterwards."""

    async def close(self) -> None:
        """Free every resource. May be called twice, and without `open`."""


@dataclass(frozen=True, slots=True)
class Function:
    """What a function is called and may cost. AWS: Lambda's function configuration."""

    name: str
    arn: str  # the one it would have in Lambda (semantics 12-20)
    timeout: float = 3.0  # seconds for one invocation
    memory: int = 128  # MiB, as the context tells the function; not enforced
    version: str = "$LATEST"


class Invocation:
    """One call of a function. Its event is built when it is first read, once."""

    __slots__ = ("_event", "deadline", "deadline_wall", "request_id", "trace")

    def __init__(
        self,
        request_id: str,
        event: dict[str, Any] | Callable[[], dict[str, Any]],
        deadline: float,
        deadline_wall: float,
        trace: str | None = None,
    ) -> None:
        self.request_id = request_id  # a UUID, the same for every retry of a batch
        self.deadline = deadline  # loop time, seconds
        self.deadline_wall = deadline_wall  # the same moment, seconds since the epoch
        self.trace = trace  # an X-Ray trace header to pass on
        self._event = event

    @property
    def event(self) -> dict[str, Any]:
        """The function's event: a plain dict that is the function's own."""
        event = self._event
        if not isinstance(event, dict):
            event = self._event = event()
        return event


class Target(Protocol):
    """What is invoked."""

    function: Function

    async def open(self) -> None:
        """Load or reach the function, so that the first record does not pay for it. Raises `PollersError`."""

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Call the function once and say what came of it. Never raises for what the function does.

        Cancelled at the deadline and when a drain ends: stop the function as hard as the target can, then let
        `CancelledError` pass.
        """

    async def close(self) -> None:
        """End workers and connections. May be called twice, and without `open`."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a destination is given for one discarded batch. AWS: semantics 5.9."""

    document: Mapping[str, Any]  # requestContext, responseContext, version, timestamp, ...BatchInfo
    payload: dict[str, Any]  # the event that was or would have been invoked
    keys: Sequence[bytes | None]  # one per record
    mapping: str  # the mapping's UUID or identity
    partition: Partition  # of the first record


class Destination(Protocol):
    """Where discarded batches go."""

    name: str  # its ARN or URL

    async def open(self) -> None:
        """Check that it can be written, as far as that can be seen without writing. Raises `SourceError`."""

    async def deliver(self, failure: Failure) -> None:
        """Return once the document is durable. Raises `Undelivered`; then the same failure comes again."""

    async def close(self) -> None:
        """May be called twice, and without `open`."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a store keeps of one partition of a mapping: who has it, and how far it has come."""

    partition: Partition
    safe: Position | None = None  # everything up to and including it is finished; None: nothing yet
    above: tuple[Range, ...] = ()  # finished above `safe`, ascending
    state: Mapping[str, Any] | None = None  # of an open tumbling window, as `Progress.state`
    start: float | None = None  # while `safe` is None: read from this moment on (since the epoch); None: everything
    finished: bool = False  # closed, and everything in it is finished
    parents: tuple[Partition, ...] = ()  # that must be finished first, in any order
    origin: str = ""  # which stream of its name: one that was deleted and made anew has another
    owner: str = ""  # who has it, or had it when it stopped; "": free
    heir: str = ""  # who asked for it: its owner is to finish, to save and to leave it
    tenure: int = 0  # grows each time it is taken; writes of an earlier tenure are refused
    counter: int = 0  # grows with each `take`, `renew` and `leave`: the owner's heartbeat
    saved: float = 0.0  # when its position was written last, seconds since the epoch


class Store(Protocol):
    """Where positions and leases are kept, by mapping and partition.

    Writes are durable on return; errors are `PollersError`s. A row is leased to its owner as long as its counter grows:
    an observer that has not seen it change for `lease` seconds of its own monotonic clock may take the row.
    """

    url: str  # for logs: "sqlite:///var/lib/pollers/state.db"
    lease: float  # seconds; math.inf where only this process can have the rows

    @property
    def worker(self) -> str:
        """After `open`: a name that nobody else alive has and that a restart gets again; "" where there is none."""

    async def open(self) -> None:
        """Make it ready for use. May be called again by each source that uses it. Raises `SourceError`."""

    async def load(self, mapping: str) -> Sequence[Row]:
        """Every row of a mapping, ordered by partition."""

    async def create(self, mapping: str, rows: Sequence[Row]) -> None:
        """Add rows, all or none; a partition that has one keeps it, and one that had one goes on above its tenure."""

    async def take(self, mapping: str, rows: Sequence[Row], owner: str) -> Sequence[Row]:
        """Own these from now on, each if its tenure and counter are still those of `rows`.

        Returns the rows taken, with their next tenure and no heir, in order; the others are left out.
        """

    async def renew(self, mapping: str, rows: Sequence[Row]) -> Sequence[Row]:
        """Say that these, taken with these tenures, are still in use.

        Returns them in order, with `owner`, `heir` and `counter` as they are now; `heir` says who wants one. Those
        that were taken since, or are gone, are left out.
        """

    async def ask(self, mapping: str, rows: Sequence[Row], heir: str) -> None:
        """Ask the owners of these for them, each if it still has that owner and tenure, and nobody asked before."""

    async def save(self, mapping: str, row: Row) -> None:
        """Write `safe`, `above`, `state` and `finished` of a row that was taken with this tenure.

        Raises `LostGrant` when somebody took it since, or when it is gone. Calls made at once share a transaction.
        """

    async def leave(self, mapping: str, rows: Sequence[Row]) -> None:
        """Give these up: each belongs to its heir now, or to nobody. Those taken since, or gone, stay as they are."""

    async def remove(self, mapping: str, partitions: Sequence[Partition]) -> None:
        """Forget these rows, but not their tenures: whoever took them must have no say in rows that are made anew."""

    async def close(self) -> None:
        """Finish what is under way and let go. May be called twice, and without `open`."""


class Observer(Protocol):
    """Told what happened. Must not block and must not raise."""

    def notice(self, event: Event) -> None: ...
