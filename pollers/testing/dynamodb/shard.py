"""One shard: its records in order, what of them is trimmed, and pages of them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque

from pollers.testing.dynamodb.limits import LARGEST_PAGE
from pollers.testing.dynamodb.records import StreamRecord

__all__ = ["Shard"]


class Shard:
    """Takes the records whose hash is in `low` to `high` (not included) while it is open.

    Positions are sequence numbers: reading at a position gives the records from that number on.
    """

    def __init__(self, id: str, parent: str | None, low: int, high: int, first: int, opened: float) -> None:
        self.id = id
        self.parent = parent  # its id; None: the stream began with this shard
        self.low = low
        self.high = high
        self.first = first  # its records have higher sequence numbers
        self.last: int | None = None  # its records have lower ones; None: it is open
        self.opened = opened  # wall time, seconds
        self.closed: float | None = None
        self.horizon = first  # the lowest position that can be read
        self.reads: deque[float] = deque()  # when GetRecords read it, in the second before the latest read
        self._records: list[StreamRecord] = []
        # Of each record in `_records`, ascending: its number, when it was written, and the bytes up to its end.
        self._numbers: list[int] = []
        self._times: list[float] = []
        self._ends: list[int] = []
        self._bytes = 0  # of all records ever written

    @property
    def open(self) -> bool:
        return self.closed is None

    @property
    def records(self) -> tuple[StreamRecord, ...]:
        """What can still be read."""
        return tuple(self._records)

    @property
    def latest(self) -> int:
        """The position after the newest record."""
        return self._numbers[-1] + 1 if self._numbers else self.horizon

    def append(self, record: StreamRecord, number: int, now: float) -> None:
        """Numbers ascend. A clock that steps back does not make a record older than the one before it."""
        self._bytes += record["dynamodb"]["SizeBytes"]
        self._records.append(record)
        self._numbers.append(number)
        self._times.append(max(now, self._times[-1]) if self._times else now)
        self._ends.append(self._bytes)

    def close(self, last: int, now: float) -> None:
        self.last = last
        self.closed = now

    def read(self, position: int, limit: int) -> tuple[list[StreamRecord], int | None]:
        """At most `limit` records and 1 MB from `position` on, and the next position: None at the end of all."""
        start = bisect_left(self._numbers, position)
        before = self._ends[start - 1] if start else self._trimmed_bytes()
        fitting = bisect_right(self._ends, before + LARGEST_PAGE, lo=start)
        stop = min(start + limit, max(fitting, start + 1), len(self._records))
        if stop == len(self._records) and not self.open:
            return self._records[start:stop], None
        following = self._numbers[stop - 1] + 1 if stop > start else position
        return self._records[start:stop], following

    def expire(self, until: float) -> None:
        """Trim what was written up to `until`."""
        if self._times and self._times[0] <= until:
            self._drop(bisect_right(self._times, until))

    def trim(self, number: int) -> None:
        """Trim the records up to this number, and itself."""
        self._drop(bisect_right(self._numbers, number))

    def admit(self, most: int, now: float) -> bool:
        """Whether one more read is within `most` per second; if so it is counted."""
        while self.reads and self.reads[0] <= now - 1.0:
            self.reads.popleft()
        if len(self.reads) >= most:
            return False
        self.reads.append(now)
        return True

    def _drop(self, count: int) -> None:
        if count:
            self.horizon = self._numbers[count - 1] + 1
            for column in (self._records, self._numbers, self._times, self._ends):
                del column[:count]

    def _trimmed_bytes(self) -> int:
        return self._ends[0] - self._records[0]["dynamodb"]["SizeBytes"] if self._ends else self._bytes
