"""What a function's answer says about its batch. It knows answers and identifiers, not what follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from pollers.flow.records import Parts, Returned, Shape

__all__ = ["AllFailed", "AllPassed", "Reading", "SomeFailed", "read_report"]


@dataclass(frozen=True, slots=True)
class AllPassed:
    """Every record is processed."""


@dataclass(frozen=True, slots=True)
class AllFailed:
    """The report says nothing usable, so that every record counts as failed."""

    reason: str


@dataclass(frozen=True, slots=True)
class SomeFailed:
    """`failed` has, for each part of the batch, the indexes of its reported records, ascending. One is not empty."""

    failed: tuple[tuple[int, ...], ...]


Reading: TypeAlias = AllPassed | AllFailed | SomeFailed

PASSED = AllPassed()


def read_report(answer: Returned, parts: Parts, shape: Shape) -> Reading:
    """Read an answer under ReportBatchItemFailures. `parts` are the batch.

    AWS: empty answers and empty lists are success (5.4-2, 5.6-5); anything unusable in the list fails the whole batch
    (5.4-3, 5.6-7 to 5.6-9; for lists that mix good and bad entries and for `[{}]`: 12-8, 12-3).
    """
    if answer.unreadable is not None:
        return AllFailed(f"the answer is not JSON ({answer.unreadable})")
    payload = answer.payload
    if payload is None or payload == "" or payload == [] or payload == {}:
        return PASSED
    if not isinstance(payload, dict):
        return AllFailed(f"the answer is a JSON {_kind(payload)}, not an object with batchItemFailures")
    failures = payload.get("batchItemFailures")
    if failures is None or failures == []:
        return PASSED
    if not isinstance(failures, list):
        return AllFailed(f"batchItemFailures is a JSON {_kind(failures)}, not a list")
    return _match(failures, parts, shape)


def _match(failures: list[Any], parts: Parts, shape: Shape) -> Reading:
    reported = set()
    for entry in failures:
        identifier = _identifier(entry)
        if identifier is None:
            return AllFailed(f"batchItemFailures has an entry without a usable itemIdentifier: {str(entry)[:100]}")
        reported.add(identifier)
    unknown = set(reported)
    failed = []
    for partition, records in parts:
        named = [shape.identifier(partition, raw) for raw in records]
        unknown.difference_update(named)
        failed.append(tuple(index for index, name in enumerate(named) if name in reported))
    if unknown:
        return AllFailed(f"batchItemFailures names {str(min(unknown, key=str))[:100]}, which is not in the batch")
    return SomeFailed(tuple(failed))


def _identifier(entry: object) -> object | None:
    """What an entry names; None where it names nothing."""
    if not isinstance(entry, dict):
        return None
    identifier = entry.get("itemIdentifier")
    if isinstance(identifier, dict):
        try:
            named = tuple(sorted(identifier.items()))
            hash(named)
        except TypeError:
            return None
        return named
    return identifier if isinstance(identifier, str) and identifier else None


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "list" if isinstance(value, list) else "object"
