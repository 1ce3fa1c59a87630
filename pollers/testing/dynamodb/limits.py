"""What DynamoDB Streams allows: sizes of pages, and how long things live."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ITERATOR_LIFE",
    "LARGEST_ITEM",
    "LARGEST_PAGE",
    "MOST_RECORDS",
    "RETENTION",
    "ROLL_EVERY",
    "StreamLimits",
]

RETENTION = 86_400.0  # seconds: of a record after its write, a shard after its close, a stream after it was disabled
ROLL_EVERY = 14_400.0  # seconds that a shard stays open
ITERATOR_LIFE = 900.0  # seconds
MOST_RECORDS = 1_000  # in one answer of GetRecords
LARGEST_PAGE = 1_048_576  # bytes of records or items in one answer
LARGEST_ITEM = 409_600  # bytes


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Quotas that a test may want to see enforced."""

    reads_per_second: int | None = None  # GetRecords of one shard; None: without limit
