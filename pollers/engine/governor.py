"""Who may invoke and who may read: exact permits under every limit of a process, shared fairly by weight.

Limits nest: the account's, the function's reserved concurrency, the mapping's maximum and its ramp. A permit is an
integer in each of them. Reads hold none: a read begins only while more permits are free than reads of that function
are under way, so that what is received can start soon. No task, no clock and no lock: callers bring the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["Governor", "Ramp", "Share"]

START: Final = 5  # concurrent batches of a standard queue at first. AWS: 9-1
CEILING: Final = 1_250  # and at most. AWS: 9-1
QUIET: Final = 60.0  # seconds below its ramp after which a mapping falls back to what it used


class Scope:
    """One limit and those who wait for a permit under it."""

    __slots__ = ("limit", "used", "waiting")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.waiting: dict[Share, None] = {}

    def admits(self, share: Share) -> bool:
        """Whether a permit is free that nobody deserves more."""
        return self.limit - self.used > self.before(share)

    def before(self, share: Share) -> int:
        """How many of those who wait deserve a permit more than `share` does.

        Deserving is having fewer permits for one's weight; among equals, waiting longer.
        """
        waiting = self.waiting
        if not waiting:
            return 0
        mine = share.load()
        count = 0
        earlier = True
        for other in waiting:
            if other is share:
                earlier = False
            elif not other.capped():
                load = other.load()
                count += load < mine or (load == mine and earlier)
        return count

    def wake(self) -> None:
        """Tell whoever deserves the next permit that there is one."""
        if self.waiting and self.used < self.limit:
            able = [share for share in self.waiting if not share.capped()]
            if able:
                min(able, key=Share.load).wake()


class Ramp:
    """How many batches of a standard queue may run at once. AWS: starts with 5, adds so many a minute while the
    backlog lasts, falls back when it is quiet (9-1)."""

    __slots__ = ("_allowed", "_per_second", "_touched", "_touched_at", "_updated")

    def __init__(self, per_minute: float, now: float) -> None:
        self._allowed = float(START)
        self._per_second = per_minute / 60.0
        self._updated = self._touched_at = now
        self._touched = False

    def limit(self, used: int, now: float) -> int:
        """Batches at once now, given that so many run."""
        if now > self._updated:
            if self._touched:
                self._allowed = min(CEILING, self._allowed + self._per_second * (now - self._updated))
            elif now - self._touched_at > QUIET:
                self._allowed = float(max(START, used))
            self._updated = now
            self._touched = False
        allowed = int(self._allowed)
        if used + 1 >= allowed:
            self._touched = True
            self._touched_at = now
        return allowed

    def rises_at(self, now: float) -> float | None:
        """When one more batch will be allowed, if the backlog lasts."""
        if self._allowed >= CEILING:
            return None
        return now + (int(self._allowed) + 1 - self._allowed) / self._per_second + 0.001


class Function:
    """What the mappings of one function share."""

    __slots__ = ("reading", "scope")

    def __init__(self, limit: int) -> None:
        self.scope = Scope(limit)
        self.reading = 0  # reads under way that may bring work for it


class Share:
    """One mapping's part in the governor. Its methods are called from one event loop."""

    __slots__ = ("_function", "_governor", "_ramp", "_wake", "maximum", "nbytes", "stands_in_line", "used", "weight")

    def __init__(
        self,
        governor: Governor,
        function: Function,
        wake: Callable[[], None],
        maximum: int,
        weight: float,
        ramp: Ramp | None,
    ) -> None:
        self._governor = governor
        self._function = function
        self._wake = wake
        self._ramp = ramp
        self.maximum = maximum
        self.weight = weight
        self.used = 0  # permits taken
        self.nbytes = 0  # held
        self.stands_in_line = False  # for a permit

    def load(self) -> float:
        """Permits per weight, after one more."""
        return (self.used + 1) / self.weight

    def capped(self) -> bool:
        """Whether its own maximum is reached."""
        return self.used >= self.maximum

    def limit(self, now: float) -> int:
        """Batches that it may have at once now, by its own limits."""
        if self._ramp is None:
            return self.maximum
        return min(self.maximum, self._ramp.limit(self.used, now))

    def take(self, now: float) -> bool:
        """Take a permit if there is one for this mapping; otherwise it is woken when there may be."""
        if self.used >= (self.maximum if self._ramp is None else self.limit(now)):
            return False
        account, own = self._governor.account, self._function.scope
        if (account.waiting or account.used >= account.limit) and not account.admits(self):
            account.waiting[self] = None
            self.stands_in_line = True
            return False
        if (own.waiting or own.used >= own.limit) and not own.admits(self):
            own.waiting[self] = None
            self.stands_in_line = True
            return False
        if self.stands_in_line:
            self.rest()
        account.used += 1
        own.used += 1
        self.used += 1
        return True

    def give(self) -> None:
        """Give a permit back; who deserves it most is woken."""
        account, own = self._governor.account, self._function.scope
        account.used -= 1
        own.used -= 1
        self.used -= 1
        own.wake()
        account.wake()

    def rest(self) -> None:
        """It wants no permit now; whoever it stood before is woken."""
        self.stands_in_line = False
        for scope in (self._governor.account, self._function.scope):
            if scope.waiting.pop(self, self) is not self:
                scope.wake()

    def rises_at(self, now: float) -> float | None:
        """When its ramp allows one more; None where no ramp is in the way."""
        if self._ramp is None or self.used < self._ramp.limit(self.used, now) or self.capped():
            return None
        return self._ramp.rises_at(now)

    def free(self, now: float) -> int:
        """Permits that are free for it, fairness aside."""
        account, own = self._governor.account, self._function.scope
        return max(0, min(account.limit - account.used, own.limit - own.used, self.limit(now) - self.used))

    def may_read(self, now: float) -> bool:
        """Whether what a read brings could start soon and would fit in memory; if not, it is woken when it may.

        A mapping that cannot even read for want of permits stands in line for them like one that has batches.
        """
        account, own = self._governor.account, self._function.scope
        free = self.free(now) - self._function.reading
        if free > account.before(self) and free > own.before(self):
            return self.may_hold()
        if self.limit(now) > self.used:  # it is others that are in the way
            account.waiting[self] = own.waiting[self] = None
            self.stands_in_line = True
        return False

    def may_hold(self) -> bool:
        """Whether what a read brings would fit in memory; if not, the mapping is woken when it may."""
        if self.fits():
            return True
        self._governor.thirsty[self] = None
        return False

    def fits(self) -> bool:
        """Whether it may hold more: always while the byte budget lasts, then only below its equal part."""
        governor = self._governor
        return governor.held < governor.max_bytes or self.nbytes * governor.shares < governor.max_bytes

    def begin_read(self) -> None:
        """A read is under way that may bring work for the function."""
        self._function.reading += 1

    def end_read(self) -> None:
        """That read has ended."""
        self._function.reading -= 1
        self._function.scope.wake()
        self._governor.account.wake()

    def weigh(self, nbytes: int) -> None:
        """Say how many bytes the mapping holds now."""
        less = nbytes < self.nbytes
        self._governor.held += nbytes - self.nbytes
        self.nbytes = nbytes
        if less:
            self._governor.quench()

    def wake(self) -> None:
        self._wake()


