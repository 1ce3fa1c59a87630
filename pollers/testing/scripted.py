"""A source that does what a test wrote down, and keeps a journal of what was done to it.

source = ScriptedSource(delivery)
source.script("p", records("a", "b"), ConnectionError("away"), Pause(5), records("c"))
source.fail("settle", OSError("no"), call=2)
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from pollers.flow.records import DataRule
from pollers.spi import (
    Change,
    Delivery,
    Grant,
    Granted,
    Page,
    Partition,
    Parts,
    Position,
    Progress,
    Raw,
    Resume,
    Shape,
)

__all__ = ["Called", "Late", "Operation", "Pause", "Record", "RecordShape", "ScriptedSource", "Step", "records"]

Operation: TypeAlias = Literal["open", "read", "settle", "keep", "release", "close"]


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A raw record as plain as can be. Compared by identity, as a client's are."""

    text: str
    key: str = ""  # empty: free of order
    number: int | None = None  # its position; None in a queue
    arrived: float = 0.0  # seconds since the epoch
    nbytes: int = 100


def records(*texts: str, key: str = "", first: int | None = None) -> list[Record]:
    """A record per text; with `first` their positions count up from it."""
    return [Record(text, key, None if first is None else first + index) for index, text in enumerate(texts)]


class RecordShape:
    """The `Shape` of `Record`."""

    data_rule = DataRule("body", "drop", plain=True)

    def position(self, raw: Raw) -> Position | None:
        return None if raw.number is None else (raw.number, 0)

    def identifier(self, partition: Partition, raw: Raw) -> object:
        return raw.text

    def key(self, raw: Raw) -> bytes | None:
        key: str = raw.key
        return key.encode() or None

    def arrived(self, raw: Raw) -> float:
        return float(raw.arrived)

    def size_bound(self, raw: Raw) -> int:
        return int(raw.nbytes)

    def view(self, partition: Partition, raw: Raw) -> Mapping[str, Any]:
        return {"key": raw.key}

    def data(self, raw: Raw) -> str | bytes:
        return str(raw.text)

    def event(self, parts: Parts, window: Mapping[str, Any] | None) -> dict[str, Any]:
        """`Records` with a `body` each, as `ScriptedFunction` reads them."""
        return {"Records": [{"body": raw.text} for _, some in parts for raw in some], **(window or {})}

    def failure(self, parts: Parts) -> dict[str, Any]:
        return {"BatchInfo": {"texts": [raw.text for _, some in parts for raw in some]}}


