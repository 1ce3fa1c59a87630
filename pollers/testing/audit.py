"""Judges what functions saw: lost records, records out of order, deliveries after a record was done with.

One pure function over plain facts that functions and producers wrote down themselves. It knows AWS's rules of what an
answer means and nothing of the engine, so that it can find the engine wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Call", "History", "Report", "Sent", "check"]


@dataclass(frozen=True, slots=True)
class Sent:
    """A record that a producer put into a source, in the order of the list."""

    mapping: str
    record: str  # unique within the mapping
    key: str | None = None  # what its order is kept by; None: free
    filtered: bool = False  # no filter matches it: it must never be delivered


@dataclass(frozen=True, slots=True)
class Call:
    """One invocation, as the function wrote it down."""

    mapping: str
    records: tuple[str, ...]  # in the order of the event
    begun: float  # seconds, on one clock for all calls of a mapping
    ended: float | None  # None: it never came to its end (the process was killed)
    answer: Literal["ok", "error"] | tuple[str, ...]  # a tuple: batchItemFailures
    process: int = 0  # that made it


@dataclass(frozen=True, slots=True)
class History:
    """Everything that is judged."""

    sent: Sequence[Sent]
    calls: Sequence[Call]
    dead: frozenset[tuple[str, str]] = frozenset()  # (mapping, record) found in a dead-letter queue or failure file
    logs: frozenset[str] = frozenset()  # mappings whose source is a log: an answer is good up to its first failure
    kills: Sequence[float] = ()  # moments at which processes were killed
    killed: frozenset[int] | None = None  # which they were: they explain only what they did; None: not known
    deleted: dict[tuple[str, str], float] = field(default_factory=dict)  # when the source was told, where that is known


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. Lists hold one sentence each; all of them empty is what a run should come to."""

    sent: int
    delivered: int  # records that were answered for good
    retried: int  # deliveries beyond a record's first
    dead_lettered: int
    filtered: int
    lost: tuple[str, ...]
    disordered: tuple[str, ...]
    duplicates: tuple[str, ...]  # delivered again after a good answer, unless a kill explains it
    explained: int  # duplicates that a kill explains
    strange: tuple[str, ...]  # delivered though filtered or never sent

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.disordered or self.duplicates or self.strange)


class _Track:
    """What happened to one record."""

    __slots__ = ("by", "deliveries", "done", "last_end")

    def __init__(self) -> None:
        self.deliveries = 0
        self.done: float | None = None  # when it was first answered for good
        self.by = 0  # the process that did so
        self.last_end = 0.0  # when its latest call ended


def good(call: Call, log: bool) -> set[str]:
    """The records that this answer is done with. AWS: semantics 5.2-3, 5.4-4, 5.6-1, 5.6-4."""
    if call.answer == "error" or call.ended is None:
        return set()
    if call.answer == "ok":
        return set(call.records)
    failed = set(call.answer)
    if not failed <= set(call.records):
        return set()
    if not log:
        return set(call.records) - failed
    first = min((call.records.index(one) for one in failed), default=len(call.records))
    return set(call.records[:first])


def check(history: History) -> Report:
    """Compare what was sent with what functions saw."""
    wanted = {(one.mapping, one.record): one for one in history.sent}
    tracks = {name: _Track() for name in wanted}
    duplicates: list[str] = []
    strange: list[str] = []
    explained = 0
    for call in sorted(history.calls, key=lambda call: call.begun):
        done = good(call, call.mapping in history.logs)
        for record in call.records:
            name = (call.mapping, record)
            track = tracks.get(name)
            if track is None:
                strange.append(f"{call.mapping}: {record} was delivered and never sent")
                continue
            if wanted[name].filtered:
                strange.append(f"{call.mapping}: {record} was delivered though no filter matches it")
            track.deliveries += 1
            if track.done is not None and call.begun >= track.done:
                if _explained(history, name, track, call.begun):
                    explained += 1
                else:
                    duplicates.append(f"{call.mapping}: {record} was delivered again at {call.begun:.3f}")
            if record in done and track.done is None:
                track.done, track.by = call.ended, call.process
            track.last_end = max(track.last_end, call.begun if call.ended is None else call.ended)
    lost = [
        f"{one.mapping}: {one.record} was sent and neither processed nor dead-lettered"
        for name, one in wanted.items()
        if not one.filtered and tracks[name].done is None and name not in history.dead
    ]
    return Report(
        sent=len(wanted),
        delivered=sum(track.done is not None for track in tracks.values()),
        retried=sum(max(0, track.deliveries - 1) for track in tracks.values()),
        dead_lettered=sum(name in history.dead for name in wanted),
        filtered=sum(one.filtered for one in wanted.values()),
        lost=tuple(lost),
        disordered=tuple(_disorder(history, tracks)),
        duplicates=tuple(duplicates),
        explained=explained,
        strange=tuple(strange),
    )


def _explained(history: History, name: tuple[str, str], track: _Track, again: float) -> bool:
    """Whether a process was killed between its good answer and the source learning of it (invariants A7)."""
    done, told = track.done, history.deleted.get(name)
    if done is None or (history.killed is not None and track.by not in history.killed):
        return False
    return any(done <= kill <= again and (told is None or told >= kill) for kill in history.kills)


def _disorder(history: History, tracks: dict[tuple[str, str], _Track]) -> Iterable[str]:
    """Within a key no record is delivered before every earlier one is done with, nor before it in one event."""
    before: dict[tuple[str, str], tuple[str, str]] = {}  # a record -> the one sent before it under its key
    rank: dict[tuple[str, str], int] = {}
    last: dict[tuple[str, str], tuple[str, str]] = {}
    keys: dict[tuple[str, str], tuple[str, str]] = {}
    for number, one in enumerate(history.sent):
        if one.key is None or one.filtered:
            continue
        name, key = (one.mapping, one.record), (one.mapping, one.key)
        rank[name], keys[name] = number, key
        if key in last:
            before[name] = last[key]
        last[key] = name
    for call in history.calls:
        position: dict[tuple[str, str], int] = {}
        together = {(call.mapping, record) for record in call.records}
        for record in call.records:
            name = (call.mapping, record)
            if name not in keys:
                continue
            key = keys[name]
            if rank[name] < position.get(key, -1):
                yield f"{call.mapping}: {record} stands behind a later record of {key[1]} in one event"
            position[key] = rank[name]
            previous = before.get(name)
            if previous is not None and previous not in together and not _past(history, tracks, previous, call.begun):
                yield f"{call.mapping}: {record} was delivered before {previous[1]} of {key[1]} was done with"


def _past(history: History, tracks: dict[tuple[str, str], _Track], name: tuple[str, str], moment: float) -> bool:
    """Whether a record was done with, or given up after its last delivery, by then."""
    track = tracks[name]
    if track.done is not None:
        return track.done <= moment
    return name in history.dead and track.last_end <= moment
