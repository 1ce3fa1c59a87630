"""Records taken batch by batch are those that the client itself would have given, and leave it at the same offset."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, FetchError, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException, KafkaError, TopicAuthorizationFailedError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from pollers.sources.kafka.batches import fetched, wake
from pollers.sources.kafka.port import Fetched

PARTITION = TopicPartition("topic", 3)
CONTROL, ABORT = 0x20, struct.pack(">hh", 0, 0)
COMMIT = struct.pack(">hh", 0, 1)


@dataclass(frozen=True)
class Written:
    """One batch as a producer wrote it."""

    count: int
    codec: int = 0  # none, gzip
    producer: int = -1
    transactional: bool = False
    marker: bytes = b""
    gap: int = 0  # offsets before it that hold nothing


def encoded(batch: Written, base: int) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=batch.codec,
        is_transactional=batch.transactional,
        producer_id=batch.producer,
        producer_epoch=0,
        base_sequence=0,
        batch_size=1 << 20,
    )
    for index in range(batch.count):
        key = batch.marker or b"%d" % (base + index)
        builder.append(index, 1_000 + index, key, b"value" if index % 3 else None, [("h", b"x")] if index % 2 else [])
    found = bytearray(builder.build())
    struct.pack_into(">q", found, 0, base)
    if batch.marker:
        struct.pack_into(">h", found, 21, struct.unpack_from(">h", found, 21)[0] | CONTROL)
        struct.pack_into(">I", found, 17, calc_crc32c(bytes(found[21:])))
    return bytes(found)


def laid_out(batches: list[Written]) -> tuple[bytes, list[int]]:
    offset, wire, bases = 0, b"", []
    for batch in batches:
        offset += batch.gap
        bases.append(offset)
        wire += encoded(batch, offset)
        offset += batch.count
    return wire, bases


class Position:
    """What the client keeps of a partition that is read."""

    paused = False

    def __init__(self, position: int) -> None:
        self.position = position

    def consumed_to(self, position: int) -> None:
        self.position = position


class Assignment:
    active = True

    def __init__(self, position: int) -> None:
        self.state = Position(position)

    def state_value(self, one: TopicPartition) -> Position:
        return self.state


class Fetcher:
    """As much of the client's as is touched."""

    def __init__(self, **records: Any) -> None:
        self._records: dict[TopicPartition, Any] = {}
        self._wait_consume_future: asyncio.Future[None] | None = None
        self._fetch_waiters: set[asyncio.Future[None]] = set()
        self.notified = 0

    def _create_fetch_waiter(self) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        self._fetch_waiters.add(future)
        future.add_done_callback(self._fetch_waiters.discard)
        return future

    def _notify(self, future: asyncio.Future[None] | None) -> None:
        self.notified += 1
        if future is not None and not future.done():
            future.set_result(None)


def result_of(wire: bytes, position: int, aborted: list[tuple[int, int]], isolation: int, crcs: bool) -> FetchResult:
    records = PartitionRecords(PARTITION, MemoryRecords(wire), aborted, position, None, None, crcs, isolation)
    return FetchResult(PARTITION, assignment=Assignment(position), partition_records=records, backoff=0)


def plain(record: Any) -> tuple[Any, ...]:
    return (
        record.offset,
        record.timestamp,
        record.timestamp_type,
        record.key,
        record.value,
        tuple(record.headers),
    )


BATCHES = st.lists(
    st.builds(
        Written,
        count=st.integers(1, 6),
        codec=st.sampled_from([0, 1]),
        producer=st.sampled_from([-1, 7, 8]),
        transactional=st.booleans(),
        gap=st.integers(0, 3),
    )
    | st.builds(
        Written,
        count=st.just(1),
        producer=st.sampled_from([7, 8]),
        transactional=st.just(True),
        marker=st.sampled_from([ABORT, COMMIT]),
        gap=st.integers(0, 3),
    ),
    min_size=1,
    max_size=8,
)


@settings(deadline=None, max_examples=200)
@given(batches=BATCHES, limit=st.integers(1, 12), data=st.data())
def test_taking_batches_is_what_the_client_does_one_by_one(
    batches: list[Written], limit: int, data: st.DataObject
) -> None:
    wire, bases = laid_out(batches)
    start = data.draw(st.integers(0, bases[0] + batches[0].count - 1))  # brokers begin with the batch that has it
    aborted = sorted(
        data.draw(st.sets(st.tuples(st.sampled_from([7, 8]), st.sampled_from(bases)), max_size=3)), key=lambda x: x[1]
    )
    isolation = data.draw(st.sampled_from([READ_COMMITTED, READ_UNCOMMITTED]))
    stock = result_of(wire, start, list(aborted), isolation, crcs=True)
    expected = [plain(record) for record in stock.getall()]

    ours, taken = result_of(wire, start, list(aborted), isolation, crcs=True), []
    fetcher = Fetcher()
    fetcher._records[PARTITION] = ours
    while PARTITION in fetcher._records:
        found = asyncio.run(fetched(fetcher, {PARTITION: limit}, 0))[PARTITION]
        assert isinstance(found, Fetched)
        assert found.next == ours._assignment.state.position
        assert all(record.offset < found.next for record in found.records)
        taken += [plain(record) for record in found.records]
    assert taken == expected
    assert ours._assignment.state.position == stock._assignment.state.position


