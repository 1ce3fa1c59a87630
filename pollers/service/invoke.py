"""`pollers invoke`: one call of a function, as a mapping would make it, and what its answer would mean there."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard, cast

import click

from pollers.clock import Clock
from pollers.config.model import Configuration, FunctionConfig
from pollers.config.parse import bare_function
from pollers.errors import ConfigurationError, Problem
from pollers.flow.outcomes import AllFailed, AllPassed, SomeFailed, read_report
from pollers.flow.records import Aborted, Failed, Outcome, Partition, Parts, Returned, Shape, Throttled, Unreachable
from pollers.service.output import logs_on_stderr, say
from pollers.spi import Invocation, Target

__all__ = ["invoke", "meaning"]


def invoke(name: str, event: dict[str, Any], configuration: Configuration | None, app_dir: Path | None) -> bool:
    """Call the function and print its answer; whether it returned one. Raises `PollersError`."""
    function = _function(name, configuration)
    if app_dir is None and configuration is not None:
        app_dir = configuration.folder
    with logs_on_stderr():
        outcome = asyncio.run(_call(function, event, app_dir))
    answered = isinstance(outcome, Returned) and outcome.unreadable is None
    if isinstance(outcome, Returned) and answered:
        click.echo(json.dumps(outcome.payload, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))
    text = meaning(event, outcome)
    say({"meaning": text}, text, err=True, style="" if answered else "red")
    return answered


def _function(name: str, configuration: Configuration | None) -> FunctionConfig:
    """The configured function of that name, else the handler of that path."""
    if configuration is not None and name in configuration.functions:
        return configuration.functions[name]
    if "." in name or ":" in name:
        return bare_function(name)
    known = ", ".join(configuration.functions) if configuration is not None else ""
    remedy = f"Configured are: {known}." if known else "Write module.function, or name its file with --config."
    raise ConfigurationError([Problem(name, "there is no function of this name.", remedy)])


async def _call(function: FunctionConfig, event: dict[str, Any], app_dir: Path | None) -> Outcome:
    from pollers.aws.client import Clients
    from pollers.config.build import build_target

    clients = Clients()
    try:
        target = build_target(function, _source(event), clients, None if app_dir is None else str(app_dir))
        try:
            await target.open()
            return await _once(target, event)
        finally:
            await target.close()
    finally:
        await clients.close()


async def _once(target: Target, event: dict[str, Any]) -> Outcome:
    timeout = target.function.timeout
    invocation = Invocation(Clock().ids(), event, asyncio.get_running_loop().time() + timeout, time.time() + timeout)
    try:
        async with asyncio.timeout(timeout):
            return await target.invoke(invocation)
    except TimeoutError:
        return Failed("Sandbox.Timedout", f"Task timed out after {timeout:.2f} seconds")  # Lambda's words


# What an answer means


@dataclass(frozen=True, slots=True)
class _EventRecords:
    """The one question that reading a report asks of a Shape, answered for records as events have them."""

    def identifier(self, partition: Partition, record: Any) -> object:
        if partition:
            return ("offset", record.get("offset")), ("partition", str(partition))
        for payload in (record.get("kinesis"), record.get("dynamodb"), record):
            if isinstance(payload, dict):
                for name in ("messageId", "sequenceNumber", "SequenceNumber"):
                    if isinstance(payload.get(name), str):
                        return payload[name]
        return None


def meaning(event: dict[str, Any], outcome: Outcome) -> str:
    """What a mapping would make of an outcome, in a sentence or two."""
    parts = _parts(event)
    records = [record for _, some in parts for record in some]
    match outcome:
        case Failed(error, message):
            again = f" A mapping would try {_all(records)} again." if records else ""
            reason = ": ".join(filter(None, (error, message))).rstrip(".")
            return f"The function failed: {reason}.{again}"
        case Throttled():
            return "The function was not called: it is throttled. A mapping would wait, and spend no attempt."
        case Unreachable(reason):
            return f"The function was not reached: {reason}. A mapping would try again, and spend no attempt."
        case Aborted():
            return "The call was ended before the function had answered."
        case Returned(_, unreadable) if unreadable is not None and not records:
            return f"The answer is not JSON ({unreadable})."
        case Returned():
            return _of_records(parts, records, outcome) if records else "The function returned."


def _of_records(parts: Parts, records: list[Any], answer: Returned) -> str:
    unread = f" Without it nobody reads the answer, and {_all(records)} would be done."
    match read_report(answer, parts, cast(Shape, _EventRecords())):  # it asks for identifiers only
        case AllPassed():
            return f"{len(records)} of {_count(records)} processed."
        case SomeFailed(failed):
            reported = sum(map(len, failed))
            return f"{reported} of {_count(records)} reported as failed, under ReportBatchItemFailures.{unread}"
        case AllFailed(reason):
            return f"{_all(records).capitalize()} failed, under ReportBatchItemFailures: {reason}.{unread}"


def _parts(event: dict[str, Any]) -> Parts:
    """The records by partition, which only Kafka's events name; none where the event has no records."""
    listed = event.get("Records")
    if _is_records(listed):
        return [(Partition(""), listed)]
    mapped = event.get("records")
    if isinstance(mapped, dict) and all(map(_is_records, mapped.values())):
        return [(Partition(name), records) for name, records in mapped.items()]
    return []


def _is_records(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _source(event: dict[str, Any]) -> str:
    """The ARN of the event's source, which lends the function its region and account."""
    parts = _parts(event)
    first = parts[0][1][0] if parts and parts[0][1] else {}
    arn = first.get("eventSourceARN") or event.get("eventSourceArn")
    return arn if isinstance(arn, str) else ""


def _count(records: list[Any]) -> str:
    return "1 record" if len(records) == 1 else f"{len(records)} records"


def _all(records: list[Any]) -> str:
    return "the record" if len(records) == 1 else f"all {len(records)} records"
