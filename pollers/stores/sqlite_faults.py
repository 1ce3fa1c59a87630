"""What can be wrong with a SQLite file, in words: what happened and what to do about it."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Final

from pollers.errors import PollersError, SourceError

__all__ = ["obstacle", "told"]

AWAY: Final = "Restore a copy of it, or move it away: every mapping then begins at its starting position."
PERMIT: Final = "Let this user write to the file and to its folder, or name another file."

# SQLite's primary result codes: what happened, what to do, and whether only another configuration helps.
_FAULTS: Final = {
    sqlite3.SQLITE_FULL: ("the disk is full", "Make room on it: positions are saved again then.", False),
    sqlite3.SQLITE_BUSY: ("another process keeps it locked", "End that process, or wait until it is done.", False),
    sqlite3.SQLITE_LOCKED: ("another process keeps it locked", "End that process, or wait until it is done.", False),
    sqlite3.SQLITE_READONLY: ("it can be read and not written", PERMIT, True),
    sqlite3.SQLITE_PERM: ("this user may not use it", PERMIT, True),
    sqlite3.SQLITE_AUTH: ("this user may not use it", PERMIT, True),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", PERMIT, True),
    sqlite3.SQLITE_NOTADB: ("it is no SQLite database", "Name another file, or move this one away.", True),
    sqlite3.SQLITE_CORRUPT: ("it is damaged", AWAY, False),
    sqlite3.SQLITE_IOERR: (
        "the disk fails",
        "Look at the system's log. Positions are saved again when it works.",
        False,
    ),
}


def told(url: str, error: Exception) -> PollersError:
    """The error that a caller gets for one of SQLite or of the system."""
    if isinstance(error, PollersError):
        return error
    fault = _system(url, error) if isinstance(error, OSError) else _sqlite(url, error)
    fault.__cause__ = error
    return fault


def _system(url: str, error: OSError) -> SourceError:
    """What kept the file from being made."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SourceError(url, *_FAULTS[sqlite3.SQLITE_FULL][:2])
    return SourceError(url, (error.strerror or str(error)).lower(), PERMIT, missing=True)


def _sqlite(url: str, error: Exception) -> SourceError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the lowest byte of an extended code is the primary one
    reason, remedy, missing = _FAULTS.get(code, (type(error).__name__, "The next try may succeed.", False))
    return SourceError(url, f"{reason} ({error})", remedy, missing=missing)


def obstacle(url: str, path: Path) -> SourceError | None:
    """What keeps the file from being opened or made, where that shows without touching it."""
    folder = path.parent
    if not folder.is_dir():
        return SourceError(url, f"there is no folder {folder}", "Make it, or name another file.", missing=True)
    if path.is_dir():
        return SourceError(url, "it is a folder", "Name a file in it.", missing=True)
    # SQLite keeps files of its own beside it: the folder must be writable even where the file exists.
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return SourceError(url, f"this user may not write in the folder {folder}", PERMIT, missing=True)
    if path.exists() and not path.stat().st_size:
        return SourceError(url, "it is an empty file, which pollers does not make", AWAY, missing=True)
    return None
