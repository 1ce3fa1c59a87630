"""Which records of a range are those of a document: other lanes have records in between, and so have filters. No I/O.

A document says only where its batch begins and ends and how many records it has. Where that leaves more than one
answer there is none: a record that was processed long ago is not processed again by a guess.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pollers.flow.lanes import lane_key
from pollers.flow.records import Delivery, Partition, Raw, RecordFilter, Shape

__all__ = ["Traits", "named", "select"]


@dataclass(frozen=True, slots=True)
class Traits:
    """How the mapping makes batches."""

    delivery: Delivery
    shape: Shape
    filters: RecordFilter | None


def named(
    partition: Partition, records: Sequence[Raw], identifiers: Collection[object], traits: Traits
) -> Sequence[Raw] | None:
    """The records with these sequence numbers; None where some are missing."""
    wanted = set(identifiers)
    chosen = [raw for raw in records if traits.shape.identifier(partition, raw) in wanted]
    return chosen if len(chosen) == len(wanted) else None


def select(partition: Partition, records: Sequence[Raw], size: int, traits: Traits) -> Sequence[Raw] | None:
    """The `size` records of the batch that begins with the first and ends with the last one; None: it cannot be told.

    The mapping may have had other filters or lanes when the batch was made, so that each is tried without the other.
    """
    passed = _passed(partition, records, traits)
    for candidates in (records, passed, _of_one_lane(records, traits), _of_one_lane(passed, traits)):
        if len(candidates) == size and candidates[0] is records[0] and candidates[-1] is records[-1]:
            return candidates
    return None


def _passed(partition: Partition, records: Sequence[Raw], traits: Traits) -> Sequence[Raw]:
    filters = traits.filters
    return records if filters is None else [raw for raw in records if filters.passes(partition, raw)]


def _of_one_lane(records: Sequence[Raw], traits: Traits) -> Sequence[Raw]:
    """What shares a lane with the first record. With a lane per key, one batch may hold several."""
    delivery, shape = traits.delivery, traits.shape
    if delivery.mixed or delivery.lane != "hash" or not records:
        return records
    lane = lane_key(delivery, shape, records[0])
    return [raw for raw in records if lane_key(delivery, shape, raw) == lane]
