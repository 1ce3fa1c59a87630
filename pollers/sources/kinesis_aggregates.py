"""Records of the Kinesis Producer Library: one record of a stream that holds many of its user's.

Four bytes that say so, a message of protocol buffers, and its MD5. Whatever is not exactly that is an ordinary record:
nothing here raises.

    message AggregatedRecord { repeated string partition_key_table = 1; repeated string explicit_hash_key_table = 2;
                               repeated Record records = 3; }
    message Record { required uint64 partition_key_index = 1; optional uint64 explicit_hash_key_index = 2;
                     required bytes data = 3; repeated Tag tags = 4; }
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Iterator, Sequence
from hashlib import md5
from typing import Final, NamedTuple, TypeAlias

from pollers.flow.records import Raw

__all__ = ["MAGIC", "Inner", "inner_records", "one_by_one"]

MAGIC: Final = b"\xf3\x89\x9a\xc2"
_MAGIC_TEXT: Final = "84maw"  # how its base64 begins: thirty bits of it
_DIGEST: Final = 16  # bytes
_MOST: Final = 100_000  # records of one aggregate: memory is not to be had by a record of ten million empty ones

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_Field: TypeAlias = tuple[int, int | bytes]  # its number, and what it holds


class Inner(NamedTuple):
    """A record within an aggregate."""

    key: str
    data: bytes


class _Malformed(ValueError):
    """This is not what the library writes."""


def inner_records(data: str) -> Sequence[Inner]:
    """The records within a record's data, which is base64; none where it is no aggregate."""
    if not data.startswith(_MAGIC_TEXT):
        return ()
    try:
        raw = a2b_base64(data)
        message, digest = raw[len(MAGIC) : -_DIGEST], raw[-_DIGEST:]
        if not raw.startswith(MAGIC) or md5(message, usedforsecurity=False).digest() != digest:
            return ()
        return _aggregate(message)
    except ValueError:  # ours, and those of base64 and UTF-8
        return ()


def one_by_one(records: Sequence[Raw]) -> Sequence[Raw]:
    """The records, aggregated ones taken apart. AWS: those share sequence number and arrival (2.2-2)."""
    taken: list[Raw] = []
    for raw in records:
        inner = inner_records(raw["Data"])
        if not inner:
            taken.append(raw)
        for number, (key, data) in enumerate(inner):
            taken.append({**raw, "PartitionKey": key, "Data": data, "SubSequenceNumber": number})
    return taken


def _aggregate(message: bytes) -> list[Inner]:
    keys: list[str] = []
    records: list[bytes] = []
    for number, value in _fields(message):
        if number == 1:
            keys.append(_bytes(value).decode())
        elif number == 3:
            records.append(_bytes(value))
            if len(records) > _MOST:
                raise _Malformed
    return [_inner(record, keys) for record in records]


def _inner(record: bytes, keys: Sequence[str]) -> Inner:
    index: int | bytes | None = None
    data: int | bytes | None = None
    for number, value in _fields(record):  # the last one counts where a field comes twice
        if number == 1:
            index = value
        elif number == 3:
            data = value
    if not isinstance(index, int) or index >= len(keys) or not isinstance(data, bytes):
        raise _Malformed
    return Inner(keys[index], data)


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise _Malformed
    return value


# Protocol buffers


def _fields(message: bytes) -> Iterator[_Field]:
    """Every field of a message that is a number below 2^64 or bytes, in order; others are passed over."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
        elif kind == _BYTES:
            length, at = _varint(message, at)
            at += length
            if at > len(message):
                raise _Malformed
            yield number, message[at - length : at]
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
            if at > len(message):
                raise _Malformed
        else:
            raise _Malformed


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise _Malformed
