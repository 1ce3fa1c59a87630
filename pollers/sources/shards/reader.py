"""Reads one shard: where its iterator stands, how it is opened again, and when the next read makes sense.

AWS: an iterator lives for minutes and is opened again behind the last record read (8-6, 8-7); a position that the
stream no longer holds goes on at the oldest record that is left, and that is said (12-14).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pollers.aws.errors import CallFailed, Kind
from pollers.clock import Clock
from pollers.flow.lineage import Shard
from pollers.flow.records import Page, Partition, Raw
from pollers.sources.shards.pace import Pace
from pollers.sources.shards.stream import Answer, Habits, Stream, Where

__all__ = ["THROTTLED", "Reader", "ShardGone", "Terms", "gap_after"]

EXPIRED: Final = "ExpiredIteratorException"
TRIMMED: Final = "TrimmedDataAccessException"
FAR: Final = 60.0  # seconds behind from which on larger pages are asked for
CALM: Final = 4  # reads of a caught-up shard that bring nothing, before it is read less often
LARGE: Final = 800_000  # bytes of an answer that may have ended for its size. AWS: 1 MB of DynamoDB Streams
THROTTLED: Final = 1.0, 10.0  # seconds after the first throttle, and at most


class ShardGone(Exception):
    """The stream has no such shard, or there is no such stream."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What every shard of a mapping is read by."""

    stream: Stream
    pace: Pace
    idle_poll: float  # seconds between two reads of a quiet shard at most
    clock: Clock
    time: Callable[[], float]  # the loop's


