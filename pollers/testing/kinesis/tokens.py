"""Iterators and page tokens: text that says where to go on, of no meaning to clients, and not for ever."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

import msgspec

from pollers.testing.kinesis.errors import fault, invalid

__all__ = ["Iterator", "Token"]


class Iterator(NamedTuple):
    """Where in a shard reading goes on."""

    stream: str
    shard: str
    after: str  # sequence number; text, as JSON's numbers are too small
    issued: float  # wall time, seconds

    def wire(self) -> str:
        return _encode(self)

    @classmethod
    def parse(cls, text: str, now: float, lifetime: float) -> Iterator:
        """Raises InvalidArgumentException and ExpiredIteratorException."""
        try:
            iterator = msgspec.json.decode(urlsafe_b64decode(text), type=Iterator)
        except (ValueError, msgspec.MsgspecError):
            raise invalid("Invalid ShardIterator.") from None
        if now - iterator.issued > lifetime:
            age = round(1_000 * (now - iterator.issued))
            message = f"Iterator expired. The iterator is {age} milliseconds old, and lives for {lifetime:g} seconds."
            raise fault("ExpiredIteratorException", message)
        return iterator


class Token(NamedTuple):
    """Where a listing of shards goes on."""

    stream: str
    after: str  # shard id
    filter_type: str
    filter_value: str | float
    issued: float

    def wire(self) -> str:
        return _encode(self)

    @classmethod
    def parse(cls, text: str, now: float, lifetime: float) -> Token:
        """Raises InvalidArgumentException and ExpiredNextTokenException."""
        try:
            token = msgspec.json.decode(urlsafe_b64decode(text), type=Token)
        except (ValueError, msgspec.MsgspecError):
            raise invalid("Invalid NextToken.") from None
        if now - token.issued > lifetime:
            raise fault("ExpiredNextTokenException", "NextToken has expired.")
        return token


def _encode(value: NamedTuple) -> str:
    return urlsafe_b64encode(msgspec.json.encode(value)).decode()
