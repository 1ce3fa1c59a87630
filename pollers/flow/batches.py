"""Batches, and the claims that hold their lanes until every one of them has been resolved.

A claim is a short queue of batches; verdicts edit that queue (done pops, again puts the same batch back, halves puts
two). Ordering, retry and bisect are this one structure. No batch knows why it is cut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING

from pollers.flow.records import Condition, Parts, Raw

if TYPE_CHECKING:
    from pollers.flow.lanes import Hold, Lane
    from pollers.flow.windows import WindowCall

__all__ = ["Batch", "Claim", "Discard", "Part", "State", "components", "holds_of", "lanes_of"]


class Part:
    """Records of one partition in a batch, in order."""

    __slots__ = ("hold", "lane", "lanes", "ordinals", "records")

    def __init__(
        self,
        hold: Hold,
        records: Sequence[Raw],
        ordinals: Sequence[int],
        lane: Lane | None,
        lanes: Sequence[Lane] | None = None,
    ) -> None:
        self.hold = hold
        self.records = records
        self.ordinals = ordinals
        self.lane = lane  # where every record is of one lane
        self.lanes = lanes  # otherwise one per record

    def __len__(self) -> int:
        return len(self.records)

    def cut(self, start: int, stop: int) -> Part:
        """The records from `start` up to `stop`."""
        lanes = None if self.lanes is None else self.lanes[start:stop]
        return Part(self.hold, self.records[start:stop], self.ordinals[start:stop], self.lane, lanes)

    def pick(self, indexes: Sequence[int]) -> Part:
        """The records at `indexes`, ascending."""
        records, ordinals, lanes = self.records, self.ordinals, self.lanes
        return Part(
            self.hold,
            [records[i] for i in indexes],
            [ordinals[i] for i in indexes],
            self.lane,
            None if lanes is None else [lanes[i] for i in indexes],
        )

    def by_lane(self) -> list[Part]:
        """The same records, one part for each lane, by their first records."""
        if self.lanes is None:
            return [self]
        indexes: dict[Lane, list[int]] = {}
        for index, lane in enumerate(self.lanes):
            indexes.setdefault(lane, []).append(index)
        return [
            Part(self.hold, [self.records[i] for i in some], [self.ordinals[i] for i in some], lane)
            for lane, some in indexes.items()
        ]

    def ordered_lanes(self) -> Iterable[Lane]:
        """The lanes whose order its records keep, each once."""
        if self.lane is not None:
            return (self.lane,) if self.lane.ordered else ()
        return dict.fromkeys(lane for lane in self.lanes or () if lane.ordered)


class Batch:
    """Records that are invoked together. Its request id and its attempts stay with it, not with its records."""

    __slots__ = (
        "answered",
        "attempts",
        "claim",
        "condition",
        "due",
        "error",
        "given_up",
        "oversize",
        "pieces",
        "request_id",
        "since",
        "waits",
        "window",
    )

    def __init__(self, pieces: list[Part], request_id: str, since: float, attempts: int = 0) -> None:
        self.pieces = pieces
        self.request_id = request_id
        self.since = since  # monotonic: from when on it could have been invoked, given a permit
        self.attempts = attempts  # invocations that ended and count
        self.due = 0.0  # monotonic: not before then
        self.waits = 0  # throttles in a row
        self.condition: Condition | None = None  # set: it is given up
        self.answered = False  # an invocation ended; failure documents say so. AWS: 5.9-4
        self.error: str | None = None  # "Unhandled" after an exception, a crash or a timeout. AWS: 5.4-3
        self.oversize = False  # one record that no event can hold
        self.given_up = 0.0  # wall time of it, once it has been; every try to deliver it tells the same moment
        self.window: WindowCall | None = None  # what the invocation is told of its tumbling window
        self.claim: Claim

    def __len__(self) -> int:
        pieces = self.pieces
        if len(pieces) == 1:
            return len(pieces[0].records)
        return sum(map(len, pieces))

    @property
    def final(self) -> bool:
        """Whether it is the call that ends a tumbling window: the only batch without records."""
        return not self.pieces[0].records

    @property
    def parts(self) -> Parts:
        """The records by partition, each part in order."""
        return [(piece.hold.grant.partition, piece.records) for piece in self.pieces]


class Discard:
    """A batch that is given up: to the destination, or, where there is none, dropped."""

    __slots__ = ("batch", "condition", "count", "moment", "partition")

    def __init__(self, batch: Batch, condition: Condition) -> None:
        self.batch = batch
        self.moment = batch.given_up  # seconds since the epoch
        self.partition = batch.pieces[0].hold.grant.partition  # of its first record
        self.condition = condition
        self.count = max(1, batch.attempts)  # approximateInvokeCount. AWS: 1 without any invocation too (5.5-4)


class State(Enum):
    """Where the first batch of a claim stands."""

    READY = auto()  # could be invoked, given a permit
    RUNNING = auto()  # is being invoked
    WAITING = auto()  # until its time: a retry or a throttle
    DISCARDED = auto()  # is for the destination
    DELIVERING = auto()  # is on its way there
    OVER = auto()  # nothing is left, or the partition was taken away


class Claim:
    """The lanes of its batches, held until the last batch is resolved."""

    __slots__ = ("batches", "holds", "lanes", "reason", "since", "state")

    def __init__(self, batches: Collection[Batch], lanes: dict[Lane, None]) -> None:
        self.batches = deque(batches)
        self.lanes = lanes  # that it holds, in order; none for records free of order
        self.holds: list[Hold] = holds_of(self.batches)  # the partitions that know of it
        self.state = State.READY
        self.since: float | None = None  # monotonic: when it first failed or was held up
        self.reason = ""  # why it does not get on
        for batch in self.batches:
            batch.claim = self
        for lane in lanes:
            lane.claim = self
        for hold in self.holds:
            hold.claims[self] = None


def holds_of(batches: Collection[Batch]) -> list[Hold]:
    """The partitions that batches come from, each once."""
    if len(batches) == 1:
        (batch,) = batches
        if len(batch.pieces) == 1:
            return [batch.pieces[0].hold]
    return list(dict.fromkeys(piece.hold for batch in batches for piece in batch.pieces))


def lanes_of(batches: Collection[Batch]) -> dict[Lane, None]:
    """The lanes whose order batches keep, each once."""
    if len(batches) == 1:
        (batch,) = batches
        if len(batch.pieces) == 1:
            return dict.fromkeys(batch.pieces[0].ordered_lanes())
    return {lane: None for batch in batches for piece in batch.pieces for lane in piece.ordered_lanes()}


def components(batches: Sequence[Batch]) -> list[tuple[list[Batch], dict[Lane, None]]]:
    """The batches in groups that share no lane with each other, each group in the order given, with its lanes."""
    group_of = list(range(len(batches)))  # by index; following it leads to the first batch of the group

    def first_of(index: int) -> int:
        while group_of[index] != index:
            group_of[index] = group_of[group_of[index]]
            index = group_of[index]
        return index

    holders: dict[Lane, int] = {}
    for index, batch in enumerate(batches):
        for lane in lanes_of((batch,)):
            one, other = first_of(holders.setdefault(lane, index)), first_of(index)
            group_of[max(one, other)] = min(one, other)
    groups: dict[int, tuple[list[Batch], dict[Lane, None]]] = {}
    for index, batch in enumerate(batches):
        groups.setdefault(first_of(index), ([], {}))[0].append(batch)
    for lane, index in holders.items():
        groups[first_of(index)][1][lane] = None
    return list(groups.values())
