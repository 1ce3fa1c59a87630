"""GetShardIterator and GetRecords."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pollers.testing.kinesis.account import Account, number, text
from pollers.testing.kinesis.errors import invalid
from pollers.testing.kinesis.shard import Shard
from pollers.testing.kinesis.stream import Stream
from pollers.testing.kinesis.tokens import Iterator
from pollers.testing.service import Answer

__all__ = ["begin", "get_records", "get_shard_iterator"]


def get_shard_iterator(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    stream = account.of(request)
    shard = stream.shard(text(request, "ShardId"))
    kind, number = text(request, "ShardIteratorType"), request.get("StartingSequenceNumber")
    after = begin(stream, shard, kind, number, request.get("Timestamp"), now)
    return {"ShardIterator": Iterator(stream.name, shard.id, str(after), now).wire()}


def begin(stream: Stream, shard: Shard, kind: str, number: object, moment: object, now: float) -> int:
    """The sequence number behind which reading begins that is asked for in this way."""
    if kind == "TRIM_HORIZON":
        return 0
    if kind == "LATEST":
        return shard.newest()
    if kind == "AT_TIMESTAMP":
        if not isinstance(moment, int | float):
            raise invalid("Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP.")
        if moment > now:
            raise invalid(
                f"The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. {moment}"
            )
        return shard.before_moment(moment)
    if kind not in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        raise invalid(f"Invalid ShardIteratorType: {kind}")
    if not isinstance(number, str) or not number.isdigit():
        raise invalid(f"StartingSequenceNumber {number} is not a valid sequence number.")
    sequence = int(number)
    if sequence and (sequence < shard.start or (shard.end is not None and sequence > shard.end)):
        message = f"StartingSequenceNumber {number} used in GetShardIterator on shard {shard.id}"
        raise invalid(f"{message} in stream {stream.name} under account {stream.account} is invalid.")
    return sequence - 1 if kind == "AT_SEQUENCE_NUMBER" else sequence


def get_records(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    limits = account.limits
    iterator = Iterator.parse(text(request, "ShardIterator"), now, limits.iterator_lifetime)
    limit = number(request, "Limit", 10_000, 1, 10_000)
    shard = account.named(iterator.stream).shard(iterator.shard)
    shard.turn(limits, now)
    records, after = shard.after(int(iterator.after), limit, limits, now)
    answer: Answer = {"Records": records, "MillisBehindLatest": round(1_000 * shard.behind(after, now))}
    if not shard.ended(after):
        answer["NextShardIterator"] = Iterator(iterator.stream, iterator.shard, str(after), now).wire()
    else:
        answer["ChildShards"] = [
            {"ShardId": child.id, "ParentShards": list(child.parents), "HashKeyRange": child.hashes()}
            for child in shard.children
        ]
    return answer
