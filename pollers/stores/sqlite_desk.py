"""One thread that does everything a SQLite store is asked, in order; what is asked at once shares a transaction.

A commit costs a write to disk, whatever it holds. While one is under way further requests queue up, and the next
transaction takes them all: under load there are as many commits as the disk can do, not as many as there are requests.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, Protocol, TypeAlias

from pollers.errors import PollersError

__all__ = ["Desk", "File", "Work"]

GROUP: Final = 1_000  # requests of one transaction at most, so that other processes get their turn

Work: TypeAlias = Callable[[sqlite3.Connection], Any]


class File(Protocol):
    """What the desk works on. All of it is called in the desk's thread."""

    def connect(self) -> sqlite3.Connection:
        """Open it; transactions are begun by hand."""

    def check(self) -> None:
        """Raise what speaks against using the connection any longer. Before each transaction."""

    def told(self, error: Exception) -> PollersError:
        """What callers are raised in place of an error of SQLite or of the system."""


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    """Something asked by a caller that waits for `answer`, in an event loop of its own."""

    answer: asyncio.Future[Any]
    work: Work | None = None  # None: have the file open, nothing else
    writes: bool = False
    last: bool = False  # nothing is asked after it


@dataclass(frozen=True, slots=True)
class _Answer:
    """A result, or the error that is raised in its place."""

    result: Any = None
    error: Exception | None = None


class Desk:
    """The thread and its queue. It ends with `close`; a process that exits without that does not wait for it."""

    def __init__(self, file: File, name: str) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None
        self._queue: SimpleQueue[_Request] = SimpleQueue()
        self._thread = Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    async def open(self) -> None:
        """Have the file open; another try after one that failed."""
        await self._ask(_Request(_future()))

    async def ask(self, work: Work, *, writes: bool) -> Any:
        """What `work` returns or raises, once it is committed. Cancelled, it may be done all the same."""
        return await self._ask(_Request(_future(), work, writes))

    async def close(self) -> None:
        """Finish what was asked, close the file, end the thread. Ask nothing afterwards."""
        await self._ask(_Request(_future(), last=True))
        self._thread.join()  # it has answered: nothing is left to do there

    async def _ask(self, request: _Request) -> Any:
        self._queue.put(request)
        return await request.answer

    # In the thread

    def _serve(self) -> None:
        while True:
            group = self._gather()
            answers = self._perform(group)
            ends = group[-1].last
            if ends and self._connection is not None:
                with suppress(sqlite3.Error):  # everything is committed; whoever opens it next finds that
                    self._connection.close()
            _deliver(group, answers)
            if ends:
                return

    def _gather(self) -> list[_Request]:
        """Wait for a request; with it comes what is there already."""
        group = [self._queue.get()]
        with suppress(Empty):
            while len(group) < GROUP and not group[-1].last:
                group.append(self._queue.get_nowait())
        return group

    def _perform(self, group: Sequence[_Request]) -> list[_Answer]:
        """An answer for each. What is wrong with the file is everybody's, what is wrong with a request its own."""
        try:
            connection = self._connected(group)
            return _transact(connection, group) if connection is not None else [_Answer()] * len(group)
        except Exception as error:
            # Where callers retry they write all they have again: nothing of this transaction is needed.
            return [_Answer() if request.last else _Answer(error=self._file.told(error)) for request in group]

    def _connected(self, group: Sequence[_Request]) -> sqlite3.Connection | None:
        """The connection; None where the group only closes what was never opened."""
        if self._connection is not None:
            self._file.check()
        elif not all(request.last for request in group):
            self._connection = self._file.connect()
        return self._connection


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


def _transact(connection: sqlite3.Connection, group: Sequence[_Request]) -> list[_Answer]:
    """Do all of it in one transaction. Raises what keeps that from being committed; then nothing is."""
    works = [request.work for request in group]
    if not any(works):
        return [_Answer()] * len(group)
    if connection.in_transaction:  # one that could not even be rolled back
        connection.execute("ROLLBACK")
    # IMMEDIATE waits for other writers here; a reader that became one later would be refused without a wait.
    connection.execute("BEGIN IMMEDIATE" if any(request.writes for request in group) else "BEGIN")
    try:
        answers = [_Answer() if work is None else _one(connection, work) for work in works]
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has rolled back by itself when the disk is full
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise
    return answers


def _one(connection: sqlite3.Connection, work: Work) -> _Answer:
    """One request of a group: what it raises undoes what it did, and nothing else."""
    connection.execute("SAVEPOINT request")
    try:
        answer = _Answer(work(connection))
    except sqlite3.Error:
        raise
    except Exception as error:
        connection.execute("ROLLBACK TO request")
        answer = _Answer(error=error)
    connection.execute("RELEASE request")
    return answer


def _deliver(group: Sequence[_Request], answers: Sequence[_Answer]) -> None:
    """Wake the callers, each loop once."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], _Answer]]] = defaultdict(list)
    for request, answer in zip(group, answers, strict=True):
        loops[request.answer.get_loop()].append((request.answer, answer))
    for loop, mine in loops.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_wake, mine)


def _wake(answers: Sequence[tuple[asyncio.Future[Any], _Answer]]) -> None:
    for future, answer in answers:
        if future.done():  # its caller was cancelled
            continue
        if answer.error is None:
            future.set_result(answer.result)
        else:
            future.set_exception(answer.error)
