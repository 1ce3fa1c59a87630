"""Sequence numbers, shard ids and stream labels."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["Numbers", "label"]

# 21 digits, and 22 from the tenth on: readers that compare the texts and not the numbers must be found out.
_FIRST = 999_999_999_999_999_990_000
_STEP = 1_111


class Numbers:
    """Of one account; none is given twice."""

    def __init__(self) -> None:
        self.latest = _FIRST
        self._shards = 0

    def next(self) -> int:
        """A sequence number above all before it."""
        self.latest += _STEP
        return self.latest

    def shard_id(self, now: float) -> str:
        self._shards += 1
        spread = self._shards * 0x9E3779B1 & 0xFFFFFFFF  # differs for 2**32 shards, as the factor is odd
        return f"shardId-{int(now * 1000):020d}-{spread:08x}"


def label(created: float) -> str:
    """A stream's label: its creation time, to the millisecond."""
    return datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
