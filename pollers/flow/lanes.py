"""Where accepted records wait: runs in lanes, lanes in pools, and which of them may form a batch.

A lane keeps records in order. A pool holds the free lanes whose records one batch may mix: the lanes of a partition,
of every partition, or one lane alone, as `Delivery` says. Nothing here knows outcomes, retries or time's source.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias
from zlib import crc32

from pollers.flow.batches import Part, State
from pollers.flow.ledger import Ledger
from pollers.flow.limits import ENVELOPE, event_bytes, fitting
from pollers.flow.records import Delivery, Grant, Page, Policy, Raw, Shape

if TYPE_CHECKING:
    from pollers.flow.batches import Claim
    from pollers.flow.windows import Window

__all__ = ["Hold", "Lane", "LaneKey", "Pool", "Run"]

LaneKey: TypeAlias = bytes | int
Piece: TypeAlias = tuple["Lane", Sequence[Raw], Sequence[int]]  # records taken from a lane, and their ordinals


class Run:
    """Waiting records of one lane out of one page."""

    __slots__ = ("each", "ordinals", "page", "records", "since", "start")

    def __init__(self, records: Sequence[Raw], ordinals: Sequence[int], page: Page, since: float) -> None:
        self.records = records
        self.ordinals = ordinals
        self.page = page
        self.each = page.nbytes // len(page.records) + 1  # bytes of a record, on average
        self.since = since  # monotonic: when they were accepted
        self.start = 0  # records before it are taken

    def __len__(self) -> int:
        return len(self.records) - self.start

    def take(self, count: int) -> tuple[Sequence[Raw], Sequence[int]]:
        """The first `count` records and their ordinals; they wait here no longer."""
        start, stop = self.start, self.start + count
        self.start = stop
        if start == 0 and stop == len(self.records):
            return self.records, self.ordinals
        return self.records[start:stop], self.ordinals[start:stop]


class Lane:
    """Records that are processed one after the other."""

    __slots__ = ("claim", "count", "hold", "key", "nbytes", "ordered", "pool", "ready_since", "runs")

    def __init__(self, hold: Hold, pool: Pool, key: LaneKey | None, *, ordered: bool) -> None:
        self.hold = hold
        self.pool = pool
        self.key = key  # None for records free of order
        self.ordered = ordered  # otherwise several batches may hold its records at once
        self.runs: deque[Run] = deque()
        self.count = 0  # records waiting
        self.nbytes = 0  # of them, by the averages of their pages
        self.claim: Claim | None = None
        self.ready_since = 0.0  # monotonic: since when it waits unclaimed

    @property
    def name(self) -> str:
        """For people: the key as text."""
        if isinstance(self.key, bytes):
            return self.key.decode(errors="backslashreplace")
        return str(self.hold.grant.partition) if self.key is None else f"{self.hold.grant.partition}/{self.key}"

    def add(self, run: Run) -> None:
        """Put records behind those that wait."""
        self.runs.append(run)
        self.count += len(run)
        nbytes = run.each * len(run)
        self.nbytes += nbytes
        if self.claim is None:
            pool = self.pool
            if self.count == len(run):
                self.ready_since = run.since
                pool.lanes.append(self)
            pool.count += len(run)
            pool.nbytes += nbytes

    def clear(self) -> list[Run]:
        """Take out everything that waits."""
        runs = list(self.runs)
        if self.claim is None and self.count:
            self.pool.withdraw(self)
        self.runs.clear()
        self.count = self.nbytes = 0
        return runs

    def freed(self, now: float) -> None:
        """Its claim is over; what waits may form a batch. Its window starts no earlier than now (12-17)."""
        self.claim = None
        if self.count:
            self.ready_since = now
            self.pool.lanes.append(self)
            self.pool.count += self.count
            self.pool.nbytes += self.nbytes

    def front(self, most: int) -> list[Raw]:
        """Up to `most` of the records that wait longest; they wait on."""
        found: list[Raw] = []
        for run in self.runs:
            found += run.records[run.start : run.start + most - len(found)]
            if len(found) >= most:
                break
        return found

    def first(self) -> Raw:
        """The record that waits longest."""
        run = self.runs[0]
        return run.records[run.start]

    def split_off(self, count: int) -> Part:
        """Take the first `count` records out of a lane that is free; what is left waits on."""
        self.pool.withdraw(self)
        pieces: list[Piece] = []
        while count:
            run = self.runs[0]
            some = min(count, len(run))
            pieces.append((self, *run.take(some)))
            self.count -= some
            self.nbytes -= run.each * some
            count -= some
            if not len(run):
                self.runs.popleft()
        return merge(pieces)[0]


class Pool:
    """Free lanes whose records may share a batch."""

    __slots__ = ("count", "due", "lanes", "nbytes", "queued")

    def __init__(self) -> None:
        self.lanes: deque[Lane] = deque()  # with waiting records, by the time they became free
        self.count = 0  # records in them
        self.nbytes = 0
        self.queued = False  # stands among what is startable
        self.due: float | None = None  # monotonic: the timer that closes its window

    def opened(self) -> float:
        """Since when the first of its records could have formed a batch (12-17)."""
        # Lanes stand by the time they became free, but for one without order, which goes behind when it is taken from.
        return min(self.lanes[0].ready_since, self.lanes[-1].ready_since)

    def withdraw(self, lane: Lane) -> None:
        """Take out a lane that is free and has waiting records."""
        self.lanes.remove(lane)
        self.count -= lane.count
        self.nbytes -= lane.nbytes

    def gather(
        self, policy: Policy, shape: Shape, most: int | None = None, reserve: int = 0
    ) -> tuple[list[Piece], bool]:
        """Take records for one batch off its lanes: (what was taken, whether it is one record that no event can hold).

        At most `most` records, and `reserve` bytes of the event are for other things. A page's bound counts once for
        all that is taken from it; records are measured only where bounds do not fit.
        """
        taken: list[Piece] = []
        missing, used, limit = most or policy.batch_size, 0, policy.max_bytes - ENVELOPE - reserve
        exact = False  # whether `used` was measured
        counted: set[int] = set()  # ids of pages whose bound is in `used`; the pages live in the runs
        while self.lanes and missing:
            lane = self.lanes[0]
            before = len(taken)
            while lane.runs and missing:
                run = lane.runs[0]
                count = min(missing, len(run))
                bound = 0 if id(run.page) in counted else run.page.nbytes
                if not exact and used + bound <= limit:
                    counted.add(id(run.page))
                    used += bound
                    missing -= count
                else:
                    if not exact:  # near the limit: from here on by what it really is
                        exact = True
                        used = sum(event_bytes(shape, one.hold.grant.partition, some) for one, some, _ in taken)
                    waiting = run.records[run.start : run.start + count]
                    fits, used = fitting(shape, lane.hold.grant.partition, waiting, used, limit)
                    missing = missing - count if fits == count else 0
                    if not fits:
                        if not taken:
                            self._take(lane, run, 1, taken)
                            self._leave(lane)
                            return taken, True
                        break
                    count = fits
                self._take(lane, run, count, taken)
            if len(taken) > before:
                self._leave(lane)
        return taken, False

    def _take(self, lane: Lane, run: Run, count: int, taken: list[Piece]) -> None:
        records, ordinals = run.take(count)
        nbytes = run.each * count
        if not len(run):
            lane.runs.popleft()
        lane.count -= count
        lane.nbytes -= nbytes
        self.count -= count
        self.nbytes -= nbytes
        taken.append((lane, records, ordinals))

    def _leave(self, lane: Lane) -> None:
        """Its records are in a batch: an ordered lane is no longer free, another stays while it has records."""
        if not lane.ordered and lane.count:
            lane.ready_since = lane.runs[0].since
            self.lanes.rotate(-1)
            return
        self.lanes.popleft()
        self.count -= lane.count
        self.nbytes -= lane.nbytes


class Hold:
    """All that the flow keeps of one grant."""

    __slots__ = (
        "claims",
        "due",
        "gone",
        "grant",
        "lanes",
        "ledger",
        "limit",
        "pool",
        "resumed",
        "revoked",
        "starved",
        "window",
    )

    def __init__(self, grant: Grant, ledger: Ledger, pool: Pool | None, limit: int) -> None:
        self.grant = grant
        self.ledger = ledger
        self.pool = pool  # shared by its lanes; None: each lane has its own
        self.limit = limit  # records held at most
        self.lanes: dict[LaneKey | None, Lane] = {}
        self.claims: dict[Claim, None] = {}
        self.resumed = grant.resume.above  # finished by an earlier owner, while not read past
        self.due: float | None = None  # monotonic: the timer that looks for records that waited too long
        self.revoked = False  # nothing starts any more
        self.gone = False  # nothing counts any more
        self.starved = False  # it is not read for want of room
        self.window: Window | None = None  # the tumbling one, where the mapping has them

    def lane(self, key: LaneKey | None, *, ordered: bool) -> Lane:
        """The lane of a key; made when the key is first seen, forgotten when it is idle."""
        lane = self.lanes.get(key)
        if lane is None:
            pool = Pool() if self.pool is None else self.pool
            lane = self.lanes[key] = Lane(self, pool, key, ordered=ordered)
        return lane

    def busy(self) -> bool:
        """Whether something of it runs, or waits for nothing but a permit."""
        if any(claim.state in (State.READY, State.RUNNING) for claim in self.claims):
            return True
        return any(lane.pool.queued for lane in self.lanes.values())

    def room(self) -> int:
        """How many more records may be read into it."""
        if self.revoked or self.ledger.full():
            return 0
        return max(0, self.limit - self.ledger.held)


def lane_key(delivery: Delivery, shape: Shape, raw: Raw) -> LaneKey | None:
    """Which lane of its partition a record belongs to; None where it is free of order."""
    key = shape.key(raw)
    if key is None or delivery.lane != "hash":
        return key
    # Ours (12-2): crc32, the same in every process, unlike hash().
    return crc32(key) % (delivery.slots or 1)


def merge(taken: list[Piece]) -> list[Part]:
    """What was gathered, by partition, in the order of arrival."""
    if len(taken) == 1:
        lane, records, ordinals = taken[0]
        return [Part(lane.hold, records, ordinals, lane)]
    by_hold: dict[Hold, list[Piece]] = {}
    for piece in taken:
        by_hold.setdefault(piece[0].hold, []).append(piece)
    return [_joined(hold, pieces) for hold, pieces in by_hold.items()]


def _joined(hold: Hold, pieces: list[Piece]) -> Part:
    records: list[Raw] = []
    for _, some, _ in pieces:
        records += some
    first, last = pieces[0][2], pieces[-1][2]
    ordinals: Sequence[int]
    if isinstance(first, range) and isinstance(last, range) and last.stop - first.start == len(records):
        ordinals = range(first.start, last.stop)
    else:
        ordinals = [ordinal for piece in pieces for ordinal in piece[2]]
    lane = pieces[0][0]
    if all(piece[0] is lane for piece in pieces):
        return Part(hold, records, ordinals, lane)
    lanes = [lane for lane, some, _ in pieces for _ in some]
    # A function may stop at the first failure, so a batch of a log has its records by position, whatever their lanes.
    order = sorted(range(len(records)), key=ordinals.__getitem__)
    return Part(hold, records, ordinals, None, lanes).pick(order)
