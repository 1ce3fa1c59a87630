"""PutRecord and PutRecords."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from pollers.testing.kinesis.account import Account, text
from pollers.testing.kinesis.errors import fault, invalid
from pollers.testing.kinesis.stream import Stream
from pollers.testing.service import Answer, Fault

__all__ = ["put_record", "put_records"]

MOST = 500  # records of one call


def put_record(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    shard, sequence = _put(account, account.of(request), request)
    return {"ShardId": shard, "SequenceNumber": sequence}


def put_records(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    """Each record for itself: what a shard does not take is told in its place."""
    stream, entries = account.of(request), request.get("Records")
    if not isinstance(entries, list) or not 1 <= len(entries) <= MOST:
        message = "1 validation error detected: Value at 'records' failed to satisfy constraint: "
        raise fault("ValidationException", f"{message}Member must have length between 1 and {MOST}")
    chosen = account.trouble.for_entries("PutRecords", stream.name)
    answers = [_entry(account, stream, entry, chosen(entry)) for entry in entries]
    return {"FailedRecordCount": sum("ErrorCode" in answer for answer in answers), "Records": answers}


def _entry(account: Account, stream: Stream, entry: Mapping[str, Any], ordered: Fault | None) -> Answer:
    try:
        if ordered is not None:
            raise ordered
        shard, sequence = _put(account, stream, entry)
    except Fault as error:
        if error.kind in ("InvalidArgumentException", "ValidationException"):
            raise
        return {"ErrorCode": error.kind, "ErrorMessage": error.message}
    return {"ShardId": shard, "SequenceNumber": sequence}


def _put(account: Account, stream: Stream, request: Mapping[str, Any]) -> tuple[str, str]:
    key = text(request, "PartitionKey")
    if not 1 <= len(key) <= 256:
        raise fault("ValidationException", "Value at 'partitionKey' must have length between 1 and 256")
    try:
        data = b64decode(text(request, "Data"), validate=True)
    except ValueError:
        raise fault("SerializationException", "Data is not base64.") from None
    if len(data) + len(key.encode()) > account.limits.record_bytes:
        message = f"Record of {len(data)} bytes exceeds the limit of {account.limits.record_bytes} bytes."
        raise fault("ValidationException", message)
    explicit = request.get("ExplicitHashKey")
    if explicit is not None and not (isinstance(explicit, str) and explicit.isdigit()):
        raise invalid(f"Invalid ExplicitHashKey. {explicit} is not a 128-bit unsigned integer.")
    return stream.put(key, data, None if explicit is None else int(explicit))
