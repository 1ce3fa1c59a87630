"""Runs the demo: embedded servers, six mappings, a live table, and a verdict from what the functions wrote down."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pollers.config.library import EventSourceMapping
from pollers.destinations.file import FileDestination
from pollers.engine.supervisor import Pollers
from pollers.service.demo import scenario
from pollers.service.demo.show import Line, Table, verdict
from pollers.service.demo.witness import Handler, Ledger, witnessed
from pollers.sources.dynamodb import DynamoDbSource
from pollers.sources.kinesis import KinesisSource
from pollers.sources.sqs import SqsSource
from pollers.stores.sqlite import SqliteStore
from pollers.testing.audit import Call, History, Sent, check
from pollers.testing.front import EmbeddedAws
from pollers.testing.queues import EmbeddedQueue
from pollers.testing.streams import EmbeddedStream
from pollers.testing.tables import EmbeddedTable

__all__ = ["run_demo"]

LIMIT = 40.0  # seconds after which the demo ends even if something is left
PACE = 5.0  # seconds over which everything is sent
WINDOW = 2  # seconds of a tumbling window
LOGS = frozenset({"clicks", "changes"})
NAMES = {"clicks": scenario.name_of_record, "changes": scenario.name_of_change}


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that the demo runs on."""

    queues: dict[str, EmbeddedQueue]
    dead: dict[str, EmbeddedQueue]
    stream: EmbeddedStream
    table: EmbeddedTable
    store: SqliteStore
    counted: scenario.Changes
    ledger: Ledger
    failures: Path


def run_demo() -> int:
    """Run it to its end; returns the exit code: 0 when nothing was lost, doubled or disordered."""
    with tempfile.TemporaryDirectory(prefix="pollers-demo-") as folder, EmbeddedAws.in_thread() as aws:
        before = {name: os.environ.get(name) for name in aws.environment}
        os.environ.update(aws.environment)
        try:
            stage = _set_up(aws, Path(folder))
            try:
                return asyncio.run(_play(stage))
            finally:
                stage.ledger.close()
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _set_up(aws: EmbeddedAws, folder: Path) -> Stage:
    def queue(name: str, visibility: int, dead: EmbeddedQueue | None = None) -> EmbeddedQueue:
        attributes = {"VisibilityTimeout": str(visibility)}
        if name.endswith(".fifo"):
            attributes |= {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        if dead is not None:
            attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 3})
        answer = aws.run(lambda: aws.sqs.call("CreateQueue", {"QueueName": name, "Attributes": attributes}))
        assert isinstance(answer, dict)
        return EmbeddedQueue(aws, str(answer["QueueUrl"]))

    dead = {"orders": queue("orders-dead", 30), "payments": queue("payments-dead.fifo", 30)}
    queues = {
        "orders": queue("orders", 2, dead["orders"]),
        "payments": queue("payments.fifo", 2, dead["payments"]),
        "events": queue("events", 30),
        "reports": queue("reports", 2),
    }
    aws.run(lambda: aws.dynamodb.create_table("items", shards=2))
    return Stage(
        queues,
        dead,
        EmbeddedStream.create(aws, "clicks", shards=2),
        EmbeddedTable(aws, "items"),
        SqliteStore(folder / "positions.db"),
        scenario.Changes(),
        Ledger(folder / "ledger.jsonl"),
        folder / "failures.jsonl",
    )


def _mappings(stage: Stage) -> list[EventSourceMapping]:
    def seen(name: str, function: Handler) -> Handler:
        return witnessed(stage.ledger, name, NAMES.get(name, scenario.name_of_message), function)

    def source(name: str) -> SqsSource:
        return SqsSource(stage.queues[name].url)

    reporting: list[Literal["ReportBatchItemFailures"]] = ["ReportBatchItemFailures"]
    return [
        EventSourceMapping(
            source("orders"), seen("orders", scenario.orders), name="orders", function_response_types=reporting
        ),
        EventSourceMapping(
            source("payments"), seen("payments", scenario.payments), name="payments", function_response_types=reporting
        ),
        EventSourceMapping(
            source("events"),
            seen("events", scenario.events),
            name="events",
            filters=[{"body": {"kind": ["order"]}}],
        ),
        EventSourceMapping(
            source("reports"), seen("reports", scenario.reports), name="reports", batch_size=1, timeout=15
        ),
        EventSourceMapping(
            KinesisSource(stage.stream.arn, store=stage.store, parallelization_factor=3),
            seen("clicks", scenario.clicks),
            name="clicks",
            batch_size=20,
            maximum_retry_attempts=2,
            bisect_batch_on_function_error=True,
            on_failure=FileDestination(str(stage.failures)),
        ),
        EventSourceMapping(
            DynamoDbSource(stage.table.stream_arn, store=stage.store),
            seen("changes", stage.counted.handle),
            name="changes",
            tumbling_window_in_seconds=WINDOW,
        ),
    ]


async def _play(stage: Stage) -> int:
    sent = [
        *scenario.to_orders(),
        *scenario.to_payments(),
        *scenario.to_events(),
        *scenario.to_reports(),
        *scenario.to_clicks(),
        *scenario.to_changes(),
    ]
    begun = time.monotonic()
    async with Pollers(_mappings(stage), ramp=None) as pollers:
        table = Table()
        with table:
            producing = asyncio.create_task(_produce(stage, sent))
            while time.monotonic() - begun < LIMIT:
                await asyncio.sleep(0.25)
                table.update(_lines(pollers, stage))
                if producing.done() and await _finished(stage, sent):
                    break
            await producing
        left = await pollers.drain(10)
    await stage.store.close()
    if left:
        print(f"left at the end: {left.invocations} invocations, {left.unsettled} unsettled records", file=sys.stderr)
    return _judge(stage, sent, time.monotonic() - begun)