def test_old_formats_are_read_as_well() -> None:
    builder = LegacyRecordBatchBuilder(1, 1, 1 << 20)
    for index in range(5):
        builder.append(index, 1_000 + index, b"k", b"v")
    wire = bytes(builder.build())
    stock = result_of(wire, 2, [], READ_COMMITTED, crcs=True)
    ours = Fetcher()
    ours._records[PARTITION] = result_of(wire, 2, [], READ_COMMITTED, crcs=True)
    found = asyncio.run(fetched(ours, {PARTITION: 100}, 0))[PARTITION]
    assert isinstance(found, Fetched)
    assert [plain(one) for one in found.records] == [plain(one) for one in stock.getall()]
    assert found.next == 5


def test_a_batch_that_was_spoilt_on_its_way_is_fetched_again_and_nothing_behind_it_is_read_before() -> None:
    wire, bases = laid_out([Written(3), Written(3), Written(3)])
    spoilt = bytearray(wire)
    middle = wire.index(encoded(Written(3), bases[1]))
    spoilt[middle + 70] ^= 1
    fetcher = Fetcher()
    fetcher._records[PARTITION] = ours = result_of(bytes(spoilt), 0, [], READ_COMMITTED, crcs=True)
    found = asyncio.run(fetched(fetcher, {PARTITION: 100}, 0))[PARTITION]
    assert isinstance(found, Fetched)
    assert [record.offset for record in found.records] == [0, 1, 2]
    assert ours._assignment.state.position == 3
    assert PARTITION not in fetcher._records, "asked for again"

    fetcher._records[PARTITION] = ours = result_of(bytes(spoilt[middle:]), 3, [], READ_COMMITTED, crcs=True)
    found = asyncio.run(fetched(fetcher, {PARTITION: 100}, 0))[PARTITION]
    assert isinstance(found, CorruptRecordException)
    assert ours._assignment.state.position == 3
    assert PARTITION not in fetcher._records


def test_a_batch_that_no_codec_can_unpack_is_said() -> None:
    whole = bytearray(encoded(Written(50, codec=1), 0))
    whole[70:90] = bytes(20)
    struct.pack_into(">I", whole, 17, calc_crc32c(bytes(whole[21:])))
    fetcher = Fetcher()
    fetcher._records[PARTITION] = result_of(bytes(whole), 0, [], READ_COMMITTED, crcs=True)
    found = asyncio.run(fetched(fetcher, {PARTITION: 100}, 0))[PARTITION]
    assert isinstance(found, KafkaError)
    assert "ends with offset 49 cannot be unpacked" in str(found)


def test_an_error_is_that_of_its_partition() -> None:
    other = TopicPartition("topic", 4)
    fetcher = Fetcher()
    fetcher._records[other] = FetchError(error=TopicAuthorizationFailedError("topic"), backoff=0)
    fetcher._records[PARTITION] = result_of(laid_out([Written(2)])[0], 0, [], READ_COMMITTED, crcs=True)
    found = asyncio.run(fetched(fetcher, {other: 10, PARTITION: 10}, 0))
    assert isinstance(found[other], TopicAuthorizationFailedError)
    assert isinstance(found[PARTITION], Fetched)
    assert not fetcher._records


async def test_waiting_ends_when_records_come_when_somebody_wakes_it_and_when_it_takes_too_long() -> None:
    fetcher = Fetcher()
    assert await fetched(fetcher, {PARTITION: 10}, 0.01) == {}
    await asyncio.sleep(0)
    assert not fetcher._fetch_waiters

    waiting = asyncio.ensure_future(fetched(fetcher, {PARTITION: 10}, 60.0))
    await asyncio.sleep(0)
    wake(fetcher)
    assert await waiting == {}

    waiting = asyncio.ensure_future(fetched(fetcher, {PARTITION: 10}, 60.0))
    await asyncio.sleep(0)
    fetcher._records[PARTITION] = result_of(laid_out([Written(2)])[0], 0, [], READ_COMMITTED, crcs=True)
    wake(fetcher)
    assert (await waiting).keys() == {PARTITION}

    waiting = asyncio.ensure_future(fetched(fetcher, {PARTITION: 10}, 60.0))
    await asyncio.sleep(0)
    for waiter in list(fetcher._fetch_waiters):
        waiter.set_exception(KafkaError("the coordination ended"))
    with pytest.raises(KafkaError, match="the coordination ended"):
        await waiting
