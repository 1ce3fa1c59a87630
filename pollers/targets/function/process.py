"""Functions in warm worker processes, one call each at a time, as Lambda's execution environments run them."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from pollers.errors import FunctionNotLoaded
from pollers.flow.records import EVENT_LIMIT, Failed, Outcome, Returned, Unreachable
from pollers.spi import Function, Invocation
from pollers.targets.function.context import log_stream
from pollers.targets.function.load import split
from pollers.targets.function.output import pass_on

__all__ = ["ProcessFunction"]

WORKER = str(Path(__file__).with_name("worker.py"))
PARTING = 2.0  # seconds that an idle worker has to end by itself
FIRST, CAP = 0.5, 30.0  # seconds between starts of workers that fail


class Died(Exception):
    """The worker ended in the middle of a call. `str()` says how."""


class Worker:
    """One process, which holds the function."""

    def __init__(self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(
        cls, path: str, app_dir: str | None, environment: Mapping[str, str], logger: logging.Logger, name: str
    ) -> Worker:
        """A worker that is ready. Raises FunctionNotLoaded where the function cannot be imported, OSError otherwise."""
        module, attribute = split(path)
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                WORKER,
                str(theirs.fileno()),
                env=environment,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=STDOUT,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is not for it, and all that it starts can be killed with it
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        assert process.stdout is not None
        output = asyncio.create_task(pass_on(process.stdout, logger, name))
        _OUTPUTS.add(output)
        output.add_done_callback(_OUTPUTS.discard)
        reader, writer = await asyncio.open_connection(sock=ours)
        worker = cls(process, reader, writer)
        try:
            answer = await worker.ask({"module": module, "attribute": attribute, "app_dir": app_dir})
        except BaseException as error:
            await worker.kill()
            if isinstance(error, Died):
                raise FunctionNotLoaded(
                    path, f"importing it ended its process ({error})", "Mend the module."
                ) from error
            raise
        if "error" in answer:
            await worker.kill()
            reason = f"importing it raised {answer['error']}: {answer['message']}"
            raise FunctionNotLoaded(path, reason, "Mend the module, or check the name.")
        return worker

    async def ask(self, frame: dict[str, Any]) -> dict[str, Any]:
        """Send a frame and wait for the answer. Raises Died."""
        body = msgspec.json.encode(frame)
        try:
            self._writer.write(len(body).to_bytes(4, "big") + body)
            await self._writer.drain()
            length = int.from_bytes(await self._reader.readexactly(4), "big")
            if length > EVENT_LIMIT + 1_024:
                await self._skip(length)
                size = f"the answer has {length:,} bytes, and Lambda's limit is {EVENT_LIMIT:,}"
                return {"error": "Function.ResponseSizeTooLarge", "message": size}
            answer: dict[str, Any] = msgspec.json.decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Died(await self._epitaph()) from error
        return answer

    async def _skip(self, length: int) -> None:
        while length:
            length -= len(await self._reader.readexactly(min(length, 1 << 20)))

    async def _epitaph(self) -> str:
        code = await self._process.wait()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    async def kill(self) -> None:
        """End it and whatever it has started, now."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._writer.close()
        await self._process.wait()

    async def end(self) -> None:
        """Let an idle worker end; kill it if it does not."""
        self._writer.close()
        try:
            async with asyncio.timeout(PARTING):
                await self._process.wait()
        except TimeoutError:
            await self.kill()


_OUTPUTS: set[asyncio.Task[None]] = set()  # kept from being collected; each ends with its worker


class ProcessFunction:
    """A function by path, in up to `concurrency` workers, which are started as they are needed and then kept.

    The timeout is hard: the worker is killed and replaced. `environment` is added to the process's own.
    """

    def __init__(
        self,
        path: str,
        function: Function,
        *,
        concurrency: int | None = None,
        environment: Mapping[str, str] | None = None,
        app_dir: str | None = None,
    ) -> None:
        self.function = function
        self.concurrency = concurrency or 2 * (os.cpu_count() or 1)
        self.describe = f"up to {self.concurrency} processes, timeout {function.timeout:g} s, hard"
        self.cold_starts = 0
        self._path = path
        self._app_dir = app_dir
        self._environment = dict(environment or {})
        self._logger = logging.getLogger(f"pollers.function.{function.name}")
        self._idle: deque[Worker] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._count = 0  # workers, those being started included
        self._failures = 0  # starts in a row that failed
        self._retry_at = 0.0  # loop time
        self._closed = False

    async def open(self) -> None:
        """Start one worker. Raises FunctionNotLoaded."""
        self._count += 1
        try:
            self._idle.append(await self._start())
        except BaseException:
            self._count -= 1
            raise

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Call the function in a worker of its own. Cancelled, it kills the worker."""
        try:
            worker = await self._take()
        except (FunctionNotLoaded, OSError) as error:
            return self._start_failed(error)
        except Backoff as backoff:
            return Unreachable(str(backoff))
        try:
            answer = await worker.ask(
                {
                    "request_id": invocation.request_id,
                    "function_arn": self.function.arn,
                    "deadline": invocation.deadline_wall,
                    "event": invocation.event,
                }
            )
        except Died as error:
            await self._lose(worker)
            message = f"RequestId: {invocation.request_id} Error: Runtime exited with error: {error}"
            return Failed("Runtime.ExitError", message)
        except BaseException:
            await asyncio.shield(self._lose(worker))
            raise
        self._give(worker)
        if "error" in answer:
            return Failed(answer["error"], answer["message"])
        return Returned(answer["result"])

    async def close(self) -> None:
        """End every idle worker. Those that run were cancelled before, and are gone."""
        self._closed = True
        idle, self._idle = self._idle, deque()
        self._count -= len(idle)
        await asyncio.gather(*(worker.end() for worker in idle))

    # Workers

    async def _take(self) -> Worker:
        while not self._idle:
            if self._count < self.concurrency:
                return await self._start_another()
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future
        return self._idle.pop()  # the one used last is the warmest

    async def _start_another(self) -> Worker:
        wait = self._retry_at - asyncio.get_running_loop().time()
        if wait > 0:
            raise Backoff(f"its worker did not start; the next try is in {wait:.1f} s")
        self._count += 1
        try:
            worker = await self._start()
        except BaseException:
            self._count -= 1
            self._wake()
            raise
        self._failures = 0
        return worker

    def _start_failed(self, error: Exception) -> Outcome:
        self._failures += 1
        delay = min(FIRST * 2.0 ** min(self._failures - 1, 30), CAP)
        self._retry_at = asyncio.get_running_loop().time() + delay
        return Unreachable(str(error))

    async def _start(self) -> Worker:
        self.cold_starts += 1
        return await Worker.start(
            self._path, self._app_dir, self._worker_environment(), self._logger, self.function.name
        )

    def _worker_environment(self) -> dict[str, str]:
        """The process's own, the function's, and what Lambda sets. AWS: "Defined runtime environment variables"."""
        function = self.function
        return {
            **os.environ,
            **self._environment,
            "_HANDLER": self._path,
            "LAMBDA_TASK_ROOT": self._app_dir or os.getcwd(),
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": function.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": log_stream(function.version, uuid4().hex),
            "PYTHONUNBUFFERED": "1",
        }

    def _give(self, worker: Worker) -> None:
        self._idle.append(worker)
        self._wake()

    async def _lose(self, worker: Worker) -> None:
        await worker.kill()
        self._count -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return


class Backoff(Exception):
    """No worker is started just now: the last one failed."""
