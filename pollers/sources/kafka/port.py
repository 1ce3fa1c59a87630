"""What a source needs of a Kafka client: a member of a consumer group that reads one topic.

`client` keeps to it with aiokafka. Offsets are always those to be read next, times of the loop are seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from pollers.errors import SourceError
from pollers.flow.records import Raw
from pollers.kafka.connection import KafkaConnection

__all__ = ["Brought", "Committed", "Consumer", "ConsumerTerms", "Fetched", "Listener", "OutOfRange", "Unreadable"]


@dataclass(frozen=True, slots=True)
class ConsumerTerms:
    """What a consumer is made of."""

    connection: KafkaConnection
    topic: str
    group: str
    instance: str | None  # the static member's id; None: none
    rebalance: float  # seconds that a member has to give its partitions up


@dataclass(frozen=True, slots=True)
class Committed:
    """What a group keeps of a partition."""

    offset: int  # the first one that is not finished
    metadata: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one fetch brought of a partition."""

    partition: int
    records: Sequence[Raw]  # with `offset`, `timestamp` (ms), `timestamp_type`, `key`, `value` and `headers`
    next: int  # the offset that is read next: behind the last record, and behind markers and gaps


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """The log does not have the offset that is to be read next: it was deleted, or was never there."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A partition could not be read this time. The others are not concerned."""

    partition: int
    error: SourceError


Brought: TypeAlias = Fetched | OutOfRange | Unreadable


class Listener(Protocol):
    """Is told what the group gives and takes."""

    def assigned(self, partitions: Collection[int]) -> None:
        """These are ours from now on, and no others. Nothing is read of them before `seek`."""

    async def revoked(self, partitions: Collection[int], *, lost: bool) -> None:
        """These go to others once this returns; `lost`: they have gone already. An assignment follows."""


class Consumer(Protocol):
    """A member of a consumer group. Whatever asks the cluster raises `SourceError` where that fails."""

    generation: int  # of the group, at the last assignment: it grows with each; -1: there was none
    alive_until: float  # loop time: without a further heartbeat the group has given our partitions to others by then

    async def start(self) -> None:
        """Connect, and see that the topic is there."""

    def join(self, listener: Listener) -> None:
        """Join the group."""

    def check(self) -> None:
        """Raise what keeps the member from its group, and lets it try again."""

    async def partitions(self) -> Collection[int]:
        """All that the topic has; none where it is gone."""

    async def committed(self, partitions: Collection[int]) -> dict[int, Committed]:
        """What the group keeps of these; those of which it keeps nothing are left out."""

    async def beginning(self, partitions: Collection[int]) -> dict[int, int]:
        """The oldest offset of each."""

    async def end(self, partitions: Collection[int]) -> dict[int, int]:
        """The offset up to which each can be read: of the next record, or of the oldest open transaction."""

    async def at(self, partitions: Collection[int], moment: float) -> dict[int, int]:
        """The first offset at or after a moment (seconds since the epoch); the end where there is none."""

    def seek(self, partition: int, offset: int) -> None:
        """Read on from there."""

    def position(self, partition: int) -> int | None:
        """The offset that is read next; None where it is not ours, or was not sought yet."""

    async def fetch(self, wanted: Mapping[int, int], timeout: float) -> Sequence[Brought]:
        """What there is of the wanted partitions, of each about as many records as are wanted.

        Waits up to `timeout` seconds for some. A client that unpacks batches of records whole may bring a few more.
        """

    def want(self, partition: int) -> None:
        """Let a fetch that waits return, as this partition is wanted as well."""

    async def commit(self, offsets: Mapping[int, Committed]) -> None:
        """Durable on return. Raises `LostGrant` where the group has gone on since the last assignment."""

    def lag(self, partition: int) -> int | None:
        """Records that are in the log and not read, as far as the last fetch knew; None: not known."""

    async def close(self) -> None:
        """Leave the group. May be called twice."""
