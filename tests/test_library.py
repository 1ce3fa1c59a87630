"""The library as a program uses it: in a loop that is already there, twice at once, with everything wrong at once."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pollers
from pollers import (
    ConfigurationError,
    EventSourceMapping,
    FileDestination,
    MemoryLog,
    MemoryLogSource,
    MemoryQueue,
    MemoryQueueSource,
    Pollers,
    SourceError,
    SqsSource,
)
from pollers.testing.loop import virtual_time


class Sink:
    """An async function that keeps the bodies it sees."""

    def __init__(self, expected: int) -> None:
        self.bodies: list[str] = []
        self.full = asyncio.Event()
        self._expected = expected

    async def __call__(self, event: dict[str, Any], context: Any) -> None:
        self.bodies += [record["body"] for record in event["Records"]]
        if len(self.bodies) >= self._expected:
            self.full.set()


def queue_of(*bodies: str) -> MemoryQueue:
    queue = MemoryQueue("orders")
    for body in bodies:
        queue.put(body)
    return queue


async def test_it_runs_in_a_loop_that_is_there_and_leaves_nothing_behind() -> None:
    loop = asyncio.get_running_loop()
    tasks, handlers = asyncio.all_tasks(), logging.getLogger().handlers[:]
    interrupt = signal.getsignal(signal.SIGINT)
    queue, sink = queue_of("a", "b"), Sink(2)
    async with Pollers([EventSourceMapping(MemoryQueueSource(queue), sink)]):
        await sink.full.wait()
    assert sorted(sink.bodies) == ["a", "b"]
    assert len(queue) == 0
    assert asyncio.all_tasks() == tasks
    assert asyncio.get_running_loop() is loop
    assert logging.getLogger().handlers == handlers
    assert signal.getsignal(signal.SIGINT) is interrupt


async def test_two_run_side_by_side_and_one_after_the_other() -> None:
    for _ in range(2):
        first, second = Sink(1), Sink(1)
        async with (
            Pollers([EventSourceMapping(MemoryQueueSource(queue_of("a")), first)]),
            Pollers([EventSourceMapping(MemoryQueueSource(queue_of("b")), second)]),
        ):
            await first.full.wait()
            await second.full.wait()
        assert (first.bodies, second.bodies) == (["a"], ["b"])


async def test_run_waits_until_stop() -> None:
    async with Pollers([EventSourceMapping(MemoryQueueSource(queue_of()), Sink(1))]) as running:
        asyncio.get_running_loop().call_soon(running.stop)
        await running.run()
        assert await running.drain(1) == (0, 0)


async def test_an_error_in_the_body_still_drains_and_comes_out() -> None:
    queue, sink = queue_of("a"), Sink(1)

    async def program() -> None:
        async with Pollers([EventSourceMapping(MemoryQueueSource(queue), sink)]):
            await sink.full.wait()
            raise LookupError

    with pytest.raises(LookupError):
        await program()
    assert len(queue) == 0


def test_every_mistake_of_a_mapping_is_said_at_once() -> None:
    with pytest.raises(ConfigurationError) as raised:
        EventSourceMapping(
            MemoryQueueSource(queue_of()),
            "json.dumps",
            batch_size=0,
            maximum_batching_window_in_seconds=301,
            maximum_retry_attempts=3,
            filters=['{"body": ["a"]}', '{"body": {"a": 1}}'],
        )
    paths = [problem.path for problem in raised.value.problems]
    assert paths == ["batch_size", "maximum_batching_window_in_seconds", "maximum_retry_attempts", "filters[1]"]
    assert all(problem.remedy for problem in raised.value.problems)


def test_two_mappings_of_one_identity_are_refused() -> None:
    source = MemoryQueueSource(queue_of())

    async def handle(event: dict[str, Any], context: Any) -> None: ...

    with pytest.raises(ConfigurationError, match="one identity"):
        Pollers([EventSourceMapping(source, handle), EventSourceMapping(source, handle)])
    Pollers([EventSourceMapping(source, handle, name="a"), EventSourceMapping(source, handle, name="b")])


async def test_a_source_that_cannot_be_opened_raises_and_closes_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:1")
    closed = []
    source = MemoryQueueSource(queue_of())
    close = source.close

    async def note() -> None:
        closed.append(source)
        await close()

    source.close = note  # type: ignore[method-assign]
    mappings = [
        EventSourceMapping(source, Sink(1), name="good"),
        EventSourceMapping(SqsSource("orders"), Sink(1), name="bad"),
    ]
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:1"):
        async with Pollers(mappings):
            pytest.fail("it must not start")
    assert closed


@pytest.mark.rule("5.9-1", "5.9-3", "5.9-4", "5.2-9", "2.2-1")
@virtual_time
async def test_a_poison_record_ends_in_the_failure_file_and_its_neighbors_go_on(tmp_path: Path) -> None:
    log = MemoryLog("clicks")
    for number in range(10):
        log.put(f"click {number}", key="user")
    seen: list[str] = []

    async def handle(event: dict[str, Any], context: Any) -> None:
        data = [record["kinesis"]["data"] for record in event["Records"]]
        if "Y2xpY2sgNA==" in data:
            raise ValueError("click 4 cannot be counted")
        seen.extend(data)

    mapping = EventSourceMapping(
        MemoryLogSource(log),
        handle,
        maximum_retry_attempts=1,
        bisect_batch_on_function_error=True,
        on_failure=FileDestination(str(tmp_path / "failures.jsonl")),
    )
    async with Pollers([mapping]) as running:
        while running.meters()[0].processed < 9:
            await asyncio.sleep(0.1)
    assert len(seen) == len(set(seen)) == 9
    (line,) = (tmp_path / "failures.jsonl").read_text().splitlines()
    document = json.loads(line)
    assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert document["requestContext"]["approximateInvokeCount"] == 2
    assert document["responseContext"]["functionError"] == "Unhandled"
    assert document["KinesisBatchInfo"]["batchSize"] == 1
    assert [record["kinesis"]["data"] for record in json.loads(document["payload"])["Records"]] == ["Y2xpY2sgNA=="]


def test_every_public_name_is_there() -> None:
    for name in pollers.__all__:
        assert getattr(pollers, name) is not None
    assert set(dir(pollers)) == set(pollers.__all__)
    with pytest.raises(AttributeError):
        _ = pollers.nothing_of_this_name


@pytest.mark.parametrize("name", ["KafkaSource", "KafkaConnection", "KafkaDestination"])
def test_what_needs_the_client_of_kafka_says_so_where_it_is_missing(name: str) -> None:
    code = f"import sys; sys.modules['aiokafka'] = None; import pollers; pollers.{name}"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1
    assert 'pip install "pollers[kafka]"' in ran.stderr
