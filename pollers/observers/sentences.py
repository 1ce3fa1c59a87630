"""What an event says to people: one sentence, how grave it is, and the names and ids in it. Never a body.

Grave are (ERROR) records that are gone, lanes that stand still, and faults of ours; what is tried again by itself or
kept at a destination is a WARNING; the rest is the course of things.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from logging import ERROR, INFO, WARNING
from typing import TypeAlias

from pollers.telemetry import (
    DeliveryHeld,
    Drained,
    Draining,
    Event,
    InvocationFailed,
    InvocationLate,
    LaneStalled,
    LoopBlocked,
    MappingStarted,
    PartitionFinished,
    PartitionGranted,
    PartitionLost,
    PollerCrashed,
    RecordsDiscarded,
    RecordsMissed,
    ReportUnusable,
    SourceTroubled,
    TargetUnavailable,
    Warned,
)

__all__ = ["Label", "Sentence", "labels_of", "sentence"]

Label: TypeAlias = str | int | float | bool

LONGEST = 300  # characters of what a function, a client or a server had to say
# What a function raised may quote its payload, and a loop's time means nothing outside of its process.
UNLABELED = frozenset({"detail", "message", "since"})

Lifecycle: TypeAlias = MappingStarted | Warned | Draining | Drained
OfSource: TypeAlias = PartitionGranted | PartitionFinished | PartitionLost | LaneStalled | SourceTroubled
OfTarget: TypeAlias = InvocationFailed | InvocationLate | ReportUnusable | TargetUnavailable
Fate: TypeAlias = RecordsDiscarded | RecordsMissed | DeliveryHeld
Fault: TypeAlias = PollerCrashed | LoopBlocked


@dataclass(frozen=True, slots=True)
class Sentence:
    """An event in words."""

    level: int  # of logging
    text: str


def sentence(event: Event) -> Sentence:
    """The event in words, with its gravity."""
    match event:
        case MappingStarted() | Warned() | Draining() | Drained():
            return _of_lifecycle(event)
        case PartitionGranted() | PartitionFinished() | PartitionLost() | LaneStalled() | SourceTroubled():
            return _of_source(event)
        case InvocationFailed() | InvocationLate() | ReportUnusable() | TargetUnavailable():
            return _of_target(event)
        case RecordsDiscarded() | RecordsMissed() | DeliveryHeld():
            return _of_fate(event)
        case PollerCrashed() | LoopBlocked():
            return _of_fault(event)


def labels_of(event: Event) -> dict[str, Label]:
    """The event's fields for machines: names, ids, numbers and reasons; what is None is left out."""
    labels = {one.name: getattr(event, one.name) for one in fields(event) if one.name not in UNLABELED}
    return {
        name: _shortened(value) if isinstance(value, str) else value
        for name, value in labels.items()
        if value is not None
    }


def _of_lifecycle(event: Lifecycle) -> Sentence:
    match event:
        case MappingStarted(mapping, source, function, detail):
            return Sentence(INFO, f"{mapping}: reads {source} for {function}" + (f" ({detail})" if detail else ""))
        case Warned(mapping, message):
            return Sentence(WARNING, f"{mapping}: {message}")
        case Draining(mapping, invocations, handed_back):
            waiting = _count(invocations, "invocation")
            return Sentence(
                INFO, f"{mapping}: drains; waits for {waiting}, {_count(handed_back, 'record')} handed back"
            )
        case Drained(mapping, 0, 0):
            return Sentence(INFO, f"{mapping}: drained, nothing is left")
        case Drained(mapping, left, unsettled):
            cut = f"{_count(left, 'invocation')} cut off at the deadline"
            return Sentence(WARNING, f"{mapping}: drained; {cut}, {_count(unsettled, 'finished record')} not settled")


def _of_source(event: OfSource) -> Sentence:
    match event:
        case PartitionGranted(mapping, partition, note):
            return Sentence(INFO, f"{mapping}: {partition} is ours" + (f": {_shortened(note)}" if note else ""))
        case PartitionFinished(mapping, partition):
            return Sentence(INFO, f"{mapping}: {partition} is closed, and everything in it is finished")
        case PartitionLost(mapping, partition, reason):
            return Sentence(INFO, f"{mapping}: {partition} is no longer ours: {_shortened(reason)}")
        case LaneStalled(mapping, partition, lane, reason):
            text = (
                f"{mapping}: {partition} stopped reading, lane {_shortened(lane)} does not get on: {_shortened(reason)}"
            )
            return Sentence(ERROR, text)
        case SourceTroubled(mapping, operation, reason, retry_in):
            return Sentence(WARNING, f"{mapping}: {operation} failed: {_shortened(reason)}; again in {retry_in:.1f} s")


def _of_target(event: OfTarget) -> Sentence:
    match event:
        case InvocationFailed(mapping, request_id, records, attempt, error, message):
            what = f"attempt {attempt} at {_count(records, 'record')} failed ({request_id})"
            return Sentence(WARNING, f"{mapping}: {what}: {_shortened(error)}: {_shortened(message)}")
        case InvocationLate(mapping, request_id, seconds):
            return Sentence(WARNING, f"{mapping}: still running {seconds:.1f} s after its timeout ({request_id})")
        case ReportUnusable(mapping, request_id, reason):
            text = f"{mapping}: unusable batch response, the whole batch fails ({request_id}): {_shortened(reason)}"
            return Sentence(WARNING, text)
        case TargetUnavailable(mapping, _, True):
            return Sentence(INFO, f"{mapping}: the function takes records again")
        case TargetUnavailable(mapping, reason):
            text = f"{mapping}: the function takes no records, no attempt is spent: {_shortened(reason)}"
            return Sentence(WARNING, text)


def _of_fate(event: Fate) -> Sentence:
    match event:
        case RecordsDiscarded(mapping, condition, request_id, partition, records, attempts, destination):
            what = f"{_count(records, 'record')} of {partition} given up after {_count(attempts, 'attempt')}"
            fate = "dropped" if destination is None else f"kept at {destination}"
            level = ERROR if destination is None else WARNING
            return Sentence(level, f"{mapping}: {what}, {fate}: {condition} ({request_id})")
        case RecordsMissed(mapping, partition, detail):
            return Sentence(ERROR, f"{mapping}: records of {partition} are missing: {_shortened(detail)}")
        case DeliveryHeld(mapping, destination, reason, retry_in):
            what = f"{destination} does not take failed records, their lanes wait"
            return Sentence(ERROR, f"{mapping}: {what}: {_shortened(reason)}; again in {retry_in:.1f} s")


def _of_fault(event: Fault) -> Sentence:
    match event:
        case PollerCrashed(mapping, reason, retry_in):
            return Sentence(ERROR, f"{mapping}: crashed, starts again in {retry_in:.1f} s: {_shortened(reason)}")
        case LoopBlocked(seconds):
            text = f"the event loop stood still for {seconds:.1f} s: does a function not await?"
            return Sentence(WARNING, text)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