class Reader:
    """One shard of one mapping while it is being read."""

    __slots__ = (
        "_begun",
        "_behind",
        "_fresh",
        "_iterator",
        "_last",
        "_resumed",
        "_skip",
        "_start",
        "_terms",
        "_throttles",
        "children",
        "partition",
        "quiet",
    )

    def __init__(
        self,
        terms: Terms,
        partition: Partition,
        *,
        last: int | None,
        begun: bool = False,
        start: float | None,
        fresh: bool,
        saved: float,
    ) -> None:
        """`last`: the record after which to begin; without it from the moment `start`, or from the beginning.

        `begun`: with that very record, as not all of it is finished.
        `fresh`: the mapping starts for the first time, at this moment. `saved`: when `last` was written (wall).
        """
        self._terms = terms
        self.partition = partition
        self.children: tuple[Shard, ...] = ()  # once it was read to its end, where the service names them
        self.quiet = 0  # reads in a row of a caught-up shard that brought nothing
        self._iterator: str | None = None
        self._last = last
        self._begun = begun
        self._start = start
        self._fresh = fresh
        self._resumed = saved if last is not None else None
        self._skip: float | None = None  # records that arrived before are not for the mapping
        self._behind = 0.0
        self._throttles = 0  # in a row

    async def read(self, limit: int) -> Page:
        """Up to `limit` records; none where it is not the shard's turn. Raises `CallFailed`, `ShardGone`."""
        terms = self._terms
        wait = terms.pace.take(self.partition, terms.time())
        if wait > 0:
            return Page((), 0, pause=wait)
        gap = ""
        habits = terms.stream.habits
        limit = min(limit, habits.far_page if self._behind > FAR else habits.page)
        try:
            if self._iterator is None:
                gap = await self._open(terms.stream)
            assert self._iterator is not None
            answer = await terms.stream.records(self._iterator, limit)
        except CallFailed as failure:
            return self._failed(failure, gap)
        self._throttles = 0
        return self._page(answer, gap, limit)

    async def close(self) -> None:
        """An iterator is nothing to close."""

    # Where it stands

    async def _open(self, stream: Stream) -> str:
        """Make an iterator; returns what was missed."""
        gap = ""
        if self._resumed is not None and stream.retention is not None:
            if self._terms.clock.wall() - self._resumed > stream.retention:
                gap = await self._overtaken(stream)
            self._resumed = None
        try:
            self._iterator = await stream.iterator(self.partition, self._where(stream.habits))
        except CallFailed as failure:
            if failure.code.rpartition(".")[2] != TRIMMED:
                raise
            self._iterator = await stream.iterator(self.partition, Where("TRIM_HORIZON"))
            gap = self._trimmed()
        return gap

    def _where(self, habits: Habits) -> Where:
        if self._last is not None:
            return Where("AT_SEQUENCE_NUMBER" if self._begun else "AFTER_SEQUENCE_NUMBER", sequence=self._last)
        if self._start is None:
            return Where("TRIM_HORIZON")
        if habits.by_time:
            return Where("AT_TIMESTAMP", moment=self._start)
        if self._fresh:
            self._fresh = False
            return Where("LATEST")
        # Ours (12-19): from the horizon, what is older is skipped. Such services date records by the second.
        self._skip = float(int(self._start))
        return Where("TRIM_HORIZON")

    async def _overtaken(self, stream: Stream) -> str:
        """Whether the stream's oldest record lies behind our position: a service that goes on there without a word."""
        horizon = await stream.iterator(self.partition, Where("TRIM_HORIZON"))
        oldest = (await stream.records(horizon, 1)).records
        if not oldest or self._last is None:
            return ""
        position = stream.shape.position(oldest[0])
        return self._trimmed() if position is not None and position[0] > self._last else ""

    def _trimmed(self) -> str:
        return gap_after(self._last)

    # What came

    def _failed(self, failure: CallFailed, gap: str) -> Page:
        """A page without records for what passes by itself; raises for everything else."""
        code = failure.code.rpartition(".")[2]
        if failure.kind is Kind.THROTTLED:
            self._throttles += 1
            first, most = THROTTLED
            pause = min(first * 2.0 ** min(self._throttles - 1, 10), most) * (0.5 + self._terms.clock.chance() / 2)
            return Page((), 0, pause=pause, gap=gap)
        if code == EXPIRED:
            self._iterator = None
            return Page((), 0, pause=0.0, gap=gap)
        if code == TRIMMED:
            self._iterator, self._last, self._start, lost = None, None, None, self._trimmed()
            return Page((), 0, pause=0.0, gap=gap or lost)
        if failure.kind is Kind.MISSING:
            self._iterator = None
            raise ShardGone from failure
        raise failure

    def _page(self, answer: Answer, gap: str, limit: int) -> Page:
        stream = self._terms.stream
        wait = self._terms.pace.spend(self.partition, answer.nbytes, self._terms.time())
        records = answer.records
        position = None
        if records:
            position = stream.shape.position(records[-1])
            assert position is not None
            self._last, self._begun = position[0], False
            if self._skip is not None:
                records = self._younger(stream, records)
        self._iterator = answer.following
        self.children = answer.children
        behind = self._found(answer, limit)
        return Page(
            records,
            nbytes=self._bound(answer),
            position=position,
            behind=behind,
            pause=wait if behind is None or behind > 0 else max(wait, self._calm()),
            end=answer.following is None,
            gap=gap,
        )

    def _bound(self, answer: Answer) -> int:
        """Bytes that the records take in an event, at most: from the size of the answer, without touching them."""
        shape = self._terms.stream.shape
        if not answer.nbytes:
            return sum(map(shape.size_bound, answer.records))
        return answer.nbytes + len(answer.records) * shape.frame

    def _younger(self, stream: Stream, records: Sequence[Raw]) -> Sequence[Raw]:
        """What arrived since the moment to begin at."""
        assert self._skip is not None
        for index, raw in enumerate(records):
            if stream.shape.arrived(raw) >= self._skip:
                self._skip = None
                return records[index:]
        return ()

    def _found(self, answer: Answer, limit: int) -> float | None:
        """Seconds behind; None where more may be there and nobody says how much. Keeps count of quiet reads."""
        behind = answer.behind
        if behind is None and not answer.records and self.quiet:
            behind = 0.0  # a second read that brings nothing: a service may answer one with nothing in between
        if behind is None and 0 < len(answer.records) < limit and answer.nbytes < LARGE:
            behind = 0.0
        self.quiet = 0 if answer.records or behind else self.quiet + 1
        self._behind = behind or 0.0
        return behind

    def _calm(self) -> float:
        """Ours (13-10): as AWS while there is traffic, then ever less often."""
        poll = self._terms.stream.habits.poll
        return min(self._terms.idle_poll, poll * 2.0 ** min(max(0, self.quiet - CALM), 10))


def gap_after(last: int | None) -> str:
    """What to say where the stream no longer holds what followed a record, or a shard's beginning."""
    where = "its beginning" if last is None else f"sequence number {last}"
    return f"what followed {where} may have left the stream before it was read; reading goes on at the oldest left"
