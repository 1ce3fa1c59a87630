"""What a shard takes and gives, and how long things live."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KinesisLimits"]


@dataclass(frozen=True, slots=True)
class KinesisLimits:
    """AWS's quotas; None lifts one."""

    reads_per_second: int | None = 5  # GetRecords of one shard
    read_bytes_per_second: int | None = 2 << 20  # of one shard; a larger read is followed by refusals
    writes_per_second: int | None = 1_000  # records into one shard
    write_bytes_per_second: int | None = 1 << 20  # into one shard
    page_bytes: int = 10 << 20  # of one GetRecords
    record_bytes: int = 1 << 20  # data and key of one record
    iterator_lifetime: float = 300.0  # seconds
    token_lifetime: float = 300.0  # seconds, of ListShards' NextToken
    consumers: int | None = 20  # of one stream
    consumer_seconds: float = 0.0  # for which a new consumer is CREATING
    subscription_seconds: float = 300.0  # after which a subscription ends
    subscription_calls: int | None = 1  # SubscribeToShard of one consumer and shard in a second
    subscription_guard: float = 5.0  # seconds in which nobody takes a new subscription over
    subscription_quiet: float = 5.0  # seconds without records after which an event without any is sent
    event_bytes: int = 1 << 20  # of one event's records
    reshard_seconds: float = 0.0  # for which a stream is UPDATING after its shards were changed
