"""What every source must keep, checked from outside: run it on yours before an engine does.

    async def test_my_source():
        await check_source(MyStage)

Each check is an async function that is given a stage of its own, an empty queue or stream, and raises AssertionError
with a sentence. `CHECKS` has them one by one, for a test's parameters. They use the running loop's time, so that they
work in virtual time as well as against a service.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from pollers.spi import Change, Grant, Granted, Page, Partition, Progress, Raw, Source

__all__ = ["CHECKS", "Check", "Stage", "check_source"]

PATIENCE: Final = 20.0  # seconds of loop time for anything that must happen
QUIET: Final = 2.0  # seconds in which what must not happen would have happened


class Stage(Protocol):
    """An empty place that sources read, and the way to put records there.

    A queue's visibility timeout is at least 30 s: what comes back only then counts as lost.
    """

    def source(self) -> Source:
        """A new source of the place, not opened; all of them are one after the other the same mapping's."""

    async def put(self, text: str, key: str) -> None:
        """Append a record; records of one key keep their order where the source keeps any."""


Check: TypeAlias = Callable[[Stage], Awaitable[None]]


async def check_source(stage: Callable[[], Stage]) -> None:
    """Run every check, each on a stage of its own. Raises AssertionError at the first that fails."""
    for check in CHECKS:
        await check(stage())


# The checks


async def close_needs_no_open_and_may_come_twice(stage: Stage) -> None:
    source = stage.source()
    await source.close()
    await source.close()
    opened = _fitted(stage)
    await opened.open()
    await opened.close()
    await opened.close()


async def what_it_says_of_itself_is_coherent(stage: Stage) -> None:
    async with _reading(stage) as (source, grants):
        delivery = source.delivery
        scheme, _, rest = source.arn.partition(":")
        _must(bool(source.name and scheme and rest), "name and arn say what the source is.")
        _must(not delivery.redelivers or delivery.lane in ("none", "group"), "A queue keeps no order but by group.")
        _must(delivery.page >= 1, "A page holds at least one record.")
        _must(delivery.beat is None or delivery.beat > 0, "beat is seconds, or None.")
        _must(len({grant.partition for grant in grants}) == len(grants), "A partition is granted once.")


async def records_come_once_and_in_order(stage: Stage) -> None:
    sent = [(f"{number}", f"key{number % 5}") for number in range(50)]
    for text, key in sent:
        await stage.put(text, key)
    async with _reading(stage) as (source, grants):
        pages = await _read(source, grants, len(sent))
        came = [text for _, page in pages for text in _texts(source, page.records)]
        _must(sorted(came) == sorted(text for text, _ in sent), f"Records were lost or came twice: {came}.")
        _check_order(source, pages)


async def pages_keep_to_their_limit_and_tell_their_size(stage: Stage) -> None:
    for number in range(20):
        await stage.put(f'"{number}"\n' * 50, "key")
    async with _reading(stage) as (source, grants):
        for grant, page in await _read(source, grants, 20, limit=3):
            _must(len(page.records) <= 3, "A read brings at most `limit` records.")
            _check_size(source, grant.partition, page)


async def records_are_described_by_their_shape(stage: Stage) -> None:
    await stage.put("text", "key")
    async with _reading(stage) as (source, grants):
        ((grant, page),) = await _read(source, grants, 1)
        (raw,) = page.records
        shape, parts = source.shape, [(grant.partition, page.records)]
        _must((shape.position(raw) is None) is source.delivery.redelivers, "A log's records have positions.")
        hash(shape.identifier(grant.partition, raw))
        _must(abs(shape.arrived(raw)) < 1e11, "arrived is seconds since the epoch, not milliseconds.")
        _must(shape.data_rule.key not in shape.view(grant.partition, raw), "view is metadata: the payload is left out.")
        event = shape.event(parts, None)
        _must(msgspec.json.decode(msgspec.json.encode(event)) == event, "An event is made of JSON types.")
        pristine = msgspec.json.encode(event)
        event.clear()
        _must(msgspec.json.encode(shape.event(parts, None)) == pristine, "Each event is a new one.")
        msgspec.json.encode(shape.failure(parts))


async def a_read_that_is_called_off_loses_nothing(stage: Stage) -> None:
    async with _reading(stage) as (source, grants):
        for turns in range(4):  # of the loop, between a record's coming and the end of the read that waits for it
            reads = [asyncio.create_task(source.read(grant, 10)) for grant in grants]
            await asyncio.sleep(QUIET / 10)
            await stage.put(str(turns), f"key{turns}")
            for _ in range(turns):
                await asyncio.sleep(0)
            for read in reads:
                read.cancel()
            done, pending = await asyncio.wait(reads, timeout=PATIENCE)
            _must(not pending, "A read that is called off ends soon.")
            came = sum(len(read.result().records) for read in done if not read.cancelled())
            _must(came <= 1, f"{came} records came, and there was one.")
            if not came:
                await _read(source, grants, 1)


