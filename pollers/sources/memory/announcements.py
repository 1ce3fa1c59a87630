"""What happens to a source's grants, from whoever knows it to the one who listens to `Source.changes`."""

from __future__ import annotations

import asyncio

from pollers.spi import Change

__all__ = ["Announcements"]


class Announcements:
    """What `Source.changes` yields: told from anywhere on the loop, heard by one listener at a time."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Change | None] | None = None  # None: nobody listens yet
        self._closed = False

    @property
    def heard(self) -> bool:
        """Whether somebody has begun to listen."""
        return self._queue is not None

    def tell(self, change: Change) -> None:
        """Say it to the listener. What nobody listens to is dropped: grants come anew to the next one."""
        if self._queue is not None:
            self._queue.put_nowait(change)

    def begin(self) -> asyncio.Queue[Change | None]:
        """A new listener begins; what the one before has not heard is void."""
        self._queue = asyncio.Queue()
        if self._closed:
            self._queue.put_nowait(None)
        return self._queue

    def close(self) -> None:
        """Let the listener end."""
        self._closed = True
        if self._queue is not None:
            self._queue.put_nowait(None)
