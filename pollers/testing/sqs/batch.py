"""Batch actions: the checks of the whole, then each entry by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pollers.testing.service import Answer, Fault
from pollers.testing.sqs.errors import fault, serialization

__all__ = ["entries_of", "run_batch"]

_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_MOST = 10


def entries_of(request: Mapping[str, Any], entry_name: str) -> list[dict[str, Any]]:
    """The entries of a batch request, checked as a whole; `entry_name` is what AWS calls one."""
    entries = request.get("Entries")
    if not entries:
        raise fault("EmptyBatchRequest", f"There should be at least one {entry_name} in the request.")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise serialization("Entries must be a list of structures")
    if len(entries) > _MOST:
        message = f"Maximum number of entries per request are {_MOST}. You have sent {len(entries)}."
        raise fault("TooManyEntriesInBatchRequest", message)
    seen = set()
    for entry in entries:
        id = entry.get("Id")
        if not isinstance(id, str) or not _ID.fullmatch(id):
            raise fault(
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
                "It can be at most 80 letters long.",
            )
        if id in seen:
            raise fault("BatchEntryIdsNotDistinct", f"Id {id} repeated.")
        seen.add(id)
    return entries


def run_batch(
    entries: list[dict[str, Any]],
    apply: Callable[[dict[str, Any]], Answer],
    ordered: Callable[[dict[str, Any]], Fault | None],
) -> Answer:
    """Apply each entry, in order. `ordered` says which ones fail without being applied."""
    successful = []
    failed = []
    for entry in entries:
        trouble = ordered(entry)
        try:
            if trouble is not None:
                raise trouble
            successful.append({"Id": entry["Id"], **apply(entry)})
        except Fault as error:
            failed.append(_failure(entry["Id"], error))
    answer: Answer = {}
    if successful:
        answer["Successful"] = successful
    if failed:
        answer["Failed"] = failed
    return answer


def _failure(id: str, error: Fault) -> Answer:
    return {"Id": id, "SenderFault": error.sender, "Code": error.code, "Message": error.message}
