"""The life of one mapping: its grants come and go, it starts again after a fault of ours, and it drains."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from pollers.clock import Clock
from pollers.engine.deadlines import Deadlines
from pollers.engine.governor import Governor
from pollers.engine.mapping import Mapping
from pollers.engine.pump import Pump
from pollers.engine.settler import Consequences, Settler
from pollers.engine.tenure import Tenure
from pollers.errors import SourceError
from pollers.flow.counts import Counts
from pollers.flow.records import Grant
from pollers.spi import Granted, Lapsed, Lost, Revoked, Troubled
from pollers.telemetry import (
    Drained,
    Draining,
    Event,
    LaneStalled,
    Meter,
    PartitionFinished,
    PartitionGranted,
    PartitionLost,
    PollerCrashed,
    SourceTroubled,
)

__all__ = ["Left", "Poller"]

FIRST, CAP = 1.0, 60.0  # seconds before a mapping starts again after a fault
ABORT = 1.0  # seconds that cancelled functions have to end
FLUSH = 2.0  # seconds after the deadline for what is finished to be settled


class Left(NamedTuple):
    """What a drain left undone."""

    invocations: int = 0  # cut off at the deadline
    unsettled: int = 0  # finished records whose settlement did not reach the source

    def __bool__(self) -> bool:
        return any(self)


class _Over(Exception):
    """Ends the task group of a mapping that has drained."""


class Poller:
    """Runs one mapping until it is drained."""

    def __init__(
        self,
        mapping: Mapping,
        governor: Governor,
        deadlines: Deadlines,
        clock: Clock,
        notice: Callable[[Event], None],
    ) -> None:
        self.mapping = mapping
        self._governor = governor
        self._deadlines = deadlines
        self._clock = clock
        self._notice = notice
        self._meter = Meter(mapping.identity, mapping.source.name)
        self._before = Counts()  # what earlier runs came to
        self._pump: Pump | None = None
        self._draining = asyncio.Event()
        self._over = asyncio.Event()
        self._stalls: dict[Grant, str] = {}

    async def run(self) -> None:
        """Until `drain` has ended. A fault of ours is reported and the mapping starts again, ever more slowly."""
        crashes = 0
        while not self._draining.is_set():
            try:
                await self._run_once()
            except* Exception as faults:
                crashes += 1
                delay = CAP if _is_for_somebody(faults) else min(FIRST * 2.0 ** min(crashes - 1, 30), CAP)
                self._notice(PollerCrashed(self.mapping.identity, _describe(faults), delay))
            else:
                return
            await self._pause(delay)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._draining.wait()
        except TimeoutError:
            return

    async def _run_once(self) -> None:
        mapping = self.mapping
        share = self._governor.share(
            mapping.target.function.name,
            lambda: pump.wake(),
            asyncio.get_running_loop().time(),
            reserved=mapping.reserved_concurrency,
            maximum=mapping.maximum_concurrency,
            weight=mapping.weight,
            ramps=mapping.source.delivery.ramps,
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                pump = Pump(mapping, tasks, share, self._deadlines, self._clock, self._meter, self._notice)
                self._pump = pump
                tell = Consequences(pump.troubled, partial(self._lost, pump), partial(self._finished, pump))
                tasks.create_task(self._follow(pump, tasks, tell))
                await self._over.wait()
                pump.close()
                raise _Over
        except* _Over:
            pass
        finally:
            self._remember(pump)
            self._pump = None
            pump.close()
            self._governor.leave(share)
            await self._release_all(pump)

    async def _release_all(self, pump: Pump) -> None:
        """After a fault: let the source forget what was read, so that nobody keeps it from being redelivered."""
        for tenure in list(pump.tenures.values()):
            try:
                await self.mapping.source.release(tenure.grant)
            except Exception as error:  # the fault itself is reported; this only adds to it
                pump.troubled("release", error, 0.0)

    # Grants

    async def _follow(self, pump: Pump, tasks: asyncio.TaskGroup, tell: Consequences) -> None:
        async for change in self.mapping.source.changes():
            match change:
                case Granted():
                    self._granted(pump, tasks, tell, change)
                case Revoked(grant, deadline):
                    if (tenure := pump.tenures.get(grant)) is not None and not tenure.ending:
                        self._notice(PartitionLost(self.mapping.identity, str(grant.partition), "revoked"))
                        tasks.create_task(self._end(pump, tenure, deadline))
                case Lost(grant):
                    self._lost(pump, grant)
                case Lapsed(grant, records):
                    now = pump.now()
                    pump.flow.lapse(grant, records, now)
                    pump.turn(now)
                case Troubled(operation, reason, retry_in):
                    self._notice(SourceTroubled(self.mapping.identity, operation, reason, retry_in))

    def _granted(self, pump: Pump, tasks: asyncio.TaskGroup, tell: Consequences, change: Granted) -> None:
        if self._draining.is_set():
            return  # never read, so there is nothing to hand back; `close` gives it up
        source, grant = self.mapping.source, change.grant
        tenure = Tenure(grant, Settler(source, pump.flow, grant, tasks, tell))
        if source.delivery.beat is not None:
            tenure.add(tasks.create_task(self._keep(pump, grant, source.delivery.beat)))
        pump.begin(tenure)
        self._notice(PartitionGranted(self.mapping.identity, str(grant.partition), change.note))

    async def _keep(self, pump: Pump, grant: Grant, beat: float) -> None:
        """The heartbeat, in a task of its own: no traffic can postpone it."""
        loop = asyncio.get_running_loop()
        due = loop.time() + beat
        while True:
            await asyncio.sleep(due - loop.time())
            # By the clock, not after the call: a slow call must not make the next beat late.
            due = max(due + beat, loop.time())
            try:
                await self.mapping.source.keep(grant)
            except Exception as error:  # the next beat comes anyway
                pump.troubled("keep", error, max(0.0, due - loop.time()))

    def _lost(self, pump: Pump, grant: Grant) -> None:
        if (tenure := pump.tenures.get(grant)) is not None:
            self._notice(PartitionLost(self.mapping.identity, str(grant.partition), "lost"))
            pump.forget(tenure)
            tenure.idle.set()

    async def _finished(self, pump: Pump, grant: Grant) -> None:
        """A closed partition is done with, and its end is known to the source."""
        tenure = pump.tenures.get(grant)
        if tenure is None or tenure.ending:
            return
        self._notice(PartitionFinished(self.mapping.identity, str(grant.partition)))
        pump.forget(tenure)
        try:
            await self.mapping.source.release(grant)
        except Exception as error:  # it is finished all the same
            pump.troubled("release", error, 0.0)

    async def _end(self, pump: Pump, tenure: Tenure, deadline: float) -> Left:
        """Give a grant up in order: start nothing, let what runs end, settle, release."""
        if tenure.grant not in pump.tenures:  # it was lost between the word of its revocation and this task's turn
            tenure.over.set()
            return Left()
        pump.end(tenure)
        cut = 0
        if not await _wait(tenure.idle, deadline) and self._draining.is_set():
            cut = len(pump.calls)
            pump.calls.abort()
            await _wait(tenure.idle, asyncio.get_running_loop().time() + ABORT)
        flushed = False
        if tenure.grant in pump.tenures:
            flushed = await self._flush(tenure, deadline)
        unsettled = 0 if flushed else _unsettled(pump, tenure.grant)
        if tenure.grant in pump.tenures:
            try:
                await self.mapping.source.release(tenure.grant)
            except Exception as error:  # it is given up all the same: leases and timeouts see to the rest
                pump.troubled("release", error, 0.0)
            pump.forget(tenure)
        tenure.over.set()
        return Left(cut, unsettled)

    async def _end_at(self, pump: Pump, tenure: Tenure, deadline: float) -> Left:
        """Give a grant up, or wait for the end that a revocation has begun."""
        if not tenure.ending:
            return await self._end(pump, tenure, deadline)
        await _wait(tenure.over, deadline + FLUSH)
        return Left()

    async def _flush(self, tenure: Tenure, deadline: float) -> bool:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(max(deadline, loop.time()) + FLUSH):
                await tenure.settler.flush()
        except TimeoutError:
            return False
        return True

    # The end

    async def drain(self, deadline: float) -> Left:
        """Stop intake, hand back what has not started, let what runs end until `deadline` (loop time), settle, release.

        May be called again: the second call changes nothing. Ends within seconds of the deadline, whatever happens.
        """
        if self._draining.is_set():
            await self._over.wait()
            return Left()
        self._draining.set()
        self.mapping.source.stop()
        pump = self._pump
        if pump is None:
            self._over.set()
            return Left()
        self._meter.draining = True
        before = pump.flow.counts.returned
        async with asyncio.TaskGroup() as group:
            ends = [group.create_task(self._end_at(pump, tenure, deadline)) for tenure in list(pump.tenures.values())]
            await asyncio.sleep(0)  # every grant is revoked by now
            self._notice(Draining(self.mapping.identity, len(pump.calls), pump.flow.counts.returned - before))
        lefts = [end.result() for end in ends]
        left = Left(max((one.invocations for one in lefts), default=0), sum(one.unsettled for one in lefts))
        self._over.set()
        self._notice(Drained(self.mapping.identity, left.invocations, left.unsettled))
        return left

    # What it looks like

    def check(self) -> None:
        """Say which partitions stopped reading because a lane does not get on, and which go on again."""
        pump = self._pump
        if pump is None:
            return
        stalls: dict[Grant, str] = {}
        for grant in pump.tenures:
            stall = pump.flow.stalled(grant)
            if stall is None:
                continue
            reason, lane, since = stall
            stalls[grant] = lane
            if self._stalls.get(grant) != lane:
                self._notice(LaneStalled(self.mapping.identity, str(grant.partition), lane, reason, since))
        self._stalls = stalls

    def running(self) -> int:
        """Invocations under way."""
        return 0 if self._pump is None else len(self._pump.calls)

    def meter(self) -> Meter:
        """The mapping's numbers, as they are now."""
        meter, pump = self._meter, self._pump
        meter.requests = dict(self.mapping.source.requests)
        meter.stalled = len(self._stalls)
        if pump is not None:
            behind = [tenure.behind for tenure in pump.tenures.values() if tenure.behind is not None]
            meter.behind = max(behind, default=None)
            meter.count(self._before.plus(pump.flow.counts))
            meter.inflight_records = pump.flow.total.held
            meter.inflight_bytes = pump.flow.total.nbytes
            meter.waiting = int(pump.flow.startable)
            meter.concurrency_limit = pump.limit()
        return meter

    def _remember(self, pump: Pump) -> None:
        """Keep the numbers of a run that is over."""
        self._before = self._before.plus(pump.flow.counts)
        self._meter.count(self._before)
        self._meter.inflight_records = self._meter.inflight_bytes = self._meter.waiting = 0


async def _wait(event: asyncio.Event, deadline: float) -> bool:
    try:
        async with asyncio.timeout_at(deadline):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _unsettled(pump: Pump, grant: Grant) -> int:
    """How many finished records the source does not know to be finished; for a log 1 stands for its position."""
    if grant not in pump.flow.changed():
        return 0
    progress = pump.flow.progress(grant)
    return len(progress.done) or int(progress.safe is not None)


def _first(faults: BaseException) -> BaseException:
    while isinstance(faults, BaseExceptionGroup):
        faults = faults.exceptions[0]
    return faults


def _is_for_somebody(faults: BaseException) -> bool:
    """Whether only somebody's doing would help: a source that is gone, or that does not let us in."""
    fault = _first(faults)
    return isinstance(fault, SourceError) and fault.missing


def _describe(faults: BaseException) -> str:
    """The first fault, with the place where it happened."""
    fault = _first(faults)
    trace = fault.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
    return f"{type(fault).__name__}: {fault}{where}"
