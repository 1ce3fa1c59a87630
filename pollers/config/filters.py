"""FilterCriteria: patterns compiled once, so that a faulty one is reported with its place (semantics 6)."""

from __future__ import annotations

from pollers.config.tables import Given
from pollers.flow.filters import InvalidPattern, compile_filters
from pollers.flow.records import DataRule

__all__ = ["patterns"]


def patterns(given: Given, rule: DataRule) -> tuple[str, ...]:
    """A mapping's event patterns as JSON text, their faults reported. `rule`: how they meet the source's payload."""
    if given.has("filter_criteria_error"):
        given.at("filter_criteria_error").fault(
            "AWS could not show the filters of this mapping, so that every record would pass.",
            "Write them in filter_criteria, and leave this out.",
        )
    filters: tuple[Given, ...] = given.inner("filter_criteria").get("filters") or ()
    for one in filters:
        if not one.has("pattern"):
            one.place.fault("Invalid filter pattern definition.", "Give it a pattern, as JSON text.")
        elif one.get("pattern") is not None:
            _compile(one, rule)
    return tuple(one.get("pattern") for one in filters)


def _compile(one: Given, rule: DataRule) -> None:
    try:
        compile_filters([one.get("pattern")], rule)
    except InvalidPattern as error:
        one.at("pattern").fault(
            f"{error} The pattern {error.reason}." if error.reason.startswith("is ") else f"{error} {error.reason}.",
            f'Write JSON such as {{"{rule.key}": {{"color": ["red"]}}}}: every leaf is a list of alternatives.',
        )
