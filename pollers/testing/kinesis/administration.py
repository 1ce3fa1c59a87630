"""Streams made, described, resharded and deleted; their tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pollers.testing.kinesis.account import Account, number, text
from pollers.testing.kinesis.errors import fault, invalid, missing_stream
from pollers.testing.kinesis.shard import Shard
from pollers.testing.kinesis.stream import Stream
from pollers.testing.kinesis.tokens import Token
from pollers.testing.service import Answer

__all__ = [
    "add_tags_to_stream",
    "create_stream",
    "decrease_retention",
    "delete_stream",
    "describe_stream",
    "describe_summary",
    "increase_retention",
    "list_shards",
    "list_streams",
    "list_tags",
    "merge_shards",
    "remove_tags",
    "split_shard",
    "update_shard_count",
]

HOUR = 3_600.0
ON_DEMAND = 4  # shards that an on-demand stream begins with


def create_stream(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    name = text(request, "StreamName")
    if name in account.streams:
        message = f"Stream {name} under account {account.account} already exists."
        raise fault("ResourceInUseException", message)
    mode = request.get("StreamModeDetails", {}).get("StreamMode", "PROVISIONED")
    count = number(request, "ShardCount", ON_DEMAND if mode == "ON_DEMAND" else None, 1, 10_000)
    stream = Stream(name, account.arn(name), count, account.limits, account.now, mode=mode)
    stream.moved = account.subscriptions.moved
    stream.tags.update(request.get("Tags", {}))
    account.streams[name] = stream
    return {}


def delete_stream(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    stream = account.of(request)
    if stream.consumers and not request.get("EnforceConsumerDeletion"):
        message = f"Stream {stream.name} under account {stream.account} has consumers: deregister them first."
        raise fault("ResourceInUseException", message)
    del account.streams[stream.name]
    for consumer in stream.consumers.values():
        account.subscriptions.leave(consumer["ConsumerARN"], missing_stream(stream.name, account.account))
    return {}


def list_streams(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    limit = number(request, "Limit", 100, 1, 10_000)
    start = request.get("ExclusiveStartStreamName", request.get("NextToken", ""))
    names = sorted(name for name in account.streams if name > start)
    more = len(names) > limit
    answer: Answer = {"StreamNames": names[:limit], "HasMoreStreams": more}
    if more:
        answer["NextToken"] = names[limit - 1]
    answer["StreamSummaries"] = [
        {"StreamName": name, "StreamARN": one.arn, "StreamStatus": one.status, **_created(one)}
        for name in names[:limit]
        for one in [account.streams[name]]
    ]
    return answer


def describe_summary(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    stream = account.of(request)
    described = {
        **_described(stream),
        "OpenShardCount": len(stream.open_shards()),
        "ConsumerCount": len(stream.consumers),
    }
    return {"StreamDescriptionSummary": described}


def describe_stream(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    stream = account.of(request)
    limit = number(request, "Limit", 100, 1, 10_000)
    shards = [shard for shard in stream.shards if shard.id > request.get("ExclusiveStartShardId", "")]
    described = {
        **_described(stream),
        "Shards": [shard.wire() for shard in shards[:limit]],
        "HasMoreShards": len(shards) > limit,
    }
    return {"StreamDescription": described}


def _described(stream: Stream) -> dict[str, Any]:
    return {
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "StreamStatus": stream.status,
        "StreamModeDetails": {"StreamMode": stream.mode},
        "RetentionPeriodHours": int(stream.retention // HOUR),
        **_created(stream),
        "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
        "EncryptionType": "NONE",
    }


def _created(stream: Stream) -> dict[str, Any]:
    return {"StreamCreationTimestamp": float(int(stream.created))}


# Shards


def list_shards(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    limit = number(request, "MaxResults", 1_000, 1, 10_000)
    token = _where(account, request, now)
    stream = account.named(token.stream)
    shards = [one for one in stream.shards if one.id > token.after and _chosen(stream, one, token, now)]
    answer: Answer = {"Shards": [shard.wire() for shard in shards[:limit]]}
    if len(shards) > limit:
        answer["NextToken"] = token._replace(after=shards[limit - 1].id, issued=now).wire()
    return answer


def _where(account: Account, request: Mapping[str, Any], now: float) -> Token:
    written = request.get("NextToken")
    if written is not None:
        if "StreamName" in request or "StreamARN" in request:
            raise invalid("NextToken and StreamName cannot be provided together.")
        return Token.parse(written, now, account.limits.token_lifetime)
    stream = account.of(request)
    chosen = request.get("ShardFilter", {})
    kind = chosen.get("Type", "FROM_TRIM_HORIZON")
    after = request.get("ExclusiveStartShardId", "")
    value: str | float = 0.0
    if kind == "AFTER_SHARD_ID":
        after = text(chosen, "ShardId")
    elif kind in ("AT_TIMESTAMP", "FROM_TIMESTAMP"):
        value = chosen.get("Timestamp")
        if not isinstance(value, int | float):
            raise invalid(f"A shard filter of type {kind} needs a Timestamp.")
    elif kind not in ("AT_LATEST", "AT_TRIM_HORIZON", "FROM_TRIM_HORIZON"):
        raise invalid(f"Invalid shard filter type: {kind}")
    return Token(stream.name, after, kind, value, now)


def _chosen(stream: Stream, shard: Shard, token: Token, now: float) -> bool:
    """Whether a filter lets a shard through."""
    closed = shard.closed_at
    match token.filter_type:
        case "AT_LATEST":
            return closed is None
        case "AT_TRIM_HORIZON" | "AT_TIMESTAMP":
            moment = float(token.filter_value) if token.filter_type == "AT_TIMESTAMP" else now - stream.retention
            moment = max(moment, stream.created)
            return shard.created <= moment and (closed is None or closed > moment)
        case "FROM_TIMESTAMP":
            return closed is None or closed >= float(token.filter_value)
    return True


def split_shard(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    stream = _active(account.of(request))
    written = text(request, "NewStartingHashKey")
    if not written.isdigit():
        raise invalid(f"Invalid NewStartingHashKey. {written} is not a 128-bit unsigned integer.")
    stream.split(text(request, "ShardToSplit"), int(written))
    return {}


def merge_shards(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    _active(account.of(request)).merge(text(request, "ShardToMerge"), text(request, "AdjacentShardToMerge"))
    return {}


def update_shard_count(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    stream = _active(account.of(request))
    before, target = len(stream.open_shards()), number(request, "TargetShardCount", None, 1, 10_000)
    if text(request, "ScalingType") != "UNIFORM_SCALING":
        raise invalid("ScalingType must be UNIFORM_SCALING.")
    # AWS: to no more than double and no less than half in one call.
    if target > 2 * before or 2 * target < before:
        message = f"UpdateShardCount cannot scale {stream.name} from {before} shards to {target}: "
        raise fault("InvalidArgumentException", f"{message}no more than double and no less than half at once.")
    stream.update_shard_count(target)
    return {
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "CurrentShardCount": before,
        "TargetShardCount": target,
    }


def _active(stream: Stream) -> Stream:
    if stream.status != "ACTIVE":
        message = f"Stream {stream.name} under account {stream.account} not ACTIVE, instead in state {stream.status}"
        raise fault("ResourceInUseException", message)
    return stream


# Retention, tags


def increase_retention(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    return _retain(account.of(request), number(request, "RetentionPeriodHours", None, 24, 8_760), longer=True)


def decrease_retention(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    return _retain(account.of(request), number(request, "RetentionPeriodHours", None, 24, 8_760), longer=False)


def _retain(stream: Stream, hours: int, *, longer: bool) -> Answer:
    seconds = hours * HOUR
    if (seconds < stream.retention) if longer else (seconds > stream.retention):
        word = "shorter" if longer else "longer"
        raise invalid(f"Requested retention period ({hours} hours) must not be {word} than the current one.")
    stream.retention = seconds
    return {}


def add_tags_to_stream(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    account.of(request).tags.update(request.get("Tags", {}))
    return {}


def remove_tags(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    stream = account.of(request)
    for key in request.get("TagKeys", ()):
        stream.tags.pop(key, None)
    return {}


def list_tags(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    tags = [{"Key": key, "Value": value} for key, value in sorted(account.of(request).tags.items())]
    return {"Tags": tags, "HasMoreTags": False}
