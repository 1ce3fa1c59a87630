"""How often each shard may be read by this process, all its mappings together: the service counts them as one."""

from __future__ import annotations

from pollers.flow.records import Partition

__all__ = ["Pace", "Paces"]


class Pace:
    """The turns of one stream's shards."""

    __slots__ = ("_bytes_per_second", "_interval", "_next", "readers")

    def __init__(self, interval: float, bytes_per_second: int | None) -> None:
        self.readers = 0  # mappings that read the stream
        self._interval = interval
        self._bytes_per_second = bytes_per_second
        self._next: dict[Partition, float] = {}  # monotonic: when a shard may be read again

    def take(self, shard: Partition, now: float) -> float:
        """Seconds until the shard may be read; 0: now, and the turn is taken."""
        wait = self._next.get(shard, 0.0) - now
        if wait > 0:
            return wait
        self._next[shard] = now + self._interval
        return 0.0

    def spend(self, shard: Partition, nbytes: int, now: float) -> float:
        """A read brought so many bytes; seconds until the shard may be read again."""
        due = self._next.get(shard, now)
        if self._bytes_per_second:
            # AWS: a read of 10 MB is followed by refusals for the next five seconds (8-6).
            due = self._next[shard] = max(due, now + nbytes / self._bytes_per_second)
        return max(0.0, due - now)

    def forget(self, shard: Partition) -> None:
        """Nobody here reads it now."""
        self._next.pop(shard, None)


class Paces:
    """The paces of all streams that a process reads. Give one to every source that shares the process."""

    def __init__(self) -> None:
        self._paces: dict[str, Pace] = {}

    def of(self, stream: str, interval: float, bytes_per_second: int | None) -> Pace:
        """The pace of a stream, by its ARN."""
        pace = self._paces.get(stream)
        if pace is None:
            pace = self._paces[stream] = Pace(interval, bytes_per_second)
        return pace
