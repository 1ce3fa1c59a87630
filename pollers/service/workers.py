"""`pollers run --workers N`: processes that share the work by leases and consumer groups, under one parent.

The parent reads no source. It starts the processes, starts one again that died, and stops them together. A process
whose parent is gone, however that came, drains and ends: its standard input closes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Final

from pollers.service.exits import CONFIGURATION, DRAINED, FAILED, LEFT, SIGNALLED, USAGE
from pollers.service.signals import TwoSignals

__all__ = ["Parent", "Worker", "run_workers"]

FIRST, CAP = 1.0, 60.0  # seconds before a process that died is started again
STEADY: Final = 60.0  # seconds of life after which a death counts as the first
BEYOND: Final = 10.0  # seconds after the grace period in which a process must have ended by itself
FATAL: Final = (CONFIGURATION, USAGE)  # what no further start would change

log = logging.getLogger("pollers")


@dataclass(frozen=True, slots=True)
class Worker:
    """Which of how many processes this one is."""

    number: int  # from 1
    of: int

    @classmethod
    def parse(cls, text: str) -> Worker:
        """From "2/3". Raises ValueError."""
        number, _, of = text.partition("/")
        worker = cls(int(number), int(of))
        if not 1 <= worker.number <= worker.of:
            raise ValueError(f"{text} is no process of several")
        return worker

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def run_workers(arguments: Sequence[str], workers: int, grace: float) -> int:
    """Run `workers` processes of `pollers run ARGUMENTS` until a signal. Returns the exit code.

    `grace`: seconds that each of them may take to drain.
    """
    return asyncio.run(_until_signal(Parent(arguments, workers, grace)))


async def _until_signal(parent: Parent) -> int:
    def stop(name: str) -> None:
        log.info("%s: stopping %d workers. A second signal stops them at once.", name, parent.running)
        parent.stop()

    with TwoSignals(stop, parent.kill):
        return await parent.run()


class Parent:
    """The processes, by number."""

    def __init__(self, arguments: Sequence[str], workers: int, grace: float, *, log_to: IO[str] | None = None) -> None:
        """`log_to`: a file for what they log; None: where this process logs to."""
        self._arguments = arguments
        self._workers = [Worker(number, workers) for number in range(1, workers + 1)]
        self._grace = grace
        self._log_to = log_to
        self._running: dict[Worker, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._codes: list[int] = []

    @property
    def running(self) -> int:
        """How many there are now."""
        return len(self._running)

    async def run(self) -> int:
        """Keep them running until `stop` or `kill`. Returns the exit code of all together."""
        async with asyncio.TaskGroup() as tasks:
            for worker in self._workers:
                tasks.create_task(self._keep(worker))
        return _worst(self._codes)

    def stop(self) -> None:
        """Have all drain and end; those that have not ended when their time is over are killed."""
        self._stopping.set()
        for process in self._running.values():
            _signal(process, signal.SIGTERM)
        asyncio.get_running_loop().call_later(self._grace + BEYOND, self.kill)

    async def lose(self, pid: int) -> None:
        """Kill the one with this process id; returns when it is gone. It is started again, as any that dies."""
        for process in list(self._running.values()):
            if process.pid == pid:
                _signal(process, signal.SIGKILL)
                await process.wait()

    def kill(self) -> None:
        """End all at once."""
        self._stopping.set()
        for process in self._running.values():
            _signal(process, signal.SIGKILL)

    async def _keep(self, worker: Worker) -> None:
        """Have one process run until all are to stop."""
        deaths = 0
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            began = loop.time()
            code = await self._run_one(worker)
            if self._stopping.is_set():
                self._codes.append(code)
                return
            if code in FATAL:
                # It has said why. The others read the same configuration.
                self._codes.append(code)
                self.stop()
                return
            deaths = 1 if loop.time() - began >= STEADY else deaths + 1
            delay = min(FIRST * 2.0 ** min(deaths - 1, 30), CAP)
            log.error("Worker %s ended (%s); it is started again in %g s.", worker, _described(code), delay)
            await self._pause(delay)

    async def _run_one(self, worker: Worker) -> int:
        # A session of its own: Ctrl-C reaches the parent alone, so that it counts once.
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "pollers",
            "run",
            *self._arguments,
            "--worker",
            str(worker),
            stdin=asyncio.subprocess.PIPE,
            stderr=self._log_to,
            start_new_session=True,
        )
        self._running[worker] = process
        if self._stopping.is_set():
            _signal(process, signal.SIGTERM)
        try:
            return await process.wait()
        finally:
            del self._running[worker]

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    if process.returncode is None:
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return


def _described(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _worst(codes: Sequence[int]) -> int:
    """What all of them together come to."""
    # One that SIGTERM itself ended was not far enough to have a handler for it: it had read nothing.
    plain = [code if code >= 0 else DRAINED if code == -signal.SIGTERM else LEFT for code in codes]
    return next((code for code in (CONFIGURATION, USAGE, FAILED, SIGNALLED, LEFT) if code in plain), DRAINED)
