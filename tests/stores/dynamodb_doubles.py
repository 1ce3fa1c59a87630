"""A line to DynamoDB that loses answers, hangs or breaks off: what leads there is a client like any other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pollers.aws.client import Client, Clients, Purpose
from pollers.aws.errors import CallFailed, Diagnosis, Kind

Trouble = Callable[[str, dict[str, Any]], str]  # of a call, by operation and parameters: "" or one of the words below

LOST = CallFailed("UpdateItem", Diagnosis(Kind.UNREACHABLE, "the connection was reset", "It is tried again."))
THROTTLED = CallFailed(
    "UpdateItem",
    Diagnosis(Kind.THROTTLED, "the table is throttled", "It is tried again."),
    "ProvisionedThroughputExceededException",
)


class Line(Clients):
    """Everybody's clients, with trouble on the way.

    "repeat": the answer is lost, and the call made again, as botocore does; "lose": its answer is lost for good; "cut":
    it does not arrive; "throttle": it is refused; "hang": nobody answers; "late": it is given up, and arrives just
    before the next one.
    """

    def __init__(self, trouble: Trouble) -> None:
        super().__init__()
        self.trouble = trouble
        self.calls: list[str] = []
        self.late: list[tuple[str, dict[str, Any]]] = []

    def get(self, service: str, region: str | None = None, purpose: Purpose = "call") -> Client:
        return _Troubled(self, service, region, purpose)


class _Troubled(Client):
    def __init__(self, line: Line, service: str, region: str | None, purpose: Purpose) -> None:
        super().__init__(line, service, region, purpose)
        self._line = line

    async def call(self, operation: str, /, **parameters: Any) -> dict[str, Any]:
        self._line.calls.append(operation)
        trouble = self._line.trouble(operation, parameters)
        if trouble == "late":
            self._line.late.append((operation, parameters))
        if trouble in ("cut", "late"):
            raise LOST
        if operation == "UpdateItem":
            await self._arrive()
        if trouble == "throttle":
            raise THROTTLED
        if trouble == "hang":
            await asyncio.Event().wait()
        if trouble in ("repeat", "lose"):
            await super().call(operation, **parameters)
        if trouble == "lose":
            raise LOST
        return await super().call(operation, **parameters)

    async def _arrive(self) -> None:
        late, self._line.late = self._line.late, []
        for operation, parameters in late:
            await super().call(operation, **parameters)
