"""A queue, a log and a function as plain as can be, which write down what the engine does to them."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pollers.engine.mapping import Mapping as Pair
from pollers.engine.supervisor import Pollers
from pollers.flow.records import DataRule, Delivery, Grant, Page, Partition, Parts, Policy, Position, Progress
from pollers.spi import Change, Function, Granted, Invocation, Lapsed, Outcome, Returned
from pollers.telemetry import Event
from pollers.testing.loop import clock


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    name: int
    group: str = ""


class MessageShape:
    data_rule = DataRule("body", "drop", plain=True)

    def position(self, raw: Message) -> Position | None:
        return (raw.name, 0)

    def identifier(self, partition: Partition, raw: Message) -> str:
        return str(raw.name)

    def key(self, raw: Message) -> bytes | None:
        return raw.group.encode() or None

    def arrived(self, raw: Message) -> float:
        return 0.0

    def size_bound(self, raw: Message) -> int:
        return 100

    def view(self, partition: Partition, raw: Message) -> Mapping[str, Any]:
        return {}

    def data(self, raw: Message) -> str:
        return ""

    def event(self, parts: Parts, window: Mapping[str, Any] | None) -> dict[str, Any]:
        return {"Records": [{"messageId": str(raw.name)} for _, records in parts for raw in records]}

    def failure(self, parts: Parts) -> dict[str, Any]:
        return {"BatchInfo": {"batchSize": sum(len(records) for _, records in parts)}}


class Edge:
    """What both sources have in common: one partition, a list that ends or fills up, and a journal."""

    name = "double"
    warnings: Sequence[str] = ()
    ours_until = math.inf
    requests: Mapping[tuple[str, str], int] = {}

    def __init__(self, records: Sequence[Message], delivery: Delivery, name: str = "double") -> None:
        self.arn = f"arn:aws:test:::{name}"
        self.delivery = delivery
        self.shape = MessageShape()
        self.waiting = deque(records)
        self.more = asyncio.Event()
        self.read_delay = 0.0
        self.fail_reads = 0
        self.fail_settles = 0
        self.kept: list[float] = []
        self.released = 0  # times
        self.closed = False
        self.reads = 0  # under way
        self.most_reads = 0
        self.changed: asyncio.Queue[Change] = asyncio.Queue()
        self.grant = Grant(Partition(name))

    def put(self, *records: Message) -> None:
        self.waiting.extend(records)
        self.more.set()

    def fit(self, *, mapping: str, batch_size: int, window: float, timeout: float) -> None:
        pass

    async def open(self) -> None:
        pass

    async def changes(self) -> AsyncIterator[Change]:
        yield Granted(self.grant)
        while True:
            yield await self.changed.get()

    def stop(self) -> None:
        """No partitions come by themselves."""

    async def read(self, grant: Grant, limit: int) -> Page:
        self.reads += 1
        self.most_reads = max(self.most_reads, self.reads)
        try:
            if self.fail_reads:
                self.fail_reads -= 1
                raise ConnectionError("the source is away")
            if self.read_delay:
                await asyncio.sleep(self.read_delay)
            await self.wait()
            count = min(limit, self.delivery.page, len(self.waiting))
            records = [self.waiting.popleft() for _ in range(count)]
            return self.page(records)
        finally:
            self.reads -= 1

    async def wait(self) -> None:
        """For records."""
        while not self.waiting:
            self.more.clear()
            await self.more.wait()

    def page(self, records: list[Message]) -> Page:
        raise NotImplementedError

    async def keep(self, grant: Grant) -> None:
        self.kept.append(asyncio.get_running_loop().time())

    async def release(self, grant: Grant) -> None:
        self.released += 1

    async def close(self) -> None:
        self.closed = True


class QueueDouble(Edge):
    """What is failed or given back is put at the end again, after `redelivery` seconds."""

    def __init__(
        self,
        records: Sequence[Message],
        *,
        fifo: bool = False,
        beat: float | None = None,
        redelivery: float = 1.0,
        ramps: bool = False,
        name: str = "queue",
    ) -> None:
        delivery = Delivery(
            lane="group" if fifo else "none",
            slots=None,
            mixed=True,
            spans=False,
            redelivers=True,
            readers=None,
            page=10,
            beat=beat,
            ramps=ramps,
        )
        super().__init__(records, delivery, name)
        self.redelivery = redelivery
        self.done: list[int] = []
        self.unstarted: list[int] = []
        self.failed: list[int] = []

    async def wait(self) -> None:
        """As a long poll does: no longer than 20 s."""
        try:
            async with asyncio.timeout(20):
                await super().wait()
        except TimeoutError:
            return

    def page(self, records: list[Message]) -> Page:
        return Page(records, nbytes=100 * len(records))

    async def settle(self, grant: Grant, progress: Progress) -> None:
        if self.fail_settles:
            self.fail_settles -= 1
            raise ConnectionError("the source is away")
        loop = asyncio.get_running_loop()
        self.done += [raw.name for raw in progress.done]
        self.failed += [raw.name for raw in progress.failed]
        self.unstarted += [raw.name for raw in progress.unstarted]
        for raw in progress.failed:
            loop.call_later(self.redelivery, self.put, raw)

    def lapse(self, *records: Message) -> None:
        self.changed.put_nowait(Lapsed(self.grant, records))


class LogDouble(Edge):
    """A log of one partition."""

    def __init__(
        self,
        records: Sequence[Message],
        *,
        slots: int = 1,
        settle_every: float = 1.0,
        page: int = 100,
        name: str = "log",
    ) -> None:
        delivery = Delivery(
            lane="partition" if slots == 1 else "hash",
            slots=slots,
            mixed=False,
            spans=False,
            redelivers=False,
            page=page,
            settle_every=settle_every,
        )
        super().__init__(records, delivery, name)
        self.progress: list[Progress] = []

    def page(self, records: list[Message]) -> Page:
        return Page(records, nbytes=100 * len(records), position=(records[-1].name, 0))

    async def settle(self, grant: Grant, progress: Progress) -> None:
        if self.fail_settles:
            self.fail_settles -= 1
            raise ConnectionError("the source is away")
        self.progress.append(progress)

    @property
    def safe(self) -> int:
        """The last position known to be finished; -1 before the first."""
        position = self.progress[-1].safe if self.progress else None
        return -1 if position is None else position[0]


class FunctionDouble:
    """Calls `answer` with the names of the records and writes down when."""

    def __init__(
        self,
        answer: Callable[[list[int]], Awaitable[Outcome]] | None = None,
        *,
        seconds: float = 0.0,
        name: str = "f",
        timeout: float = 900.0,
    ) -> None:
        self.function = Function(name, f"arn:aws:lambda:us-east-1:000000000000:function:{name}", timeout)
        self.calls: list[tuple[float, list[int]]] = []
        self.request_ids: list[str] = []
        self.running = 0
        self.most = 0
        self._answer = answer
        self._seconds = seconds

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def invoke(self, invocation: Invocation) -> Outcome:
        names = [int(record["messageId"]) for record in invocation.event["Records"]]
        self.calls.append((asyncio.get_running_loop().time(), names))
        self.request_ids.append(invocation.request_id)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self._seconds:
                await asyncio.sleep(self._seconds)
            return Returned() if self._answer is None else await self._answer(names)
        finally:
            self.running -= 1


class Told:
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def notice(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def pollers(*mappings: Pair, told: Told | None = None, **limits: Any) -> Pollers:
    """On the virtual clock, without a ramp unless one is asked for."""
    observers = () if told is None else (told,)
    return Pollers(mappings, **{"ramp": None, "observers": observers, "clock": clock(), **limits})


def pair(source: Edge, function: FunctionDouble, identity: str = "mapping", **options: Any) -> Pair:
    """A mapping; `options` are those of `Policy` and of `Mapping`."""
    ours = {name: options.pop(name) for name in tuple(options) if name in Pair.__dataclass_fields__}
    return Pair(identity, source, function, Policy(**options), **ours)


async def until(condition: Callable[[], object], limit: float = 3_600.0) -> None:
    """Let virtual time pass until something holds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + limit
    while not condition():
        assert loop.time() < end, "it never came to hold"
        await asyncio.sleep(0.01)


def messages(count: int, groups: int = 0) -> list[Message]:
    return [Message(number, f"g{number % groups}" if groups else "") for number in range(count)]
