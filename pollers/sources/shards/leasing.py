"""The leases of a mapping's shards: taken by plan, renewed while they are held, passed on to whoever asks.

What to take and to ask for is `flow.leases`' to decide. Other workers may do the same with the same rows at the same
moment; the store lets one of them win.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from pollers.flow.leases import Lease, Leases
from pollers.flow.records import Grant, Partition
from pollers.sources.shards.positions import Positions
from pollers.spi import Change, Lost, Revoked, Row

__all__ = ["Leasing"]

GUARD: Final = 0.1  # of a lease's time: nothing is started in its last part, as others count from another moment
LOOKS: Final = 10  # looks at the leases of others while one lasts
COSTLY: Final = 2_000  # rows a second that are looked at, at most
RENEWALS: Final = 3  # while a lease lasts


class Leasing:
    """Which shards one worker holds, and until when."""

    def __init__(self, positions: Positions, duration: float, handover: float, time: Callable[[], float]) -> None:
        """`duration`: seconds of a lease. `handover`: seconds that a batch under way has when a lease is passed on."""
        self.until = math.inf  # loop time from which on others may have what we hold
        self.renew_every = duration / RENEWALS
        self.again = duration / LOOKS  # after a renewal that failed
        self._positions = positions
        self._duration = duration
        self._handover = handover
        self._time = time
        self._leases = Leases(positions.owner, duration)
        self._held: dict[Partition, Grant] = {}
        self._passing: set[Grant] = set()  # revoked, because somebody asked
        self._look_at = -math.inf

    def look_at(self) -> float:
        """Loop time of the next look at what others have; never where nobody else can."""
        return self._look_at

    def holds(self, grant: Grant) -> bool:
        """Whether it is still ours, as far as we know."""
        return self._held.get(grant.partition) is grant

    async def take(self, rows: Sequence[Row]) -> list[tuple[Grant, Row]]:
        """Take what should be ours of these shards, which may be read now, and ask for what others have too much of."""
        now = self._time()
        self._look_at = now + max(self._duration / LOOKS, len(rows) / COSTLY)
        plan = self._leases.plan([_lease(row) for row in rows], self._held, now)
        found = {row.partition: row for row in rows}
        if plan.ask:
            await self._positions.ask([found[partition] for partition in plan.ask])
        if not plan.take:
            return []
        sent = self._time()
        taken = await self._positions.take([found[partition] for partition in plan.take])
        if taken and not self._held:
            self.until = self._lasts(sent)
        for grant, _ in taken:
            self._held[grant.partition] = grant
        return taken

    async def renew(self) -> list[Change]:
        """Say that what we hold is in use. Returns what was taken from us, and what is to be passed on."""
        held = list(self._held.values())
        if not held:
            return []
        sent = self._time()
        rows = await self._positions.renew(held)
        self.until = self._lasts(sent)
        changes: list[Change] = []
        for grant in held:
            if not self.holds(grant):
                continue  # given up in the meantime
            row = rows.get(grant.partition)
            if row is None:
                self.drop(grant)
                changes.append(Lost(grant))
            elif row.heir and grant not in self._passing:
                self._passing.add(grant)
                changes.append(Revoked(grant, self._time() + self._handover))
        return changes

    async def leave(self, grant: Grant) -> None:
        """Pass it on to whoever asked for it, or let anybody have it. One that is lost or finished needs nothing."""
        if self.holds(grant):
            self.drop(grant)
            await self._positions.leave([grant])

    async def leave_all(self) -> None:
        """Give up whatever is held."""
        held, self._held = list(self._held.values()), {}
        self._passing.clear()
        self.until = math.inf
        if held:
            await self._positions.leave(held)

    def drop(self, grant: Grant) -> None:
        """It is not ours any more: somebody took it, or it is finished."""
        if self.holds(grant):
            del self._held[grant.partition]
        self._passing.discard(grant)
        if not self._held:
            self.until = math.inf

    def reset(self) -> None:
        """Nothing is granted: what is still ours by name is taken again."""
        self._held.clear()
        self._passing.clear()
        self.until, self._look_at = math.inf, -math.inf

    def _lasts(self, sent: float) -> float:
        """Until when a lease is surely ours: from the moment its renewal was sent, not from when that was answered."""
        return sent + self._duration * (1.0 - GUARD)


def _lease(row: Row) -> Lease:
    return Lease(row.partition, row.owner, row.heir, row.tenure, row.counter)
