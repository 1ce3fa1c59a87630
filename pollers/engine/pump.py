"""Moves records for one mapping: reads, invokes and delivers what its flow decides.

Every decision is the flow's; here are only awaits, and the one place where the flow is asked what to do next
(`turn`), after every call into it. No batch needs a new task on the plain path: a reader of a long-polling source runs
the batch that it brought itself, and a runner goes on with the next batch.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace

from pollers.clock import Clock
from pollers.engine.calls import Calls
from pollers.engine.deadlines import Deadlines
from pollers.engine.deliveries import deliver, delivered
from pollers.engine.governor import Share
from pollers.engine.mapping import Mapping
from pollers.engine.rounds import Rounds
from pollers.engine.tenure import Tenure
from pollers.flow.batches import Batch, Discard
from pollers.flow.flow import Flow
from pollers.flow.records import Grant, Instant, Page
from pollers.telemetry import Event, Meter, RecordsMissed, SourceTroubled

__all__ = ["Pump"]

SLICE = 0.005  # seconds for which batches may follow each other without giving way to other tasks
FILTERED = 500  # records of a page that are filtered before other tasks get their turn
UNSURE = 0.1  # seconds between two looks whether grants are still ours, while they may not be
READ_FIRST, READ_CAP = 0.5, 30.0  # seconds between reads that raise


class Pump:
    """The movement of one run of a mapping. `tasks` is the group that all its tasks belong to."""

    def __init__(
        self,
        mapping: Mapping,
        tasks: asyncio.TaskGroup,
        share: Share,
        deadlines: Deadlines,
        clock: Clock,
        meter: Meter,
        notice: Callable[[Event], None],
    ) -> None:
        source = mapping.source
        policy = mapping.policy
        if mapping.filters is not None:
            policy = replace(policy, filters=mapping.filters.bind(source.shape))
        self.flow = Flow(policy, source.delivery, source.shape, clock.ids)
        self.calls = Calls(mapping.identity, mapping.target, source.shape, deadlines, clock, meter, notice)
        self.deliveries = 0  # under way
        self.tenures: dict[Grant, Tenure] = {}
        self._mapping = mapping
        self._source = source
        self._delivery = source.delivery
        self._tasks = tasks
        self._share = share
        self._clock = clock
        self._meter = meter
        self._notice = notice
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        self._rings_at = 0.0  # kept here: uvloop's handle does not know it for what is due within a millisecond
        self._settle_timer: asyncio.TimerHandle | None = None
        self._wake: asyncio.Handle | None = None
        self._waiting: list[tuple[Tenure, asyncio.Future[None]]] = []  # readers, for room or a permit
        self._rounds = Rounds(tasks, self._read_round)  # of a paced source, in place of readers
        self._thirsty: list[Tenure] = []  # of a paced source: not read for want of bytes
        self._gave_way = self._loop.time()
        self._pressed = False  # the byte budget is spent
        self._ending: dict[Tenure, None] = {}

    def now(self) -> Instant:
        return Instant(self._loop.time(), self._clock.wall())

    def wake(self) -> None:
        """A permit may be had by now. Safe to call from anywhere on the loop: the turn comes by itself."""
        if self._wake is None:
            self._wake = self._loop.call_soon(self._woken)

    def close(self) -> None:
        """Forget every timer."""
        self._rounds.close()
        for handle in (self._timer, self._settle_timer, self._wake):
            if handle is not None:
                handle.cancel()
        self._timer = self._settle_timer = self._wake = None

    # The one place that asks

    def turn(self, now: Instant) -> None:
        """Start all that can start, see to all that is due. Called after every call into the flow."""
        flow = self.flow
        flow.wake_at(now)  # what is due by now becomes startable, whoever asks
        self._weigh(now)  # a spent byte budget closes batches
        if flow.unsettled:
            self._settle()
        while flow.deliverable and isinstance(discard := flow.take(now, False), Discard):
            self._start_delivery(discard)
        while flow.startable and (batch := self.take(now)) is not None:
            self._tasks.create_task(self._run(batch))
        if self._share.stands_in_line and not flow.startable:
            self._share.rest()
        if self._waiting:
            self._let_read(now)
        if flow.fed:
            self._feed()
        if self._thirsty and self._share.may_hold():
            self._quench()
        for tenure in self._ending:
            tenure.look(flow)
        self._set_timer(now)

    def take(self, now: Instant) -> Batch | None:
        """A batch with a permit for it, if both are to be had."""
        if now.monotonic >= self._source.ours_until or not self._share.take(now.monotonic):
            return None
        while True:
            taken = self.flow.take(now, True)
            if isinstance(taken, Batch):
                return taken
            if taken is None:
                self._share.give()
                return None
            self._start_delivery(taken)

    def limit(self) -> int:
        """Invocations at once that the mapping may have now."""
        return self._share.limit(self._loop.time())

    # Grants

    def begin(self, tenure: Tenure) -> None:
        """A grant is ours: its reading begins."""
        self.tenures[tenure.grant] = tenure
        self.flow.grant(tenure.grant, self.now())
        if self._delivery.paced:
            self._rounds.add(tenure)
        else:
            tenure.add(self._tasks.create_task(self.read(tenure)))

    def end(self, tenure: Tenure) -> None:
        """Read no more of it and start nothing more; `tenure.idle` tells when nothing is under way."""
        self._ending[tenure] = None
        now = self.now()
        self.flow.revoke(tenure.grant, now)
        tenure.stop_reading()
        self.turn(now)
        self._settle_now()

    def forget(self, tenure: Tenure) -> None:
        """It is not ours any more: nothing of it counts."""
        self._ending.pop(tenure, None)
        self.tenures.pop(tenure.grant, None)
        tenure.stop_reading()
        tenure.cancel()
        now = self.now()
        self.flow.forget(tenure.grant, now)
        self.turn(now)

    # Time

    def _woken(self) -> None:
        self._wake = None
        self.turn(self.now())

    def _ring(self) -> None:
        self._timer = None
        self.turn(self.now())

    def _set_timer(self, now: Instant) -> None:
        when = self.flow.wake_at(now)
        if self.flow.startable and (rise := self._share.rises_at(now.monotonic)) is not None:
            when = rise if when is None else min(when, rise)
        if self.flow.startable and now.monotonic >= self._source.ours_until:
            when = min(now.monotonic + UNSURE, math.inf if when is None else when)
        timer = self._timer
        if when is None or (timer is not None and self._rings_at <= when):
            return  # an earlier timer asks again
        if timer is not None:
            timer.cancel()
        self._timer, self._rings_at = self._loop.call_at(when, self._ring), when

    def _weigh(self, now: Instant) -> None:
        nbytes = self.flow.total.nbytes
        if nbytes != self._share.nbytes:
            self._share.weigh(nbytes)
            if (pressed := not self._share.fits()) != self._pressed:
                self._pressed = pressed
                self.flow.press(now, pressed)

    # Settling

    def _settle(self) -> None:
        if not self._delivery.settle_every:
            self._settle_now()
        elif self._settle_timer is None:
            self._settle_timer = self._loop.call_later(self._delivery.settle_every, self._settle_now)

    def _settle_now(self) -> None:
        if self._settle_timer is not None:
            self._settle_timer.cancel()
            self._settle_timer = None
        for grant in self.flow.changed():
            if (tenure := self.tenures.get(grant)) is not None:
                tenure.settler.kick()

    # Reading

    async def read(self, tenure: Tenure) -> None:
        """One reader of a grant: until its end, or until fewer readers do."""
        many = self._delivery.readers is None
        task = asyncio.current_task()
        assert task is not None
        tenure.readers += 1
        try:
            while limit := await self._may_read(tenure):
                page = await self._read_page(tenure, task, limit)
                if page is None:
                    await tenure.pause(tenure.pause_after)
                    continue
                await self._accept(tenure, page)
                now = self.now()
                if many and not tenure.ending:
                    self._grow(tenure, page, limit)
                batch = self.take(now) if many and self.flow.startable else None
                self.turn(now)
                if batch is not None:
                    await self._work(batch, task, chain=False)
                if page.end or (many and not page.records and tenure.readers > 1):
                    break
                if page.pause:
                    await tenure.pause(page.pause)
        finally:
            tenure.readers -= 1
            if tenure.ending:
                tenure.look(self.flow)

    async def _read_round(self, tenure: Tenure, task: asyncio.Task[None]) -> float | None:
        """Read a paced grant once; in how many seconds again, or None when something else must happen first."""
        limit = self._limit(tenure, self._loop.time())
        if not limit:
            self._starve(tenure)
            return None
        tenure.readers += 1
        try:
            page = await self._read_page(tenure, task, limit)
            if page is None:
                return tenure.pause_after
            await self._accept(tenure, page)
            self.turn(self.now())
        finally:
            tenure.readers -= 1
            if tenure.ending:
                tenure.look(self.flow)
        return None if page.end else page.pause

    def _starve(self, tenure: Tenure) -> None:
        """It is read no more until it has room, or until there are bytes: whoever makes them brings it back."""
        if self._share.fits():
            tenure.starved = True
            self.flow.starve(tenure.grant)
        else:
            self._share.may_hold()  # stands in line for bytes
            self._thirsty.append(tenure)

    def _feed(self) -> None:
        """Read those again of which something has finished."""
        fed = self.flow.fed[:]
        self.flow.fed.clear()
        for grant in fed:
            tenure = self.tenures.get(grant)
            if tenure is not None and tenure.starved:
                tenure.starved = False
                self._rounds.add(tenure)

    def _quench(self) -> None:
        """Read those again that waited for bytes."""
        thirsty, self._thirsty = self._thirsty, []
        for tenure in thirsty:
            if not tenure.ending:
                self._rounds.add(tenure)

    async def _may_read(self, tenure: Tenure) -> int:
        """Wait until there is room, bytes and, for what a queue would redeliver, a permit; 0 when it ends."""
        while not tenure.ending:
            if limit := self._limit(tenure, self._loop.time()):
                return limit
            if self._delivery.readers is None and any(other is tenure for other, _ in self._waiting):
                return 0  # one waiting reader is enough: it starts others when there is work
            future: asyncio.Future[None] = self._loop.create_future()
            self._waiting.append((tenure, future))
            await tenure.wait(future)
        return 0

    def _limit(self, tenure: Tenure, monotonic: float) -> int:
        """How many records to ask for now; 0: none."""
        room = self.flow.room(tenure.grant) - tenure.asked
        if room <= 0:
            return 0
        if self._delivery.redelivers:
            # What is received must be able to start soon, or its visibility is spent for nothing.
            if not self._share.may_read(monotonic):
                return 0
            permits = self._share.free(monotonic) * self._mapping.policy.batch_size
            return min(room, permits, self._delivery.page)
        if room < self._delivery.page and self.flow.busy(tenure.grant):
            return 0  # a whole page will fit soon: small reads cost as much as large ones
        return room if self._share.may_hold() else 0

    def _let_read(self, now: Instant) -> None:
        waiting, self._waiting = self._waiting, []
        for tenure, future in waiting:
            if future.done():
                continue
            if tenure.ending or self._limit(tenure, now.monotonic):
                future.set_result(None)
            else:
                self._waiting.append((tenure, future))

    async def _read_page(self, tenure: Tenure, task: asyncio.Task[None], limit: int) -> Page | None:
        """What one read brings; None after an error, or when the read was called off.

        `tenure.pause_after` then holds the seconds before another makes sense.
        """
        page: Page | None = None
        failed: Exception | None = None
        tenure.begin_read(task, limit)
        tenure.pause_after = 0.0
        self._share.begin_read()
        if self._share.stands_in_line and not self.flow.startable:
            self._share.rest()
        try:
            page = await self._source.read(tenure.grant, limit)
        except asyncio.CancelledError:
            if not tenure.ending:
                raise
        except Exception as error:  # whatever the source raises is its trouble: read again, more slowly
            failed = error
        else:
            self._noted(tenure, page)
        finally:
            self._share.end_read()
            tenure.end_read(task, limit)
        if task.cancelling():
            if not tenure.ending:
                raise asyncio.CancelledError  # the source kept to itself what was meant for the whole reader
            task.uncancel()  # the read was called off, not its reader: what it brought must be given back
        if failed is not None:
            self._read_failed(tenure, failed)
        return page

    def _noted(self, tenure: Tenure, page: Page) -> None:
        """What a read says besides its records."""
        tenure.failures = 0
        if page.behind is not None:
            tenure.behind = page.behind
        if page.gap:
            self._meter.gaps += 1
            self._notice(RecordsMissed(self._mapping.identity, str(tenure.grant.partition), page.gap))

    def _read_failed(self, tenure: Tenure, error: Exception) -> None:
        tenure.failures += 1
        delay = min(READ_FIRST * 2.0 ** min(tenure.failures - 1, 30), READ_CAP) * (0.75 + 0.25 * self._clock.chance())
        self.troubled("read", error, delay)
        tenure.pause_after = delay

    async def _accept(self, tenure: Tenure, page: Page) -> None:
        """Hand a page to the flow; in slices where filters look at every record, so that the loop is not blocked."""
        count = len(page.records)
        if self._mapping.filters is None or count <= FILTERED:
            self.flow.accept(tenure.grant, page, self.now())
            return
        shape = self._source.shape
        for start in range(0, count, FILTERED):
            records = page.records[start : start + FILTERED]
            last = start + FILTERED >= count
            piece = Page(
                records,
                nbytes=sum(map(shape.size_bound, records)),
                position=page.position if last else shape.position(records[-1]),
                end=page.end and last,
            )
            self.flow.accept(tenure.grant, piece, self.now())
            if not last:
                self.turn(self.now())
                await asyncio.sleep(0)

    def _grow(self, tenure: Tenure, page: Page, limit: int) -> None:
        """More readers while there is a backlog. AWS: polls in parallel, more of them as the backlog lasts (9-1)."""
        if page.records and (len(page.records) >= limit or not tenure.reads):
            tenure.add(self._tasks.create_task(self.read(tenure)))

    # Invoking

    async def _run(self, batch: Batch | None) -> None:
        task = asyncio.current_task()
        assert task is not None
        while batch is not None:
            batch = await self._work(batch, task, chain=True)

    async def _work(self, batch: Batch, task: asyncio.Task[None], *, chain: bool) -> Batch | None:
        """Invoke a batch whose permit is held, and answer for it; with `chain` the next batch, if there is one."""
        records, attempt = len(batch), batch.attempts + 1
        try:
            outcome = await self.calls.invoke(batch, task)
        finally:
            self._share.give()
        now = self.now()
        reading = self.flow.answer(batch, outcome, now, self._clock.chance())
        self.calls.tell(batch, records, attempt, outcome, reading)
        self._meter.invoked_records += records
        self._meter.batch_records.observe(records)
        following = self.take(now) if chain and self.flow.startable else None
        self.turn(now)
        if following is not None and now.monotonic - self._gave_way > SLICE:
            await asyncio.sleep(0)
            self._gave_way = self._loop.time()
        return following

    # Giving up

    def _start_delivery(self, discard: Discard) -> None:
        self.deliveries += 1
        self._tasks.create_task(self._deliver(discard))

    async def _deliver(self, discard: Discard) -> None:
        """Bring a batch to the failure destination, or drop it where there is none."""
        records = len(discard.batch)
        try:
            reason = await deliver(self._mapping, discard)
        finally:
            self.deliveries -= 1
        now = self.now()
        delay = self.flow.discarded(discard, now, not reason)
        for event in delivered(self._mapping, discard, records, reason, delay):
            self._notice(event)
        self.turn(now)

    def troubled(self, operation: str, error: Exception, delay: float) -> None:
        """A call of the source failed and is tried again."""
        reason = str(error) or type(error).__name__
        self._notice(SourceTroubled(self._mapping.identity, operation, reason, delay))
