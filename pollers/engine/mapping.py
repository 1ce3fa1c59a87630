"""A mapping: one source, one target, and what lies between them, as the engine runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from pollers.flow.records import Policy, RecordFilter, Shape
from pollers.spi import Destination, Source, Target

__all__ = ["Mapping", "Pattern"]


class Pattern(Protocol):
    """Compiled FilterCriteria, before it is known how the source's records look."""

    def bind(self, shape: Shape) -> RecordFilter: ...


@dataclass(frozen=True)
class Mapping:
    """What one poller runs. Build it with `pollers.EventSourceMapping`."""

    identity: str  # positions are kept under it, metrics and logs name it
    source: Source
    target: Target
    policy: Policy = field(default_factory=Policy)
    destination: Destination | None = None
    filters: Pattern | None = None  # compiled FilterCriteria
    maximum_concurrency: int | None = None  # batches at once (ScalingConfig.MaximumConcurrency)
    reserved_concurrency: int | None = None  # of the function, shared by its mappings
    weight: float = 1.0  # its part of permits that several mappings want
    detail: str = ""  # one line about the function, for the start
    warnings: tuple[str, ...] = ()
