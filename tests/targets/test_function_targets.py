"""Functions where they run: inline, in threads, in worker processes."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pollers.errors import ConfigurationError, FunctionNotLoaded
from pollers.flow.records import Failed, Outcome, Returned, Unreachable
from pollers.spi import Function, Invocation
from pollers.targets.function import InlineFunction, ProcessFunction, ThreadFunction, function_target, load
from pollers.targets.function.thread import MOST_LATE

FUNCTION = Function("work", "arn:aws:lambda:us-east-1:000000000000:function:work", timeout=3.0, memory=256)
ID = "6f1d9c2e-0000-4000-8000-000000000001"


def invocation(event: dict[str, Any] | None = None) -> Invocation:
    loop = asyncio.get_running_loop()
    return Invocation(ID, {"Records": []} if event is None else event, loop.time() + 3, time.time() + 3)


CONTEXT = """
def handle(event, context):
    return {
        "id": context.aws_request_id,
        "name": context.function_name,
        "version": context.function_version,
        "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb,
        "group": context.log_group_name,
        "stream": "[$LATEST]" in context.log_stream_name,
        "left": 0 < context.get_remaining_time_in_millis() <= 3000,
        "others": [context.identity, context.client_context],
    }
"""
IN_CONTEXT = {
    "id": ID,
    "name": "work",
    "version": "$LATEST",
    "arn": FUNCTION.arn,
    "memory": "256",
    "group": "/aws/lambda/work",
    "stream": True,
    "left": True,
    "others": [None, None],
}


# Inline


async def test_an_async_function_is_awaited_in_the_callers_own_task() -> None:
    async def handle(event: dict[str, Any], context: Any) -> object:
        return {"task": asyncio.current_task(), "event": event}

    event = {"Records": [1]}
    outcome = await function_target(handle, FUNCTION).invoke(invocation(event))
    assert outcome == Returned({"task": asyncio.current_task(), "event": event})


@pytest.mark.rule("5.1-2", "12-20")
async def test_every_kind_of_target_gives_lambdas_context(tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text(CONTEXT)
    plain = load("told.handle", str(tmp_path))

    async def handle(event: dict[str, Any], context: Any) -> object:
        return plain(event, context)

    async with opened(ProcessFunction("told.handle", FUNCTION, app_dir=str(tmp_path))) as process:
        for target in (InlineFunction(handle, FUNCTION), ThreadFunction(plain, FUNCTION), process):
            assert await target.invoke(invocation()) == Returned(IN_CONTEXT)
            await target.close()


@pytest.mark.rule("5.1-2")
@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt("k"), GeneratorExit("g")])
async def test_whatever_a_function_raises_is_a_failure_and_nothing_more(error: BaseException) -> None:
    async def asynchronous(event: dict[str, Any], context: Any) -> None:
        raise error

    def plain(event: dict[str, Any], context: Any) -> None:
        raise error

    for handler in (asynchronous, plain):
        target = function_target(handler, FUNCTION)
        assert await target.invoke(invocation()) == Failed(type(error).__name__, str(error))
        await target.close()


async def test_a_function_that_cancels_itself_has_failed() -> None:
    async def handle(event: dict[str, Any], context: Any) -> None:
        raise asyncio.CancelledError

    outcome = await function_target(handle, FUNCTION).invoke(invocation())
    assert isinstance(outcome, Failed)


async def test_our_cancellation_reaches_an_inline_function_and_passes() -> None:
    cleaned = asyncio.Event()

    async def handle(event: dict[str, Any], context: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    task = asyncio.ensure_future(function_target(handle, FUNCTION).invoke(invocation()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()


# Threads


async def test_a_plain_callable_runs_in_a_thread_that_is_used_again() -> None:
    threads = []

    def handle(event: dict[str, Any], context: Any) -> str:
        threads.append(threading.current_thread())
        return "done"

    target = function_target(handle, FUNCTION)
    for _ in range(5):
        assert await target.invoke(invocation()) == Returned("done")
    assert len(set(threads)) == 1
    assert threads[0] is not threading.main_thread()
    await target.close()
    await asyncio.to_thread(threads[0].join, 10)
    assert not threads[0].is_alive()


async def test_calls_run_side_by_side_in_threads() -> None:
    barrier = threading.Barrier(5, timeout=30)

    def handle(event: dict[str, Any], context: Any) -> None:
        barrier.wait()

    target = function_target(handle, FUNCTION)
    outcomes = await asyncio.gather(*(target.invoke(invocation()) for _ in range(5)))
    assert outcomes == [Returned(None)] * 5
    await target.close()


async def test_a_thread_that_cannot_be_stopped_is_given_up_counted_and_not_waited_for() -> None:
    release = threading.Event()

    def handle(event: dict[str, Any], context: Any) -> None:
        release.wait(30)

    target = ThreadFunction(handle, FUNCTION)
    tasks = [asyncio.ensure_future(target.invoke(invocation())) for _ in range(MOST_LATE)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert target.late == MOST_LATE
    assert isinstance(await target.invoke(invocation()), Unreachable), "no more of them are started"
    release.set()
    while target.late:
        await asyncio.sleep(0.01)
    assert await target.invoke(invocation()) == Returned(None)
    await target.close()


# Processes


@asynccontextmanager
async def opened(target: ProcessFunction) -> AsyncIterator[ProcessFunction]:
    await target.open()
    try:
        yield target
    finally:
        await target.close()


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., ProcessFunction]:
    def made(code: str, **options: Any) -> ProcessFunction:
        (tmp_path / "work.py").write_text(code)
        return ProcessFunction("work.handle", FUNCTION, app_dir=str(tmp_path), **options)

    return made


async def test_a_worker_is_started_once_and_kept_warm(make: Callable[..., ProcessFunction]) -> None:
    code = (
        "import os\ncalls = 0\n"
        "def handle(event, context):\n    global calls; calls += 1\n    return [os.getpid(), calls]\n"
    )
    async with opened(make(code)) as target:
        answers = [await target.invoke(invocation()) for _ in range(3)]
        assert target.cold_starts == 1
    pids, counts = zip(*(answer.payload for answer in answers if isinstance(answer, Returned)), strict=True)
    assert len(set(pids)) == 1
    assert pids[0] != os.getpid()
    assert counts == (1, 2, 3)
    assert not alive(pids[0])


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_workers_are_as_many_as_allowed_and_have_one_call_each(make: Callable[..., ProcessFunction]) -> None:
    code = "import os, time\ndef handle(event, context):\n    time.sleep(0.05)\n    return os.getpid()\n"
    async with opened(make(code, concurrency=2)) as target:
        outcomes = await asyncio.gather(*(target.invoke(invocation()) for _ in range(6)))
    pids = {outcome.payload for outcome in outcomes if isinstance(outcome, Returned)}
    assert len(outcomes) == 6
    assert len(pids) == 2


async def test_an_environment_is_the_workers_own(make: Callable[..., ProcessFunction]) -> None:
    code = (
        "from os import environ\n"
        "def handle(event, context):\n    return [environ['TABLE'], environ['AWS_LAMBDA_FUNCTION_NAME']]\n"
    )
    async with opened(make(code, environment={"TABLE": "orders"})) as target:
        assert await target.invoke(invocation()) == Returned(["orders", "work"])
    assert "TABLE" not in os.environ


async def test_a_timeout_is_hard_and_the_worker_is_replaced(make: Callable[..., ProcessFunction]) -> None:
    code = (
        "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "def handle(event, context):\n"
        "    if event['hang']:\n        open(event['hang'], 'w').write(str(os.getpid()))\n        time.sleep(1000)\n"
        "    return 'done'\n"
    )
    async with opened(make(code, concurrency=1)) as target:
        assert target._app_dir is not None
        note = Path(target._app_dir) / "pid"
        task = asyncio.ensure_future(target.invoke(invocation({"hang": str(note)})))
        while not note.exists() or not note.read_text():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not alive(int(note.read_text()))
        assert await target.invoke(invocation({"hang": ""})) == Returned("done")
        assert target.cold_starts == 2


@pytest.mark.rule("5.1-2")
@pytest.mark.parametrize(
    ("ending", "words"), [("os._exit(7)", "exit status 7"), ("os.kill(os.getpid(), 9)", "signal SIGKILL")]
)
async def test_a_worker_that_dies_fails_its_call_and_is_replaced(
    make: Callable[..., ProcessFunction], ending: str, words: str
) -> None:
    code = f"import os\ndef handle(event, context):\n    if event.get('die'): {ending}\n    return 'done'\n"
    async with opened(make(code, concurrency=1)) as target:
        outcome = await target.invoke(invocation({"die": True}))
        assert isinstance(outcome, Failed)
        assert outcome.error == "Runtime.ExitError"
        assert words in outcome.message
        assert await target.invoke(invocation()) == Returned("done")


async def test_what_a_handler_raises_or_answers_badly_does_not_cost_the_worker(
    make: Callable[..., ProcessFunction],
) -> None:
    code = (
        "import sys\ndef handle(event, context):\n"
        "    if event['do'] == 'raise': raise LookupError('nothing there')\n"
        "    if event['do'] == 'exit': sys.exit(3)\n"
        "    if event['do'] == 'set': return {1, 2}\n"
        "    if event['do'] == 'big': return 'x' * 7_000_000\n"
        "    return 'done'\n"
    )
    async with opened(make(code)) as target:

        async def call(do: str) -> Outcome:
            return await target.invoke(invocation({"do": do}))

        assert await call("raise") == Failed("LookupError", "nothing there")
        assert await call("exit") == Failed("SystemExit", "3")
        marshal, big = await call("set"), await call("big")
        assert isinstance(marshal, Failed)
        assert marshal.error == "Runtime.MarshalError"
        assert isinstance(big, Failed)
        assert big.error == "Function.ResponseSizeTooLarge"
        assert await call("") == Returned("done")
        assert target.cold_starts == 1


@pytest.mark.rule("12-18")
async def test_an_answer_beyond_six_megabytes_is_a_failed_attempt(make: Callable[..., ProcessFunction]) -> None:
    async with opened(make("def handle(event, context):\n    return 'x' * event['size']\n")) as target:
        assert isinstance(await target.invoke(invocation({"size": 6_000_000})), Returned)
        assert isinstance(await target.invoke(invocation({"size": 6_400_000})), Failed)


async def test_an_async_function_may_run_in_a_worker(make: Callable[..., ProcessFunction]) -> None:
    code = "import asyncio\nasync def handle(event, context):\n    await asyncio.sleep(0)\n    return 'done'\n"
    async with opened(make(code)) as target:
        assert await target.invoke(invocation()) == Returned("done")


async def test_what_a_worker_prints_and_logs_is_readable_and_never_blocks_it(
    make: Callable[..., ProcessFunction], caplog: pytest.LogCaptureFixture
) -> None:
    code = (
        "import logging\nlog = logging.getLogger('app')\n"
        "def handle(event, context):\n"
        "    print('printed')\n    log.warning('logged')\n    print('y' * 300_000)\n    print('no newline', end='')\n"
    )
    with caplog.at_level(logging.INFO, "pollers.function.work"):
        async with opened(make(code)) as target:
            assert await target.invoke(invocation()) == Returned(None)
        while "no newline" not in caplog.text:
            await asyncio.sleep(0.01)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[:2] == ["work: printed", "work: WARNING app logged"]
    assert max(map(len, lines)) <= 8_192 + len("work: ")
    assert sum(line.count("y") for line in lines if "n" not in line) == 300_000


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise RuntimeError('boom')\n", ("RuntimeError: boom", "work.py:1")),
        ("import nowhere\n", ("nowhere",)),
        ("x = 1\n", ("handle",)),
        ("import os\nos._exit(5)\n", ("exit status 5",)),
    ],
)
async def test_a_function_that_cannot_be_imported_is_said_at_the_start(
    make: Callable[..., ProcessFunction], code: str, words: tuple[str, ...]
) -> None:
    target = make(code)
    with pytest.raises(FunctionNotLoaded) as raised:
        await target.open()
    for word in words:
        assert word in str(raised.value)
    await target.close()


async def test_a_worker_that_cannot_start_later_spends_no_attempt(make: Callable[..., ProcessFunction]) -> None:
    async with opened(make("import os\ndef handle(event, context):\n    os._exit(1)\n", concurrency=1)) as target:
        assert target._app_dir is not None
        (Path(target._app_dir) / "work.py").write_text("raise RuntimeError('broken meanwhile')\n")
        assert isinstance(await target.invoke(invocation()), Failed)
        first, second = await target.invoke(invocation()), await target.invoke(invocation())
        assert isinstance(first, Unreachable)
        assert "broken meanwhile" in first.reason
        assert isinstance(second, Unreachable)
        assert "next try" in second.reason


async def test_workers_do_not_outlive_their_parent(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text("import os, time\ndef handle(event, context):\n    time.sleep(1000)\n")
    script = tmp_path / "parent.py"
    script.write_text(
        "import asyncio, sys, time\n"
        "from pollers.spi import Function, Invocation\n"
        "from pollers.targets.function import ProcessFunction\n"
        "async def main():\n"
        f"    target = ProcessFunction('work.handle', Function('f', 'arn'), app_dir={str(tmp_path)!r})\n"
        "    await target.open()\n"
        "    print(target._idle[0]._process.pid, flush=True)\n"
        "    await target.invoke(Invocation('id', {}, 0.0, time.time() + 1000))\n"
        "asyncio.run(main())\n"
    )
    import sys

    parent = await asyncio.create_subprocess_exec(sys.executable, str(script), stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert alive(pid)
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    while alive(pid) and not gone(pid):
        await asyncio.sleep(0.05)


def gone(pid: int) -> bool:
    """Whether it has ended and only waits for somebody to take note."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


