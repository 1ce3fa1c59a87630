"""Which messages are ours, until when, and what becomes of their visibility. No await, no clock, no call.

Times are the loop's, in seconds. A message's visibility is counted from the arrival of the answer that brought it,
which is a little late; beats come early enough to make up for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from math import ceil
from typing import Any, Final

from pollers.flow.records import Raw

__all__ = ["SHORTEST", "Held", "Holdings"]

# AWS: a message can be kept for 12 hours after its receive, by SQS's own count; a minute is left for the difference.
LONGEST: Final = 12 * 3600 - 60
# Seconds for which messages are received at least, where they are extended: a shorter visibility cannot be renewed
# in time, over and over. After a failure they are set back to what the queue says.
SHORTEST: Final = 3


class Held:
    """One message that was received and is not settled."""

    __slots__ = ("extended", "handle", "leaving", "raw", "received", "until", "waiting")

    def __init__(self, raw: Raw, received: float, until: float, *, extended: bool) -> None:
        self.raw = raw
        self.handle: str = raw["ReceiptHandle"]
        self.received = received
        self.until = until  # it is visible to others from then on
        self.extended = extended  # it may stay invisible for longer than the queue would have it
        self.leaving = False  # its visibility has been decided: no beat may change it any more
        self.waiting: asyncio.Future[None] | None = None  # done when the extension under way has ended


class Holdings:
    """The messages of one queue that are kept extended."""

    def __init__(self, visibility: int, own: int) -> None:
        """`visibility`: seconds for which messages are received and extended; `own`: what they would get without us."""
        self._horizon = 2 * visibility / 3  # two beats
        self._visibility = visibility
        self._own = own
        self._held: dict[str, Held] = {}  # by receipt handle, in the order they came

    def add(self, messages: Iterable[Raw], now: float) -> None:
        """These arrived now."""
        until, extended = now + self._visibility, self._visibility > self._own
        for raw in messages:
            held = Held(raw, now, until, extended=extended)
            self._held[held.handle] = held

    def get(self, handle: str) -> Held | None:
        return self._held.get(handle)

    def pop(self, handle: str) -> Held | None:
        """It is settled, or not ours any more."""
        return self._held.pop(handle, None)

    def clear(self) -> None:
        self._held.clear()

    def due(self, now: float) -> list[Held]:
        """What must be extended at this beat, most urgent first; should it fail, there is time for one more try."""
        horizon = now + self._horizon
        due = [one for one in self._held.values() if one.until <= horizon and self._extensible(one, now)]
        due.sort(key=_until)
        return due

    def lapsed(self, now: float) -> list[Held]:
        """Take out what is visible to others by now."""
        lapsed = [one for one in self._held.values() if one.until <= now and not one.leaving]
        for one in lapsed:
            del self._held[one.handle]
        return lapsed

    def extension(self, held: Held, now: float) -> int:
        """Seconds to keep it from now on."""
        return min(self._visibility, int(held.received + LONGEST - now))

    def setback(self, held: Held, now: float) -> int | None:
        """Seconds after which a failed message is to reappear; None: as it is, since nothing extended it.

        One queue timeout after its receive, or at once if that has passed. Ours: semantics 13-3.
        """
        return max(0, ceil(held.received + self._own - now)) if held.extended else None

    def _extensible(self, held: Held, now: float) -> bool:
        return not held.leaving and held.until > now and now + self.extension(held, now) > held.until


def _until(held: Held) -> float:
    return held.until


def receives(raw: dict[str, Any]) -> int:
    """How often the message has been received, this time included."""
    return int(raw.get("Attributes", {}).get("ApproximateReceiveCount", 1))
