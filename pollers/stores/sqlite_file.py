"""The SQLite file of positions: made whole or not at all, and opened only when it is one of ours.

Whatever cannot be read is refused: a store that began anew by itself would skip or repeat every record.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from pollers.errors import PollersError, SourceError
from pollers.stores.sqlite_faults import AWAY, obstacle, told

__all__ = ["PositionsFile"]

APPLICATION: Final = 0x706F6C6C  # "poll" in the file's header: tells our files from other programs' databases
VERSION: Final = 2  # of the tables below; it grows when an older pollers could no longer use them
TABLES: Final = (
    """CREATE TABLE positions (
        mapping TEXT NOT NULL,
        partition TEXT NOT NULL,
        safe TEXT,                    -- sequence numbers are longer than SQLite's integers
        safe_within INTEGER,
        above TEXT NOT NULL,          -- JSON: [[first, within, last, within], ...], numbers as text
        state TEXT,                   -- JSON
        start REAL,
        finished INTEGER NOT NULL,
        parents TEXT NOT NULL,        -- JSON
        origin TEXT NOT NULL,
        owner TEXT NOT NULL,
        heir TEXT NOT NULL DEFAULT '',
        tenure INTEGER NOT NULL,
        counter INTEGER NOT NULL DEFAULT 0,
        saved REAL NOT NULL,
        PRIMARY KEY (mapping, partition)
    )""",
    # The highest tenure of a mapping's removed rows: a row that is made again goes on above it.
    "CREATE TABLE removed (mapping TEXT NOT NULL PRIMARY KEY, tenure INTEGER NOT NULL)",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)
# What files of an earlier version lack. Positions are kept as they are.
UPGRADES: Final = {
    1: (
        "ALTER TABLE positions ADD COLUMN heir TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE positions ADD COLUMN counter INTEGER NOT NULL DEFAULT 0",
    ),
}


class PositionsFile:
    """One file at a path."""

    def __init__(self, path: Path, url: str, patience: float) -> None:
        """`patience`: seconds to wait for other processes' locks."""
        self._path = path
        self._url = url
        self._patience = patience
        self._inode: tuple[int, int] | None = None  # of the file that is open

    def connect(self) -> sqlite3.Connection:
        """Open the file, which is made if there is none. Raises `SourceError`, sqlite3's errors and OSError."""
        fault = obstacle(self._url, self._path)
        if fault is not None:
            raise fault
        if not self._path.exists():
            _make(self._path, self._patience)
        connection = _open(self._path, self._patience)
        try:
            _check(connection, self._url)
            self._inode = _inode(self._path)
        except BaseException:
            connection.close()
            raise
        return connection

    def check(self) -> None:
        """That the path still leads to the open file. SQLite would go on writing to one that was removed."""
        if _inode(self._path) != self._inode:
            remedy = "Put it back, or stop and start what uses it: it is opened anew then."
            raise SourceError(self._url, "the file was removed or replaced while it was in use", remedy)

    def told(self, error: Exception) -> PollersError:
        """The error of a caller for one of SQLite or of the system."""
        return told(self._url, error)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _open(path: Path, patience: float) -> sqlite3.Connection:
    # mode=rw: a file that has gone in the meantime is an error, not a new one. Transactions are begun by hand.
    address = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(address, uri=True, timeout=patience, isolation_level=None)
    connection.execute("PRAGMA synchronous = NORMAL")  # with WAL: a power failure may undo commits, not tear them
    return connection


def _make(path: Path, patience: float) -> None:
    """Make it under another name and link it to its own: nobody ever sees half a file, and of two makers one wins."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        connection = _open(draft, patience)
        try:
            # Here, where nobody else has it open: changing the mode of a file in use fails at once.
            connection.execute("PRAGMA journal_mode = WAL")
            for statement in TABLES:
                connection.execute(statement)
        finally:
            connection.close()
        if not path.exists():  # where links are followed, one that leads nowhere is an error below
            os.link(draft, path)
    except FileExistsError:
        pass  # somebody else was quicker
    finally:
        for name in (draft, *(Path(f"{draft}{suffix}") for suffix in ("-wal", "-shm"))):
            name.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """A new name is on disk once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check(connection: sqlite3.Connection, url: str) -> None:
    """That it is ours, of a version that we know, whole and writable."""
    if _asked(connection, "PRAGMA application_id") != APPLICATION:
        remedy = "Name another file: pollers makes its own."
        raise SourceError(url, "it is a database of another program", remedy, missing=True)
    _upgrade(connection)
    version = _asked(connection, "PRAGMA user_version")
    if version != VERSION:
        reason = f"its tables have version {version}, and this version of pollers knows {VERSION}"
        raise SourceError(url, reason, "Use the version of pollers that wrote it, or a later one.", missing=True)
    fault = _asked(connection, "PRAGMA quick_check(1)")
    if fault != "ok":
        raise SourceError(url, f"it is damaged ({fault})", AWAY)
    if _asked(connection, "PRAGMA journal_mode = WAL") != "wal":
        remedy = "Keep it on a local file system."
        raise SourceError(url, "its file system has no memory that processes share", remedy, missing=True)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA user_version = {VERSION}")  # a file that may only be read lets transactions begin
    connection.execute("ROLLBACK")


def _upgrade(connection: sqlite3.Connection) -> None:
    """Bring a file of an earlier version to ours, as a whole. Whoever is second finds it done."""
    if _asked(connection, "PRAGMA user_version") not in UPGRADES:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        while statements := UPGRADES.get(int(str(version := _asked(connection, "PRAGMA user_version")))):
            for statement in (*statements, f"PRAGMA user_version = {int(str(version)) + 1}"):
                connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _asked(connection: sqlite3.Connection, question: str) -> object:
    (answer,) = connection.execute(question).fetchone()
    return answer