# Finding it


def test_both_forms_of_a_path_are_found(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "orders.py").write_text("class Handlers:\n    @staticmethod\n    def go(event, context): return 1\n")
    for path in ("shop.orders:Handlers.go", "shop/orders.Handlers"):
        assert callable(load(path, str(tmp_path)))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("orders", ("names no module",)),
        ("pollers_nowhere.handle", ("no module pollers_nowhere", "--app-dir")),
        ("json.dumbs", ("json has no dumbs", "Did you mean dumps?")),
        ("json.__name__", ("cannot be called",)),
        ("broken_one.handle", ("ZeroDivisionError", "broken_one.py:2")),
        ("broken_two.handle", ("SyntaxError", "broken_two.py:1")),
        ("broken_three.handle", ("SystemExit",)),
        ("broken_four.handle", ("No module named 'pollers_elsewhere'", "broken_four.py:1")),
    ],
)
def test_a_path_that_leads_nowhere_says_why(tmp_path: Path, path: str, words: tuple[str, ...]) -> None:
    (tmp_path / "broken_one.py").write_text("x = 1\n1 / 0\n")
    (tmp_path / "broken_two.py").write_text("def (\n")
    (tmp_path / "broken_three.py").write_text("raise SystemExit(1)\n")
    (tmp_path / "broken_four.py").write_text("import pollers_elsewhere\n")
    with pytest.raises(FunctionNotLoaded) as raised:
        load(path, str(tmp_path))
    for word in words:
        assert word in str(raised.value)


