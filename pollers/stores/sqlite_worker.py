"""The name under which a process of this machine holds leases: one that nobody else alive has.

A name is a lock on a small file beside the store's. The system lets go of it when the process ends, however it ends:
the next process takes the lowest name that is free, so that a service which crashed finds its own leases again at once.
"""

from __future__ import annotations

import os
import sys
from itertools import count
from pathlib import Path

__all__ = ["Worker"]


class Worker:
    """A name while it is held; "" on systems whose files have no such locks."""

    def __init__(self, store: Path) -> None:
        """Take the lowest name that is free. Raises OSError where no file can be made beside the store's."""
        self.name = ""
        self._descriptor: int | None = None
        if sys.platform == "win32":
            return
        for number in count(1):
            name = f"worker-{number}"
            self._descriptor = _locked(store.with_name(f"{store.name}.{name}"))
            if self._descriptor is not None:
                self.name = name
                return

    def close(self) -> None:
        """Let somebody else have the name."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _locked(path: Path) -> int | None:
    """A descriptor that holds the file's lock; None where another one does."""
    import fcntl  # not on Windows

    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
