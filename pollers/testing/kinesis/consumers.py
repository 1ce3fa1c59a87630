"""Consumers with throughput of their own: registered, described, and subscribed to shards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pollers.testing.kinesis.account import Account, text
from pollers.testing.kinesis.errors import fault, invalid
from pollers.testing.kinesis.reading import begin
from pollers.testing.kinesis.stream import Stream
from pollers.testing.service import EVENTS, Answer, Fault

__all__ = [
    "deregister_consumer",
    "describe_consumer",
    "list_consumers",
    "register_consumer",
    "subscribe_to_shard",
]


def register_consumer(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    stream, name = account.of(request), text(request, "ConsumerName")
    if name in stream.consumers:
        message = f"Consumer {name} under stream {stream.name} under account {stream.account} already exists."
        raise fault("ResourceInUseException", message)
    most = account.limits.consumers
    if most is not None and len(stream.consumers) >= most:
        raise fault("LimitExceededException", f"Stream {stream.name} has {most} consumers, which is the most.")
    consumer = {
        "ConsumerName": name,
        "ConsumerARN": f"{stream.arn}/consumer/{name}:{int(now)}",
        "ConsumerStatus": "CREATING",
        "ConsumerCreationTimestamp": float(int(now)),
    }
    stream.consumers[name] = consumer
    return {"Consumer": _now(account, consumer, now)}


def describe_consumer(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    stream, consumer = _consumer(account, request)
    return {"ConsumerDescription": {**_now(account, consumer, now), "StreamARN": stream.arn}}


def deregister_consumer(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    stream, consumer = _consumer(account, request)
    del stream.consumers[consumer["ConsumerName"]]
    account.subscriptions.leave(consumer["ConsumerARN"], _missing(stream, consumer["ConsumerName"]))
    return {}


def list_consumers(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    return {"Consumers": [_now(account, one, now) for one in account.of(request).consumers.values()]}


def subscribe_to_shard(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    text(request, "ConsumerARN")
    stream, consumer = _consumer(account, request)
    if _now(account, consumer, now)["ConsumerStatus"] != "ACTIVE":
        message = f"Consumer {consumer['ConsumerName']} under stream {stream.name} is not in ACTIVE status."
        raise fault("ResourceInUseException", message)
    shard, position = stream.shard(text(request, "ShardId")), request.get("StartingPosition")
    if not isinstance(position, Mapping):
        raise invalid("StartingPosition is needed.")
    kind, number = text(position, "Type"), position.get("SequenceNumber")
    after = begin(stream, shard, kind, number, position.get("Timestamp"), now)
    return {EVENTS: account.subscriptions.open(consumer["ConsumerARN"], stream, shard, after)}


def _consumer(account: Account, request: Mapping[str, Any]) -> tuple[Stream, dict[str, Any]]:
    arn = request.get("ConsumerARN")
    if not isinstance(arn, str):
        stream, name = account.of(request), text(request, "ConsumerName")
        if name in stream.consumers:
            return stream, stream.consumers[name]
        raise _missing(stream, name)
    of, _, named = arn.partition("/consumer/")
    stream, name = account.named(of.rpartition("/")[2]), named.partition(":")[0]
    consumer = stream.consumers.get(name)
    if consumer is None or consumer["ConsumerARN"] != arn:  # one that was registered anew has another
        raise _missing(stream, name)
    return stream, consumer


def _now(account: Account, consumer: dict[str, Any], now: float) -> dict[str, Any]:
    """The consumer as it is now."""
    ready = now >= consumer["ConsumerCreationTimestamp"] + account.limits.consumer_seconds
    return {**consumer, "ConsumerStatus": "ACTIVE"} if ready else consumer


def _missing(stream: Stream, name: str) -> Fault:
    message = f"Consumer {name} under stream {stream.name} under account {stream.account} not found."
    return fault("ResourceNotFoundException", message)