def test_defaults_follow_the_kind_of_function(tmp_path: Path) -> None:
    (tmp_path / "kinds.py").write_text("def plain(e, c): ...\nasync def waits(e, c): ...\n")
    folder = str(tmp_path)

    async def waits(event: dict[str, Any], context: Any) -> None: ...

    def plain(event: dict[str, Any], context: Any) -> None: ...

    assert isinstance(function_target("kinds.waits", FUNCTION, app_dir=folder), InlineFunction)
    assert isinstance(function_target("kinds.plain", FUNCTION, app_dir=folder), ProcessFunction)
    assert isinstance(function_target(waits, FUNCTION), InlineFunction)
    assert isinstance(function_target(plain, FUNCTION), ThreadFunction)
    assert isinstance(function_target("kinds.plain", FUNCTION, app_dir=folder, isolation="thread"), ThreadFunction)
    assert isinstance(function_target("kinds.waits", FUNCTION, app_dir=folder, isolation="process"), ProcessFunction)


def test_what_does_not_go_together_is_refused_with_a_remedy() -> None:
    async def waits(event: dict[str, Any], context: Any) -> None: ...

    def plain(event: dict[str, Any], context: Any) -> None: ...

    for handler, options in (
        (waits, {"environment": {"A": "b"}}),
        (plain, {"environment": {"A": "b"}}),
        (plain, {"isolation": "inline"}),
        (waits, {"isolation": "thread"}),
        (plain, {"isolation": "process"}),
    ):
        with pytest.raises(ConfigurationError) as raised:
            function_target(handler, FUNCTION, **options)  # type: ignore[arg-type]
        assert raised.value.problems[0].remedy


def test_start_lines_say_where_it_runs_and_how_hard_its_timeout_is() -> None:
    assert json.dumps(ProcessFunction("a.b", FUNCTION, concurrency=4).describe) == json.dumps(
        "up to 4 processes, timeout 3 s, hard"
    )
