"""Where one mapping's rows are: the leases of its shards in one table, what the library has no place for in another.

A lease table holds nothing but leases of shards and what the library itself keeps there: until 3.4 it takes every item
for a lease. So the mapping's own row, and the tenures of leases that were removed, have a table beside it, as versions
3.0 to 3.4 have for what is theirs. It is made when there is something to keep in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pollers.aws.client import Client
from pollers.errors import SourceError
from pollers.flow.records import Partition
from pollers.spi import Row
from pollers.stores.dynamodb_leases import KEY, TENURE, Item, is_lease, item_of, row_of
from pollers.stores.dynamodb_names import BESIDE
from pollers.stores.dynamodb_table import LARGEST, Table, Write, transact

__all__ = ["Kept", "Place"]

NOTE: Final = "#"  # added to a mapping's name, which cannot contain it: the key of what is noted about its leases
FLOOR: Final = "pollers_floor"  # the highest tenure of a lease that was removed
HALF: Final = "pollers_half"  # the leases of the first discovery are being written, more than one transaction takes
_NEW: Final = f"attribute_not_exists({KEY})"
_BEGIN: Final = f"SET {HALF} = :true"
_TRUE: Final = {"ExpressionAttributeValues": {":true": {"BOOL": True}}}


@dataclass(frozen=True, slots=True)
class Kept:
    """What there is of a mapping."""

    rows: Mapping[Partition, Row] = field(default_factory=dict)
    floor: int = 0
    half: bool = False
    typed: bool = True  # leases say that they are leases

    @property
    def believed(self) -> list[Row]:
        """The rows, ordered; of a first discovery that was not completed only the mapping's own: it is made again."""
        return [self.rows[partition] for partition in sorted(self.rows) if not partition or not self.half]


