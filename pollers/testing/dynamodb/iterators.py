"""Shard iterators: a place in a shard as an opaque text that expires."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

from pollers.testing.dynamodb.errors import fault, invalid
from pollers.testing.dynamodb.limits import ITERATOR_LIFE

__all__ = ["ShardIterator"]


@dataclass(frozen=True, slots=True)
class ShardIterator:
    """Where a reader goes on."""

    stream: str  # its ARN
    shard: str
    position: int  # the lowest sequence number that is wanted
    issued: float  # wall time, seconds

    def text(self) -> str:
        place = f"{self.shard} {self.position} {self.issued!r}"
        return f"{self.stream}|1|{urlsafe_b64encode(place.encode()).decode()}"

    @classmethod
    def read(cls, text: str) -> ShardIterator:
        """Raises ValidationException for what is none."""
        stream, _, place = text.rpartition("|1|")
        try:
            shard, position, issued = urlsafe_b64decode(place).decode().split(" ")
            return cls(stream, shard, int(position), float(issued))
        except ValueError:  # bad base64 too
            raise invalid("Invalid ShardIterator") from None

    def check_age(self, now: float) -> None:
        """Raises ExpiredIteratorException once it is 15 minutes old."""
        if now >= self.issued + ITERATOR_LIFE:
            raise fault("ExpiredIteratorException", "Iterator expired. The iterator is older than 15 minutes.")
