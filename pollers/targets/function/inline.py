"""Async functions, awaited on the caller's loop, in the caller's own task."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from pollers.flow.records import Failed, Outcome, Returned
from pollers.spi import Function, Invocation
from pollers.targets.function.context import LambdaContext, log_stream

__all__ = ["InlineFunction"]


class InlineFunction:
    """An `async def` handler. Its timeout is cooperative: it is cancelled, and may take its time to end."""

    def __init__(self, handler: Callable[[dict[str, Any], Any], Awaitable[Any]], function: Function) -> None:
        self.function = function
        self.concurrency: int | None = None  # as many at once as permits allow
        self.describe = f"inline, timeout {function.timeout:g} s, cooperative"
        self._handler = handler
        self._log_stream = log_stream(function.version, uuid4().hex)

    async def open(self) -> None:
        """Nothing to do: the function is there."""

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Await the handler. Whatever it raises is a failure; a cancellation that is not its own passes."""
        try:
            return Returned(
                await self._handler(invocation.event, LambdaContext(self.function, invocation, self._log_stream))
            )
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return Failed("CancelledError", str(error) or "the function cancelled itself")
        except BaseException as error:  # SystemExit and KeyboardInterrupt too: a function must not end its service
            return Failed(type(error).__name__, str(error))

    async def close(self) -> None:
        """Nothing to end."""
