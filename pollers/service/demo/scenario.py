"""What the demo sends, and the functions that receive it: one small story for each thing a mapping can do."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from pollers.testing.audit import Sent

__all__ = [
    "Changes",
    "Readings",
    "clicks",
    "counted",
    "events",
    "everything",
    "name_of_change",
    "name_of_message",
    "name_of_reading",
    "name_of_record",
    "orders",
    "payments",
    "reports",
]

GROUPS = 8
POISON_ORDERS = ("order-31", "order-77")
POISON_PAYMENT = "payment-3-4"
POISON_CLICK = "click-137"


def name_of_message(record: dict[str, Any]) -> str:
    """The producer's name of an SQS record."""
    return str(json.loads(record["body"])["id"])


def name_of_record(record: dict[str, Any]) -> str:
    """The producer's name of a Kinesis record."""
    return str(json.loads(base64.b64decode(record["kinesis"]["data"]))["id"])


def name_of_change(record: dict[str, Any]) -> str:
    """The producer's name of a change of an item."""
    return str(record["dynamodb"]["NewImage"]["change"]["S"])


def name_of_reading(record: dict[str, Any]) -> str:
    """The producer's name of a Kafka record."""
    return str(json.loads(base64.b64decode(record["value"]))["id"])


# What is sent


def everything() -> list[Sent]:
    """All of it, mapping by mapping."""
    parts = (to_orders(), to_payments(), to_events(), to_reports(), to_clicks(), to_changes(), to_readings())
    return [one for part in parts for one in part]


def to_orders() -> Iterator[Sent]:
    """A standard queue: no order, some messages need a second try, two never succeed."""
    return (Sent("orders", f"order-{number}") for number in range(400))


def to_payments() -> Iterator[Sent]:
    """A FIFO queue of eight customers; one message of one of them never succeeds."""
    for number in range(12):
        for group in range(GROUPS):
            yield Sent("payments", f"payment-{group}-{number}", key=f"customer-{group}")


def to_events() -> Iterator[Sent]:
    """A queue of which a filter lets one kind of three through."""
    return (Sent("events", f"event-{number}", filtered=number % 3 != 0) for number in range(150))


def to_reports() -> Iterator[Sent]:
    """A few messages whose work takes longer than the queue's visibility timeout."""
    return (Sent("reports", f"report-{number}") for number in range(6))


def to_clicks() -> Iterator[Sent]:
    """A Kinesis stream: three lanes a shard, many keys, one record that no attempt gets through."""
    return (Sent("clicks", f"click-{number}", key=f"user-{number % 20}") for number in range(600))


def to_changes() -> Iterator[Sent]:
    """A table's stream: changes of twelve items."""
    return (Sent("changes", f"change-{number}", key=f"item-{number % 12}") for number in range(300))


def to_readings() -> Iterator[Sent]:
    """A Kafka topic: what two dozen sensors measure, a lane for each."""
    return (Sent("readings", f"reading-{number}", key=f"sensor-{number % 24}") for number in range(480))


# What receives it. Any of several processes may get a record again: no record is remembered here.


async def orders(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Reports the messages that failed; the others of the batch are done."""
    await asyncio.sleep(0.02)
    failed = [record["messageId"] for record in event["Records"] if _order_fails(record)]
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in failed]}


def _order_fails(record: dict[str, Any]) -> bool:
    """One in ten at the first try, the poison ones at every try."""
    name = name_of_message(record)
    first = record["attributes"]["ApproximateReceiveCount"] == "1"
    return name in POISON_ORDERS or (first and name.endswith("0"))


async def payments(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Stops a customer at the first failure and reports it with the rest, as a FIFO function must."""
    await asyncio.sleep(0.02)
    stopped: set[str] = set()
    failed = []
    for record in event["Records"]:
        customer = record["attributes"]["MessageGroupId"]
        if customer in stopped or name_of_message(record) == POISON_PAYMENT:
            stopped.add(customer)
            failed.append(record["messageId"])
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in failed]}


async def events(event: dict[str, Any], context: Any) -> None:
    """Sees only what the filter lets through."""
    await asyncio.sleep(0.01)


async def reports(event: dict[str, Any], context: Any) -> None:
    """Takes four times the queue's visibility timeout."""
    await asyncio.sleep(8)


async def clicks(event: dict[str, Any], context: Any) -> None:
    """Raises for the whole batch when the poison record is in it: it takes bisecting to find out which one it is."""
    await asyncio.sleep(0.01)
    if any(name_of_record(record) == POISON_CLICK for record in event["Records"]):
        raise ValueError("this click cannot be counted")


class Changes:
    """Counts a table's changes in the state of a tumbling window, and writes down what each window came to."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1, encoding="utf-8")

    async def handle(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """Hands the count on; the final call of a window brings it home."""
        count = event["state"].get("count", 0) + len(event["Records"])
        if event["isFinalInvokeForWindow"]:
            self._file.write(json.dumps([event["shardId"], event["window"]["start"], count]) + "\n")
        return {"state": {"count": count}}


def counted(path: Path) -> list[int]:
    """What each window came to; a final call that was repeated says the same once more."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    windows = {(shard, start): count for shard, start, count in map(json.loads, lines)}
    return list(windows.values())


class Readings:
    """In one call of ten stops at a record of one partition: it and what follows there is to come again."""

    def __init__(self) -> None:
        self._calls = count(1)

    async def handle(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """Reports where it stopped."""
        await asyncio.sleep(0.01)
        if next(self._calls) % 10 != 3:
            return {"batchItemFailures": []}
        record = random.choice(random.choice(list(event["records"].values())))
        place = {"partition": f"{record['topic']}-{record['partition']}", "offset": record["offset"]}
        return {"batchItemFailures": [{"itemIdentifier": place}]}
