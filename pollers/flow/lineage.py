"""Which shards of a stream may be read: parents before children, nothing twice, nothing skipped.

Plain values in and out. It must not know services, stores, clocks or tasks: what a listing brought, what a store kept
and what was found out about a parent are handed in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from pollers.flow.records import Partition

__all__ = ["Lineage", "Shard"]

AGREEING: Final = 3  # full listings in a row without a finished shard, before what is kept of it is forgotten


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard as the service lists it."""

    partition: Partition
    parents: tuple[Partition, ...] = ()  # two after a merge
    closed: bool = False


class Lineage:
    """The shards of one stream that a mapping knows, and how far each of them is.

    A shard may start when each of its parents is finished, or gone: aged out of the stream before it was known here.
    """

    def __init__(self) -> None:
        self._parents: dict[Partition, tuple[Partition, ...]] = {}
        self._children: dict[Partition, list[Partition]] = {}
        self._finished: set[Partition] = set()
        self._started: set[Partition] = set()
        self._gone: set[Partition] = set()  # parents that the stream no longer has
        self._passed: set[Partition] = set()  # read before by somebody who keeps nothing of them
        self._missed: dict[Partition, int] = {}  # finished shards, by full listings in a row that lack them

    def __contains__(self, partition: Partition) -> bool:
        return partition in self._parents

    def __len__(self) -> int:
        return len(self._parents)

    def newest(self) -> Partition | None:
        """The greatest shard id; None where nothing is known."""
        return max(self._parents, default=None)

    # What is known

    def add(self, partition: Partition, parents: tuple[Partition, ...], *, finished: bool = False) -> None:
        """Learn of a shard: from the store, or from a listing. What is known of it already stays."""
        if partition in self._parents:
            return
        self._parents[partition] = parents
        for parent in parents:
            self._children.setdefault(parent, []).append(partition)
        if finished:
            self._finished.add(partition)

    def unknown(self, shards: Iterable[Shard]) -> list[Shard]:
        """Those that nobody has heard of here: each is to be read from its beginning (8-4)."""
        return [one for one in shards if one.partition not in self._parents and one.partition not in self._passed]

    def missing(self) -> list[Partition]:
        """Parents that are neither known nor known to be gone: somebody must ask the stream for them."""
        return [
            parent
            for parent, children in self._children.items()
            if not self._accounted(parent) and not self._finished.issuperset(children)
        ]

    def _accounted(self, parent: Partition) -> bool:
        return parent in self._parents or parent in self._gone or parent in self._passed

    def gone(self, parent: Partition) -> None:
        """The stream does not have it: it counts as finished."""
        self._gone.add(parent)

    def pass_over(self, begun: Iterable[Partition], listed: Iterable[Shard]) -> None:
        """Whoever has begun these has no need of their ancestors: those that are not known here are not to be read.

        The Kinesis Client Library forgets a shard once its children are begun, long before the stream does, and where
        it begins at LATEST it never hears of those that were closed before.
        """
        parents = {shard.partition: shard.parents for shard in listed}
        ancestors = [parent for partition in begun for parent in self._parents[partition]]
        while ancestors:
            ancestor = ancestors.pop()
            if ancestor not in self._parents and ancestor not in self._passed:
                self._passed.add(ancestor)
                ancestors += parents.get(ancestor, ())

    # What may start

    def startable(self, among: Iterable[Partition] | None = None) -> list[Partition]:
        """Shards that may be read from now on and are not read yet; `among` narrows the search."""
        return [partition for partition in (self._parents if among is None else among) if self._may_start(partition)]

    def _may_start(self, partition: Partition) -> bool:
        return partition not in self._started and self.ready(partition)

    def unfinished(self) -> set[Partition]:
        """What is read, or to be read."""
        return self._parents.keys() - self._finished

    def is_finished(self, partition: Partition) -> bool:
        """Whether everything in it is processed."""
        return partition in self._finished

    def ready(self, partition: Partition) -> bool:
        """Whether it may be read now, by us or by somebody else."""
        if partition in self._finished:
            return False
        return all(self._done(parent) for parent in self._parents[partition])

    def _done(self, parent: Partition) -> bool:
        return parent in self._finished or parent in self._gone or parent in self._passed

    def orphaned(self, partition: Partition) -> list[Partition]:
        """Its parents that had aged out before they were read here."""
        return [parent for parent in self._parents[partition] if parent in self._gone]

    def start(self, partition: Partition) -> None:
        """It is being read."""
        self._started.add(partition)

    def stop(self, partition: Partition) -> None:
        """It is read no longer, and not finished."""
        self._started.discard(partition)

    def finish(self, partition: Partition) -> list[Partition]:
        """Everything in it is processed; returns the children that may start now."""
        self._started.discard(partition)
        self._finished.add(partition)
        return self.startable(self._children.get(partition, ()))

    def expecting(self, partition: Partition) -> bool:
        """Whether a shard has ended and none of its children is known: the stream is to be listed again."""
        return not any(child in self._parents for child in self._children.get(partition, ()))

    # What may be forgotten

    def forgettable(self, listed: Collection[Partition]) -> list[Partition]:
        """Finished shards that a full listing lacks for the third time in a row, and whose children are known.

        One listing may be incomplete; a shard that was forgotten and comes back would be read from its beginning.
        """
        missed: dict[Partition, int] = {}
        for partition in self._finished:
            if partition not in listed:
                missed[partition] = self._missed.get(partition, 0) + 1
        self._missed = missed
        return [partition for partition, times in missed.items() if times >= AGREEING]

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Nothing is kept of these any more."""
        for partition in partitions:
            for parent in self._parents.pop(partition, ()):
                siblings = self._children.get(parent)
                if siblings is not None:
                    siblings.remove(partition)
                    if not siblings:
                        del self._children[parent]
            self._finished.discard(partition)
            self._missed.pop(partition, None)
            self._gone.add(partition)
