"""Where failure documents lie: what every such place can do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Found", "Origin"]


@dataclass(frozen=True, slots=True)
class Found:
    """Something that should be a failure document."""

    place: str  # for people
    handle: str  # what its origin knows it by
    content: bytes


class Origin(Protocol):
    """A place with failure documents. Every method but `keep` raises `PollersError`s; `leave` only for `open`'s faults.

    What was found is held until `done`, `leave` or `close`, in places where somebody else could find it, too.
    """

    def look(self) -> AsyncIterator[Found]:
        """Everything that is there now."""

    async def fetch(self, handle: str) -> bytes:
        """The content once more: it is large, and not kept."""

    async def keep(self) -> None:
        """Hold what was found, in a task of its own, until cancelled. Returns where nothing needs holding."""

    async def done(self, handle: str) -> None:
        """The document was replayed: it need not be found again."""

    async def leave(self, handles: Sequence[str]) -> None:
        """These documents can be found again at once."""

    async def close(self) -> None:
        """Leave what is still held."""
