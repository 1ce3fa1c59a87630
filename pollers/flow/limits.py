"""How long to wait and how much fits: the constants of batching and retrying, each in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from pollers.flow.records import Delivery, Partition, Policy, Raw, Shape

__all__ = ["event_bytes", "failure_backoff", "fitting", "room_limit", "throttle_backoff", "unreachable_backoff"]

ENVELOPE: Final = 1_024  # bytes kept free for the event around its records: "Records", window, names of partitions
UNBOUND_SLOTS: Final = 1_000  # lanes at once where only permits limit them, as Lambda's account limit


def failure_backoff(attempts: int, cap: float, chance: float) -> float:
    """Seconds before a batch that failed `attempts` times is invoked again.

    AWS: first retry after 0.2 s, then doubling (5.2-12). Ours (12-1): ten percent of jitter above a second, a cap.
    """
    delay = 0.2 * 2.0 ** min(attempts - 1, 40)
    if delay > 1.0:
        delay *= 0.9 + 0.2 * chance
    return min(delay, cap)


def throttle_backoff(waits: int, chance: float) -> float:
    """Seconds before a throttled batch is invoked again. Ours (12-1): 0.2 s doubling with jitter, at most 10 s."""
    return float(min(0.2 * 2.0 ** min(waits - 1, 40), 10.0) * (0.75 + 0.25 * chance))


def unreachable_backoff(waits: int) -> float:
    """Seconds before an unreachable target is tried again. Ours (12-1): within a second."""
    return 0.5 if waits <= 1 else 1.0


def room_limit(policy: Policy, delivery: Delivery) -> int:
    """Records that one partition may hold unfinished: enough to fill every slot, and never less than two pages."""
    slots = UNBOUND_SLOTS if delivery.slots is None else 10 * delivery.slots
    return max(slots * policy.batch_size, 2 * delivery.page)


def event_bytes(shape: Shape, partition: Partition, records: Sequence[Raw]) -> int:
    """Bytes of the encoded event of these records."""
    return len(msgspec.json.encode(shape.event([(partition, records)], None)))


def fitting(shape: Shape, partition: Partition, records: Sequence[Raw], used: int, limit: int) -> tuple[int, int]:
    """How many of `records`, from the first on, an event can take, and the bytes it then has.

    `used` bytes are taken already. Bounds first; where they no longer fit, what they stand for is encoded, each record
    at most once. AWS: a batch closes before the record that would push the event over 6 MB (3.1-1).
    """
    bounds = measured = 0  # bytes of bounds in `used`, for the records from `measured` on
    for index, raw in enumerate(records):
        size = shape.size_bound(raw)
        if used + size > limit:
            if measured < index:
                used += event_bytes(shape, partition, records[measured:index]) - bounds
            size = event_bytes(shape, partition, [raw])
            if used + size > limit:
                return index, used
            bounds, measured = 0, index + 1
        else:
            bounds += size
        used += size
    return len(records), used
