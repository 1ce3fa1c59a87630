"""What `pollers replay` prints: a line for each document, and a summary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pollers.service.output import say
from pollers.service.replay.documents import Document, Malformed

__all__ = ["SUCCESSES", "Outcome", "Result", "Tally"]

Outcome: TypeAlias = Literal[
    "replayed",
    "would be replayed",
    "repeated",  # of a batch that was replayed a moment ago
    "unacknowledged",  # replayed, and still where it was found
    "failed",
    "gone",
    "ambiguous",
    "malformed",
]
SUCCESSES = frozenset({"replayed", "would be replayed", "repeated"})


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one document."""

    document: Document
    outcome: Outcome
    records: int
    origin: str = ""  # of the records: "stream", "topic" or "document"
    reason: str = ""


@dataclass(slots=True)
class Tally:
    """Documents by what became of them, told as they come."""

    outcomes: Counter[str] = field(default_factory=Counter)
    foreign: int = 0  # of other sources
    unwanted: int = 0  # not asked for

    @property
    def succeeded(self) -> bool:
        return set(self.outcomes) <= SUCCESSES

    def malformed(self, found: Malformed) -> None:
        self.outcomes["malformed"] += 1
        record = {"document": found.place, "outcome": "malformed", "reason": found.reason}
        say(record, f"{found.place}: malformed: {found.reason}", style="red")

    def result(self, result: Result) -> None:
        self.outcomes[result.outcome] += 1
        document, where = result.document, result.document.range
        record = {
            "document": document.place,
            "request_id": document.request_id,
            "condition": document.condition,
            "timestamp": document.timestamp.isoformat(),
            "shard": document.shard,
            "start": None if where is None else str(where.start),
            "end": None if where is None else str(where.end),
            "records": result.records,
            "origin": result.origin or None,
            "outcome": result.outcome,
            "reason": result.reason or None,
        }
        say(record, _sentence(result), style="" if result.outcome in SUCCESSES else "red")

    def summary(self, *, dry_run: bool) -> None:
        record = {"summary": dict(self.outcomes), "other_sources": self.foreign, "not_asked_for": self.unwanted}
        told = [f"{count} {outcome}" for outcome, count in self.outcomes.items()] or ["no documents"]
        left = [
            f"{count} {what}"
            for count, what in ((self.foreign, "of other sources"), (self.unwanted, "not asked for"))
            if count
        ]
        text = ", ".join(told) + (f"; left alone: {', '.join(left)}" if left else "") + "."
        say(record, text + (" Nothing was called or changed: this was a dry run." if dry_run else ""))


def _sentence(result: Result) -> str:
    document, where = result.document, result.document.range
    many = "1 record" if result.records == 1 else f"{result.records} records"
    numbers = "" if where is None else f" from {where.start} to {where.end}"
    kept = " kept in the document" if result.origin == "document" else ""
    others = f" and {len(document.offsets) - 1} more" if len(document.offsets) > 1 else ""
    reason = f" ({result.reason})" if result.reason else ""
    return f"{document.place}: {many}{kept} of {document.shard}{numbers}{others}: {result.outcome}{reason}"
