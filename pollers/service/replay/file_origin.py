"""Failure documents in a file, one a line, as the `file` destination writes them. Lines are read and left in place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from pollers.errors import SourceError
from pollers.service.replay.origins import Found

__all__ = ["FileOrigin"]


class FileOrigin:
    """One file. A document's handle is the offset of its line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def look(self) -> AsyncIterator[Found]:
        """The lines that there are when it begins; empty ones do not count."""
        try:
            with self._path.open("rb") as file:
                left, offset, number = self._path.stat().st_size, 0, 0
                while offset < left and (line := file.readline()):
                    number += 1
                    if line.strip():
                        yield Found(f"{self._path}:{number}", str(offset), line)
                    offset += len(line)
        except OSError as error:
            raise self._unreadable(error) from error

    async def fetch(self, handle: str) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(int(handle))
                return file.readline()
        except OSError as error:
            raise self._unreadable(error) from error

    async def keep(self) -> None:
        """Nobody takes lines away."""

    async def done(self, handle: str) -> None:
        """The line stays: others may be appending."""

    async def leave(self, handles: Sequence[str]) -> None:
        """They never went."""

    async def close(self) -> None:
        """Nothing is held."""

    def _unreadable(self, error: OSError) -> SourceError:
        cause = (error.strerror or str(error)).lower()
        missing = isinstance(error, FileNotFoundError)
        return SourceError(str(self._path), cause, "Name a file of failure documents.", missing=missing)
