"""Positions and leases in DynamoDB, in the lease table of the Kinesis Client Library: for any number of machines.

A fleet of the library (2.x or 3.x, one stream) can be stopped and a mapping started on its table, which goes on at its
checkpoints; and back. Both at once is not meant: the library hands over by its leader's plan, and we by asking.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeAlias, TypeVar

from pollers.aws.client import Clients
from pollers.aws.errors import CallFailed
from pollers.errors import PollersError, SourceError
from pollers.flow.records import Partition
from pollers.spi import Row
from pollers.stores import dynamodb_leases as leases
from pollers.stores.dynamodb_leases import Change
from pollers.stores.dynamodb_names import MAPPING, table_of
from pollers.stores.dynamodb_place import Place
from pollers.stores.fence import lost

__all__ = ["DynamoDbStore"]

T = TypeVar("T")
_Key: TypeAlias = tuple[str, Partition]

TRIES: Final = 10  # of a write that others write into
HEARTBEATS, OTHERS = 50, 25  # requests at once: renewals never wait for anything else
PATIENCE: Final = 1 / 3  # of a lease's time, for a request about one lease
AGAIN: Final = 1 / 30  # of it, after a renewal that failed


@dataclass(slots=True)
class _Hold:
    """A lease that was taken here, as it was written last. One write of it at a time, so that its counter is known."""

    row: Row
    sure: bool = True  # nothing was written since of which no answer came
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class DynamoDbStore:
    """A `Store` in lease tables of the Kinesis Client Library, a table for each mapping.

    - `table` is the table's name; with `{mapping}` in it, it serves several mappings. What does not exist is made,
      billed per request. Beside it, `<table>-Pollers` keeps what the library has no place for.
    - It needs the actions CreateTable, DescribeTable, Scan, GetItem, PutItem, UpdateItem and DeleteItem on both.
    - A lease that has no position but a moment to start at (LATEST, AT_TIMESTAMP) says AT_TIMESTAMP to the library,
      which reads it from the moment that it is configured with, and without one not at all.
    - An item holds 400 KB: a tumbling window's state must fit in, with the ranges finished above the checkpoint.
    """

    worker = ""  # no name is natural: processes of many machines share the table

    def __init__(
        self,
        table: str,
        *,
        region: str | None = None,
        lease: float = 10.0,
        clients: Clients | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`lease`: seconds without a sign of life after which others take a lease over (KCL: failoverTimeMillis).

        `wall`: the time of day that rows are marked with. `clients` are shared and not closed.
        """
        self.url = f"dynamodb://{table}" + (f"?region={region}" if region else "")
        self.lease = lease
        self._table = table
        self._wall = wall
        self._clients = clients or Clients()
        self._owned = clients is None
        self._client = self._clients.get("dynamodb", region)
        self._places: dict[str, Place] = {}
        self._holds: dict[_Key, _Hold] = {}
        self._heartbeats = asyncio.Semaphore(HEARTBEATS)
        self._others = asyncio.Semaphore(OTHERS)

    async def open(self) -> None:
        """See where the tables are. Nothing is connected before the first request. Raises `SourceError`."""
        try:
            await self._client.open()
        except CallFailed as failure:
            raise failure.about(self.url) from failure.__cause__

    async def load(self, mapping: str) -> Sequence[Row]:
        """Every row of a mapping, ordered by partition."""
        return (await self._place(mapping).look(self._wall())).believed

    async def create(self, mapping: str, rows: Sequence[Row]) -> None:
        """Add rows, all or none. A partition that has one keeps it; one that had one goes on above its tenure.

        What is more than a transaction takes is added in several: of a mapping's first rows `load` has none until all
        are there.
        """
        place = self._place(mapping)
        for _ in range(TRIES):
            kept = await place.look(self._wall())
            new = {row.partition: row for row in reversed(rows) if row.partition not in kept.rows}
            if not new and not kept.half:
                return
            if await place.add(list(reversed(new.values())), kept, self._wall()):
                return
        raise self._busy(mapping)

    async def take(self, mapping: str, rows: Sequence[Row], owner: str) -> Sequence[Row]:
        """Own these from now on, if they are as they were seen. `saved` stays: it is about the position.

        Those of which no answer came are left out; where that is all, it raises `SourceError`.
        """
        taken, error = await self._each((self._take(mapping, row, owner) for row in rows), self._others)
        if error is not None and not taken:
            raise error
        return taken

    async def renew(self, mapping: str, rows: Sequence[Row]) -> Sequence[Row]:
        """Show that these are in use; those that are not the caller's any more are left out."""
        renewed, error = await self._each((self._renew(mapping, row) for row in rows), self._heartbeats)
        if error is not None:
            raise error
        return renewed

    async def ask(self, mapping: str, rows: Sequence[Row], heir: str) -> None:
        """Ask the owners for these, where nobody did before."""
        asked = (self._change(mapping, row.partition, leases.ask(row, heir)) for row in rows)
        _, error = await self._each(asked, self._others)
        if error is not None:
            raise error

    async def save(self, mapping: str, row: Row) -> None:
        """Write how far a row has come. Raises `LostGrant` when it was taken since, or is gone.

        Only for rows that this store has taken. Raises `SourceError` where it is not known to be written.
        """
        hold, saved = self._held(mapping, row), self._wall()
        async with self._others:
            change = partial(leases.save, progress=row, saved=saved)
            written = None if hold is None else await self._write(mapping, hold, change)
        if written is None:
            now = await self._read(mapping, row.partition)
            raise lost(mapping, row.partition, None if now is None else now.owner)

    async def leave(self, mapping: str, rows: Sequence[Row]) -> None:
        """Give these up, to their heirs where they have any."""
        _, error = await self._each((self._leave(mapping, row) for row in rows), self._heartbeats)
        if error is not None:
            raise error

    async def remove(self, mapping: str, partitions: Sequence[Partition]) -> None:
        """Forget these rows, all at once up to 99, but not that whoever took them has no say any more."""
        place = self._place(mapping)
        for _ in range(TRIES):
            if await place.remove(partitions, await place.look(self._wall())):
                for partition in partitions:
                    self._holds.pop((mapping, partition), None)
                return
        raise self._busy(mapping)

    async def close(self) -> None:
        """Close what is our own. Opened again it goes on."""
        if self._owned:
            await self._clients.close()

    # One row at a time

    async def _take(self, mapping: str, row: Row, owner: str) -> Row | None:
        taken = await self._change(mapping, row.partition, leases.take(row, owner))
        if taken is None:
            # Refused: somebody was faster, or it was we, and the answer to an earlier try was lost.
            taken = await self._read(mapping, row.partition)
            ours = replace(row, owner=owner, tenure=row.tenure + 1, counter=row.counter + 1)
            if taken is None or _identity(taken) != _identity(ours) or taken.counter != ours.counter:
                return None
        self._holds[mapping, row.partition] = _Hold(taken)
        return taken

    async def _renew(self, mapping: str, row: Row) -> Row | None:
        hold = self._held(mapping, row)
        now = None if hold is None else await self._insist(mapping, hold)
        return None if now is None else replace(row, owner=now.owner, heir=now.heir, counter=now.counter)

    async def _insist(self, mapping: str, hold: _Hold) -> Row | None:
        """Renew a lease, and try again what fails: a table that is throttled must not cost more than it refuses."""
        time = asyncio.get_running_loop().time
        until = time() + self.lease * PATIENCE
        while True:
            try:
                return await self._write(mapping, hold, leases.renew)
            except SourceError as error:
                if error.missing or time() > until:
                    raise
            await asyncio.sleep(self.lease * AGAIN)

    async def _leave(self, mapping: str, row: Row) -> None:
        hold = self._held(mapping, row)
        if hold is not None:
            await self._write(mapping, hold, leases.leave)
            self._drop(mapping, hold)

    async def _write(self, mapping: str, hold: _Hold, change: Callable[[Row], Change]) -> Row | None:
        """Change a lease that is held; returns the row as it is then, None where it is held no more.

        A refusal may be about our own write: it was done, its answer was lost, and it was sent again. Nobody else
        raises the counter of a lease without changing its owner or tenure, so one more than before was us. It was an
        earlier write of ours where one was given up: that one may have arrived since, and this is written again.
        """
        async with hold.lock:
            for _ in range(TRIES):
                sure, counter = hold.sure, hold.row.counter + 1
                hold.sure = False  # an error, too, may come after it was written
                written = await self._change(mapping, hold.row.partition, change(hold.row))
                if written is not None:
                    hold.row, hold.sure = written, True
                    return written
                if not await self._see(mapping, hold):
                    return None
                if sure and hold.row.counter == counter:
                    return hold.row
        raise self._busy(mapping)

    async def _see(self, mapping: str, hold: _Hold) -> bool:
        """Read a lease that may have been written; whether it is held still."""
        now = await self._read(mapping, hold.row.partition)
        if now is None or _identity(now) != _identity(hold.row):
            self._drop(mapping, hold)
            return False
        hold.row, hold.sure = now, True
        return True

    async def _change(self, mapping: str, partition: Partition, change: Change) -> Row | None:
        place = self._place(mapping)
        table, key = place.where(partition)
        item = await table.update(key, change)
        return None if item is None else place.row(item, partition, self._wall())

    async def _read(self, mapping: str, partition: Partition) -> Row | None:
        place = self._place(mapping)
        table, key = place.where(partition)
        item = await table.item(key)
        return None if item is None else place.row(item, partition, self._wall())

    async def _each(
        self, work: Iterable[Awaitable[T | None]], slots: asyncio.Semaphore
    ) -> tuple[list[T], PollersError | None]:
        """What all of these return, in order, without None; and the first error, once all have ended."""

        async def one(awaitable: Awaitable[T | None]) -> T | PollersError | None:
            async with slots:
                try:
                    return await awaitable
                except PollersError as error:
                    return error

        results = await asyncio.gather(*map(one, work))
        errors = [result for result in results if isinstance(result, PollersError)]
        found = [result for result in results if result is not None and not isinstance(result, PollersError)]
        return found, errors[0] if errors else None

    # What is known here

    def _held(self, mapping: str, row: Row) -> _Hold | None:
        """The lease of this tenure, if it was taken here and not since."""
        hold = self._holds.get((mapping, row.partition))
        return hold if hold is not None and hold.row.tenure == row.tenure else None

    def _drop(self, mapping: str, hold: _Hold) -> None:
        key = mapping, hold.row.partition
        if self._holds.get(key) is hold:
            del self._holds[key]

    def _place(self, mapping: str) -> Place:
        """Raises `SourceError` where another mapping has the table already."""
        if mapping not in self._places:
            if self._places and MAPPING not in self._table:
                reason = f"it has the leases of {', '.join(self._places)}, and {mapping} would read on from there"
                remedy = f"Name a table for each mapping, as in dynamodb://pollers-{MAPPING}."
                raise SourceError(self.url, reason, remedy, missing=True)
            table = table_of(self._table, mapping)
            url = self.url.replace(MAPPING, mapping)
            self._places[mapping] = Place(self._client, mapping, table, url, self.lease * PATIENCE)
        return self._places[mapping]

    def _busy(self, mapping: str) -> SourceError:
        return SourceError(self.url, f"others write to the leases of {mapping} all the time", "It is tried again.")


def _identity(row: Row) -> tuple[str, int]:
    return row.owner, row.tenure
