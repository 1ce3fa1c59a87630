"""One stream: shards by hash range, records by partition key, splits and merges."""

from __future__ import annotations

from base64 import b64encode
from bisect import bisect_right
from collections.abc import Callable
from hashlib import md5
from typing import Any

from pollers.testing.kinesis.errors import fault, invalid, missing_shard
from pollers.testing.kinesis.limits import KinesisLimits
from pollers.testing.kinesis.shard import HASHES, Shard

__all__ = ["Stream"]

FIRST = 49_590_338 * 10**48  # sequence numbers have 56 digits
STEP = 16
DAY = 86_400.0


class Stream:
    """`put`, `split`, `merge`, `update_shard_count` and `trim` act at once, as producers and operators would."""

    def __init__(
        self, name: str, arn: str, count: int, limits: KinesisLimits, clock: Callable[[], float], *, mode: str
    ) -> None:
        self.name = name
        self.arn = arn
        self.mode = mode  # "PROVISIONED" or "ON_DEMAND"
        self.created = clock()
        self.retention = DAY  # seconds
        self.tags: dict[str, str] = {}
        self.consumers: dict[str, dict[str, Any]] = {}  # by name
        self.moved: Callable[[Shard], None] = _nobody  # called when a shard was written to, or closed
        self.updating_until = 0.0
        self._limits = limits
        self._clock = clock
        self._sequence = FIRST
        self._made = 0
        self._shards: dict[str, Shard] = {}
        self._open: list[Shard] = []  # by hash
        for number in range(count):
            self._add((), HASHES * number // count, HASHES * (number + 1) // count - 1)

    @property
    def account(self) -> str:
        return self.arn.split(":")[4]

    @property
    def status(self) -> str:
        return "UPDATING" if self._clock() < self.updating_until else "ACTIVE"

    @property
    def shards(self) -> list[Shard]:
        """Every shard that has not expired, oldest first."""
        now = self._clock()
        gone = now - self.retention
        for shard in list(self._shards.values()):
            shard.expire(gone)
            if shard.closed_at is not None and shard.closed_at < gone and not len(shard):
                del self._shards[shard.id]
        return list(self._shards.values())

    def shard(self, shard_id: str) -> Shard:
        """Raises ResourceNotFoundException."""
        shard = self._shards.get(shard_id)
        if shard is not None:
            now = self._clock()
            shard.expire(now - self.retention)
            if shard.closed_at is None or len(shard) or shard.closed_at >= now - self.retention:
                return shard
        raise missing_shard(shard_id, self.name, self.account)

    # Records

    def put(self, partition_key: str, data: bytes, explicit_hash_key: int | None = None) -> tuple[str, str]:
        """Write one record; returns its shard and its sequence number. Raises when the shard takes no more."""
        shard = self.shard_for(partition_key, explicit_hash_key)
        nbytes = len(data) + len(partition_key.encode())
        if not shard.admit(nbytes, self._limits, self._clock()):
            message = f"Rate exceeded for shard {shard.id} in stream {self.name} under account {self.account}."
            raise fault("ProvisionedThroughputExceededException", message)
        return shard.id, self._write(shard, partition_key, b64encode(data).decode(), nbytes)

    def _write(self, shard: Shard, partition_key: str, data: str, nbytes: int) -> str:
        now = self._clock()
        number = self._next()
        record = {
            "SequenceNumber": str(number),
            "ApproximateArrivalTimestamp": round(now, 3),
            "Data": data,
            "PartitionKey": partition_key,
        }
        shard.append(number, record, nbytes, round(now, 3))
        self.moved(shard)
        return str(number)

    def shard_for(self, partition_key: str, explicit_hash_key: int | None = None) -> Shard:
        """The open shard whose hash range has the key. AWS: MD5 of the key, unless a hash key is given."""
        key = explicit_hash_key
        if key is None:
            key = int.from_bytes(md5(partition_key.encode(), usedforsecurity=False).digest(), "big")
        if not 0 <= key < HASHES:
            raise invalid(f"ExplicitHashKey {key} is out of range.")
        return self._open[bisect_right(self._open, key, key=_first_hash) - 1]

    def trim(self, shard_id: str, upto_sequence: str | int) -> None:
        """Forget records of a shard up to a sequence number, as if they had expired."""
        self.shard(shard_id).trim(int(upto_sequence))

    # Shards

    def split(self, shard_id: str, new_starting_hash_key: int | None = None) -> tuple[str, str]:
        """Close a shard and open two that share its hashes; returns their ids."""
        parent = self._open_shard(shard_id)
        middle = new_starting_hash_key
        if middle is None:
            middle = (parent.first_hash + parent.last_hash + 1) // 2
        if not parent.first_hash < middle <= parent.last_hash:
            message = (
                f"NewStartingHashKey {middle} used in SplitShard() on shard {shard_id} is not both greater than one"
            )
            raise invalid(f"{message} plus the shard's StartingHashKey and less than the shard's EndingHashKey.")
        self._close(parent)
        left = self._add((parent.id,), parent.first_hash, middle - 1)
        right = self._add((parent.id,), middle, parent.last_hash)
        self.moved(parent)
        return left.id, right.id

    def merge(self, shard_id: str, adjacent_shard_id: str) -> str:
        """Close two neighbors and open one that has the hashes of both; returns its id."""
        left, right = sorted((self._open_shard(shard_id), self._open_shard(adjacent_shard_id)), key=_first_hash)
        if left.last_hash + 1 != right.first_hash:
            message = f"Shards {shard_id} and {adjacent_shard_id} in stream {self.name} under account {self.account}"
            raise invalid(f"{message} are not an adjacent pair of shards eligible for merging")
        for parent in (left, right):
            self._close(parent)
        merged = self._add((shard_id, adjacent_shard_id), left.first_hash, right.last_hash)
        for parent in (left, right):
            self.moved(parent)
        return merged.id

    def update_shard_count(self, count: int) -> None:
        """Split and merge until there are `count` shards of equal ranges. AWS: UNIFORM_SCALING."""
        bounds = [HASHES * number // count for number in range(1, count)]
        for bound in bounds:
            shard = self._open[bisect_right(self._open, bound, key=_first_hash) - 1]
            if shard.first_hash != bound:
                self.split(shard.id, bound)
        for first, stop in zip([0, *bounds], [*bounds, HASHES], strict=True):
            inside = [one for one in self._open if first <= one.first_hash < stop]
            while len(inside) > 1:
                merged = self.merge(inside[0].id, inside[1].id)
                inside[:2] = [self._shards[merged]]

    def open_shards(self) -> list[Shard]:
        """By hash."""
        return list(self._open)

    def _open_shard(self, shard_id: str) -> Shard:
        shard = self.shard(shard_id)
        if shard.closed:
            raise invalid(f"Shard {shard_id} in stream {self.name} under account {self.account} is closed.")
        return shard

    def _add(self, parents: tuple[str, ...], first_hash: int, last_hash: int) -> Shard:
        shard = Shard(self._made, parents, first_hash, last_hash, self._next(), self._clock())
        self._made += 1
        self._shards[shard.id] = shard
        for parent in parents:
            self._shards[parent].children.append(shard)
        self._open.insert(bisect_right(self._open, first_hash, key=_first_hash), shard)
        self.updating_until = self._clock() + self._limits.reshard_seconds if parents else 0.0
        return shard

    def _close(self, shard: Shard) -> None:
        shard.close(self._next(), self._clock())
        self._open.remove(shard)

    def _next(self) -> int:
        self._sequence += STEP
        return self._sequence


def _nobody(shard: Shard) -> None:
    """Who listens to `Stream.moved` before subscriptions do."""


def _first_hash(shard: Shard) -> int:
    return shard.first_hash
