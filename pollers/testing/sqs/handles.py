"""Receipt handles: opaque to clients, and here the queue, the message and the number of the receive."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import NamedTuple

from pollers.testing.sqs.errors import invalid_handle

__all__ = ["Receipt", "read_handle", "write_handle"]

_HEAD = "AQEB"  # of AWS's own handles


class Receipt(NamedTuple):
    queue: str  # the queue's unique id
    message: str  # the message's id
    number: int  # of the receive: 1 for the first


def write_handle(queue: str, message: str, number: int) -> str:
    return _HEAD + b64encode(f"{queue} {message} {number}".encode()).decode()


def read_handle(handle: str) -> Receipt:
    """Raises ReceiptHandleIsInvalid for anything that `write_handle` did not write."""
    try:
        queue, message, number = b64decode(handle[len(_HEAD) :], validate=True).decode().split(" ")
        receipt = Receipt(queue, message, int(number))
    except ValueError:  # bad base64 too
        raise invalid_handle(handle) from None
    if write_handle(*receipt) != handle:
        raise invalid_handle(handle)
    return receipt
