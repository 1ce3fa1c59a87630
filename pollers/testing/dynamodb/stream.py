"""One stream of a table: a tree of shards that split and roll, and forget after 24 hours."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pollers.testing.dynamodb.errors import no_such
from pollers.testing.dynamodb.limits import RETENTION, ROLL_EVERY
from pollers.testing.dynamodb.numbers import Numbers
from pollers.testing.dynamodb.records import Change, stream_record
from pollers.testing.dynamodb.schema import HASHES, Schema
from pollers.testing.dynamodb.shard import Shard

__all__ = ["Sharding", "Stream"]


@dataclass(frozen=True, slots=True)
class Sharding:
    """How the streams of a table are divided."""

    shards: int = 1  # with which a stream begins
    roll_every: float | None = ROLL_EVERY  # seconds; None: only when told to


class Stream:
    """Owns its shards. Call `advance` before looking at them: time acts only there."""

    def __init__(
        self, table: str, arn: str, view: str, schema: Schema, sharding: Sharding, numbers: Numbers, now: float
    ) -> None:
        self.table = table  # its name
        self.arn = arn
        self.view = view
        self.schema = schema
        self.created = now  # wall time, seconds
        self.disabled: float | None = None  # when; None: it is enabled
        self._region = arn.split(":")[3]
        self._numbers = numbers
        self._roll_every = sharding.roll_every
        self._shards: dict[str, Shard] = {}
        bounds = [HASHES * index // sharding.shards for index in range(sharding.shards + 1)]
        self._open = [self._new(None, low, high, now) for low, high in pairwise(bounds)]  # by hash

    @property
    def label(self) -> str:
        return self.arn.rpartition("/")[2]

    @property
    def latest_number(self) -> int:
        """No sequence number above this exists yet."""
        return self._numbers.latest

    def gone(self, now: float) -> bool:
        """Whether it was disabled too long ago to be read."""
        return self.disabled is not None and now >= self.disabled + RETENTION

    def advance(self, now: float) -> None:
        """Roll the shards that are due, trim old records, forget old shards."""
        if self._roll_every is not None:
            while self._open and (due := min(shard.opened for shard in self._open) + self._roll_every) <= now:
                self._roll([shard for shard in self._open if shard.opened + self._roll_every <= due], due)
        for shard in list(self._shards.values()):
            shard.expire(now - RETENTION)
            if shard.closed is not None and shard.closed <= now - RETENTION:
                del self._shards[shard.id]

    def shards(self) -> list[Shard]:
        """Those that are not forgotten, by id."""
        return [self._shards[id] for id in sorted(self._shards)]

    def shard(self, id: str) -> Shard:
        """Raises ResourceNotFoundException."""
        shard = self._shards.get(id)
        if shard is None:
            raise no_such(f"Shard: {id} in stream {self.arn} not found")
        return shard

    def append(self, change: Change, hash: int, now: float) -> None:
        """Record a change of an item whose partition key has this hash."""
        shard = self._open[bisect_right(self._open, hash, key=lambda shard: shard.low) - 1]
        number = self._numbers.next()
        shard.append(stream_record(change, self.view, self._region, str(number), now), number, now)

    def roll(self, now: float) -> None:
        """Close each open shard; one child follows each."""
        self._roll(self._open, now)

    def split(self, id: str, now: float) -> None:
        """Close the shard; two children follow it, each with half of its hashes."""
        shard = self.shard(id)
        if not shard.open or shard.high - shard.low < 2:
            raise ValueError(f"{id} cannot be split: it is {'too narrow' if shard.open else 'closed'}.")
        middle = (shard.low + shard.high) // 2
        self._replace(shard, [(shard.low, middle), (middle, shard.high)], now)

    def disable(self, now: float) -> None:
        """Nothing is recorded any more; what there is stays readable for 24 hours."""
        self.disabled = now
        for shard in self._open:
            shard.close(self._numbers.next(), now)
        self._open = []

    def _roll(self, shards: Sequence[Shard], now: float) -> None:
        for shard in list(shards):
            self._replace(shard, [(shard.low, shard.high)], now)

    def _replace(self, shard: Shard, ranges: Sequence[tuple[int, int]], now: float) -> None:
        shard.close(self._numbers.next(), now)
        at = self._open.index(shard)
        self._open[at : at + 1] = [self._new(shard.id, low, high, now) for low, high in ranges]

    def _new(self, parent: str | None, low: int, high: int, now: float) -> Shard:
        shard = Shard(self._numbers.shard_id(now), parent, low, high, self._numbers.next(), now)
        self._shards[shard.id] = shard
        return shard
