"""Positions in a SQLite file: the store of one machine, whatever number of processes run there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pollers.errors import SourceError
from pollers.flow.records import Partition
from pollers.spi import Row
from pollers.stores import sqlite_rows
from pollers.stores.sqlite_desk import Desk, Work
from pollers.stores.sqlite_faults import told
from pollers.stores.sqlite_file import PositionsFile
from pollers.stores.sqlite_worker import Worker

__all__ = ["SqliteStore"]


class SqliteStore:
    """A `Store` in one file. Several stores, in one process or many, may share it.

    It is durable against the end of the process. A power failure may undo the last saves, which then repeat.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        lease: float = 10.0,
        wall: Callable[[], float] = time.time,
        patience: float = 5.0,
    ) -> None:
        """`lease`: seconds without a sign of life after which other processes take a row over.

        `wall`: the time of day that rows are marked with. `patience`: seconds to wait for other processes' locks.
        """
        self.path = Path(path).absolute()
        self.url = f"sqlite:///{self.path}"  # four slashes, as in [store]: the path is absolute
        self.lease = lease
        self._wall = wall
        self._patience = patience
        self._worker: Worker | None = None
        self._desk: Desk | None = None

    async def open(self) -> None:
        """Open the file, or make it, readable by this user only. Raises `SourceError`; it may be called again then."""
        if self._desk is None:
            self._desk = Desk(PositionsFile(self.path, self.url, self._patience), name=f"pollers {self.path.name}")
        await self._desk.open()

    @property
    def worker(self) -> str:
        """The lowest of "worker-1", "worker-2" ... that no living process holds, taken when it is first asked for."""
        if self._worker is None:
            try:
                self._worker = Worker(self.path)
            except OSError as error:
                raise told(self.url, error) from error
        return self._worker.name

    async def load(self, mapping: str) -> Sequence[Row]:
        """Every row of a mapping, ordered by partition."""
        rows: list[Row] = await self._ask(partial(sqlite_rows.load, url=self.url, mapping=mapping), writes=False)
        return rows

    async def create(self, mapping: str, rows: Sequence[Row]) -> None:
        """Add rows, all or none. A partition that has one keeps it; one that had one goes on above its tenure."""
        now = self._wall()
        new = [sqlite_rows.cells(row, now) for row in rows]
        await self._ask(partial(sqlite_rows.create, mapping=mapping, rows=new))

    async def take(self, mapping: str, rows: Sequence[Row], owner: str) -> Sequence[Row]:
        """Own these from now on, if they are as they were seen. `saved` stays: it is about the position."""
        work = partial(sqlite_rows.take, url=self.url, mapping=mapping, rows=tuple(rows), owner=owner)
        taken: list[Row] = await self._ask(work)
        return taken

    async def renew(self, mapping: str, rows: Sequence[Row]) -> Sequence[Row]:
        """Show that these are in use; those that are not the caller's any more are left out."""
        renewed: list[Row] = await self._ask(partial(sqlite_rows.renew, mapping=mapping, rows=tuple(rows)))
        return renewed

    async def ask(self, mapping: str, rows: Sequence[Row], heir: str) -> None:
        """Ask the owners for these, where nobody did before."""
        await self._ask(partial(sqlite_rows.ask, mapping=mapping, rows=tuple(rows), heir=heir))

    async def leave(self, mapping: str, rows: Sequence[Row]) -> None:
        """Give these up, to their heirs where they have any."""
        await self._ask(partial(sqlite_rows.leave, mapping=mapping, rows=tuple(rows)))

    async def save(self, mapping: str, row: Row) -> None:
        """Write how far a row has come. Raises `LostGrant` when it was taken since, or is gone.

        Raises `SourceError` while the disk is full or another process keeps the file locked: nothing is written then.
        """
        written = sqlite_rows.progress(row)
        await self._ask(
            partial(
                sqlite_rows.save,
                mapping=mapping,
                partition=row.partition,
                tenure=row.tenure,
                written=written,
                saved=self._wall(),
            )
        )

    async def remove(self, mapping: str, partitions: Sequence[Partition]) -> None:
        """Forget these rows, but not that whoever took them has no say any more."""
        await self._ask(partial(sqlite_rows.remove, mapping=mapping, partitions=tuple(partitions)))

    async def close(self) -> None:
        """Finish what is queued and let go of the file. Opened again it goes on."""
        desk, self._desk = self._desk, None
        if desk is not None:
            await desk.close()
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    async def _ask(self, work: Work, *, writes: bool = True) -> Any:
        if self._desk is None:
            raise SourceError(self.url, "it is not open", "Open the store before it is used, and close it at the end.")
        return await self._desk.ask(work, writes=writes)
