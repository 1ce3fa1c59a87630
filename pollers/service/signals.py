"""Ctrl-C and SIGTERM: the first drains, the second stops at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

__all__ = ["TwoSignals"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TwoSignals:
    """While entered, the first signal calls `first`; the second ends the process with exit code 130.

    Nothing is settled after the second: what was being processed is redelivered.
    """

    def __init__(self, first: Callable[[str], None], second: Callable[[], None]) -> None:
        self._first = first
        self._second = second
        self._seen = False

    def __enter__(self) -> TwoSignals:
        self._loop = asyncio.get_running_loop()
        for number in SIGNALS:
            self._loop.add_signal_handler(number, self._received, signal.Signals(number).name)
        return self

    def __exit__(self, *_: object) -> None:
        for number in SIGNALS:
            self._loop.remove_signal_handler(number)

    def _received(self, name: str) -> None:
        if self._seen:
            self._second()
            os._exit(130)
        self._seen = True
        self._first(name)
