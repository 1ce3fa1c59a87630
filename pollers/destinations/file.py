"""A file of JSON lines as failure destination: one line per document, with its payload, on disk before it counts.

Lines are never torn: whoever appends holds the file's lock, writes once, and takes back what the disk had no room for.
Several processes may share a file. A last line that a power failure cut off stays as it is; the next begins below it.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pollers.destinations.documents import with_payload
from pollers.errors import ConfigurationError, Problem, SourceError, Undelivered
from pollers.spi import Failure

__all__ = ["FileDestination"]

_REMEDIES = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "raise the quota or make room",
    errno.EFBIG: "move the file away or raise the limit of file sizes",
    errno.EACCES: "let this user write to it",
    errno.EPERM: "let this user write to it",
    errno.EROFS: "mount it writable, or name another place",
    errno.ENOENT: "make its folder",
    errno.EISDIR: "name a file in it",
}


class FileDestination:
    """Appends documents to one file, which is made when the first one comes."""

    def __init__(self, place: str | Path) -> None:
        """`place`: a path, or a URL such as file:///var/lib/pollers/failures.jsonl. Raises ConfigurationError."""
        self.path = path_of(place) if isinstance(place, str) and place.startswith("file:") else Path(place)
        self.name = self.path.absolute().as_uri()
        self._turn = asyncio.Lock()  # documents of one process in the order in which they come

    async def open(self) -> None:
        """See that the folder exists and that the file is, or can become, one that can be appended to."""
        problem = await asyncio.to_thread(_obstacle, self.path)
        if problem is not None:
            raise SourceError(self.name, *problem, missing=True)

    async def deliver(self, failure: Failure) -> None:
        """Return once the line is on disk. Cancelled, the line may get there all the same."""
        line = with_payload(failure) + b"\n"
        async with self._turn:
            try:
                await asyncio.to_thread(append, self.path, line)
            except OSError as error:
                raise Undelivered(self.name, _cause(error)) from error

    async def close(self) -> None:
        """Nothing is kept open."""


def path_of(url: str) -> Path:
    """The path in a file URL, with its percent signs decoded. Raises ConfigurationError."""
    split = urlsplit(url)
    if split.netloc not in ("", "localhost") or split.query or split.fragment or not split.path.startswith("/"):
        raise _unusable(url, "is no URL of a file on this machine.")
    if split.path.endswith("/"):
        raise _unusable(url, "names a folder.")
    try:
        path = unquote(split.path, errors="strict")
    except UnicodeDecodeError:
        raise _unusable(url, "holds percent signs that do not stand for UTF-8.") from None
    if "\0" in path:
        raise _unusable(url, "holds a null byte.")
    return Path(path)


def append(path: Path, line: bytes) -> None:
    """Append a whole line, or nothing, and have it on disk. Raises OSError."""
    existed = path.exists()
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)  # ends with the descriptor
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            line = b"\n" + line
        _write(file, line, size)
        os.fsync(file)
    finally:
        os.close(file)
    if not existed:
        _sync_folder(path.parent)


def _write(file: int, line: bytes, size: int) -> None:
    """All or nothing: what was written of a line that does not fit is taken back."""
    left = memoryview(line)
    try:
        while left:
            left = left[os.write(file, left) :]
    except OSError:
        if len(left) < len(line):
            os.ftruncate(file, size)
        raise


def _sync_folder(folder: Path) -> None:
    """A new file is not safe before its folder is."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _obstacle(path: Path) -> tuple[str, str] | None:
    """What keeps documents from being appended, and what to do, as far as it shows without writing."""
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {folder}", "Make it, or name another place."
    if path.is_dir():
        return "it is a folder", "Name a file in it."
    if not os.access(path if path.exists() else folder, os.W_OK):
        return "this user may not write there", "Let it, or name another place."
    return None


def _cause(error: OSError) -> str:
    cause = (error.strerror or str(error)).lower()
    remedy = _REMEDIES.get(error.errno or 0)
    return f"{cause}; {remedy}" if remedy else cause


def _unusable(url: str, message: str) -> ConfigurationError:
    return ConfigurationError([Problem(url, message, "Write it as file:///folder/failures.jsonl.")])
