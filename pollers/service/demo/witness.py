"""Functions that write down what they are given and what they answer, before anybody can tell them otherwise."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

from pollers.testing.audit import Call

__all__ = ["FOLDER", "LEDGER", "WINDOWS", "Handler", "Ledger", "witnessed"]

FOLDER: Final = "POLLERS_DEMO_FOLDER"  # the environment variable that tells the demo's functions where to write
LEDGER: Final = "ledger.jsonl"
WINDOWS: Final = "windows.jsonl"

Handler: TypeAlias = Callable[[dict[str, Any], Any], Awaitable[Any]]


class Ledger:
    """A file of JSON lines: one when an invocation begins, one when it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a", buffering=1, encoding="utf-8")
        self._next = 0

    def begin(self, mapping: str, records: list[str]) -> str:
        """Returns the name of the call, which no other process gives."""
        self._next += 1
        call = f"{os.getpid()}-{self._next}"
        self._write(call=call, mapping=mapping, records=records, begun=time.monotonic())
        return call

    def end(self, call: str, answer: str | list[str]) -> None:
        self._write(call=call, ended=time.monotonic(), answer=answer)

    def close(self) -> None:
        self._file.close()

    def _write(self, **line: object) -> None:
        self._file.write(json.dumps(line) + "\n")

    @staticmethod
    def read(path: Path) -> list[Call]:
        """Every call in the file, in the order in which they began."""
        begun: dict[str, dict[str, Any]] = {}
        ended: dict[str, dict[str, Any]] = {}
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
            except ValueError:  # the last line of a process that was killed while it wrote
                continue
            (begun if "begun" in line else ended)[line["call"]] = line
        return [_call(name, line, ended.get(name)) for name, line in begun.items()]


def _call(name: str, begun: dict[str, Any], ended: dict[str, Any] | None) -> Call:
    answer: Any = "error" if ended is None else ended["answer"]
    return Call(
        mapping=begun["mapping"],
        records=tuple(begun["records"]),
        begun=begun["begun"],
        ended=None if ended is None else ended["ended"],
        answer=tuple(answer) if isinstance(answer, list) else answer,
        process=int(name.partition("-")[0]),
    )


def witnessed(ledger: Ledger, mapping: str, name: Callable[[dict[str, Any]], str], function: Handler) -> Handler:
    """`function`, every call of which is written down. `name` tells which record of the producer's this is.

    Kafka's records stand by partition, and a failure says nothing of other partitions: there, each is a call.
    """

    async def handle(event: dict[str, Any], context: Any) -> Any:
        parts = _parts(event)
        calls = [ledger.begin(mapping, [name(record) for record in part]) for part in parts]
        try:
            answer = await function(event, context)
        except BaseException:
            for call in calls:
                ledger.end(call, "error")
            raise
        failures = answer.get("batchItemFailures", []) if isinstance(answer, dict) else []
        failed = {str(failure["itemIdentifier"]) for failure in failures}
        for call, part in zip(calls, parts, strict=True):
            ledger.end(call, [name(record) for record in part if _identifier(record) in failed] or "ok")
        return answer

    return handle


def _parts(event: dict[str, Any]) -> list[list[dict[str, Any]]]:
    return [event["Records"]] if "Records" in event else list(event["records"].values())


def _identifier(record: dict[str, Any]) -> str:
    if "messageId" in record:
        return str(record["messageId"])
    if "offset" in record:
        return str({"partition": f"{record['topic']}-{record['partition']}", "offset": record["offset"]})
    return str(record["kinesis"]["sequenceNumber"] if "kinesis" in record else record["dynamodb"]["SequenceNumber"])
