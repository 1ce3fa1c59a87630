"""The ready-made functions, each on its own event, as `pollers invoke` and Lambda would call them."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

EVENTS = Path(__file__).parents[2] / "handlers" / "events"


class Context:
    """What the functions use of Lambda's context."""

    def __init__(self, milliseconds: int = 3_000) -> None:
        self._milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self._milliseconds


def event(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return loaded


def call(name: str, given: dict[str, Any] | None = None) -> Any:
    return import_module(f"handlers.{name}").handle(event(name) if given is None else given, Context())


def identifiers(*records: dict[str, Any]) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in records]}


def test_every_function_has_its_event() -> None:
    functions = {path.stem for path in EVENTS.parent.glob("*.py")} - {"__init__"}
    assert functions == {path.stem for path in EVENTS.glob("*.json")}


def test_partial_reports_the_failed_message_and_the_rest_of_its_group() -> None:
    records = event("partial")["Records"]
    assert call("partial") == identifiers(records[1], records[2])


@pytest.mark.parametrize("groups", [True, False])
def test_partial_reports_only_what_failed_in_a_standard_queue(groups: bool) -> None:
    given = event("partial")
    for record in given["Records"]:
        record["eventSourceARN"] = record["eventSourceARN"].removesuffix(".fifo")
        if not groups:
            del record["attributes"]["MessageGroupId"]
    assert call("partial", given) == identifiers(given["Records"][1])


def test_upsert_counts_a_message_once_however_often_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE", str(tmp_path / "orders.db"))
    assert call("upsert") == {"new": 3}
    assert call("upsert") == {"new": 0}
    database = sqlite3.connect(tmp_path / "orders.db")
    rows = database.execute("SELECT * FROM orders ORDER BY id").fetchall()
    database.close()
    assert rows == [("a-1", 5), ("b-1", 1)]


def test_upsert_writes_nothing_of_a_batch_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE", str(tmp_path / "orders.db"))
    broken = event("upsert")
    broken["Records"][2]["body"] = "no JSON"
    with pytest.raises(ValueError, match="Expecting value"):
        call("upsert", broken)
    assert call("upsert") == {"new": 3}


def test_record_log_has_a_line_for_each_record(caplog: pytest.LogCaptureFixture) -> None:
    records = [
        *event("record_log")["Records"],
        {"eventSource": "aws:kinesis", "kinesis": {"sequenceNumber": "4959", "data": "SGVsbG8="}},
        {"eventSource": "aws:dynamodb", "eventID": "c4ca", "dynamodb": {"Keys": {}}},
    ]
    with caplog.at_level(logging.INFO):
        assert call("record_log", {"Records": records}) is None
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith(f"aws:sqs {records[0]['messageId']}: ")
    assert lines[1:] == ["aws:kinesis 4959: Hello", 'aws:dynamodb c4ca: {"Keys": {}}']


async def forwarded(monkeypatch: pytest.MonkeyPatch, milliseconds: int) -> tuple[Any, list[str]]:
    """The answer of `forward` before a service that takes the first order and never answers the second."""
    keys: list[str] = []
    hold = asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        keys.append(request.headers["Idempotency-Key"])
        if json.loads(await request.text())["id"] == "b-1":
            await hold.wait()
        return web.Response()

    application = web.Application()
    application.router.add_post("/", take)
    runner = web.AppRunner(application, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("FORWARD_URL", f"http://127.0.0.1:{runner.addresses[0][1]}/")
    try:
        return await import_module("handlers.forward").handle(event("forward"), Context(milliseconds)), keys
    finally:
        hold.set()
        await runner.cleanup()


async def test_forward_reports_what_was_not_taken_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    records = event("forward")["Records"]
    answer, keys = await forwarded(monkeypatch, 2_000)
    assert answer == identifiers(records[1])
    assert sorted(keys) == sorted(record["messageId"] for record in records)


async def test_forward_does_not_begin_what_it_has_no_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    records = event("forward")["Records"]
    answer, _ = await forwarded(monkeypatch, 100)
    assert answer == identifiers(*records)


def test_forward_works_in_lambda_which_calls_no_async_def(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARD_URL", "http://127.0.0.1:9/")  # too little time is left to reach it
    given = event("forward")
    answer = import_module("handlers.forward").lambda_handler(given, Context(100))
    assert answer == identifiers(*given["Records"])
