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
    """A place with failure documents. Where somebody else could find them, too, they are held once found."""

    def look(self) -> AsyncIterator[Found]:
        """Everything that is there now. Raises `SourceError`."""

    async def fetch(self, handle: str) -> bytes:
        """The content once more: it is large, and not kept. Raises `SourceError`."""

    async def keep(self) -> None:
        """Hold what was found, in a task of its own, until cancelled. Returns where nothing needs holding."""

    async def done(self, handle: str) -> None:
        """The document was replayed: it need not be found again. Raises `CallFailed`."""

    async def leave(self, handles: Sequence[str]) -> None:
        """These documents can be found again at once."""

    async def close(self) -> None:
        """Leave what is still held."""
