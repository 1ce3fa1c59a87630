"""What happens to a page's records before they wait: skipped, sorted into lanes, found too old or no longer ours."""

from __future__ import annotations

from collections.abc import Sequence

from pollers.flow.lanes import Hold, Lane, LaneKey, Pool, Run, lane_key
from pollers.flow.records import Delivery, Page, Raw, Shape

__all__ = ["expired", "lapsed_out", "sort_into_lanes", "unfinished"]


def unfinished(hold: Hold, shape: Shape, records: Sequence[Raw]) -> tuple[list[int], list[int]]:
    """Indexes of the records that an earlier owner left unfinished, and of those that it finished above `safe`."""
    ranges = hold.resumed
    keep: list[int] = []
    drop: list[int] = []
    for index, raw in enumerate(records):
        position = shape.position(raw)
        assert position is not None, "only logs resume"
        while ranges and ranges[0][1] < position:
            ranges = ranges[1:]
        done = bool(ranges) and ranges[0][0] <= position
        (drop if done else keep).append(index)
    hold.resumed = ranges
    return keep, drop


def sort_into_lanes(
    hold: Hold,
    delivery: Delivery,
    shape: Shape,
    page: Page,
    records: Sequence[Raw],
    ordinals: Sequence[int],
    now: float,
) -> list[Pool]:
    """Let the records wait in their lanes; returns the pools that got some, each once."""
    if delivery.lane in ("none", "partition") or (delivery.lane == "hash" and delivery.slots == 1):
        lane = hold.lane(None, ordered=delivery.lane != "none")
        lane.add(Run(records, ordinals, page, now))
        return [lane.pool]
    by_key: dict[LaneKey | None, tuple[list[Raw], list[int]]] = {}
    for raw, ordinal in zip(records, ordinals, strict=True):
        key = lane_key(delivery, shape, raw)
        waiting = by_key.get(key)
        if waiting is None:
            waiting = by_key[key] = ([], [])
        waiting[0].append(raw)
        waiting[1].append(ordinal)
    pools: dict[Pool, None] = {}
    for key, (some, numbers) in by_key.items():
        lane = hold.lane(key, ordered=key is not None)
        lane.add(Run(some, numbers, page, now))
        pools[lane.pool] = None
    return list(pools)


def expired(shape: Shape, records: Sequence[Raw], limit: float) -> int:
    """How many records from the front arrived at or before `limit` (wall seconds). AWS: expired when age >= limit."""
    count = 0
    for raw in records:
        if shape.arrived(raw) > limit:
            break
        count += 1
    return count


def lapsed_out(lane: Lane, lapsed: set[int]) -> tuple[list[int], list[Run]]:
    """Take the objects of these ids out of a lane: their ordinals, and the runs behind the first, also taken out.

    Without order nothing stands behind anything: the rest waits on.
    """
    if not any(id(raw) in lapsed for run in lane.runs for raw in run.records[run.start :]):
        return [], []
    gone: list[int] = []
    before: list[Run] = []
    behind: list[Run] = []
    for run in lane.clear():
        keep: tuple[list[Raw], list[int]] = ([], [])
        back: tuple[list[Raw], list[int]] = ([], [])
        for raw, ordinal in zip(run.records[run.start :], run.ordinals[run.start :], strict=True):
            if id(raw) in lapsed:
                gone.append(ordinal)
                continue
            records, ordinals = back if gone and lane.ordered else keep
            records.append(raw)
            ordinals.append(ordinal)
        if keep[0]:
            before.append(Run(keep[0], keep[1], run.page, run.since))
        if back[0]:
            behind.append(Run(back[0], back[1], run.page, run.since))
    for run in before:
        lane.add(run)
    return gone, behind