@dataclass(frozen=True, slots=True)
class Pause:
    """The read is under way for so long before the next step answers it. Called off, it ends at once."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Late:
    """The read waits until it is called off, and some seconds later brings this page all the same.

    So does a service whose answer is on its way.
    """

    page: Page
    seconds: float = 0.0


# What a read does next: bring a page, or records as pages of at most its limit; raise; take time; wait until told.
Step: TypeAlias = Page | Sequence[Raw] | Exception | Pause | Late | asyncio.Event


class Called(NamedTuple):
    """One call of the source."""

    operation: Operation
    partition: Partition | None  # None where the call names none
    time: float  # loop time at its begin, seconds


class _Script:
    """The steps of one partition that no read has taken."""

    def __init__(self) -> None:
        self._steps: deque[Step] = deque()
        self._more = asyncio.Event()

    def add(self, steps: Iterable[Step]) -> None:
        self._steps.extend(steps)
        self._more.set()

    async def next(self, limit: int) -> Step:
        """The next step, of records at most `limit`; waits for one."""
        while not self._steps:
            self._more.clear()
            await self._more.wait()
        step = self._steps.popleft()
        if isinstance(step, Sequence) and len(step) > limit:
            self._steps.appendleft(step[limit:])
            return step[:limit]
        return step


class ScriptedSource:
    """A `Source` for tests of an engine. It keeps nothing to any rule: a test says what happens.

    Each of `partitions` is granted at first. Reads take the steps of their partition's script one after the other, and
    wait when there are none. `journal` has every call, `settled` what was settled without an error.
    """

    def __init__(
        self,
        delivery: Delivery,
        *,
        partitions: Iterable[str] = ("p",),
        shape: Shape | None = None,
        name: str = "scripted",
        arn: str = "arn:aws:scripted:local:000000000000:source",
    ) -> None:
        self.name = name
        self.arn = arn
        self.delivery = delivery
        self.shape: Shape = RecordShape() if shape is None else shape
        self.warnings: Sequence[str] = ()
        self.ours_until = math.inf
        self.requests: Mapping[tuple[str, str], int] = {}
        self.fitted: dict[str, float] = {}  # what `fit` was told last
        self.journal: list[Called] = []
        self.settled: list[tuple[Grant, Progress]] = []
        self.grants: dict[Partition, Grant] = {}  # the newest of each partition
        self.reading = 0  # reads under way
        self.most_reading = 0
        self._partitions = tuple(map(Partition, partitions))
        self._scripts: defaultdict[Partition, _Script] = defaultdict(_Script)
        self._changes: asyncio.Queue[Change] = asyncio.Queue()
        self._failures: defaultdict[Operation, dict[int, Exception]] = defaultdict(dict)
        self._delays: dict[Operation, float] = {}

    # What a test says

    def script(self, partition: str, *steps: Step) -> None:
        """What the next reads of the partition do, after what is scripted already."""
        self._scripts[Partition(partition)].add(steps)

    def fail(self, operation: Operation, error: Exception, *, call: int = 1) -> None:
        """Raise from the so-many-th call from now on; 1 is the next one."""
        self._failures[operation][self.count(operation) + call] = error

    def delay(self, operation: Operation, seconds: float) -> None:
        """Make every call take so long from now on; 0 ends it."""
        self._delays[operation] = seconds

    def grant(self, partition: str, resume: Resume | None = None) -> Grant:
        """Grant a partition, once more if it was granted before, with the next generation."""
        named = Partition(partition)
        before = self.grants.get(named)
        generation = 1 if before is None else before.generation + 1
        grant = self.grants[named] = Grant(named, generation, Resume() if resume is None else resume)
        self.tell(Granted(grant))
        return grant

    def tell(self, change: Change) -> None:
        """Let `changes` say it: Revoked, Lost, Lapsed of one of `grants`."""
        self._changes.put_nowait(change)

    # What a test looks at

    def count(self, operation: Operation, partition: str | None = None) -> int:
        """How many calls have begun, of all partitions or of one."""
        return sum(one.operation == operation and partition in (None, one.partition) for one in self.journal)

    @property
    def done(self) -> list[Raw]:
        """Every record that was settled as done, in order. For queues; logs settle positions."""
        return [raw for _, progress in self.settled for raw in progress.done]

    @property
    def failed(self) -> list[Raw]:
        """Every record that was settled as failed, in order."""
        return [raw for _, progress in self.settled for raw in progress.failed]

    @property
    def unstarted(self) -> list[Raw]:
        """Every record that was given back, in order."""
        return [raw for _, progress in self.settled for raw in progress.unstarted]

    def safe(self, partition: str = "p") -> Position | None:
        """The position that was settled last."""
        last = [progress for grant, progress in self.settled if grant.partition == partition][-1:]
        return last[0].safe if last else None

    # What an engine calls

    def fit(self, *, mapping: str, batch_size: int, window: float, timeout: float) -> None:
        self.fitted = {"batch_size": batch_size, "window": window, "timeout": timeout}

    async def open(self) -> None:
        await self._called("open")

    async def changes(self) -> AsyncIterator[Change]:
        """The partitions of the beginning, anew for each listener, and then what `grant` and `tell` say."""
        self._changes = asyncio.Queue()
        for partition in self._partitions:
            self.grant(partition)
        while True:
            yield await self._changes.get()

    def stop(self) -> None:
        """No partitions come by themselves."""

    async def read(self, grant: Grant, limit: int) -> Page:
        self.reading += 1
        self.most_reading = max(self.most_reading, self.reading)
        try:
            await self._called("read", grant)
            return await self._play(self._scripts[grant.partition], limit)
        finally:
            self.reading -= 1

    async def settle(self, grant: Grant, progress: Progress) -> None:
        await self._called("settle", grant)
        self.settled.append((grant, progress))

    async def keep(self, grant: Grant) -> None:
        await self._called("keep", grant)

    async def release(self, grant: Grant) -> None:
        await self._called("release", grant)

    async def close(self) -> None:
        await self._called("close")

    async def _called(self, operation: Operation, grant: Grant | None = None) -> None:
        """Note the call, take its time, and raise what is due."""
        partition = None if grant is None else grant.partition
        self.journal.append(Called(operation, partition, asyncio.get_running_loop().time()))
        error = self._failures[operation].pop(self.count(operation), None)
        if seconds := self._delays.get(operation):
            await asyncio.sleep(seconds)
        if error is not None:
            raise error

    async def _play(self, script: _Script, limit: int) -> Page:
        while True:
            match await script.next(limit):
                case Page() as page:
                    return page
                case Exception() as error:
                    raise error
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                case asyncio.Event() as told:
                    await told.wait()
                case Late(page, seconds):
                    return await _when_called_off(page, seconds)
                case some:
                    return self._page(some)

    def _page(self, some: Sequence[Raw]) -> Page:
        nbytes = sum(map(self.shape.size_bound, some))
        return Page(some, nbytes, position=self.shape.position(some[-1]) if some else None)


async def _when_called_off(page: Page, seconds: float) -> Page:
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        await asyncio.sleep(seconds)
    return page
