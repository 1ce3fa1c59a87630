"""Brings what is given up to the failure destination, and says what came of it."""

from __future__ import annotations

from pollers.engine.documents import failure
from pollers.engine.mapping import Mapping
from pollers.errors import Undelivered
from pollers.flow.batches import Discard
from pollers.telemetry import DeliveryHeld, Event, RecordsDiscarded

__all__ = ["deliver", "delivered"]


async def deliver(mapping: Mapping, discard: Discard) -> str:
    """Why the destination did not take the batch; empty when it has it, or when there is none."""
    destination = mapping.destination
    if destination is None:
        return ""
    try:
        await destination.deliver(failure(discard, mapping.target.function, mapping.source.shape, mapping.identity))
    except Undelivered as error:
        return error.reason
    except Exception as error:  # a destination's own fault must not cost the record either
        return f"{type(error).__name__}: {error}"
    return ""


def delivered(mapping: Mapping, discard: Discard, records: int, reason: str, delay: float | None) -> list[Event]:
    """What to say: the destination holds the batch up for `delay` seconds, or (None) the batch is over."""
    destination, batch = mapping.destination, discard.batch
    events: list[Event] = []
    if destination is not None and reason:
        events.append(DeliveryHeld(mapping.identity, destination.name, reason, delay or 0.0))
    if delay is None:
        kept = destination.name if destination is not None and not reason else None
        partition = str(discard.partition)
        events.append(
            RecordsDiscarded(
                mapping.identity, discard.condition, batch.request_id, partition, records, batch.attempts, kept
            )
        )
    return events
