"""Takes what aiokafka fetched batch by batch, as the compiled records that it unpacks, not as a dataclass for each.

That is a third of the time. It touches private names of the client, so that it is done with the versions it was tried
with only; `getmany` is what others get. What it must keep of `getmany`: checksums, aborted transactions, control
batches, records below the position that a compressed batch brings along, and the position behind each batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final, TypeAlias

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, Fetcher, FetchResult
from aiokafka.errors import CorruptRecordException, KafkaError

from pollers.flow.records import Raw
from pollers.sources.kafka.port import Fetched

__all__ = ["KNOWN", "Found", "fetched", "wake"]

KNOWN: Final = version("aiokafka") in ("0.14.0",)

Found: TypeAlias = dict[TopicPartition, Fetched | KafkaError]


async def fetched(fetcher: Fetcher, wanted: Mapping[TopicPartition, int], timeout: float) -> Found:
    """What there is of the wanted partitions; waits up to `timeout` seconds until something is, or until `wake`.

    Of each whole batches, until there are as many records as are wanted. Raises `KafkaError` for what keeps all of
    them from being read.
    """
    found = _ready(fetcher, wanted)
    if not found and timeout > 0:
        waiter = fetcher._create_fetch_waiter()
        done, _ = await asyncio.wait([waiter], timeout=timeout)
        if not done:
            waiter.cancel()
            return {}
        waiter.result()
        found = _ready(fetcher, wanted)
    return found


def wake(fetcher: Fetcher) -> None:
    """Let `fetched` look again."""
    for waiter in list(fetcher._fetch_waiters):
        fetcher._notify(waiter)


def _ready(fetcher: Fetcher, wanted: Mapping[TopicPartition, int]) -> Found:
    found: Found = {}
    for one, limit in wanted.items():
        result = fetcher._records.get(one)
        if result is None:
            continue
        try:
            if type(result) is FetchResult:
                taken = _take(result, one, limit)
                if taken is not None:
                    found[one] = taken
            else:
                result.check_raise()
        except KafkaError as error:
            found[one] = error
        if type(result) is not FetchResult or not result.has_more():
            del fetcher._records[one]  # more of it is asked for
            fetcher._notify(fetcher._wait_consume_future)
    return found


def _take(result: FetchResult, one: TopicPartition, limit: int) -> Fetched | None:
    """Batches until `limit` records are together; None where what was fetched is of another position by now."""
    if not result.has_more() or not result.check_assignment(one):
        return None
    unpacked = result._partition_records
    batches = unpacked._records
    records: list[Raw] = []
    try:
        while batches.has_next() and len(records) < limit:
            records += _unpack(unpacked, batches.next_batch())
    except KafkaError:
        # What follows the bad batch must not be read before it: everything from there on is fetched again.
        result._partition_records = None
        if not records:
            raise
    # The result has forgotten what it is of where a batch was bad; the position is behind what was unpacked before.
    result._assignment.state_value(one).consumed_to(unpacked.next_fetch_offset)
    if not batches.has_next():
        result._partition_records = None
    return Fetched(one.partition, records, unpacked.next_fetch_offset)


def _unpack(unpacked: Any, batch: Any) -> list[Raw]:
    """The records of a batch that count, having moved the position behind it."""
    if unpacked._check_crcs and not batch.validate_crc():
        raise CorruptRecordException(f"Invalid CRC - {unpacked._tp}")
    records: list[Raw] = []
    if not _aborted(unpacked, batch) and not batch.is_control_batch:
        records = _records(batch)
        if records and records[0].offset < unpacked.next_fetch_offset:
            records = [record for record in records if record.offset >= unpacked.next_fetch_offset]
    # A batch says where it ends even if its last record was compacted away; of the old formats its records say it.
    last = records[-1].offset + 1 if records else 0
    unpacked.next_fetch_offset = max(unpacked.next_fetch_offset, batch.next_offset, last)
    return records


def _records(batch: Any) -> list[Raw]:
    try:
        return list(batch)
    except KafkaError:
        raise
    except Exception as error:  # of any of the codecs: what a producer wrote is no such text
        reason = f"the batch that ends with offset {batch.next_offset - 1} cannot be unpacked: {error}"
        raise CorruptRecordException(reason) from error


def _aborted(unpacked: Any, batch: Any) -> bool:
    """Whether the batch is of a transaction that was aborted. Its marker ends that."""
    if unpacked._isolation_level != READ_COMMITTED or batch.producer_id is None:
        return False
    unpacked._consume_aborted_up_to(batch.base_offset)
    if batch.is_control_batch and unpacked._contains_abort_marker(batch):
        unpacked._aborted_producers.discard(batch.producer_id)
    return bool(batch.is_transactional and batch.producer_id in unpacked._aborted_producers)
