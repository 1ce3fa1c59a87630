"""A function that answers as a test wrote down, holds its calls open until told, and keeps a journal of them."""

from __future__ import annotations

import asyncio
import inspect
from base64 import b64decode
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from pollers.spi import Function, Invocation, Outcome, Returned

__all__ = ["Answer", "Invoked", "ScriptedFunction"]

Answer: TypeAlias = Callable[["Invoked"], Outcome | Awaitable[Outcome]]


@dataclass(slots=True)
class Invoked:
    """One call of a scripted function."""

    request_id: str
    event: dict[str, Any]
    begun: float  # loop time, seconds
    ended: float | None = None  # None while it runs
    outcome: Outcome | None = None  # None while it runs, and after it was cancelled

    @property
    def texts(self) -> list[str]:
        """The payload of each record: the body of a message, the data of a stream's record as UTF-8."""
        return [_text(record) for record in self.event["Records"]]


class ScriptedFunction:
    """A `Target` for tests. Every call is noted in `calls`, in the order of their begin.

    - `answers`: one outcome per call, in that order, and `Returned()` when they are used up; or a callable, async or
      not, that is given the call and returns its outcome.
    - `seconds`: how long each call takes, of loop time.
    """

    def __init__(
        self,
        answers: Iterable[Outcome] | Answer = (),
        *,
        seconds: float = 0.0,
        name: str = "function",
        timeout: float = 900.0,
    ) -> None:
        self.function = Function(name, f"arn:aws:lambda:us-east-1:000000000000:function:{name}", timeout)
        self.seconds = seconds
        self.calls: list[Invoked] = []
        self.running = 0
        self.most = 0  # calls that ran at once
        self.opened = self.closed = 0  # how often
        self._answer = answers if callable(answers) else _in_turn(answers)
        self._holding = False
        self._held: deque[asyncio.Future[None]] = deque()
        self._begun = asyncio.Condition()

    @property
    def texts(self) -> list[str]:
        """The payloads of all records of all calls, as they came."""
        return [text for call in self.calls for text in call.texts]

    def hold(self) -> None:
        """Let no call end from now on, until `let_go`."""
        self._holding = True

    def let_go(self, count: int | None = None) -> None:
        """Let the `count` calls that are held longest end; None: all of them, and hold no more."""
        if count is None:
            self._holding = False
        going = [future for future in self._held if not future.done()][:count]
        for future in going:
            future.set_result(None)

    async def called(self, times: int) -> Invoked:
        """Wait until as many calls have begun, in all; returns the last one of them."""
        async with self._begun:
            await self._begun.wait_for(lambda: len(self.calls) >= times)
        return self.calls[times - 1]

    async def open(self) -> None:
        """There is nothing to load."""
        self.opened += 1

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Note the call, take `seconds`, wait while held, answer."""
        loop = asyncio.get_running_loop()
        call = Invoked(invocation.request_id, invocation.event, loop.time())
        self.calls.append(call)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            async with self._begun:
                self._begun.notify_all()
            if self.seconds:
                await asyncio.sleep(self.seconds)
            if self._holding:
                await self._hold()
            answer = self._answer(call)
            call.outcome = await answer if inspect.isawaitable(answer) else answer
            return call.outcome
        finally:
            call.ended = loop.time()
            self.running -= 1

    async def close(self) -> None:
        """There is nothing to free."""
        self.closed += 1

    async def _hold(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held.append(future)
        try:
            await future
        finally:
            self._held.remove(future)


def _in_turn(outcomes: Iterable[Outcome]) -> Answer:
    left = iter(outcomes)
    return lambda call: next(left, Returned())


def _text(record: dict[str, Any]) -> str:
    if "body" in record:
        return str(record["body"])
    return b64decode(record["kinesis"]["data"]).decode()
