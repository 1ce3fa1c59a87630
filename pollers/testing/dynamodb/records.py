"""Stream records as they are on the wire: what a write made of an item, by the stream's view type."""

from __future__ import annotations

from hashlib import md5
from typing import Any, NamedTuple, TypeAlias

from pollers.testing.dynamodb.values import Item, item_size

__all__ = ["VIEWS", "Change", "StreamRecord", "stream_record"]

StreamRecord: TypeAlias = dict[str, Any]  # ready to be sent; read only

VIEWS = ("NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY")


class Change(NamedTuple):
    """One write that changed an item."""

    keys: Item
    old: Item | None  # None: there was no item
    new: Item | None  # None: there is none any more
    expired: bool = False  # deleted by the service, because its time to live was over


def stream_record(change: Change, view: str, region: str, sequence: str, at: float) -> StreamRecord:
    """The record of a change that was made `at` (wall time, seconds)."""
    images = _images(change, view)
    record: StreamRecord = {
        "eventID": md5(f"{region}{sequence}".encode(), usedforsecurity=False).hexdigest(),
        "eventName": _event_name(change),
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": region,
        "dynamodb": {
            "ApproximateCreationDateTime": float(int(at)),  # AWS: whole seconds
            "Keys": change.keys,
            **images,
            "SequenceNumber": sequence,
            "SizeBytes": item_size(change.keys) + sum(map(item_size, images.values())),
            "StreamViewType": view,
        },
    }
    if change.expired:
        record["userIdentity"] = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
    return record


def _event_name(change: Change) -> str:
    if change.new is None:
        return "REMOVE"
    return "INSERT" if change.old is None else "MODIFY"


def _images(change: Change, view: str) -> dict[str, Item]:
    images: dict[str, Item] = {}
    if change.new is not None and view in ("NEW_IMAGE", "NEW_AND_OLD_IMAGES"):
        images["NewImage"] = change.new
    if change.old is not None and view in ("OLD_IMAGE", "NEW_AND_OLD_IMAGES"):
        images["OldImage"] = change.old
    return images
