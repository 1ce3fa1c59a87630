"""The actions of DynamoDB Streams: list, describe, and read shard by shard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pollers.testing.dynamodb.account import Account
from pollers.testing.dynamodb.errors import fault, invalid
from pollers.testing.dynamodb.fields import check_members, choice, integer, optional_text, required_text, structure
from pollers.testing.dynamodb.iterators import ShardIterator
from pollers.testing.dynamodb.limits import MOST_RECORDS
from pollers.testing.dynamodb.shard import Shard
from pollers.testing.dynamodb.stream import Stream
from pollers.testing.service import Answer

__all__ = ["describe_stream", "get_records", "get_shard_iterator", "list_streams"]

_PAGE = 100  # AWS: streams or shards in one answer, at most and unless told otherwise
_TYPES = ("TRIM_HORIZON", "LATEST", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER")


def list_streams(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    check_members(request, ("TableName", "Limit", "ExclusiveStartStreamArn"), {})
    name = optional_text(request, "TableName")
    after = optional_text(request, "ExclusiveStartStreamArn") or ""
    limit = integer(request, "Limit", _PAGE) or _PAGE
    streams = [stream for stream in account.streams() if name in (None, stream.table) and stream.arn > after]
    members = [
        {"StreamArn": stream.arn, "TableName": stream.table, "StreamLabel": stream.label} for stream in streams[:limit]
    ]
    answer: Answer = {"Streams": members}
    if len(streams) > limit:
        answer["LastEvaluatedStreamArn"] = streams[limit - 1].arn
    return answer


def describe_stream(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    check_members(request, ("StreamArn", "Limit", "ExclusiveStartShardId", "ShardFilter"), {})
    limit = integer(request, "Limit", _PAGE) or _PAGE
    after = optional_text(request, "ExclusiveStartShardId") or ""
    parent = _filtered_parent(request)
    stream = account.stream(required_text(request, "StreamArn"))
    shards = [shard for shard in stream.shards() if shard.id > after and parent in (None, shard.parent)]
    description = _described(stream)
    description["Shards"] = [_shard(shard) for shard in shards[:limit]]
    if len(shards) > limit:
        description["LastEvaluatedShardId"] = shards[limit - 1].id
    return {"StreamDescription": description}


def get_shard_iterator(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    check_members(request, ("StreamArn", "ShardId", "ShardIteratorType", "SequenceNumber"), {})
    kind = choice(request, "ShardIteratorType", _TYPES)
    number = _number(request, kind)
    stream = account.stream(required_text(request, "StreamArn"))
    shard = stream.shard(required_text(request, "ShardId"))
    iterator = ShardIterator(stream.arn, shard.id, _position(stream, shard, kind, number), now)
    return {"ShardIterator": iterator.text()}


def get_records(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    check_members(request, ("ShardIterator", "Limit"), {})
    limit = integer(request, "Limit", MOST_RECORDS) or MOST_RECORDS
    iterator = ShardIterator.read(required_text(request, "ShardIterator"))
    iterator.check_age(now)
    stream = account.stream(iterator.stream)
    shard = stream.shard(iterator.shard)
    most = account.limits.reads_per_second
    if most is not None and not shard.admit(most, now):
        raise fault("LimitExceededException", f"Rate of GetRecords exceeds {most} per second for shard {shard.id}")
    if iterator.position < shard.horizon:
        raise _trimmed(shard)
    records, position = shard.read(iterator.position, limit)
    answer: Answer = {"Records": records}
    if position is not None:
        answer["NextShardIterator"] = ShardIterator(stream.arn, shard.id, position, now).text()
    return answer


def _filtered_parent(request: Mapping[str, Any]) -> str | None:
    """Whose children are asked for; None: all shards."""
    given = structure(request, "ShardFilter")
    if given is None:
        return None
    check_members(given, ("Type", "ShardId"), {})
    choice(given, "Type", ("CHILD_SHARDS",))
    return required_text(given, "ShardId")


def _described(stream: Stream) -> Answer:
    return {
        "StreamArn": stream.arn,
        "StreamLabel": stream.label,
        "StreamStatus": "ENABLED" if stream.disabled is None else "DISABLED",
        "StreamViewType": stream.view,
        "CreationRequestDateTime": stream.created,
        "TableName": stream.table,
        "KeySchema": stream.schema.described(),
    }


def _shard(shard: Shard) -> Answer:
    numbers = {"StartingSequenceNumber": str(shard.first)}
    if shard.last is not None:
        numbers["EndingSequenceNumber"] = str(shard.last)
    described: Answer = {"ShardId": shard.id, "SequenceNumberRange": numbers}
    if shard.parent is not None:
        described["ParentShardId"] = shard.parent
    return described


def _number(request: Mapping[str, Any], kind: str) -> int | None:
    """The sequence number of the request; None where the iterator's type needs none."""
    given = optional_text(request, "SequenceNumber")
    if kind in ("TRIM_HORIZON", "LATEST"):
        if given is not None:
            raise invalid(f"SequenceNumber must not be given with ShardIteratorType {kind}")
        return None
    if given is None or not (given.isascii() and given.isdigit() and 21 <= len(given) <= 40):
        raise invalid(f"Invalid SequenceNumber for ShardIteratorType {kind}: {given}")
    return int(given)


def _position(stream: Stream, shard: Shard, kind: str, number: int | None) -> int:
    if number is None:
        return shard.horizon if kind == "TRIM_HORIZON" else shard.latest
    last = shard.last if shard.last is not None else stream.latest_number
    if not shard.first <= number <= last:
        raise invalid(f"Invalid SequenceNumber: {number} is not in shard {shard.id}")
    if number < shard.horizon:
        raise _trimmed(shard)
    return number if kind == "AT_SEQUENCE_NUMBER" else number + 1


def _trimmed(shard: Shard) -> Exception:
    return fault(
        "TrimmedDataAccessException",
        f"The operation attempted to read past the oldest stream record in shard {shard.id}",
    )
