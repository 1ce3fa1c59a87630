"""One shard: its records as the wire carries them, ready to be sliced, and what may be read and written in a second."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from typing import Any

from pollers.testing.kinesis.errors import fault
from pollers.testing.kinesis.limits import KinesisLimits

__all__ = ["HASHES", "Shard"]

HASHES = 1 << 128  # hash keys are below it
CUT = 4_096  # expired records after which the lists are shortened


class Shard:
    """Records in order. Sequence numbers are whole numbers here and text on the wire."""

    def __init__(self, number: int, parents: tuple[str, ...], first_hash: int, last_hash: int, start: int, now: float):
        self.id = f"shardId-{number:012}"
        self.parents = parents  # the one that was split, or the two that were merged
        self.first_hash = first_hash
        self.last_hash = last_hash  # included
        self.start = start  # sequence number that all of its records exceed
        self.end: int | None = None  # sequence number that none of its records exceeds; None while open
        self.created = now
        self.closed_at: float | None = None
        self.children: list[Shard] = []
        self.numbers: list[int] = []
        self._records: list[dict[str, Any]] = []
        self._arrived: list[float] = []
        self._ends: list[int] = []  # bytes of the first n records
        self._first = 0  # index of the oldest record that is left
        self._reads: deque[float] = deque()  # moments of the last second's reads
        self._resting = 0.0  # no read before
        self._second = 0.0  # in which the writes below were counted
        self._written = self._written_bytes = 0

    @property
    def closed(self) -> bool:
        return self.end is not None

    @property
    def records(self) -> list[dict[str, Any]]:
        """What is left, oldest first."""
        return self._records[self._first :]

    def __len__(self) -> int:
        return len(self._records) - self._first

    # Writing

    def admit(self, nbytes: int, limits: KinesisLimits, now: float) -> bool:
        """Whether the shard takes a record now; counts it if so."""
        if now - self._second >= 1.0:
            self._second, self._written, self._written_bytes = now, 0, 0
        if limits.writes_per_second is not None and self._written >= limits.writes_per_second:
            return False
        if limits.write_bytes_per_second is not None and self._written_bytes + nbytes > limits.write_bytes_per_second:
            return False
        self._written += 1
        self._written_bytes += nbytes
        return True

    def append(self, number: int, record: dict[str, Any], nbytes: int, now: float) -> None:
        self.numbers.append(number)
        self._records.append(record)
        self._arrived.append(now)
        self._ends.append((self._ends[-1] if self._ends else 0) + nbytes)

    def close(self, end: int, now: float) -> None:
        self.end, self.closed_at = end, now

    # Reading

    def turn(self, limits: KinesisLimits, now: float) -> None:
        """Count a read. Raises ProvisionedThroughputExceededException."""
        reads = self._reads
        while reads and now - reads[0] >= 1.0:
            reads.popleft()
        often = limits.reads_per_second is not None and len(reads) >= limits.reads_per_second
        if often or now < self._resting:
            raise fault("ProvisionedThroughputExceededException", f"Rate exceeded for shard {self.id}")
        reads.append(now)

    def after(self, number: int, limit: int, limits: KinesisLimits, now: float) -> tuple[list[dict[str, Any]], int]:
        """Up to `limit` records behind a sequence number, and the number of the last of them."""
        start, stop = self._range(number, limit, limits.page_bytes)
        if limits.read_bytes_per_second is not None and stop > start:
            before = self._ends[start - 1] if start else 0
            self._resting = now + (self._ends[stop - 1] - before) / limits.read_bytes_per_second - 1.0
        return self._records[start:stop], self.numbers[stop - 1] if stop > start else number

    def pushed(self, number: int, limits: KinesisLimits) -> tuple[list[dict[str, Any]], int]:
        """What an event of a subscription brings, and the number of its last record; no read of others is the slower.

        AWS: each consumer has a throughput of its own.
        """
        start, stop = self._range(number, len(self._records), limits.event_bytes)
        return self._records[start:stop], self.numbers[stop - 1] if stop > start else number

    def _range(self, number: int, limit: int, nbytes: int) -> tuple[int, int]:
        """Indexes of the records behind a sequence number, as many as go into one answer."""
        start = max(self._first, bisect_right(self.numbers, number))
        stop = min(start + limit, len(self._records))
        before = self._ends[start - 1] if start else 0
        most = bisect_right(self._ends, before + nbytes, start, stop)
        return start, max(most, min(start + 1, stop))  # a single record is never too large to be read

    def behind(self, number: int, now: float) -> float:
        """Seconds since the next record behind a sequence number arrived; 0 where there is none."""
        index = max(self._first, bisect_right(self.numbers, number))
        return max(0.0, now - self._arrived[index]) if index < len(self._records) else 0.0

    def ended(self, number: int) -> bool:
        """Whether nothing follows a sequence number, for ever."""
        return self.closed and bisect_right(self.numbers, number) >= len(self._records)

    def before_moment(self, moment: float) -> int:
        """The sequence number behind which the records of that moment and later begin."""
        index = bisect_left(self._arrived, moment)
        return self.numbers[index] - 1 if index < len(self.numbers) else self.newest()

    def newest(self) -> int:
        return self.numbers[-1] if self.numbers else self.start

    # Forgetting

    def expire(self, limit: float) -> None:
        """Forget what arrived before that moment."""
        arrived, first = self._arrived, self._first
        while first < len(arrived) and arrived[first] < limit:
            first += 1
        self._cut(first)

    def trim(self, upto: int) -> None:
        """Forget the records up to a sequence number, as if they had expired."""
        self._cut(max(self._first, bisect_right(self.numbers, upto)))

    def _cut(self, first: int) -> None:
        self._first = first
        if first < CUT:
            return
        del self.numbers[:first], self._records[:first], self._arrived[:first], self._ends[:first]
        self._first = 0

    def wire(self) -> dict[str, Any]:
        """As ListShards has it."""
        sequence = {"StartingSequenceNumber": str(self.start)}
        if self.end is not None:
            sequence["EndingSequenceNumber"] = str(self.end)
        return {
            "ShardId": self.id,
            **dict(zip(("ParentShardId", "AdjacentParentShardId"), self.parents, strict=False)),
            "HashKeyRange": self.hashes(),
            "SequenceNumberRange": sequence,
        }

    def hashes(self) -> dict[str, str]:
        return {"StartingHashKey": str(self.first_hash), "EndingHashKey": str(self.last_hash)}
