"""The exception family: one base, an attribute for everything a caller may act on, a remedy in every message.

Results that pollers reasons about (a failed function, a throttle) are data in `pollers.flow.records`, never exceptions.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ConfigurationError",
    "FunctionNotLoaded",
    "LostGrant",
    "PollersError",
    "Problem",
    "SourceError",
    "Undelivered",
]


class PollersError(Exception):
    """Base of everything that pollers raises on purpose. `str()` says what happened and what to do."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration."""

    path: str  # where: "event_source_mappings[0].batch_size"; the file itself when nothing smaller is to blame
    message: str  # what is wrong, in AWS's words where AWS has words for it
    remedy: str = ""  # what to do

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" + (f" {self.remedy}" if self.remedy else "")


class ConfigurationError(PollersError):
    """A configuration that cannot be run. `problems` holds every fault found, not only the first."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, problems)))


class FunctionNotLoaded(PollersError):
    """A handler that cannot be imported or called. `handler` is its dotted path as configured."""

    def __init__(self, handler: str, reason: str, remedy: str) -> None:
        self.handler = handler
        super().__init__(f"The function {handler} cannot be loaded: {reason}. {remedy}")


class SourceError(PollersError):
    """A source, target or destination that cannot be used.

    `resource` is the queue, stream, topic or URL. `missing` says that it does not exist (a fault of the
    configuration), otherwise the same call may succeed later.
    """

    def __init__(self, resource: str, reason: str, remedy: str, *, missing: bool = False) -> None:
        self.resource = resource
        self.missing = missing
        super().__init__(f"{resource}: {reason}. {remedy}")


class LostGrant(PollersError):
    """Raised by `Source.settle` when the partition belongs to somebody else by now: nothing of it may be settled."""


class Undelivered(PollersError):
    """A destination that did not take a failure document. `destination` is its ARN or URL."""

    def __init__(self, destination: str, reason: str) -> None:
        self.destination = destination
        self.reason = reason
        super().__init__(f"The failure destination {destination} did not take the document: {reason}.")