class Place:
    """The two tables of one mapping. Raises `SourceError` for what fails, and for tables that are not its own."""

    def __init__(self, client: Client, mapping: str, table: str, url: str, patience: float) -> None:
        """`table`: the name of the table of leases. `patience`: seconds for a call about one row."""
        self._client = client
        self._mapping = mapping
        self._url = url
        self._leases = Table(client, table, url, patience)
        self._beside = Table(client, table + BESIDE, url, patience)

    def where(self, partition: Partition) -> tuple[Table, str]:
        """The table of a row, and its key there."""
        return (self._leases, partition) if partition else (self._beside, self._mapping)

    def row(self, item: Item, partition: Partition, now: float) -> Row:
        """The row that an item is. Raises `SourceError` where it cannot be understood."""
        try:
            return row_of(item, partition, now)
        except ValueError as error:
            reason = (
                f"the lease of {partition or 'the mapping itself'} of {self._mapping} cannot be understood ({error})"
            )
            remedy = "Repair the item, or delete it: the shard is then read from its beginning."
            raise SourceError(self._url, reason, remedy) from error

    async def look(self, now: float) -> Kept:
        """What is kept now."""
        items, beside = await asyncio.gather(self._leases.items(), self._beside.items())
        leases = [item for item in items if is_lease(item)]
        self._check_streams(leases)
        ours = {str(item[KEY]["S"]): item for item in beside}
        self._check_mapping(ours)
        rows = {(name := Partition(item[KEY]["S"])): self.row(item, name, now) for item in leases}
        if self._mapping in ours:
            rows[Partition("")] = self.row(ours[self._mapping], Partition(""), now)
        note = ours.get(self._mapping + NOTE, {})
        typed = not leases or any("entityType" in item for item in leases)
        return Kept(rows, int(note.get(FLOOR, {}).get("N", 0)), HALF in note, typed)

    def _check_streams(self, leases: Iterable[Item]) -> None:
        """Leases of several streams are called "account:stream:epoch:shard": neither side would see the other's."""
        for item in leases:
            if "streamName" in item or str(item[KEY]["S"]).count(":") >= 3:
                name = self._leases.name
                reason = f"the leases in {name} are of several streams ({item[KEY]['S']}), and a mapping reads one"
                raise SourceError(self._url, reason, "Name a table of its own for the mapping.", missing=True)

    def _check_mapping(self, beside: Mapping[str, Item]) -> None:
        others = sorted({key.removesuffix(NOTE) for key in beside} - {self._mapping})
        if others:
            reason = (
                f"{self._beside.name} says that these are the leases of {', '.join(others)}, not of {self._mapping}"
            )
            own = "Give each mapping a table of its own, as in dynamodb://pollers-{mapping}"
            remedy = f"{own}; where the other one is no more, delete {self._beside.name}."
            raise SourceError(self._url, reason, remedy, missing=True)

    # Rows come and go

    async def add(self, rows: Sequence[Row], kept: Kept, saved: float) -> bool:
        """Write rows that are not kept; False where somebody else has written some of them meanwhile.

        All or none, as far as one transaction goes. The first discovery of a stream with more shards is marked until
        it is complete; later ones need nothing, as each lease is right by itself.
        """
        await self._leases.make()
        own = [row for row in rows if not row.partition]
        marked = len(rows) > LARGEST and not any(kept.rows)
        if own or marked or kept.half:
            await self._beside.make()
        if marked and not await self._write([*self._puts(own, kept, saved), self._note(_BEGIN, **_TRUE)]):
            return False
        rest = [row for row in rows if row.partition] if marked else rows
        puts = self._puts(rest, kept, saved)
        for start in range(0, len(puts), LARGEST):
            if not await self._write(puts[start : start + LARGEST]):
                return False
        return not (marked or kept.half) or await self._write([self._note(f"REMOVE {HALF}")])

    async def remove(self, partitions: Sequence[Partition], kept: Kept) -> bool:
        """Delete rows, and remember how high their tenures were; False where one of them was taken meanwhile.

        All or none, as far as one transaction goes.
        """
        rows = [kept.rows[partition] for partition in dict.fromkeys(partitions) if partition in kept.rows]
        if not rows:
            return True
        floor = max(kept.floor, *(row.tenure for row in rows))
        await self._beside.make()
        most = LARGEST - 1
        for start in range(0, len(rows), most):
            deletes = map(self._delete, rows[start : start + most])
            if not await self._write([self._raise_floor(floor), *deletes]):
                return False
        return True

    def _puts(self, rows: Iterable[Row], kept: Kept, saved: float) -> list[Write]:
        return [self._put(row, kept, saved) for row in rows]

    def _put(self, row: Row, kept: Kept, saved: float) -> Write:
        table, key = self.where(row.partition)
        item = item_of(
            replace(row, tenure=max(row.tenure, kept.floor)), key, saved, typed=kept.typed and bool(row.partition)
        )
        return {"Put": {"TableName": table.name, "Item": item, "ConditionExpression": _NEW}}

    def _delete(self, row: Row) -> Write:
        table, key = self.where(row.partition)
        deleted = {"TableName": table.name, "Key": {KEY: {"S": key}}}
        if not row.tenure:
            return {"Delete": {**deleted, "ConditionExpression": f"attribute_not_exists({TENURE})"}}
        values = {":tenure": {"N": str(row.tenure)}}
        condition = {"ConditionExpression": f"{TENURE} = :tenure", "ExpressionAttributeValues": values}
        return {"Delete": {**deleted, **condition}}

    def _note(self, update: str, **more: Any) -> Write:
        key = {KEY: {"S": self._mapping + NOTE}}
        return {"Update": {"TableName": self._beside.name, "Key": key, "UpdateExpression": update, **more}}

    def _raise_floor(self, floor: int) -> Write:
        """Tenures only grow: where somebody has noted a higher one meanwhile, the rows are looked at again."""
        return self._note(
            f"SET {FLOOR} = :floor",
            ConditionExpression=f"attribute_not_exists({FLOOR}) OR {FLOOR} <= :floor",
            ExpressionAttributeValues={":floor": {"N": str(floor)}},
        )

    async def _write(self, writes: Sequence[Write]) -> bool:
        return await transact(self._client, writes, self._url)
