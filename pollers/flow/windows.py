"""Tumbling windows: the state that a function hands on from batch to batch of one shard, window by window.

It knows arrivals, states and wall time as numbers; no lane, claim or record. AWS: semantics 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pollers.flow.records import Raw, Shape

if TYPE_CHECKING:
    from pollers.flow.lanes import Hold

__all__ = ["LATE", "STATE_LIMIT", "Window", "WindowCall", "returned_state"]

STATE_LIMIT: Final = 1_048_576  # bytes of an encoded state. AWS: 1 MB per shard (7-5)
LATE: Final = 2.0  # seconds after its end at which a window without new records is closed. AWS: up to two minutes (7-4)
_EMPTY: Final = b"{}"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class WindowCall:
    """What an invocation is told of its window."""

    start: float  # seconds since the epoch, included
    end: float  # excluded
    state: bytes  # JSON
    final: bool
    early: bool


class Window:
    """The window of one partition: none is open before its first record."""

    __slots__ = ("_invoked", "_start", "_state", "_width", "backlog", "caught_up", "due", "ended", "hold", "last")

    hold: Hold  # its partition

    def __init__(self, width: float, saved: Mapping[str, Any] | None) -> None:
        """`saved`: what `saved()` gave to the partition's earlier owner; what cannot be understood is as if absent."""
        self.due: float | None = None  # monotonic: the timer that closes it
        self.caught_up = False  # the last read found nothing more
        self.backlog = False  # the last read said that more is there
        self.ended = False  # nothing more comes: the shard was read to its end
        self.last = 0.0  # arrival of its latest record
        self._width = width
        self._start: float | None = None
        self._state = _EMPTY
        self._invoked = False  # there is a state to hand to a final call
        if saved is not None:
            self._restore(saved)

    def _restore(self, saved: Mapping[str, Any]) -> None:
        start, state, last = saved.get("start"), saved.get("state"), saved.get("last")
        if isinstance(start, int | float) and isinstance(state, Mapping) and isinstance(last, int | float):
            self._start, self._state, self._invoked, self.last = float(start), _encode(state), True, float(last)

    def saved(self) -> dict[str, Any] | None:
        """What must be kept with the position; None where there is nothing to go on with."""
        if self._start is None or not self._invoked:
            return None
        return {"start": self._start, "state": _decode(self._state), "last": self.last}

    @property
    def end(self) -> float | None:
        """When the open window ends, seconds since the epoch; None where none is open."""
        return None if self._start is None else self._start + self._width

    @property
    def pending(self) -> bool:
        """Whether the window has a state that a final call must be given before the partition is finished."""
        return self._start is not None and self._invoked

    @property
    def oversize(self) -> bool:
        """Whether the state has outgrown its limit, so that the window ends early."""
        return self._invoked and len(self._state) > STATE_LIMIT

    @property
    def nbytes(self) -> int:
        """Bytes that the state takes in an event."""
        return len(self._state)

    def over(self, arrived: float) -> bool:
        """Whether a record that arrived then belongs to a later window. Windows never go backwards."""
        return self._start is not None and arrived >= self._start + self._width

    def late(self, wall: float) -> bool:
        """Whether so much time has passed since its end that no record of it is to be expected any more."""
        return self._start is not None and wall >= self._start + self._width + LATE

    def enter(self, shape: Shape, records: Sequence[Raw]) -> int:
        """Open the window of the first record, unless it belongs to the open one; how many records belong to it."""
        first = shape.arrived(records[0])
        if self._start is None or self.over(first):
            self._start = floor(first / self._width) * self._width
            self._state, self._invoked = _EMPTY, False
        end = self._start + self._width
        count = 1
        for raw in records[1:]:
            if shape.arrived(raw) >= end:
                break
            count += 1
        return count

    def call(self, *, final: bool) -> WindowCall:
        """What the next invocation is told."""
        assert self._start is not None, "a window is open"
        return WindowCall(self._start, self._start + self._width, self._state, final, early=final and self.oversize)

    def take(self, state: bytes, last: float) -> None:
        """The function has returned a state, after a record that arrived at `last`."""
        self._state, self._invoked = state, True
        self.last = max(self.last, last)

    def close(self) -> None:
        """Its final call is done with. After an early end the rest of the window begins with an empty state (12-15)."""
        if self.oversize:
            self._state, self._invoked = _EMPTY, False
        else:
            self._start, self._state, self._invoked = None, _EMPTY, False


def returned_state(payload: object) -> bytes | None:
    """The state in a function's answer, encoded; None where it has none. AWS: then the invocation has failed (7-3)."""
    state = payload.get("state") if isinstance(payload, dict) else None
    if not isinstance(state, dict):
        return None
    try:
        return _encode(state)
    except (TypeError, UnicodeEncodeError, RecursionError):
        return None
