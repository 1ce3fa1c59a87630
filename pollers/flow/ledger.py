"""What became of every record of one partition. It knows ordinals and positions, never time, lanes or functions.

Each accepted record has an ordinal, counted from 0 in the order of arrival. A log's ledger follows the contiguous
prefix of finished ordinals and the finished ranges above it; a queue's ledger collects records to delete, to leave
and to give back. Both know how many records and bytes are held.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence

from pollers.flow.records import Page, Position, Progress, Range, Raw, Resume
from pollers.flow.windows import Window

__all__ = ["Ledger", "LogLedger", "QueueLedger", "Total"]


class Mark:
    """One page's place among the ordinals."""

    __slots__ = ("ends", "first", "left", "nbytes", "position", "records", "stop")

    def __init__(self, page: Page, first: int) -> None:
        self.first = first
        self.stop = first + len(page.records)
        self.left = len(page.records)  # unfinished
        self.nbytes = page.nbytes
        self.position = page.position
        self.records: Sequence[Raw] | None = page.records  # None once every one is finished
        self.ends: Range | None = None  # positions of the first and last record, once every one is finished


def spans(ordinals: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Ascending ordinals as half-open runs of neighbors."""
    if type(ordinals) is range:
        return ((ordinals.start, ordinals.stop),) if ordinals else ()
    runs: list[tuple[int, int]] = []
    start = stop = -1
    for ordinal in ordinals:
        if ordinal != stop:
            if stop > start:
                runs.append((start, stop))
            start = ordinal
        stop = ordinal + 1
    if stop > start:
        runs.append((start, stop))
    return runs


class Total:
    """What all partitions of a mapping hold together."""

    __slots__ = ("held", "nbytes")

    def __init__(self) -> None:
        self.held = 0  # records accepted and not finished
        self.nbytes = 0  # of pages with unfinished records, an upper bound


class Ledger(ABC):
    """What is held: the part that logs and queues share."""

    __slots__ = ("held", "marks", "next", "total")

    def __init__(self, total: Total) -> None:
        self.total = total
        self.marks: list[Mark] = []  # by `first`, ascending
        self.next = 0  # ordinal of the next record
        self.held = 0  # records accepted and not finished

    def accept(self, page: Page) -> int:
        """Number the page's records; returns the first ordinal."""
        first = self.next
        mark = Mark(page, first)
        self.next = mark.stop
        self.held += mark.left
        self.total.held += mark.left
        self.total.nbytes += mark.nbytes
        self.marks.append(mark)
        return first

    @abstractmethod
    def finish(self, records: Sequence[Raw], ordinals: Sequence[int]) -> None:
        """These are processed, filtered or given up for good. Each ordinal once."""

    @abstractmethod
    def leave(self, records: Sequence[Raw], ordinals: Sequence[int]) -> None:
        """These were tried in vain and are the queue's again."""

    @abstractmethod
    def give_back(self, records: Sequence[Raw], ordinals: Sequence[int]) -> None:
        """These were never started and will not be."""

    @abstractmethod
    def drop(self, ordinals: Sequence[int]) -> None:
        """These are no longer ours; there is nothing to settle."""

    @abstractmethod
    def moved(self) -> bool:
        """Whether there is progress that was not settled yet."""

    @abstractmethod
    def progress(self) -> Progress:
        """The progress to settle now. A look: `settled` takes note."""

    @abstractmethod
    def settled(self, progress: Progress) -> None:
        """`progress` is durable."""

    def full(self) -> bool:
        """Whether no more may be read until something finishes."""
        return False

    def forget(self) -> None:
        """The partition is gone: nothing of it is held."""
        self.total.held -= self.held
        self.total.nbytes -= sum(mark.nbytes for mark in self.marks if mark.left)
        self.held = 0
        self.marks.clear()

    @abstractmethod
    def touch(self) -> None:
        """Something that is settled with the records has changed."""

    @abstractmethod
    def end(self) -> None:
        """The partition is closed: nothing more will be accepted."""

    def _let_go(self, ordinals: Sequence[int]) -> None:
        self.held -= len(ordinals)
        self.total.held -= len(ordinals)
        for start, stop in spans(ordinals):
            index = 0 if start < self.marks[0].stop else bisect_right(self.marks, start, key=_first) - 1
            while start < stop:
                mark = self.marks[index]
                upto = min(stop, mark.stop)
                mark.left -= upto - start
                if not mark.left and upto > start:
                    self.total.nbytes -= mark.nbytes
                    self._emptied(index, mark)
                    # A queue's ledger forgets the page at once, and what follows moves down.
                    index = bisect_right(self.marks, upto, key=_first) - 1
                else:
                    index += 1
                start = upto

    @abstractmethod
    def _emptied(self, index: int, mark: Mark) -> None:
        """Every record of a page is finished."""


def _first(mark: Mark) -> int:
    return mark.first


class QueueLedger(Ledger):
    """A queue redelivers by itself: it is told which records to delete, which to leave and which to take back."""

    __slots__ = ("_done", "_failed", "_unstarted")

    def __init__(self, total: Total) -> None:
        super().__init__(total)
        self._done: list[Raw] = []
        self._failed: list[Raw] = []
        self._unstarted: list[Raw] = []

    def accept(self, page: Page) -> int:
        if not page.records:
            return self.next
        return super().accept(page)

    def finish(self, records: Sequence[Raw], ordinals: Sequence[int]) -> None:
        self._done += records
        self._let_go(ordinals)

    def leave(self, records: Sequence[Raw], ordinals: Sequence[int]) -> None:
        self._failed += records
        self._let_go(ordinals)

    def give_back(self, records: Sequence[Raw], ordinals: Sequence[int]) -> None:
        self._unstarted += records
        self._let_go(ordinals)

    def drop(self, ordinals: Sequence[int]) -> None:
        self._let_go(ordinals)

    def touch(self) -> None:
        """Nothing is settled with a queue's records."""

    def end(self) -> None:
        """A queue is never closed."""

    def moved(self) -> bool:
        return bool(self._done or self._failed or self._unstarted)

    def progress(self) -> Progress:
        return Progress(done=self._done[:], failed=self._failed[:], unstarted=self._unstarted[:])

    def settled(self, progress: Progress) -> None:
        del self._done[: len(progress.done)]
        del self._failed[: len(progress.failed)]
        del self._unstarted[: len(progress.unstarted)]

    def _emptied(self, index: int, mark: Mark) -> None:
        del self.marks[index]


class LogLedger(Ledger):
    """A log is told one position below which everything is finished, and the finished ranges above it."""

    __slots__ = (
        "_ended",
        "_most",
        "_position",
        "_safe",
        "_settled",
        "_shown",
        "_starts",
        "_stops",
        "_version",
        "_window",
        "low",
    )

    def __init__(
        self,
        total: Total,
        position: Callable[[Raw], Position | None],
        resume: Resume,
        window: Window | None = None,
        most: int = 1_000,
    ) -> None:
        """`most`: finished ranges above `low` at which no more is read.

        `window`: the partition's tumbling window, whose state is settled with the position that it belongs to."""
        super().__init__(total)
        self._window = window
        self._most = most
        self._position = position
        self._safe = resume.safe  # the position below `low` as far as whole pages go
        self.low = 0  # every ordinal below is finished
        self._starts: list[int] = []  # finished ranges above `low`, half open, ascending, never touching
        self._stops: list[int] = []
        self._ended = False
        self._version = self._shown = self._settled = 0

    def accept(self, page: Page) -> int:
        if page.records:
            return super().accept(page)
        if page.position is not None:  # markers and compacted records: covered, though nothing is left of them
            if self.marks:
                self.marks[-1].position = page.position
            else:
                self._safe = page.position
                self._version += 1
        return self.next

    def finish(self, records: Sequence[Raw], ordinals: Sequence[int]) -> None:
        for start, stop in spans(ordinals):
            self._add(start, stop)
        self._let_go(ordinals)
        if self.marks[0].stop <= self.low:
            self._advance()
        self._version += 1

    def leave(self, records: Sequence[Raw], ordinals: Sequence[int]) -> None:
        """What was tried in vain stays unfinished: the next owner of the partition reads it again."""

    def give_back(self, records: Sequence[Raw], ordinals: Sequence[int]) -> None:
        """What was not started stays unfinished: the next owner of the partition reads it again."""

    def drop(self, ordinals: Sequence[int]) -> None:
        """A log's records cannot be taken away one by one."""

    def end(self) -> None:
        self._ended = True
        self._version += 1

    def touch(self) -> None:
        """Something that is settled with the position has changed."""
        self._version += 1

    def full(self) -> bool:
        return len(self._starts) >= self._most

    def moved(self) -> bool:
        return self._version != self._settled

    def progress(self) -> Progress:
        self._shown = self._version
        return Progress(
            safe=self._safe_position(),
            above=tuple(
                (self._position_of(start), self._position_of(stop - 1))
                for start, stop in zip(self._starts, self._stops, strict=True)
            ),
            state=None if self._window is None else self._window.saved(),
            finished=self._ended and self.low == self.next and not (self._window is not None and self._window.pending),
        )

    def settled(self, progress: Progress) -> None:
        self._settled = self._shown

    def _add(self, start: int, stop: int) -> None:
        """Join [start, stop) to what is finished."""
        starts, stops = self._starts, self._stops
        if start == self.low:
            self.low = stop
            if starts and starts[0] == stop:
                self.low = stops[0]
                del starts[0], stops[0]
            return
        index = bisect_left(starts, start)
        joins_left = index > 0 and stops[index - 1] == start
        joins_right = index < len(starts) and starts[index] == stop
        if joins_left and joins_right:
            stops[index - 1] = stops[index]
            del starts[index], stops[index]
        elif joins_left:
            stops[index - 1] = stop
        elif joins_right:
            starts[index] = start
        else:
            starts.insert(index, start)
            stops.insert(index, stop)

    def _advance(self) -> None:
        """Forget the pages that lie wholly below `low`."""
        passed = 0
        for mark in self.marks:
            if mark.stop > self.low:
                break
            if mark.position is not None:
                self._safe = mark.position
            passed += 1
        if passed:
            del self.marks[:passed]

    def _emptied(self, index: int, mark: Mark) -> None:
        # Finished, with something unfinished before it: its ends are all that `above` can still ask for.
        assert mark.records is not None
        mark.ends = (self._of(mark.records[0]), self._of(mark.records[-1]))
        mark.records = None

    def _safe_position(self) -> Position | None:
        if self.marks and (mark := self.marks[0]).first < self.low:
            assert mark.records is not None
            return self._of(mark.records[self.low - 1 - mark.first])
        return self._safe

    def _position_of(self, ordinal: int) -> Position:
        mark = self.marks[bisect_right(self.marks, ordinal, key=_first) - 1]
        if mark.records is not None:
            return self._of(mark.records[ordinal - mark.first])
        assert mark.ends is not None
        return mark.ends[0] if ordinal == mark.first else mark.ends[1]

    def _of(self, raw: Raw) -> Position:
        position = self._position(raw)
        assert position is not None, "a log's shape gives every record a position"
        return position
