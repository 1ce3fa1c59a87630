"""Calls of one queue: counted, and deletes and visibility changes ten to a call, each entry's result looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pollers.aws.errors import CallFailed, Diagnosis, Kind
from pollers.aws.refusals import kind_of

__all__ = ["Change", "QueueCalls", "SqsClient"]

_ENTRIES: Final = 10  # AWS: entries of one batch call
_SIDE_BY_SIDE: Final = 8  # batch calls at once
_RETRIES: Final = 3  # of single entries
_FIRST: Final = 0.1  # seconds before the first of them; doubles


class SqsClient(Protocol):
    """What is needed of `pollers.aws.client.Client`."""

    async def call(self, operation: str, /, **parameters: Any) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Change:
    """One message to delete, or to keep invisible for so many seconds from now."""

    handle: str
    visibility: int | None = None  # None: delete

    def entry(self, number: int) -> dict[str, Any]:
        entry: dict[str, Any] = {"Id": str(number), "ReceiptHandle": self.handle}
        if self.visibility is not None:
            entry["VisibilityTimeout"] = self.visibility
        return entry


Finished = Callable[[Change, str | None], None]  # told once per change; with the error code if the queue refused it


class QueueCalls:
    """Calls that are answered at once, and the count of every call of the queue."""

    def __init__(self, client: SqsClient, url: str, requests: dict[tuple[str, str], int]) -> None:
        """`requests` counts by (operation, "ok" | "error" | "throttled")."""
        self.url = url
        self._client = client
        self._requests = requests

    async def call(self, operation: str, client: SqsClient | None = None, /, **parameters: Any) -> dict[str, Any]:
        """Call by another client, or by the one for short calls. Raises CallFailed."""
        try:
            answer = await (client or self._client).call(operation, QueueUrl=self.url, **parameters)
        except CallFailed as failure:
            self._count(operation, failure.outcome)
            raise
        self._count(operation, "ok")
        return answer

    async def apply(self, operation: str, changes: Sequence[Change], finished: Finished, *, ordered: bool) -> None:
        """Apply every change; `ordered`: one call after the other. Raises CallFailed after all have been tried.

        What the queue will never do (a receipt handle that is no longer valid) is finished, too; a change that failed
        otherwise, also after retries, is not.
        """
        tens = iter([changes[start : start + _ENTRIES] for start in range(0, len(changes), _ENTRIES)])
        failures: list[CallFailed] = []
        workers = 1 if ordered else min(_SIDE_BY_SIDE, -(-len(changes) // _ENTRIES))
        if workers == 1:
            await self._work(operation, tens, finished, failures)
        else:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work(operation, tens, finished, failures))
        if failures:
            raise failures[0]

    async def _work(
        self, operation: str, tens: Iterator[Sequence[Change]], finished: Finished, failures: list[CallFailed]
    ) -> None:
        for ten in tens:
            try:
                await self._batch(operation, ten, finished)
            except CallFailed as failure:
                failures.append(failure)

    async def _batch(self, operation: str, ten: Sequence[Change], finished: Finished) -> None:
        left = {str(number): change for number, change in enumerate(ten)}
        for retry in range(_RETRIES + 1):
            if retry:
                await asyncio.sleep(_FIRST * 2.0 ** (retry - 1))
            entries = [change.entry(int(number)) for number, change in left.items()]
            answer = await self.call(operation, Entries=entries)
            for success in answer.get("Successful") or ():
                if (change := left.pop(success["Id"], None)) is not None:
                    finished(change, None)
            fault = "an entry without an answer"
            for failed in answer.get("Failed") or ():
                fault = f"{failed.get('Code')}: {failed.get('Message') or 'no text'}"
                if _for_good(failed) and (change := left.pop(failed["Id"], None)) is not None:
                    finished(change, failed["Code"])
            if not left:
                return
        cause = f"{operation} failed for {len(left)} of {len(ten)} messages: {fault}"
        raise CallFailed(operation, Diagnosis(Kind.OTHER, cause, "It is tried again, more slowly."))

    def _count(self, operation: str, outcome: str) -> None:
        self._requests[operation, outcome] = self._requests.get((operation, outcome), 0) + 1


def _for_good(failed: dict[str, Any]) -> bool:
    """Whether a failed entry would fail again: the queue blames the sender, and not for being too fast."""
    return bool(failed.get("SenderFault")) and kind_of(str(failed.get("Code")), "", 400) is not Kind.THROTTLED
