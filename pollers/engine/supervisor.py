"""Runs mappings side by side in one event loop: checks and connects, keeps them running, drains them together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from pollers.clock import Clock
from pollers.engine.deadlines import Deadlines
from pollers.engine.governor import Governor
from pollers.engine.mapping import Mapping
from pollers.engine.poller import Left, Poller
from pollers.errors import ConfigurationError, PollersError, Problem
from pollers.spi import Observer
from pollers.telemetry import Event, LoopBlocked, MappingStarted, Meter, Warned

__all__ = ["Pollers"]

CHECK = 5.0  # seconds between two looks for partitions that do not get on
BLOCKED = 1.0  # seconds by which the loop's own tick may be late before it is said
ABANDON = 2.0  # seconds that a function which cannot be stopped may hold up the end


class Pollers:
    """Mappings that run side by side under one set of limits.

    ```python
    async with Pollers([orders]) as pollers:      # entering checks, connects and starts; leaving drains
        await pollers.run()                       # until `stop` is called
    ```

    It installs no signal handler, configures no logging and touches no state outside itself, so that it can run
    inside any asyncio program, more than once.

    - `concurrency`: invocations at once over all mappings (Lambda's account limit).
    - `ramp`: more batches at once per minute for standard queues (AWS: 300); None: as many as the limits allow.
    - `grace`: seconds that leaving the context waits for invocations to end.
    - `max_bytes`: bytes of records held in memory, an upper bound from their wire sizes.
    """

    def __init__(
        self,
        mappings: Sequence[Mapping],
        *,
        concurrency: int = 1_000,
        ramp: float | None = 300.0,
        grace: float = 30.0,
        max_bytes: int = 256 << 20,
        observers: Iterable[Observer] = (),
        clock: Clock | None = None,
    ) -> None:
        _refuse_twins(mappings)
        self.mappings = tuple(mappings)
        self._governor = Governor(concurrency, ramp, max_bytes)
        self._grace = grace
        self._observers = tuple(observers)
        self._clock = Clock() if clock is None else clock
        self._pollers: list[Poller] = []
        self._stopped = asyncio.Event()
        self._main: asyncio.Task[None] | None = None
        self._left: Left | None = None

    async def __aenter__(self) -> Self:
        """Check and connect everything, then start. Raises what is wrong, with nothing left open."""
        try:
            await _open_all(self.mappings)
        except BaseException:
            await self._close_all()
            raise
        loop = asyncio.get_running_loop()
        self._deadlines = Deadlines(loop)
        self._pollers = [
            Poller(mapping, self._governor, self._deadlines, self._clock, self._notice) for mapping in self.mappings
        ]
        for mapping in self.mappings:
            self._announce(mapping)
        self._main = loop.create_task(self._supervise())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.drain(self._grace)
        finally:
            await self._abandon()
            self._deadlines.close()
            await self._close_all()

    async def run(self) -> None:
        """Wait until `stop` is called. The mappings run without it, too."""
        await self._stopped.wait()

    def stop(self) -> None:
        """Let `run` return. Draining begins when the context is left, or by `drain`."""
        self._stopped.set()

    async def drain(self, timeout: float) -> Left:
        """Stop reading, hand back what has not started, wait up to `timeout` seconds for what runs, settle, release.

        Returns what was left. A second call waits for the first and returns the same.
        """
        self._stopped.set()
        deadline = asyncio.get_running_loop().time() + timeout
        lefts = await asyncio.gather(*(poller.drain(deadline) for poller in self._pollers))
        if self._left is None:
            self._left = Left(sum(one.invocations for one in lefts), sum(one.unsettled for one in lefts))
        return self._left

    def meters(self) -> list[Meter]:
        """The numbers of every mapping, as they are now."""
        return [poller.meter() for poller in self._pollers]

    def running(self) -> list[tuple[str, int]]:
        """(identity, invocations under way) of every mapping that has any."""
        return [(poller.mapping.identity, count) for poller in self._pollers if (count := poller.running())]

    # Inside

    async def _supervise(self) -> None:
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch())
            runs = [group.create_task(poller.run()) for poller in self._pollers]
            await asyncio.wait(runs) if runs else None
            watch.cancel()

    async def _watch(self) -> None:
        """Notice a loop that was blocked, and partitions that do not get on."""
        loop = asyncio.get_running_loop()
        due = loop.time() + BLOCKED
        checked = loop.time()
        while True:
            await asyncio.sleep(due - loop.time())
            now = loop.time()
            if now - due > BLOCKED:
                self._notice(LoopBlocked(now - due))
            if now - checked >= CHECK:
                checked = now
                for poller in self._pollers:
                    poller.check()
            due = now + BLOCKED

    async def _abandon(self) -> None:
        """End the supervision. A function that ignores its cancellation must not hold up the program."""
        if self._main is None:
            return
        done, _ = await asyncio.wait([self._main], timeout=ABANDON)
        if not done:
            self._main.cancel()
            done, _ = await asyncio.wait([self._main], timeout=ABANDON)
        if done and not self._main.cancelled() and (error := self._main.exception()) is not None:
            raise error

    async def _close_all(self) -> None:
        for mapping in self.mappings:
            await mapping.source.close()
            await mapping.target.close()
            if mapping.destination is not None:
                await mapping.destination.close()

    def _announce(self, mapping: Mapping) -> None:
        function = mapping.target.function
        self._notice(MappingStarted(mapping.identity, mapping.source.arn, function.name, mapping.detail))
        for warning in (*mapping.warnings, *mapping.source.warnings):
            self._notice(Warned(mapping.identity, warning))

    def _notice(self, event: Event) -> None:
        for observer in self._observers:
            observer.notice(event)


async def _open_all(mappings: Sequence[Mapping]) -> None:
    """Open every edge, side by side; raise all that is wrong, not only the first fault."""
    errors = [
        error
        for error in await asyncio.gather(*(_open(mapping) for mapping in mappings), return_exceptions=True)
        if error is not None
    ]
    for error in errors:
        if not isinstance(error, PollersError):
            raise error
    if errors:
        first = errors[0]
        for other in errors[1:]:
            first.add_note(str(other))
        raise first


async def _open(mapping: Mapping) -> None:
    function = mapping.target.function
    policy = mapping.policy
    mapping.source.fit(
        mapping=mapping.identity, batch_size=policy.batch_size, window=policy.window, timeout=function.timeout
    )
    await mapping.source.open()
    if mapping.destination is not None:
        await mapping.destination.open()
    await mapping.target.open()


def _refuse_twins(mappings: Sequence[Mapping]) -> None:
    """Two mappings with one identity would share positions: refused, always."""
    seen: dict[str, Mapping] = {}
    for mapping in mappings:
        if mapping.identity in seen:
            raise ConfigurationError(
                [
                    Problem(
                        mapping.identity,
                        f"two mappings from {mapping.source.arn} to {mapping.target.function.name} have one identity.",
                        "Give one of them a name of its own.",
                    )
                ]
            )
        seen[mapping.identity] = mapping
