"""What is kept of a partition beside its committed offset: the offsets above it that are finished as well.

They travel in the commit's metadata, 4,096 bytes at most (the brokers' `offset.metadata.max.bytes`), so that a restart
or a hand-over repeats only what was in flight. After the idea of Confluent's parallel-consumer, in a form of our own:

    pollers1:<base64 of varints>     gap, length, gap, length ... counted from the committed offset on

A gap is what is unfinished, a length what is finished behind it. Metadata of somebody else are not understood, and then
nothing above the committed offset counts as finished: duplicates, never loss.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from pollers.flow.records import Range

__all__ = ["LIMIT", "RANGES", "decode", "encode"]

LIMIT: Final = 4_096  # bytes of the metadata of one commit
MARK: Final = "pollers1:"
ROOM: Final = (LIMIT - len(MARK)) // 4 * 3  # bytes of varints that fit
RANGES: Final = ROOM // 10  # ranges that fit whatever lies between them, up to 2**35 offsets: two varints of five bytes


def encode(committed: int, above: Sequence[Range]) -> str:
    """The metadata for a commit of `committed`, the first offset that is not finished; "" for none.

    Ranges are ascending, above `committed`, and do not touch. What does not fit is left out from the end.
    """
    payload = bytearray()
    end = committed
    for (first, _), (last, _) in above:
        pair = bytes([*_varint(first - end), *_varint(last - first + 1)])
        if len(payload) + len(pair) > ROOM:
            break
        payload += pair
        end = last + 1
    return MARK + b64encode(payload).decode("ascii") if payload else ""


def decode(committed: int, metadata: str | None) -> tuple[Range, ...]:
    """The finished ranges above `committed`. Never raises: what is not understood is nothing."""
    if not metadata or not metadata.startswith(MARK):
        return ()
    try:
        numbers = list(_numbers(b64decode(metadata[len(MARK) :], validate=True)))
    except (binascii.Error, ValueError):
        return ()
    if len(numbers) % 2 or 0 in numbers:
        return ()
    return tuple(_ranges(committed, numbers))


def _ranges(end: int, numbers: Sequence[int]) -> Iterator[Range]:
    for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
        first = end + gap
        end = first + length
        yield (first, 0), (end - 1, 0)


def _varint(number: int) -> Iterator[int]:
    """Seven bits a byte, the lowest first; the highest bit says that more follow."""
    while number > 127:
        yield number & 127 | 128
        number >>= 7
    yield number


def _numbers(payload: Iterable[int]) -> Iterator[int]:
    number = shift = 0
    for byte in payload:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield number
            number = shift = 0
    if shift:
        raise ValueError("the last number has no end")
