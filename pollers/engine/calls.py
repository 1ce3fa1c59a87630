"""Invokes batches: the deadline, the outcome, what is said about it. A call is one await, without task or timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pollers.clock import Clock
from pollers.engine.deadlines import Call, Deadlines, End
from pollers.engine.windows import window_members
from pollers.flow.batches import Batch
from pollers.flow.outcomes import AllFailed, AllPassed, Reading, SomeFailed
from pollers.flow.records import Aborted, Failed, Outcome, Returned, Shape, Throttled, Unreachable
from pollers.spi import Invocation, Target
from pollers.telemetry import (
    Event,
    InvocationFailed,
    InvocationLate,
    Meter,
    ReportUnusable,
    TargetUnavailable,
)

__all__ = ["Calls"]


class Calls:
    """The invocations of one mapping."""

    def __init__(
        self,
        mapping: str,
        target: Target,
        shape: Shape,
        deadlines: Deadlines,
        clock: Clock,
        meter: Meter,
        notice: Callable[[Event], None],
    ) -> None:
        self._mapping = mapping
        self._target = target
        self._shape = shape
        self._deadlines = deadlines
        self._clock = clock
        self._meter = meter
        self._notice = notice
        self._loop = asyncio.get_running_loop()
        self._running: dict[Call, None] = {}
        self._unavailable = False

    def __len__(self) -> int:
        return len(self._running)

    def abort(self) -> None:
        """Cut every call short: it comes back as Aborted, which spends no attempt."""
        for call in list(self._running):
            call.cut(End.ABORTED)

    async def invoke(self, batch: Batch, task: asyncio.Task[None]) -> Outcome:
        """Call the function from `task`, the current one, and say what came of it.

        Cancelled from outside, it cancels the function and passes the cancellation on.
        """
        shape, timeout, window = self._shape, self._target.function.timeout, batch.window
        started = self._loop.time()
        call = Call(batch.request_id, task, started + timeout, self._late)
        invocation = Invocation(
            batch.request_id,
            lambda: shape.event(batch.parts, None if window is None else window_members(window)),
            call.deadline,
            self._clock.wall() + timeout,
        )
        self._running[call] = None
        self._deadlines.arm(call)
        try:
            outcome = await self._target.invoke(invocation)
        except asyncio.CancelledError:
            if call.end is None:
                raise
            outcome = Aborted()
        except Exception as error:  # a target that raises: its function may have run
            outcome = Failed(type(error).__name__, str(error))
        finally:
            self._deadlines.disarm(call)
            del self._running[call]
        if call.end is not None:
            # The cancellation was ours, so that nobody above needs to see it.
            task.uncancel()
            outcome = _cut_short(call.end, timeout)
        self._meter.duration.observe(self._loop.time() - started)
        return outcome

    def tell(self, batch: Batch, records: int, attempt: int, outcome: Outcome, reading: Reading | None) -> None:
        """Count an outcome and say what is worth saying. `attempt` is 1 for the first."""
        counts = self._meter.invocations
        if type(reading) is AllPassed and not self._unavailable:
            counts["ok"] += 1
            return
        match outcome:
            case Returned():
                self._told_returned(batch, records, reading)
            case Failed(error, message):
                counts["failed"] += 1
                self._meter.failed_records += records
                self._notice(InvocationFailed(self._mapping, batch.request_id, records, attempt, error, message))
            case Throttled():
                counts["throttled"] += 1
                self._hold_up("throttled")
                return
            case Unreachable(reason):
                counts["unreachable"] += 1
                self._hold_up(reason)
                return
            case Aborted():
                counts["aborted"] += 1
                return
        if self._unavailable:
            self._unavailable = False
            self._notice(TargetUnavailable(self._mapping, "reached again", over=True))

    def _told_returned(self, batch: Batch, records: int, reading: Reading | None) -> None:
        counts = self._meter.invocations
        match reading:
            case AllFailed(reason):
                counts["failed"] += 1
                self._meter.failed_records += records
                self._notice(ReportUnusable(self._mapping, batch.request_id, reason))
            case SomeFailed():
                counts["partial"] += 1
                self._meter.failed_records += records
            case _:
                counts["ok"] += 1

    def _hold_up(self, reason: str) -> None:
        if not self._unavailable:
            self._unavailable = True
            self._notice(TargetUnavailable(self._mapping, reason))

    def _late(self, request_id: str, seconds: float) -> None:
        self._notice(InvocationLate(self._mapping, request_id, seconds))


def _cut_short(end: End, timeout: float) -> Outcome:
    if end is End.ABORTED:
        return Aborted()
    # Lambda's words for the same event.
    return Failed("Sandbox.Timedout", f"Task timed out after {timeout:.2f} seconds")
