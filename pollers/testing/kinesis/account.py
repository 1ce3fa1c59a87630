"""The streams of one account in one region, and how requests name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pollers.testing.kinesis.errors import fault, invalid, missing_stream
from pollers.testing.kinesis.limits import KinesisLimits
from pollers.testing.kinesis.stream import Stream
from pollers.testing.kinesis.subscriptions import Subscriptions
from pollers.testing.trouble import Trouble

__all__ = ["Account", "number", "text"]


class Account:
    """Streams by name."""

    def __init__(self, region: str, account: str, limits: KinesisLimits, clock: Callable[[], float]) -> None:
        self.region = region
        self.account = account
        self.limits = limits
        self.now = clock
        self.streams: dict[str, Stream] = {}
        self.trouble = Trouble("com.amazonaws.kinesis.v20131202")
        self.subscriptions = Subscriptions(limits, clock, self.trouble)

    def arn(self, name: str) -> str:
        return f"arn:aws:kinesis:{self.region}:{self.account}:stream/{name}"

    def named(self, name: str) -> Stream:
        """Raises ResourceNotFoundException."""
        stream = self.streams.get(name)
        if stream is None:
            raise missing_stream(name, self.account)
        return stream

    def of(self, request: Mapping[str, Any]) -> Stream:
        """The stream that a request names by StreamName or StreamARN."""
        arn, name = request.get("StreamARN"), request.get("StreamName")
        if isinstance(arn, str):
            return self.named(arn.rpartition("/")[2])
        if not isinstance(name, str):
            raise invalid("Either StreamName or StreamARN should be provided")
        return self.named(name)


def text(request: Mapping[str, Any], member: str) -> str:
    """A required member. Raises ValidationException."""
    value = request.get(member)
    if not isinstance(value, str):
        name = member[0].lower() + member[1:]
        message = f"1 validation error detected: Value null at '{name}' failed to satisfy constraint: "
        raise fault("ValidationException", f"{message}Member must not be null")
    return value


def number(request: Mapping[str, Any], member: str, default: int | None, low: int, high: int) -> int:
    """A whole number within bounds. Raises ValidationException."""
    value = request.get(member, default)
    name = member[0].lower() + member[1:]
    if not isinstance(value, int):
        message = f"1 validation error detected: Value null at '{name}' failed to satisfy constraint: "
        raise fault("ValidationException", f"{message}Member must not be null")
    if not low <= value <= high:
        bound = f"greater than or equal to {low}" if value < low else f"less than or equal to {high}"
        message = f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: "
        raise fault("ValidationException", f"{message}Member must have value {bound}")
    return value
