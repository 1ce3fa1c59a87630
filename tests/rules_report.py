"""Compares the rules of `rules.toml` with the markers of the tests: plain values in, plain values out."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Report", "Rule", "Rulebook", "read"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One promise about behavior."""

    text: str  # one sentence
    source: str  # how it is known


@dataclass(frozen=True, slots=True)
class Rulebook:
    """Every rule by its number, and those that have no test, with the reason."""

    rules: Mapping[str, Rule]
    exceptions: Mapping[str, str]


def read(path: Path) -> Rulebook:
    """The rules of a file. Raises ValueError for an entry that does not say what and whence."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    exceptions = document.pop("exceptions", {})
    rules = {number: _rule(number, entry) for number, entry in document.items()}
    for number, reason in exceptions.items():
        if number not in rules or not reason:
            raise ValueError(f"{path.name}: the exception {number} needs a rule of this number and a reason")
    return Rulebook(rules, exceptions)


def _rule(number: str, entry: Mapping[str, str]) -> Rule:
    if set(entry) != {"text", "source"} or not all(entry.values()):
        raise ValueError(f"rules.toml: {number} needs a text and a source, and nothing else")
    return Rule(entry["text"], entry["source"])


@dataclass(frozen=True, slots=True)
class Report:
    """What the markers of a whole suite say about the rules."""

    book: Rulebook
    cited: Collection[str]  # by tests that were not skipped
    skipped: Collection[str] = ()  # by tests that were

    @property
    def faults(self) -> list[str]:
        """One sentence for each thing that is wrong, in the order of the rulebook."""
        return [*self._untested(), *self._unknown(), *self._outlived()]

    @property
    def summary(self) -> str:
        rules, proved = len(self.book.rules), len(self.book.rules.keys() & set(self.cited))
        return f"{rules} rules, {proved} with tests, {len(self.book.exceptions)} exceptions"

    def _untested(self) -> list[str]:
        return [
            f"rule {number} has no test{' that ran' if number in self.skipped else ''}: {rule.text}"
            for number, rule in self.book.rules.items()
            if number not in self.cited and number not in self.book.exceptions
        ]

    def _unknown(self) -> list[str]:
        known = self.book.rules.keys()
        return [
            f"rule {number} is cited by a test and is not in rules.toml"
            for number in sorted({*self.cited, *self.skipped} - known)
        ]

    def _outlived(self) -> list[str]:
        return [
            f"rule {number} has a test now: take it out of the exceptions"
            for number in self.book.exceptions
            if number in self.cited
        ]
