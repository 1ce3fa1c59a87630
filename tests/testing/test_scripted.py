from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pollers.engine.mapping import Mapping
from pollers.engine.supervisor import Pollers
from pollers.flow.records import Policy
from pollers.spi import Delivery, Failed, Granted, Invocation, Lost, Page, Progress, Resume, Returned, Throttled
from pollers.testing.functions import Invoked, ScriptedFunction
from pollers.testing.loop import clock, idle, virtual_time
from pollers.testing.scripted import Late, Pause, ScriptedSource, records

LOG = Delivery(lane="partition", slots=1, mixed=False, spans=False, redelivers=False, settle_every=1.0)
QUEUE = Delivery(lane="none", slots=None, mixed=True, spans=False, redelivers=True, readers=None, page=10)


def now() -> float:
    return asyncio.get_running_loop().time()


def run(source: ScriptedSource, function: ScriptedFunction, **policy: Any) -> Pollers:
    return Pollers([Mapping("mapping", source, function, Policy(**policy))], clock=clock())


def texts(page: Page) -> list[str]:
    return [raw.text for raw in page.records]


# The source


@virtual_time
async def test_reads_take_the_steps_of_their_partition_in_order() -> None:
    source = ScriptedSource(LOG, partitions=("p", "q"))
    p, q = source.grant("p"), source.grant("q")
    source.script("p", records("a", "b", "c", first=1), ConnectionError("away"), Pause(5), records("d", first=4))
    source.script("q", records("x"))
    assert texts(await source.read(p, 2)) == ["a", "b"]
    assert texts(await source.read(q, 2)) == ["x"]
    page = await source.read(p, 2)
    assert (texts(page), page.position, page.nbytes) == (["c"], (3, 0), 100)
    with pytest.raises(ConnectionError):
        await source.read(p, 2)
    begun = now()
    assert texts(await source.read(p, 2)) == ["d"]
    assert now() - begun == 5


@virtual_time
async def test_a_read_is_held_until_told_and_waits_when_nothing_is_scripted() -> None:
    source = ScriptedSource(LOG)
    grant, told = source.grant("p"), asyncio.Event()
    source.script("p", told, records("a"))
    read = asyncio.create_task(source.read(grant, 10))
    await asyncio.sleep(1_000)
    assert not read.done()
    told.set()
    assert texts(await read) == ["a"]
    read = asyncio.create_task(source.read(grant, 10))
    await asyncio.sleep(1_000)
    assert not read.done()
    assert source.reading == 1
    source.script("p", records("b"))
    assert texts(await read) == ["b"]


@virtual_time
async def test_a_late_page_comes_after_the_read_was_called_off() -> None:
    source = ScriptedSource(LOG)
    source.script("p", Late(Page(records("a"), 100), 1.5))
    read = asyncio.create_task(source.read(source.grant("p"), 10))
    await asyncio.sleep(10)
    begun = now()
    read.cancel()
    assert texts(await read) == ["a"]
    assert now() - begun == 1.5


@virtual_time
async def test_the_call_that_is_told_to_fail_fails_and_no_other() -> None:
    source = ScriptedSource(LOG)
    grant = source.grant("p")
    await source.settle(grant, Progress(safe=(1, 0)))
    source.fail("settle", OSError("no"), call=2)
    source.delay("settle", 3)
    begun = now()
    await source.settle(grant, Progress(safe=(2, 0)))
    with pytest.raises(OSError, match="no"):
        await source.settle(grant, Progress(safe=(3, 0)))
    await source.settle(grant, Progress(safe=(4, 0)))
    assert [progress.safe for _, progress in source.settled] == [(1, 0), (2, 0), (4, 0)]
    assert source.safe() == (4, 0)
    assert source.count("settle") == source.count("settle", "p") == 4
    assert now() - begun == 9


@virtual_time
async def test_changes_begin_with_the_partitions_and_go_on_with_what_is_told() -> None:
    source = ScriptedSource(LOG, partitions=("p", "q"))
    changes = aiter(source.changes())
    first, second = await anext(changes), await anext(changes)
    assert isinstance(first, Granted)
    assert isinstance(second, Granted)
    assert (first.grant, second.grant) == (source.grants["p"], source.grants["q"])  # type: ignore[index]
    again = source.grant("p", Resume(safe=(7, 0)))
    assert again.generation > first.grant.generation
    source.tell(Lost(first.grant))
    assert await anext(changes) == Granted(again)
    assert await anext(changes) == Lost(first.grant)


@virtual_time
async def test_an_engine_runs_a_scripted_log() -> None:
    source, function = ScriptedSource(LOG), ScriptedFunction([Failed("E", ""), Throttled(), Returned()])
    source.script("p", records("a", "b", first=1), OSError("away"), records("c", first=3))
    async with run(source, function):
        await asyncio.sleep(100)
    assert [call.texts for call in function.calls] == [["a", "b"], ["a", "b"], ["a", "b"], ["c"]]
    assert source.safe() == (3, 0)
    assert [source.count("open"), source.count("release"), source.count("close")] == [1, 1, 1]
    assert source.fitted == {"batch_size": 10, "window": 0.0, "timeout": 900.0}


@virtual_time
async def test_an_engine_runs_a_scripted_queue() -> None:
    source, function = ScriptedSource(QUEUE), ScriptedFunction([Failed("E", "")])
    source.script("p", records("a", "b"), records("c"))
    async with run(source, function):
        await asyncio.sleep(10)
    assert sorted(raw.text for raw in source.failed) == ["a", "b"]
    assert [raw.text for raw in source.done] == ["c"]
    assert source.unstarted == []


# The function


def invocation(*bodies: str) -> Invocation:
    return Invocation("id", {"Records": [{"body": body} for body in bodies]}, now() + 10, 0.0)


@virtual_time
async def test_outcomes_come_in_turn_and_then_success() -> None:
    function = ScriptedFunction([Failed("E", "no"), Throttled(2.0)])
    outcomes = [await function.invoke(invocation("a")) for _ in range(4)]
    assert outcomes == [Failed("E", "no"), Throttled(2.0), Returned(), Returned()]
    assert [call.outcome for call in function.calls] == outcomes


@virtual_time
async def test_a_callable_answers_each_call_by_what_it_holds() -> None:
    async def answer(call: Invoked) -> Returned:
        await asyncio.sleep(2)
        return Returned(call.texts)

    function = ScriptedFunction(answer, seconds=1)
    assert await function.invoke(invocation("a", "b")) == Returned(["a", "b"])
    (call,) = function.calls
    assert call.ended is not None
    assert call.ended - call.begun == 3


@virtual_time
async def test_held_calls_end_when_they_are_let_go_the_longest_held_first() -> None:
    function = ScriptedFunction()
    function.hold()
    tasks = [asyncio.create_task(function.invoke(invocation(str(number)))) for number in range(3)]
    assert (await function.called(3)).texts == ["2"]
    await asyncio.sleep(100)
    assert (function.running, function.most) == (3, 3)
    function.let_go(1)
    await idle()
    assert [task.done() for task in tasks] == [True, False, False]
    function.let_go()
    await asyncio.gather(*tasks)
    assert await function.invoke(invocation("late")) == Returned()


@virtual_time
async def test_a_cancelled_call_is_noted_without_an_outcome() -> None:
    function = ScriptedFunction(seconds=100)
    task = asyncio.create_task(function.invoke(invocation("a")))
    await function.called(1)
    await asyncio.sleep(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (call,) = function.calls
    assert call.outcome is None
    assert call.ended is not None
    assert call.ended - call.begun == 5
    assert function.running == 0