async def _produce(stage: Stage, sent: list[Sent]) -> None:
    """Send every mapping's records side by side over a few seconds."""
    by_mapping: dict[str, list[Sent]] = {}
    for one in sent:
        by_mapping.setdefault(one.mapping, []).append(one)
    await asyncio.gather(*(_send_all(stage, some) for some in by_mapping.values()))


async def _send_all(stage: Stage, some: list[Sent]) -> None:
    for number, one in enumerate(some):
        await asyncio.to_thread(_send, stage, one)
        if one.mapping == "clicks" and number == len(some) // 2:
            await asyncio.to_thread(lambda: stage.stream.split(stage.stream.open_shards()[0]))
        if number % 10 == 9:
            await asyncio.sleep(PACE * 10 / len(some))


def _send(stage: Stage, one: Sent) -> None:
    body = json.dumps({"id": one.record, "kind": "other" if one.filtered else "order"})
    if one.mapping in stage.queues:
        members = {} if one.key is None else {"MessageGroupId": one.key}
        stage.queues[one.mapping].send(body, **members)
    elif one.mapping == "clicks":
        stage.stream.put(body, one.key or "")
    else:
        stage.table.put({"id": {"S": one.key or ""}, "change": {"S": one.record}})


async def _finished(stage: Stage, sent: list[Sent]) -> bool:
    """Whether the queues are empty, every record of the streams has been dealt with, and the windows are closed."""
    for queue in stage.queues.values():
        counts = await asyncio.to_thread(queue.counts)
        if counts.waiting or counts.in_flight:
            return False
    if sum(stage.counted.windows) < _changes(sent):
        return False
    return not any(problem.startswith("clicks") for problem in check(_history(stage, sent)).lost)


def _changes(sent: list[Sent]) -> int:
    return sum(one.mapping == "changes" for one in sent)


def _lines(pollers: Pollers, stage: Stage) -> Iterable[Line]:
    sizes = {name: queue.counts() for name, queue in stage.queues.items()}
    for meter in pollers.meters():
        waiting = sizes[meter.mapping].waiting if meter.mapping in sizes else 0
        yield Line(
            meter.mapping,
            waiting=waiting,
            held=meter.inflight_records,
            processed=meter.processed,
            filtered=meter.filtered,
            failed=meter.failed_records,
            discarded=meter.dead_lettered,
            calls=sum(meter.invocations.values()),
        )


# The verdict


def _history(stage: Stage, sent: list[Sent]) -> History:
    dead: set[tuple[str, str]] = set()
    for mapping, queue in stage.dead.items():
        dead.update((mapping, json.loads(body)["id"]) for body in queue.bodies())
    if stage.failures.exists():
        for line in stage.failures.read_text().splitlines():
            payload = json.loads(json.loads(line)["payload"])
            dead.update(("clicks", scenario.name_of_record(record)) for record in payload["Records"])
    return History(sent, Ledger.read(stage.ledger.path), frozenset(dead), LOGS)


def _judge(stage: Stage, sent: list[Sent], seconds: float) -> int:
    history = _history(stage, sent)
    report = check(history)
    rejected = {name: not check(spoil(history)).sound for name, spoil in SPOILT.items()}
    counted = sum(stage.counted.windows)
    parts = {mapping: check(_only(history, mapping)) for mapping in _names(sent)}
    verdict(report, rejected, seconds, parts, (len(stage.counted.windows), counted))
    return 0 if report.sound and all(rejected.values()) and counted == _changes(sent) else 1


def _names(sent: list[Sent]) -> list[str]:
    return list(dict.fromkeys(one.mapping for one in sent))


def _only(history: History, mapping: str) -> History:
    return replace(
        history,
        sent=[one for one in history.sent if one.mapping == mapping],
        calls=[call for call in history.calls if call.mapping == mapping],
    )


def _without_a_call(history: History) -> History:
    """One good call of the standard queue never happened."""
    good = next(call for call in history.calls if call.mapping == "orders" and call.answer == "ok")
    names = set(good.records)
    return replace(history, calls=[c for c in history.calls if c.mapping != "orders" or names.isdisjoint(c.records)])


def _with_a_call_again(history: History) -> History:
    """One good call happened once more, later."""
    good = next(call for call in history.calls if call.answer == "ok" and call.ended is not None)
    again = replace(good, begun=(good.ended or 0.0) + 1.0, ended=(good.ended or 0.0) + 2.0)
    return replace(history, calls=[*history.calls, again])


def _out_of_order(history: History) -> History:
    """One customer's last payment was seen before all others."""
    calls: list[Call] = list(history.calls)
    last = max(
        (call for call in calls if call.mapping == "payments" and call.answer == "ok"), key=lambda call: call.begun
    )
    first = min(call.begun for call in calls)
    calls[calls.index(last)] = replace(last, begun=first - 2.0, ended=first - 1.0)
    return replace(history, calls=calls)


SPOILT: dict[str, Callable[[History], History]] = {
    "a call left out": _without_a_call,
    "a call repeated": _with_a_call_again,
    "a call moved": _out_of_order,
}
