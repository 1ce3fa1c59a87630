"""One table: its items by key, and the stream that its writes go to."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any

from pollers.testing.dynamodb.errors import invalid, no_such
from pollers.testing.dynamodb.limits import LARGEST_ITEM
from pollers.testing.dynamodb.lives import Lives
from pollers.testing.dynamodb.records import Change
from pollers.testing.dynamodb.schema import Key, Schema
from pollers.testing.dynamodb.shard import Shard
from pollers.testing.dynamodb.stream import Sharding, Stream
from pollers.testing.dynamodb.values import Item, item_size, read_item

__all__ = ["Table"]


class Table:
    """A table on the model's clock. Items and keys are in DynamoDB's JSON: {"id": {"S": "1"}}; what is returned is
    read only. Bad items and keys raise Fault, as the service answers them.
    """

    def __init__(self, id: str, arn: str, schema: Schema, sharding: Sharding, clock: Callable[[], float]) -> None:
        self.id = id  # a UUID
        self.name = arn.rpartition("/")[2]
        self.arn = arn
        self.schema = schema
        self.sharding = sharding
        self.created = clock()
        self.capacity: dict[str, Any] = {}  # as CreateTable gave it; it is shown and not enforced
        self.stream: Stream | None = None  # the latest, enabled or not
        self.lives: Lives | None = None  # None: items live until they are deleted
        self._now = clock
        self._items: dict[Key, Item] = {}
        self._order: list[Key] | None = None  # of scans; None: to be sorted again

    @property
    def stream_arn(self) -> str:
        """Of the latest stream. Raises ResourceNotFoundException where there never was one."""
        return self._latest().arn

    @property
    def shards(self) -> list[Shard]:
        """Of the latest stream, by id."""
        return self._latest().shards()

    @property
    def items(self) -> list[Item]:
        """All items, in the order of scans."""
        self.advance()
        return [self._items[key] for key in self._scan_order()]

    def advance(self) -> float:
        """Let time act: on the stream, and on items whose time to live is over. Returns the time."""
        now = self._now()
        if self.stream is not None:
            self.stream.advance(now)
        if self.lives is not None:
            for key in self.lives.due(self._items.get, now):
                self._change(key, None, now, expired=True)
        return now

    def put(self, item: Mapping[str, Any]) -> Item | None:
        """Write the item; returns the one that it replaces."""
        key, new = self.checked(item)
        return self._change(key, new, self.advance())

    def checked(self, item: Mapping[str, Any]) -> tuple[Key, Item]:
        """The item as it would be kept, under which key."""
        new = read_item(item)
        key = self.schema.key(new)
        if item_size(new) > LARGEST_ITEM:
            raise invalid("Item size has exceeded the maximum allowed size")
        return key, new

    def get(self, key: Mapping[str, Any]) -> Item | None:
        """The item with this key."""
        found = self.schema.read_key(key)
        self.advance()
        return self._items.get(found)

    def delete(self, key: Mapping[str, Any]) -> Item | None:
        """Delete the item with this key, if there is one; returns it."""
        return self._change(self.schema.read_key(key), None, self.advance())

    def expire(self, key: Mapping[str, Any]) -> Item | None:
        """Delete the item as the service does when its time to live is over, whether it is or not; returns it."""
        return self._change(self.schema.read_key(key), None, self.advance(), expired=True)

    def after(self, key: Key | None) -> list[Item]:
        """The items that a scan finds behind this key, which need not exist; None: all."""
        order = self._scan_order()
        return [self._items[found] for found in order[bisect_right(order, key) if key is not None else 0 :]]

    def live_by(self, attribute: str | None) -> None:
        """Let items end by this attribute; None: they live until they are deleted."""
        self.advance()
        self.lives = Lives(attribute, self._items.items()) if attribute is not None else None

    def roll(self) -> None:
        """Close each open shard of the stream; one child follows each."""
        self._enabled().roll(self._now())

    def split(self, shard_id: str) -> None:
        """Close the shard; two children follow it. Raises ValueError when it is closed."""
        self._enabled().split(shard_id, self._now())

    def trim(self, shard_id: str, upto_sequence: str) -> None:
        """Forget the shard's records up to this sequence number, and itself, as if 24 hours were over for them."""
        self._latest().shard(shard_id).trim(int(upto_sequence))

    def _change(self, key: Key, new: Item | None, now: float, *, expired: bool = False) -> Item | None:
        old = self._items.get(key)
        if new is None:
            self._items.pop(key, None)
        else:
            self._items[key] = new
        if (old is None) is not (new is None):
            self._order = None
        if new is not None and self.lives is not None:
            self.lives.add(key, new)
        if new != old and self.stream is not None and self.stream.disabled is None:
            change = Change(self.schema.keys(new or old or {}), old, new, expired)
            self.stream.append(change, key.hash, now)
        return old

    def _scan_order(self) -> list[Key]:
        if self._order is None:
            self._order = sorted(self._items)
        return self._order

    def _latest(self) -> Stream:
        if self.stream is None:
            raise no_such(f"Table {self.name} has no stream")
        self.advance()
        return self.stream

    def _enabled(self) -> Stream:
        stream = self._latest()
        if stream.disabled is not None:
            raise no_such(f"The stream of table {self.name} is disabled")
        return stream
