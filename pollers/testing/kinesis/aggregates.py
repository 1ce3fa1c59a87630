"""Aggregated records as the Kinesis Producer Library writes them."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import md5

__all__ = ["aggregate"]

MAGIC = b"\xf3\x89\x9a\xc2"


def aggregate(records: Iterable[tuple[str, bytes]], explicit_hash_key: int | None = None) -> bytes:
    """The data of one record that holds these, each a partition key and data."""
    records = list(records)
    keys = {key: index for index, key in enumerate(dict.fromkeys(key for key, _ in records))}
    message = b"".join(_bytes(1, key.encode()) for key in keys)
    hash_index = b""
    if explicit_hash_key is not None:
        message += _bytes(2, str(explicit_hash_key).encode())
        hash_index = _number(2, 0)
    message += b"".join(_bytes(3, _number(1, keys[key]) + hash_index + _bytes(3, data)) for key, data in records)
    return MAGIC + message + md5(message, usedforsecurity=False).digest()


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
