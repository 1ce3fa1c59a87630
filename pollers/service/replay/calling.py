"""Calls the mapping's function with a replayed event, and reads the answer as the mapping does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, cast

from pollers.clock import Clock
from pollers.flow.outcomes import AllFailed, AllPassed, SomeFailed, read_report
from pollers.flow.records import Aborted, Failed, Outcome, Partition, Returned, Shape, Throttled, Unreachable
from pollers.service.output import logs_on_stderr
from pollers.service.replay.rebuilding import Rebuilt
from pollers.spi import Invocation, Target

__all__ = ["Caller"]

_WAITS: Final = (0.5, 1.0, 2.0, 4.0)  # seconds before the function is called once more, when it was not reached


class Caller:
    """One function, one call after the other."""

    def __init__(self, target: Target, clock: Clock, *, reports: bool) -> None:
        self._target = target
        self._clock = clock
        self._reports = reports

    async def call(self, rebuilt: Rebuilt) -> str:
        """Why the records are not processed; empty when they are. Waits while the function cannot be called."""
        outcome = await self._once(rebuilt.event)
        for wait in _WAITS:
            if not isinstance(outcome, Throttled | Unreachable):
                break
            await asyncio.sleep(max(wait, (isinstance(outcome, Throttled) and outcome.after) or 0.0))
            outcome = await self._once(rebuilt.event)
        return self._meaning(outcome, rebuilt.identifiers)

    async def _once(self, event: dict[str, Any]) -> Outcome:
        timeout, loop = self._target.function.timeout, asyncio.get_running_loop()
        invocation = Invocation(self._clock.ids(), event, loop.time() + timeout, self._clock.wall() + timeout)
        with logs_on_stderr():
            try:
                async with asyncio.timeout(timeout):
                    return await self._target.invoke(invocation)
            except TimeoutError:
                return Failed("Sandbox.Timedout", f"Task timed out after {timeout:.2f} seconds")  # Lambda's words

    def _meaning(self, outcome: Outcome, identifiers: Sequence[object]) -> str:
        match outcome:
            case Returned():
                return self._report(outcome, identifiers) if self._reports else ""
            case Failed(error, message):
                return ": ".join(filter(None, (error, message))).rstrip(".")
            case Throttled():
                return "the function is throttled"
            case Unreachable(reason):
                return f"the function was not reached: {reason}"
            case Aborted():
                return "the call was ended before the function had answered"

    def _report(self, answer: Returned, identifiers: Sequence[object]) -> str:
        match read_report(
            answer, [(Partition(""), identifiers)], cast(Shape, _Names())
        ):  # it asks for identifiers only
            case AllPassed():
                return ""
            case AllFailed(reason):
                return reason
            case SomeFailed((failed,)):
                return f"{len(failed)} of {len(identifiers)} records were reported as failed, the first is " + _printed(
                    identifiers[failed[0]]
                )
            case SomeFailed():
                raise AssertionError("one part was asked about")


def _printed(identifier: object) -> str:
    """A sequence number; of a topic's record partition and offset."""
    if isinstance(identifier, tuple):
        return ", ".join(f"{name} {value}" for name, value in identifier)
    return str(identifier)


class _Names:
    """A shape of records that are their identifiers."""

    def identifier(self, partition: Partition, name: object) -> object:
        return name
