"""Wall time, chance and ids, in one value that tests replace. Monotonic time is the event loop's own: `loop.time()`."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

__all__ = ["Clock", "request_ids"]


def request_ids(prefix: bytes | None = None) -> Callable[[], str]:
    """A function that returns a new UUID on each call: a random prefix, drawn once, and a counter.

    One draw of chance per process instead of one per batch; the version and variant bits are those of a UUID 4.
    """
    drawn = bytearray(os.urandom(10) if prefix is None else prefix)
    drawn[6] = (drawn[6] & 0x0F) | 0x40
    drawn[8] = (drawn[8] & 0x3F) | 0x80
    text = drawn.hex()
    head = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-"
    # The last 48 bits count; they start at a random point so that two processes are told apart at a glance.
    numbers = count(int.from_bytes(drawn[:4], "big"))
    return lambda: f"{head}{next(numbers) & 0xFFFFFFFFFFFF:012x}"


@dataclass(frozen=True, slots=True)
class Clock:
    """What a process asks of the world besides its event loop."""

    wall: Callable[[], float] = time.time  # seconds since the epoch
    chance: Callable[[], float] = random.random  # in [0, 1)
    ids: Callable[[], str] = field(default_factory=request_ids)  # a new UUID on each call