async def settling_twice_is_settling_once(stage: Stage) -> None:
    for number in range(10):
        await stage.put(str(number), "key")
    async with _reading(stage) as (source, grants):

        async def settle_twice(grant: Grant, page: Page) -> None:
            progress = _done(source, page)
            await source.settle(grant, progress)
            await source.settle(grant, progress)

        await _read(source, grants, 10, settle=settle_twice)
    await stage.put("next", "key")
    async with _reading(stage) as (source, grants):
        pages = await _read(source, grants, 1)
        came = [text for _, page in pages for text in _texts(source, page.records)]
        _must(came == ["next"], f"What was settled comes no more; this came: {came}.")


async def a_log_resumes_exactly_where_it_was_settled(stage: Stage) -> None:
    for number in range(10):
        await stage.put(str(number), "key")
    async with _reading(stage) as (source, grants):
        if source.delivery.redelivers:
            return
        pages = await _read(source, grants, 10, settle=_leave)
        (grant,) = {grant for grant, _ in pages}
        positions = [source.shape.position(raw) for _, page in pages for raw in page.records]
        safe, first, last = positions[3], positions[5], positions[6]
        _must(safe is not None and first is not None and last is not None, "A log's records have positions.")
        assert first is not None  # as was just said: for the type checker
        assert last is not None
        above = ((first, last),)
        await source.settle(grant, Progress(safe=safe, above=above))
    async with _reading(stage) as (source, grants):
        again = next(one for one in grants if one.partition == grant.partition)
        _must(again.resume.safe == safe, f"It resumes at {again.resume.safe}; {safe} was settled.")
        _must(again.resume.above in (above, ()), f"Above it {again.resume.above} is finished; {above} was settled.")
        came = [text for _, page in await _read(source, grants, 6) for text in _texts(source, page.records)]
        _must(came == [str(number) for number in range(4, 10)], f"Reading goes on after `safe`; this came: {came}.")


async def each_owner_of_a_log_has_a_higher_generation(stage: Stage) -> None:
    generations: list[dict[Partition, int]] = []
    for _ in range(2):
        async with _reading(stage) as (source, grants):
            if source.delivery.redelivers:
                return
            generations.append({grant.partition: grant.generation for grant in grants})
    before, after = generations
    _must(all(after[one] > before[one] for one in before), f"Generations were {before}, and are {after}.")


async def a_queue_takes_back_what_was_not_started(stage: Stage) -> None:
    for number in range(6):
        await stage.put(str(number), f"key{number % 2}")
    async with _reading(stage) as (source, grants):
        if not source.delivery.redelivers:
            return
        (grant,) = grants
        async with asyncio.timeout(PATIENCE):
            page = await source.read(grant, 10)
            while not page.records:
                await asyncio.sleep(page.pause)
                page = await source.read(grant, 10)
        await source.settle(grant, Progress(unstarted=page.records))
        pages = await _read(source, grants, 6)
        came = [text for _, page in pages for text in _texts(source, page.records)]
        _must(sorted(came) == [str(number) for number in range(6)], f"Not all came again: {came}.")
        _check_order(source, pages)


async def a_partition_that_was_never_read_can_be_released(stage: Stage) -> None:
    async with _reading(stage) as (source, grants):
        for grant in grants:
            await source.release(grant)
    await stage.put("text", "key")
    async with _reading(stage) as (source, grants):
        await _read(source, grants, 1)


async def grants_come_anew_to_the_next_listener(stage: Stage) -> None:
    source = _fitted(stage)
    await source.open()
    try:
        async with _listening(source) as first:
            for grant in first:
                await source.release(grant)
        async with _listening(source) as again:
            before, after = ({grant.partition for grant in grants} for grants in (first, again))
            _must(before == after, f"{sorted(before)} were released; then came {sorted(after)}.")
    finally:
        await source.close()


CHECKS: Final[tuple[Check, ...]] = (
    close_needs_no_open_and_may_come_twice,
    what_it_says_of_itself_is_coherent,
    records_come_once_and_in_order,
    pages_keep_to_their_limit_and_tell_their_size,
    records_are_described_by_their_shape,
    a_read_that_is_called_off_loses_nothing,
    settling_twice_is_settling_once,
    a_log_resumes_exactly_where_it_was_settled,
    each_owner_of_a_log_has_a_higher_generation,
    a_queue_takes_back_what_was_not_started,
    a_partition_that_was_never_read_can_be_released,
    grants_come_anew_to_the_next_listener,
)


# How they use a source

Pages: TypeAlias = list[tuple[Grant, Page]]
Settle: TypeAlias = Callable[[Grant, Page], Awaitable[None]]