class Governor:
    """The limits of one process. Replicas do not share them (13-9)."""

    def __init__(self, concurrency: int = 1_000, ramp: float | None = 300.0, max_bytes: int = 256 << 20) -> None:
        self.account = Scope(concurrency)  # AWS: the account's concurrency
        self.max_bytes = max_bytes  # of records held, all mappings together
        self.held = 0
        self._ramp = ramp  # batches at once per minute, for standard queues; None: at once
        self.shares = 0  # mappings
        self.thirsty: dict[Share, None] = {}  # that wait to read
        self._functions: dict[str, Function] = {}

    def share(
        self,
        function: str,
        wake: Callable[[], None],
        now: float,
        *,
        reserved: int | None = None,
        maximum: int | None = None,
        weight: float = 1.0,
        ramps: bool = False,
    ) -> Share:
        """A mapping's part. `wake` is called when a permit may be had that `take` refused."""
        limit = self.account.limit if reserved is None else reserved
        own = self._functions.setdefault(function, Function(limit))
        own.scope.limit = limit
        ramp = Ramp(self._ramp, now) if ramps and self._ramp is not None else None
        self.shares += 1
        return Share(self, own, wake, self.account.limit if maximum is None else maximum, weight, ramp)

    def leave(self, share: Share) -> None:
        """The mapping has ended. Its permits must have been given back."""
        share.rest()
        self.thirsty.pop(share, None)
        self.shares -= 1
        share.weigh(0)

    def quench(self) -> None:
        """Let those who wait to read look again; whoever still may not will wait again."""
        if self.thirsty:
            thirsty, self.thirsty = self.thirsty, {}
            for share in thirsty:
                share.wake()
