"""Consumer groups of the embedded Kafka, as a broker coordinates them: Kafka's classic protocol.

The mock cluster has some of its own and refuses what brokers allow: a member that asks for its assignment a moment
late, and a commit before a rebalance. Static members are members like all others here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

__all__ = ["NOT_COORDINATOR", "Group", "Joined", "Refused", "Wish"]

NOT_COORDINATOR: Final = 16
ILLEGAL_GENERATION: Final = 22
INCONSISTENT_PROTOCOL: Final = 23
UNKNOWN_MEMBER: Final = 25
REBALANCE: Final = 27


class Refused(Exception):
    """An error answer, by Kafka's code."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(str(code))


@dataclass(frozen=True, slots=True)
class Wish:
    """What a member says when it joins."""

    member: str  # its id; "": it is new
    instance: str | None
    session: float  # seconds without a heartbeat after which it is put out
    rebalance: float  # seconds that it may take to join again
    protocols: Sequence[tuple[str, bytes]]  # the assignors it knows, the preferred one first


@dataclass(frozen=True, slots=True)
class Joined:
    """A generation, as one member is told of it."""

    generation: int
    protocol: str
    leader: str
    member: str
    members: Sequence[tuple[str, str | None, bytes]]  # id, instance, metadata; for the leader only


@dataclass(slots=True, eq=False)
class _Member:
    id: str
    wish: Wish
    joins: asyncio.Future[Joined] | None = None  # it waits for the next generation
    syncs: asyncio.Future[bytes] | None = None  # it waits for the leader's assignments
    session: asyncio.TimerHandle | None = None


class Group:
    """One group. All calls come from one event loop; they raise `Refused`."""

    def __init__(self) -> None:
        self._members: dict[str, _Member] = {}
        self._ids = count(1)
        self._generation = 0
        self._leader = ""
        self._joining = False
        self._assignments: Mapping[str, bytes] | None = None  # None: the leader has not given any yet
        self._deadline: asyncio.TimerHandle | None = None  # of those that have not joined again

    @property
    def members(self) -> int:
        """How many it has."""
        return len(self._members)

    async def join(self, wish: Wish) -> Joined:
        """Become a member, or stay one; waits until all have done so, or have had the time to."""
        if wish.member and wish.member not in self._members:
            raise Refused(UNKNOWN_MEMBER)
        name = wish.member or f"member-{next(self._ids)}"
        member = self._members.setdefault(name, _Member(name, wish))
        member.wish = wish
        waits: asyncio.Future[Joined] = asyncio.get_running_loop().create_future()
        member.joins = waits
        self._prepare()
        try:
            return await waits
        finally:
            member.joins = None
            self._heard(member)

    async def sync(self, generation: int, name: str, assignments: Mapping[str, bytes]) -> bytes:
        """A member's assignment; waits for the leader, who brings those of all."""
        member = self._member(generation, name)
        if self._joining:
            raise Refused(REBALANCE)
        if self._assignments is not None:
            return self._assignments.get(name, b"")
        if name != self._leader:
            member.syncs = asyncio.get_running_loop().create_future()
            return await member.syncs
        self._assignments = assignments
        for other in self._members.values():
            if other.syncs is not None and not other.syncs.done():
                other.syncs.set_result(assignments.get(other.id, b""))
        return assignments.get(name, b"")

    def beat(self, generation: int, name: str) -> None:
        """A heartbeat; its answer tells a member to join again."""
        self._member(generation, name)
        if self._joining:
            raise Refused(REBALANCE)

    def commits(self, generation: int, name: str) -> None:
        """Whether a member may commit: also before it joins again, which is when partitions are given up."""
        if generation < 0 and not self._members:
            return  # of somebody who sets the offsets of an idle group
        self._member(generation, name)
        if not self._joining and self._assignments is None:
            raise Refused(REBALANCE)

    def leave(self, name: str) -> None:
        """The others share its partitions."""
        if name not in self._members:
            raise Refused(UNKNOWN_MEMBER)
        self._put_out(name)

    def close(self) -> None:
        """End all timers."""
        timers = [self._deadline, *(member.session for member in self._members.values())]
        for timer in timers:
            if timer is not None:
                timer.cancel()

    def _member(self, generation: int, name: str) -> _Member:
        member = self._members.get(name)
        if member is None:
            raise Refused(UNKNOWN_MEMBER)
        if generation != self._generation:
            raise Refused(ILLEGAL_GENERATION)
        self._heard(member)
        return member

    def _heard(self, member: _Member) -> None:
        if member.session is not None:
            member.session.cancel()
        if self._members.get(member.id) is member:
            loop = asyncio.get_running_loop()
            member.session = loop.call_later(member.wish.session, self._silent, member)

    def _silent(self, member: _Member) -> None:
        if member.joins is None:  # one that waits for the others is not expected to say anything
            self._put_out(member.id)

    def _put_out(self, name: str) -> None:
        member = self._members.pop(name)
        if member.session is not None:
            member.session.cancel()
        self._prepare()

    # The next generation

    def _prepare(self) -> None:
        """Have all members join again."""
        if not self._joining:
            self._joining = True
            self._assignments = None
            for member in self._members.values():
                if member.syncs is not None and not member.syncs.done():
                    member.syncs.set_exception(Refused(REBALANCE))
            patience = max((member.wish.rebalance for member in self._members.values()), default=0.0)
            self._deadline = asyncio.get_running_loop().call_later(patience, self._begin)
        if all(member.joins is not None for member in self._members.values()):
            self._begin()

    def _begin(self) -> None:
        """A new generation of those that have joined; the others have had their time."""
        assert self._deadline is not None
        self._deadline.cancel()
        self._joining = False
        self._generation += 1
        self._members = {name: member for name, member in self._members.items() if member.joins is not None}
        if self._leader not in self._members:
            self._leader = next(iter(self._members), "")
        for member in self._members.values():
            if member.joins is not None and not member.joins.done():
                self._tell(member, member.joins)

    def _tell(self, member: _Member, joins: asyncio.Future[Joined]) -> None:
        protocol = self._protocol()
        if protocol is None:
            joins.set_exception(Refused(INCONSISTENT_PROTOCOL))
            return
        everyone = [(one.id, one.wish.instance, dict(one.wish.protocols)[protocol]) for one in self._members.values()]
        members = everyone if member.id == self._leader else []
        joins.set_result(Joined(self._generation, protocol, self._leader, member.id, members))

    def _protocol(self) -> str | None:
        """The leader's first that everybody knows."""
        known = [dict(member.wish.protocols) for member in self._members.values()]
        wanted = (name for name, _ in self._members[self._leader].wish.protocols)
        return next((name for name in wanted if all(name in one for one in known)), None)