def _fitted(stage: Stage) -> Source:
    source = stage.source()
    source.fit(mapping="mapping", batch_size=10, window=0.0, timeout=3.0)
    return source


@asynccontextmanager
async def _reading(stage: Stage) -> AsyncIterator[tuple[Source, list[Grant]]]:
    """A source that is open and has granted what it grants at first; released and closed at the end."""
    source = _fitted(stage)
    try:
        await source.open()
        async with _listening(source) as grants:
            yield source, grants
            for grant in grants:
                await source.release(grant)
    finally:
        await source.close()


@asynccontextmanager
async def _listening(source: Source) -> AsyncIterator[list[Grant]]:
    """The grants that come within a while of the first; the listener stays until the end."""
    grants: list[Grant] = []
    first = asyncio.Event()

    async def follow() -> None:
        async for change in source.changes():
            _note(change, grants)
            first.set()

    listener = asyncio.create_task(follow())
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await first.wait()
        _must(bool(grants), f"Nothing was granted within {PATIENCE:g} s.")
        await asyncio.sleep(QUIET)
        yield grants
    finally:
        listener.cancel()
        with suppress(asyncio.CancelledError):
            await listener


def _note(change: Change, grants: list[Grant]) -> None:
    assert isinstance(change, Granted), f"Nobody else wants the partitions; {change} came."
    grants.append(change.grant)


async def _read(
    source: Source, grants: Iterable[Grant], count: int, *, limit: int = 1_000, settle: Settle | None = None
) -> Pages:
    """Read until so many records have come, and for a moment longer; every page is settled, as done by default."""
    pages: Pages = []
    enough, over = asyncio.Event(), asyncio.Event()

    async def go_on(grant: Grant) -> None:
        while not over.is_set():
            page = await source.read(grant, limit)
            pages.append((grant, page))
            await (source.settle(grant, _done(source, page)) if settle is None else settle(grant, page))
            if sum(len(page.records) for _, page in pages) >= count:
                enough.set()
            if page.end:
                return
            await asyncio.sleep(page.pause)

    readers = [asyncio.create_task(go_on(grant)) for grant in grants]
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            await enough.wait()
            await asyncio.sleep(QUIET)  # what comes too often comes now
    over.set()
    for reader in readers:
        reader.cancel()
    for result in await asyncio.gather(*readers, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
    came = sum(len(page.records) for _, page in pages)
    _must(came == count, f"{came} records came within {PATIENCE:g} s; there were {count}.")
    return [(grant, page) for grant, page in pages if page.records]


async def _leave(grant: Grant, page: Page) -> None:
    """Settle nothing."""


def _done(source: Source, page: Page) -> Progress:
    """Everything of the page is finished."""
    if source.delivery.redelivers:
        return Progress(done=page.records)
    return Progress(safe=page.position, finished=page.end)


def _texts(source: Source, records: Sequence[Raw]) -> list[str]:
    data = map(source.shape.data, records)
    return [one if isinstance(one, str) else one.decode() for one in data]


def _check_order(source: Source, pages: Pages) -> None:
    """Texts are numbers: they grow within a key wherever the source keeps order; positions grow in a partition."""
    numbers: dict[Any, list[int]] = defaultdict(list)
    positions: dict[Partition, list[Any]] = defaultdict(list)
    for grant, page in pages:
        for raw, text in zip(page.records, _texts(source, page.records), strict=True):
            numbers[grant.partition, source.shape.key(raw)].append(int(text))
            positions[grant.partition].append(source.shape.position(raw))
        covered = positions[grant.partition][-1]
        _must(page.position is None or page.position >= covered, "A page's position covers its records.")
    if source.delivery.lane != "none" or not source.delivery.redelivers:
        for (_, key), some in numbers.items():
            _must(some == sorted(some), f"Records of {key!r} came out of order: {some}.")
    if not source.delivery.redelivers:
        for partition, ones in positions.items():
            _must(ones == sorted(set(ones)), f"Positions of {partition} do not grow.")


def _check_size(source: Source, partition: Partition, page: Page) -> None:
    def encoded(records: Sequence[Raw]) -> int:
        return len(msgspec.json.encode(source.shape.event([(partition, records)], None)))

    envelope = encoded(())
    size = encoded(page.records) - envelope - len(page.records)  # commas are the event's
    _must(page.nbytes >= size, f"A page says {page.nbytes} bytes and takes {size} in an event.")
    for raw in page.records:
        bound, size = source.shape.size_bound(raw), encoded((raw,)) - envelope
        _must(bound >= size, f"size_bound says {bound} bytes and the record takes {size}.")


def _must(holds: bool, sentence: str) -> None:
    if not holds:
        raise AssertionError(sentence)
