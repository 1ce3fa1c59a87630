"""What the demo's functions write down is what they were given and what they answered."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pollers.service.demo.witness import Ledger, witnessed


def record(partition: int, offset: int) -> dict[str, Any]:
    return {"topic": "topic", "partition": partition, "offset": offset}


def name(record: dict[str, Any]) -> str:
    return f"{record['partition']}/{record['offset']}"


EVENT = {"records": {"topic-0": [record(0, 0), record(0, 1)], "topic-1": [record(1, 7), record(1, 8)]}}


async def test_each_partition_of_an_event_is_a_call_with_its_own_answer(tmp_path: Path) -> None:
    async def function(event: dict[str, Any], context: Any) -> dict[str, Any]:
        return {"batchItemFailures": [{"itemIdentifier": {"partition": "topic-1", "offset": 8}}]}

    ledger = Ledger(tmp_path / "ledger.jsonl")
    await witnessed(ledger, "readings", name, function)(EVENT, None)
    ledger.close()
    calls = Ledger.read(ledger.path)
    assert [(call.records, call.answer) for call in calls] == [(("0/0", "0/1"), "ok"), (("1/7", "1/8"), ("1/8",))]
    assert {call.process for call in calls} == {os.getpid()}


async def test_an_error_is_the_answer_of_every_partition(tmp_path: Path) -> None:
    async def function(event: dict[str, Any], context: Any) -> None:
        raise ValueError("no")

    ledger = Ledger(tmp_path / "ledger.jsonl")
    with pytest.raises(ValueError, match="no"):
        await witnessed(ledger, "readings", name, function)(EVENT, None)
    ledger.close()
    assert [call.answer for call in Ledger.read(ledger.path)] == ["error", "error"]
