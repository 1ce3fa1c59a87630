"""An event loop whose time jumps: waiting costs nothing, and every run takes the same steps.

Code under test uses asyncio as ever; only the loop differs. Its time stands still while anything can run, and jumps to
the next timer when nothing can. Real sockets are polled on the way; work in threads of `run_in_executor` holds the
clock for up to `patience` real seconds, so that a thread is not overtaken by a timer.
"""

from __future__ import annotations

import asyncio
import functools
import random
import selectors
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Executor
from typing import Any, ParamSpec, TypeVar, TypeVarTuple

from pollers.clock import Clock, request_ids

__all__ = ["Deadlock", "Livelock", "VirtualLoop", "clock", "idle", "run_virtual", "virtual_time"]

T = TypeVar("T")
P = ParamSpec("P")
Ts = TypeVarTuple("Ts")

START = 1_000.0  # loop time at which a loop begins, seconds
WALL_START = 1_700_000_000.0  # seconds since the epoch: 2023-11-14T22:13:20Z
BUDGET = 1_000_000  # turns of a loop; a few seconds of real time
PARTING = 10_000  # turns left for cancelling tasks once the budget is spent


class Deadlock(Exception):
    """Every task waits, no timer is set, and nothing outside of the loop can wake it."""


class Livelock(Exception):
    """The loop took more turns than its budget: something spins."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own."""

    def __init__(self, *, wall_start: float = WALL_START, budget: int = BUDGET, patience: float = 1.0) -> None:
        self.patience = patience  # real seconds to wait for threads and sockets
        self._now = START
        self._wall_offset = wall_start - START
        self._budget = budget
        self._left = budget
        self._jobs = 0  # in threads of an executor
        super().__init__(_Selector(self))

    def time(self) -> float:
        """Monotonic virtual time, in seconds."""
        return self._now

    def wall(self) -> float:
        """Virtual time of day, in seconds since the epoch."""
        return self._now + self._wall_offset

    @property
    def turns(self) -> int:
        """How many turns it has taken: what a test against busy loops compares."""
        return self._budget - self._left

    def jump_wall(self, seconds: float) -> None:
        """Set the time of day forward, or back if negative; monotonic time does not notice."""
        self._wall_offset += seconds

    def run_in_executor(  # time stands still until it has ended or was cancelled, or patience ends
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run `func` in a thread, as every loop does."""
        future = super().run_in_executor(executor, func, *args)
        self._jobs += 1
        future.add_done_callback(self._job_ended)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the executor's threads in real time: `timeout` would end at once on a clock that jumps."""
        self._jobs += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._jobs -= 1

    def _job_ended(self, future: asyncio.Future[Any]) -> None:
        self._jobs -= 1

    # Asked by the selector, once a turn

    def _turn(self) -> None:
        self._left -= 1
        if self._left < 0:
            self._left = PARTING
            raise Livelock(f"{self._budget} turns and no end at {self._now:.6f}: {_tasks(self)}")

    def _patience(self, timeout: float | None, sockets: int) -> float:
        """Real seconds to wait for what is outside, before the clock moves by `timeout`."""
        if self._jobs:
            return self.patience
        outside = timeout is None and (sockets > 1 or threading.active_count() > 1)  # 1: the loop's own pipe
        return self.patience if outside else 0.0

    def _advance(self, timeout: float | None) -> None:
        if timeout is None:
            raise Deadlock(f"Nothing can happen any more at {self._now:.6f}: {_tasks(self)}")
        self._now += timeout


class _Selector(selectors.DefaultSelector):
    """Looks at real sockets without waiting for them; where a loop would wait, it moves the loop's clock instead."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop._turn()
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        patience = self._loop._patience(timeout, len(self.get_map()))
        if patience and (events := super().select(patience)):
            return events
        self._loop._advance(timeout)
        return []


def _tasks(loop: asyncio.AbstractEventLoop) -> str:
    """Where each unfinished task stands."""
    return "; ".join(_places(sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name()))) or "no task is left"


def _places(tasks: Iterable[asyncio.Task[Any]]) -> Iterable[str]:
    for task in tasks:
        waiting: Any = task.get_coro()
        place = "an unknown place"
        while waiting is not None and (frame := getattr(waiting, "cr_frame", None)) is not None:
            place = f"{frame.f_code.co_name} ({frame.f_code.co_filename}:{frame.f_lineno})"
            waiting = waiting.cr_await
        yield f"{task.get_name()} waits in {place}"


async def idle() -> None:
    """Return once everything that can happen now has happened. A microsecond passes."""
    await asyncio.sleep(1e-6)


def run_virtual(
    main: Coroutine[Any, Any, T] | Callable[[], Coroutine[Any, Any, T]],
    *,
    wall_start: float = WALL_START,
    budget: int = BUDGET,
    patience: float = 1.0,
) -> T:
    """Run a coroutine, or what `main()` makes, on a loop of its own to its end; what it leaves running is cancelled.

    `budget` is turns of the loop. Raises `Deadlock` or `Livelock` where a real loop would hang.
    """
    made = VirtualLoop(wall_start=wall_start, budget=budget, patience=patience)
    with asyncio.Runner(loop_factory=lambda: made) as runner:
        return runner.run(main() if callable(main) else main)


def virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make a plain test of an async one: it runs on a `VirtualLoop`. Its fixtures must not be async."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_virtual(test(*args, **kwargs))

    return run


def clock(loop: VirtualLoop | None = None, seed: int = 0) -> Clock:
    """The clock of a loop, by default of the one that runs: its time of day, and chance and ids by `seed`."""
    if loop is None:
        running = asyncio.get_running_loop()
        if not isinstance(running, VirtualLoop):
            raise TypeError("The running loop is not virtual. Decorate the test with @virtual_time.")
        loop = running
    dice = random.Random(seed)
    return Clock(wall=loop.wall, chance=dice.random, ids=request_ids(dice.randbytes(10)))
