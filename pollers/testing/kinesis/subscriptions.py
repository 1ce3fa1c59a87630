"""Subscriptions to shards: one for each consumer and shard, for five minutes, taken over by the next.

AWS: SubscribeToShard is called once a second at most for a consumer and shard; within five seconds of a subscription
another one is refused, after them it ends the former.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pollers.testing.kinesis.errors import fault
from pollers.testing.kinesis.limits import KinesisLimits
from pollers.testing.kinesis.shard import Shard
from pollers.testing.kinesis.stream import Stream
from pollers.testing.service import Answer, Dropped, Events, Fault
from pollers.testing.trouble import Trouble

__all__ = ["Subscription", "Subscriptions"]


class Subscription(Events):
    """The records of one shard, as they come."""

    kind = "SubscribeToShardEvent"

    def __init__(
        self,
        stream: Stream,
        shard: Shard,
        after: int,
        limits: KinesisLimits,
        clock: Callable[[], float],
        trouble: Trouble,
    ) -> None:
        super().__init__()
        self.shard = shard
        self.began = clock()
        self._stream = stream
        self._after = max(after, shard.start)
        self._limits = limits
        self._clock = clock
        self._trouble = trouble
        self._told: float | None = None  # when the latest event was sent
        self._fault: Fault | None = None  # why it ends
        self._woken = False  # by the clock, and nobody has looked since: a client that does not read is told once

    def take(self) -> Answer | None:
        self._woken = False
        if self.over:
            return None
        try:
            return self._take(self._clock())
        except (Fault, Dropped):
            self.over = True
            raise

    def _take(self, now: float) -> Answer | None:
        if self._fault is not None:
            raise self._fault
        if now >= self.ends:
            self.over = True
            return None
        self._stream.shard(self.shard.id)  # forgets what has expired
        records, after = self.shard.pushed(self._after, self._limits)
        ended = self.shard.ended(after)
        if not records and not ended and now < self.due:
            return None
        afterwards = self._trouble.before(self.kind, f"{self._stream.name}/{self.shard.id}")
        self._after, self._told, self.over = after, now, ended
        if afterwards is not None:
            afterwards()
        return self._event(records, now, ended)

    def _event(self, records: list[dict[str, Any]], now: float, ended: bool) -> Answer:
        behind = round(1_000 * self.shard.behind(self._after, now))
        event: Answer = {"Records": records, "MillisBehindLatest": behind}
        if not ended:
            return {**event, "ContinuationSequenceNumber": str(self._after)}
        children = [
            {"ShardId": child.id, "ParentShards": list(child.parents), "HashKeyRange": child.hashes()}
            for child in self.shard.children
        ]
        return {**event, "ChildShards": children}

    @property
    def ends(self) -> float:
        """When it is over, wall time."""
        return self.began + self._limits.subscription_seconds

    @property
    def due(self) -> float:
        """When an event is sent though there are no records."""
        return self.began if self._told is None else self._told + self._limits.subscription_quiet

    def wake_at(self) -> float | None:
        """When to wake it."""
        return None if self.over or self._woken else min(self.ends, self.due)

    def wake(self) -> None:
        self._woken = True
        self.ready()

    def end(self, why: Fault) -> None:
        """End it from outside."""
        self._fault = why
        self.ready()

    def cancel(self) -> None:
        self.over = True


class Subscriptions:
    """Those of one account."""

    def __init__(self, limits: KinesisLimits, clock: Callable[[], float], trouble: Trouble) -> None:
        self._limits = limits
        self._clock = clock
        self._trouble = trouble
        self._latest: dict[tuple[str, str], Subscription] = {}  # by consumer and shard
        self._called: dict[tuple[str, str], float] = {}

    def open(self, consumer: str, stream: Stream, shard: Shard, after: int) -> Subscription:
        """A new subscription. Raises LimitExceededException and ResourceInUseException."""
        key, now = (consumer, shard.id), self._clock()
        self._count(key, now)
        former = self._latest.get(key)
        if former is not None:
            if now - former.began < self._limits.subscription_guard:
                # Also where the caller has closed the former one: the service does not see that at once.
                raise fault("ResourceInUseException", f"Another active subscription exists for {consumer}.")
            former.end(fault("ResourceInUseException", "Another subscription has taken this one's place."))
        made = Subscription(stream, shard, after, self._limits, self._clock, self._trouble)
        self._latest[key] = made
        return made

    def _count(self, key: tuple[str, str], now: float) -> None:
        calls = self._limits.subscription_calls
        if calls is not None and now - self._called.get(key, -1.0) < 1.0 / calls:
            raise fault("LimitExceededException", f"Rate exceeded for {key[0]} and {key[1]}.")
        self._called[key] = now

    def leave(self, consumer: str, why: Fault) -> None:
        """The consumer is no more."""
        for (arn, _), one in self._latest.items():
            if arn == consumer:
                one.end(why)

    def moved(self, shard: Shard) -> None:
        """Something has happened to a shard."""
        for one in self._latest.values():
            if one.shard is shard and not one.over:
                one.ready()

    def wake_at(self) -> float | None:
        moments = (one.wake_at() for one in self._latest.values())
        return min((moment for moment in moments if moment is not None), default=None)

    def tick(self) -> None:
        now = self._clock()
        for one in self._latest.values():
            moment = one.wake_at()
            if moment is not None and now >= moment:
                one.wake()
