"""Keeps what was received, and carries out what became of it: deleted, left, or given back. The calls, not the poll.

Every record is in one of three places: held (beats extend it), dealt with (in a settle that is not over), or lapsed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from pollers.aws.errors import CallFailed, Kind
from pollers.errors import SourceError
from pollers.flow.records import Progress, Raw
from pollers.sources.sqs_calls import Change, QueueCalls
from pollers.sources.sqs_held import Held, Holdings, receives
from pollers.sources.sqs_terms import Terms

__all__ = ["Custody"]

_log = logging.getLogger(__name__)


class Custody:
    """The messages of one queue that are ours."""

    def __init__(self, resource: str, terms: Terms, calls: QueueCalls, lapsed: Callable[[Sequence[Raw]], None]) -> None:
        """`resource` is how messages name the queue; `lapsed` is told which messages are not ours any more."""
        self.beat = terms.visibility / 3 if terms.heartbeat else None  # seconds
        self._resource = resource
        self._terms = terms
        self._calls = calls
        self._tell = lapsed
        self._held = Holdings(terms.visibility, terms.own_visibility)
        self._dealt: set[str] = set()  # handles of an unfinished settle that need nothing more
        self._said_denied = False

    def add(self, messages: Sequence[Raw], arrived: float) -> None:
        """These are ours; `arrived` is loop time."""
        if self.beat is not None:
            self._held.add(messages, arrived)

    def clear(self) -> None:
        """Nothing is ours any more."""
        self._held.clear()
        self._dealt.clear()

    async def settle(self, progress: Progress) -> None:
        """Delete, leave and give back, in this order: what is done must not come back with what is given back.

        After an error the same progress, or more, may be settled again: nothing is done twice. Raises SourceError.
        """
        failures: list[CallFailed] = []
        for step, records in (
            (self._delete, progress.done),
            (self._leave, progress.failed),
            (self._give_back, progress.unstarted),
        ):
            try:
                await step([raw for raw in records if raw["ReceiptHandle"] not in self._dealt])
            except CallFailed as failure:
                failures.append(failure)
        if failures:
            raise failures[0].about(self._resource) from failures[0].__cause__
        self._dealt.clear()  # this progress does not come again

    async def keep(self) -> None:
        """Extend what would become visible to others before the beat after the next. Raises SourceError."""
        now = asyncio.get_running_loop().time()
        self._tell_lapsed([one.raw for one in self._held.lapsed(now)])
        if due := self._held.due(now):
            await self._extend(due, now)

    # Settling

    async def _delete(self, records: Sequence[Raw]) -> None:
        refused: set[str] = set()

        def finished(change: Change, code: str | None) -> None:
            self._dealt.add(change.handle)
            if self._held.pop(change.handle) is None and self.beat is not None:
                return  # known to have lapsed
            if code is not None:
                refused.add(change.handle)

        if records:
            changes = [Change(raw["ReceiptHandle"]) for raw in records]
            try:
                await self._calls.apply("DeleteMessageBatch", changes, finished, ordered=False)
            finally:
                self._tell_lapsed([raw for raw in records if raw["ReceiptHandle"] in refused])

    async def _leave(self, records: Sequence[Raw]) -> None:
        """Failed messages are the queue's: only what a beat did to their visibility is undone. Ours: 13-3."""
        now = await self._stop_beats(records)
        changes = []
        for raw in records:
            held = self._held.get(raw["ReceiptHandle"])
            seconds = None if held is None else self._held.setback(held, now)
            if seconds is None:
                self._held.pop(raw["ReceiptHandle"])
            else:
                changes.append(Change(raw["ReceiptHandle"], seconds))
        await self._change(changes)

    async def _give_back(self, records: Sequence[Raw]) -> None:
        """Visible at once, in order, unless the queue would not deliver them any more. Ours: 13-4, 13-5."""
        await self._stop_beats(records)
        changes = []
        for raw in records:
            if receives(raw) >= self._terms.max_receives:
                self._held.pop(raw["ReceiptHandle"])  # received once more, it would go to the dead-letter queue unread
            else:
                changes.append(Change(raw["ReceiptHandle"], 0))
        await self._change(changes)

    async def _stop_beats(self, records: Sequence[Raw]) -> float:
        """No beat touches these any more, and none is under way: it might undo what comes next. Returns the time."""
        held = [one for raw in records if (one := self._held.get(raw["ReceiptHandle"])) is not None]
        for one in held:
            one.leaving = True
        if under_way := {one.waiting for one in held if one.waiting is not None}:
            await asyncio.wait(under_way)
        return asyncio.get_running_loop().time()

    async def _change(self, changes: Sequence[Change]) -> None:
        def finished(change: Change, code: str | None) -> None:
            self._dealt.add(change.handle)
            self._held.pop(change.handle)

        if not changes:
            return
        ordered = self._terms.fifo
        try:
            await self._calls.apply("ChangeMessageVisibilityBatch", changes, finished, ordered=ordered)
        except CallFailed as failure:
            if failure.kind is not Kind.DENIED:
                raise
            self._say_denied(failure)
            for change in changes:  # left: they reappear when their visibility ends
                finished(change, failure.code)

    def _say_denied(self, failure: CallFailed) -> None:
        if not self._said_denied:
            self._said_denied = True
            _log.warning("Messages of %s are not handed back before their visibility ends. %s", self._resource, failure)

    # Keeping

    async def _extend(self, due: Sequence[Held], now: float) -> None:
        seconds = {one.handle: self._held.extension(one, now) for one in due}
        lapsed: list[Raw] = []

        def finished(change: Change, code: str | None) -> None:
            held = self._held.get(change.handle)
            if held is None:
                return  # deleted while we extended it
            if code is None:
                held.until = now + seconds[held.handle]
            else:
                self._held.pop(held.handle)
                lapsed.append(held.raw)

        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for one in due:
            one.waiting = ended
            one.extended = True  # from now on it may be, whether the answer reaches us or not
        changes = [Change(handle, visibility) for handle, visibility in seconds.items()]
        try:
            await self._calls.apply("ChangeMessageVisibilityBatch", changes, finished, ordered=False)
        except CallFailed as failure:
            raise self._not_kept(failure) from failure.__cause__
        finally:
            ended.set_result(None)
            for one in due:
                one.waiting = None
            self._tell_lapsed(lapsed)

    def _not_kept(self, failure: CallFailed) -> SourceError:
        if failure.kind is not Kind.DENIED:
            return failure.about(self._resource)
        # AWS: Lambda's own policies for queues do not hold this permission, as Lambda extends nothing.
        remedy = f"{failure.diagnosis.remedy} Or set heartbeat = false, as it is on AWS."
        return SourceError(self._resource, failure.diagnosis.cause, remedy)

    def _tell_lapsed(self, records: Sequence[Raw]) -> None:
        if records:
            self._tell(records)
