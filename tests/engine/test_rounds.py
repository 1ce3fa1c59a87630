"""One heap of due times, a bounded set of workers: who is due is read, nobody twice at once, and nothing scans."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pollers.engine.rounds import WORKERS, Rounds
from pollers.engine.settler import Settler
from pollers.engine.tenure import Tenure
from pollers.flow.records import Grant, Partition
from pollers.testing.loop import VirtualLoop, virtual_time


def tenure(name: str) -> Tenure:
    return Tenure(Grant(Partition(name)), object.__new__(Settler))


Read = Callable[[Tenure, "asyncio.Task[None]"], Awaitable[float | None]]


async def during(seconds: float, read: Read, *tenures: Tenure) -> int:
    """Run rounds for a while; how many tasks of theirs are left at the end."""
    async with asyncio.TaskGroup() as tasks:
        rounds = Rounds(tasks, read)
        for one in tenures:
            rounds.add(one)
        await asyncio.sleep(seconds)
        rounds.close()
        return len(asyncio.all_tasks()) - 1


@virtual_time
async def test_each_grant_is_read_as_often_as_its_pause_says() -> None:
    pauses = {"quick": 1.0, "slow": 3.0}
    reads: list[str] = []

    async def read(tenure: Tenure, task: asyncio.Task[None]) -> float | None:
        reads.append(tenure.grant.partition)
        return pauses[tenure.grant.partition]

    left = await during(5.5, read, tenure("quick"), tenure("slow"))
    assert reads.count("quick") == 6
    assert reads.count("slow") == 2
    assert not left


@virtual_time
async def test_a_slow_read_delays_nobody_else() -> None:
    reads: list[float] = []
    loop = asyncio.get_running_loop()

    async def read(tenure: Tenure, task: asyncio.Task[None]) -> float | None:
        if tenure.grant.partition == "stuck":
            await asyncio.sleep(100)
            return None
        reads.append(loop.time())
        return 1.0

    async with asyncio.TaskGroup() as tasks:
        rounds = Rounds(tasks, read)
        rounds.add(tenure("stuck"))
        rounds.add(tenure("well"))
        begun = loop.time()
        await asyncio.sleep(3.5)
        rounds.close()
        assert [moment - begun for moment in reads] == pytest.approx([0.0, 1.0, 2.0, 3.0])


@virtual_time
async def test_no_more_reads_run_at_once_than_there_are_workers_and_all_get_their_turn() -> None:
    running = most = 0
    read_once: set[str] = set()

    async def read(tenure: Tenure, task: asyncio.Task[None]) -> float | None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.1)
        running -= 1
        read_once.add(tenure.grant.partition)
        return None

    await during(2.0, read, *(tenure(str(number)) for number in range(5 * WORKERS)))
    assert most == WORKERS
    assert len(read_once) == 5 * WORKERS


@virtual_time
async def test_what_is_not_due_costs_neither_task_nor_turn() -> None:
    async def read(tenure: Tenure, task: asyncio.Task[None]) -> float | None:
        return 1_000.0

    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    async with asyncio.TaskGroup() as tasks:
        rounds = Rounds(tasks, read)
        for number in range(100):
            rounds.add(tenure(str(number)))
        await asyncio.sleep(1)
        turns = loop.turns
        await asyncio.sleep(900)
        assert loop.turns - turns < 5
        assert len(asyncio.all_tasks()) == 1
        rounds.close()


@virtual_time
async def test_a_grant_that_ends_is_read_no_more() -> None:
    reads: list[str] = []
    ends = tenure("ends")

    async def read(tenure: Tenure, task: asyncio.Task[None]) -> float | None:
        reads.append(tenure.grant.partition)
        return 1.0

    async with asyncio.TaskGroup() as tasks:
        rounds = Rounds(tasks, read)
        rounds.add(ends)
        rounds.add(tenure("stays"))
        await asyncio.sleep(1.5)
        ends.ending = True
        await asyncio.sleep(2)
        rounds.close()
    assert (reads.count("ends"), reads.count("stays")) == (2, 4)


def test_what_is_due_within_a_millisecond_is_read_on_uvloop_too() -> None:
    """uvloop answers `call_at` for the very next moment with a handle that knows no time."""
    uvloop = pytest.importorskip("uvloop")
    pauses = [0.0004, 0.0002, 0.0001, 0.0003, 0.00005]

    async def play() -> int:
        reads = 0
        enough = asyncio.Event()

        async def read(tenure: Tenure, task: asyncio.Task[None]) -> float | None:
            nonlocal reads
            reads += 1
            if reads > 2_000:
                enough.set()
                return None
            await asyncio.sleep(0)
            return pauses[reads % len(pauses)]

        async with asyncio.TaskGroup() as tasks:
            rounds = Rounds(tasks, read)
            for number in range(7):
                rounds.add(tenure(str(number)))
            await enough.wait()
            rounds.close()
        return reads

    assert uvloop.run(play()) > 2_000
