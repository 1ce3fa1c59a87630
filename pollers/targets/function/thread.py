"""Plain functions given as callables, run in threads of their own pool."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeAlias
from uuid import uuid4

from pollers.flow.records import Failed, Outcome, Returned, Unreachable
from pollers.spi import Function, Invocation
from pollers.targets.function.context import LambdaContext, log_stream

__all__ = ["ThreadFunction"]

MOST_LATE = 100  # calls given up that may still run before no new one is started

Job: TypeAlias = tuple[Callable[[], Outcome], asyncio.AbstractEventLoop, "asyncio.Future[Outcome]"]


class ThreadFunction:
    """A `def` handler in a thread. A thread cannot be stopped: a call past its deadline is given up and goes on."""

    def __init__(self, handler: Callable[[dict[str, Any], Any], Any], function: Function) -> None:
        self.function = function
        self.concurrency: int | None = None  # as many at once as permits allow; threads are made as they are needed
        self.describe = f"thread, timeout {function.timeout:g} s, cooperative"
        self.late = 0  # calls that were given up and still run
        self._handler = handler
        self._log_stream = log_stream(function.version, uuid4().hex)
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads = 0
        self._idle = 0
        self._closed = False

    async def open(self) -> None:
        """Nothing to do: threads are started when they are needed."""

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Run the handler in a thread. When cancelled it returns at once, and the thread is left to end by itself."""
        if self.late >= MOST_LATE:
            return Unreachable(f"{self.late} calls that passed their timeout still run")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        event, context = invocation.event, LambdaContext(self.function, invocation, self._log_stream)
        variables = contextvars.copy_context()
        self._jobs.put((lambda: variables.run(self._call, event, context), loop, future))
        if self._idle:
            self._idle -= 1
        else:
            self._start_thread()
        try:
            return await future
        except asyncio.CancelledError:
            self.late += 1
            raise

    async def close(self) -> None:
        """Let idle threads end; those that run end with their call."""
        self._closed = True
        for _ in range(self._threads):
            self._jobs.put(None)
        self._threads = 0

    def _start_thread(self) -> None:
        self._threads += 1
        # A daemon: a function that never ends must not keep the program from ending.
        threading.Thread(target=self._work, name=f"pollers-{self.function.name}-{self._threads}", daemon=True).start()

    def _call(self, event: dict[str, Any], context: LambdaContext) -> Outcome:
        try:
            return Returned(self._handler(event, context))
        except BaseException as error:  # SystemExit too: it would only end the thread
            return Failed(type(error).__name__, str(error))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            call, loop, future = job
            outcome = call()
            try:
                loop.call_soon_threadsafe(self._done, future, outcome)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return
            del job, call, loop, future, outcome  # an idle thread must not keep the last event alive

    def _done(self, future: asyncio.Future[Outcome], outcome: Outcome) -> None:
        self._idle += 1
        if future.done():
            self.late -= 1
        else:
            future.set_result(outcome)
