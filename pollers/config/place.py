"""Where in a file a value stands, and how a fault there is reported."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, field, replace

from pollers.config.spelling import escaped, printable, shown
from pollers.errors import Problem

__all__ = ["Place"]

_PLAIN = re.compile(r"[\w$-]+")
_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    (str, "text"),
    (int, "a whole number"),
    (float, "a number"),
    (list, "a list"),
    (dict, "a table"),
    ((datetime.date, datetime.time), "a date"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """A path as the file spells it, the same member as AWS names it, and the list that collects all faults."""

    path: str = ""
    member: str = ""  # "scalingConfig.maximumConcurrency"; empty where AWS has no such parameter
    problems: list[Problem] = field(default_factory=list)

    def key(self, written: object, name: str = "") -> Place:
        """The place of a member that is written as `written` and that AWS calls `name`; empty: ours."""
        text = written if isinstance(written, str) else str(written)
        step = text if _PLAIN.fullmatch(text) else f'"{printable(text)}"'
        lower = name[:1].lower() + name[1:]
        member = f"{self.member}.{lower}" if self.member and lower else lower
        return replace(self, path=f"{self.path}.{step}" if self.path else step, member=member)

    def item(self, index: int) -> Place:
        """The place of a list's member. AWS counts from one and says "member"."""
        member = f"{self.member}.{index + 1}.member" if self.member else ""
        return replace(self, path=f"{self.path}[{index}]", member=member)

    def fault(self, message: str, remedy: str) -> None:
        # Both may repeat what the file holds, and are printed on terminals.
        self.problems.append(Problem(self.path, escaped(message), escaped(remedy)))

    def constraint(self, value: object, constraint: str, remedy: str, *, secret: bool = False) -> None:
        """A fault in AWS's words for a value out of its range."""
        text = "null" if value is None else f"'{'***' if secret else shown(value)}'"
        at = f" at '{self.member}'" if self.member else ""
        prefix = "1 validation error detected: " if self.member else ""
        self.fault(f"{prefix}Value {text}{at} failed to satisfy constraint: {constraint}.", remedy)

    def wrong_type(self, value: object, wanted: str, remedy: str, *, secret: bool = False) -> None:
        """A fault for a value of the wrong type; `wanted` says what belongs there: "a whole number"."""
        kind = next((name for types, name in _KINDS if isinstance(value, types)), type(value).__name__)
        text = f" ('{shown(value)}')" if isinstance(value, str | int | float) and not secret else ""
        self.fault(f"{kind}{text} where {wanted} belongs.", remedy)
