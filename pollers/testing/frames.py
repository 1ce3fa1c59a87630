"""Frames of application/vnd.amazon.eventstream, as AWS sends answers that go on for a while."""

from __future__ import annotations

from binascii import crc32
from collections.abc import Mapping
from struct import pack
from typing import Final

__all__ = ["event_frame", "exception_frame"]

_TEXT: Final = 7  # the type of a header whose value is text
_PRELUDE: Final = 8  # bytes: both lengths
_CHECKSUM: Final = 4


def event_frame(kind: str, content_type: str, payload: bytes) -> bytes:
    """An event of this kind, or "initial-response"."""
    return _frame({":message-type": "event", ":event-type": kind, ":content-type": content_type}, payload)


def exception_frame(kind: str, content_type: str, payload: bytes) -> bytes:
    """What ends a stream of events: an error that the API knows by name."""
    return _frame({":message-type": "exception", ":exception-type": kind, ":content-type": content_type}, payload)


def _frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    head = b"".join(_header(name.encode(), value.encode()) for name, value in headers.items())
    prelude = pack("!II", _PRELUDE + len(head) + len(payload) + 2 * _CHECKSUM, len(head))
    message = b"".join((prelude, pack("!I", crc32(prelude)), head, payload))
    return message + pack("!I", crc32(message))


def _header(name: bytes, value: bytes) -> bytes:
    return pack("!B", len(name)) + name + pack("!BH", _TEXT, len(value)) + value
