from __future__ import annotations

import asyncio
import itertools
import socket
import threading

import pytest

from pollers.testing.loop import Deadlock, Livelock, VirtualLoop, clock, idle, run_virtual, virtual_time


def running() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


def test_days_pass_while_one_sleeps() -> None:
    async def main() -> float:
        before = running().time()
        await asyncio.sleep(36 * 3600.0)
        return running().time() - before

    assert run_virtual(main()) == pytest.approx(36 * 3600.0)


@virtual_time
async def test_timers_fire_in_the_order_of_their_times_at_exactly_their_times() -> None:
    loop = running()
    seen: list[tuple[str, float]] = []

    def note(name: str) -> None:
        seen.append((name, loop.time()))

    for name, delay in [("c", 3.0), ("a", 0.2), ("b", 0.7)]:
        loop.call_later(delay, note, name)
    await asyncio.sleep(5)
    assert seen == [("a", 1000.2), ("b", 1000.7), ("c", 1003.0)]


@virtual_time
async def test_time_stands_still_while_something_is_ready() -> None:
    loop = running()
    loop.call_later(0.001, lambda: None)
    before = loop.time()
    for _ in range(1_000):
        await asyncio.sleep(0)
    assert loop.time() == before


@virtual_time
async def test_timeouts_follow_virtual_time() -> None:
    before = running().time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(900):
            await asyncio.Event().wait()
    assert running().time() - before == 900


def test_wall_time_starts_where_it_is_told_and_goes_along() -> None:
    async def main() -> tuple[float, float]:
        before = running().wall()
        await asyncio.sleep(60)
        return before, running().wall()

    assert run_virtual(main, wall_start=1_000_000.0) == (1_000_000.0, 1_000_060.0)


@virtual_time
async def test_a_jump_of_the_wall_leaves_timers_alone() -> None:
    loop = running()
    before = loop.wall()
    fired = asyncio.Event()
    loop.call_later(10, fired.set)
    loop.jump_wall(-3600)
    await idle()
    assert not fired.is_set()
    assert loop.wall() == pytest.approx(before - 3600, abs=0.001)


def test_a_wait_that_nothing_ends_is_a_deadlock_and_says_where() -> None:
    async def stuck() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match=r"waits in wait .*locks\.py"):
        run_virtual(stuck)


def test_tasks_are_cancelled_after_a_deadlock() -> None:
    ended: list[str] = []

    async def stuck() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("yes")

    with pytest.raises(Deadlock):
        run_virtual(stuck)
    assert ended == ["yes"]


def test_a_task_that_spins_is_a_livelock() -> None:
    async def spin() -> None:
        for _ in itertools.count():
            await asyncio.sleep(0)

    with pytest.raises(Livelock, match="200 turns"):
        run_virtual(spin, budget=200)


@virtual_time
async def test_threads_are_waited_for_before_time_moves() -> None:
    loop = running()
    before = loop.time()
    gate = threading.Event()
    job = asyncio.ensure_future(asyncio.to_thread(gate.wait, 10))
    loop.call_later(30, lambda: None)
    await asyncio.sleep(0)
    gate.set()
    assert await job
    assert loop.time() == before


def test_a_thread_that_hangs_holds_the_clock_no_longer_than_patience() -> None:
    gate = threading.Event()

    async def main() -> None:
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(30):
                    await asyncio.to_thread(gate.wait)
        finally:
            gate.set()

    run_virtual(main, patience=0.02)


@virtual_time
async def test_sockets_are_served() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        threading.Thread(target=theirs.sendall, args=(b"hello",)).start()
        assert await running().sock_recv(ours, 10) == b"hello"


@virtual_time
async def test_idle_returns_after_all_that_can_run_now() -> None:
    steps: list[int] = []

    async def walk() -> None:
        for number in range(50):
            steps.append(number)
            await asyncio.sleep(0)
        await asyncio.sleep(1)
        steps.append(-1)

    async with asyncio.TaskGroup() as group:
        group.create_task(walk())
        await idle()
        assert steps == list(range(50))


@pytest.mark.parametrize("number", [1, 2])
@virtual_time
async def test_decorated_tests_take_parameters_and_fixtures(number: int, tmp_path: object) -> None:
    assert number in (1, 2)
    assert tmp_path is not None


def test_clocks_of_one_seed_draw_alike_and_of_another_differently() -> None:
    async def draw(seed: int) -> tuple[float, float, str]:
        made = clock(seed=seed)
        return made.wall(), made.chance(), made.ids()

    assert run_virtual(draw(1)) == run_virtual(draw(1))
    assert run_virtual(draw(1)) != run_virtual(draw(2))


async def test_the_clock_of_a_real_loop_is_refused() -> None:
    with pytest.raises(TypeError, match="virtual_time"):
        clock()
