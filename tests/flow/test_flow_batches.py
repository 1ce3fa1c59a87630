"""What goes into a batch: filters, counts, bytes and room, whatever arrives and however it is cut into pages."""

from __future__ import annotations

import sys
from itertools import count, pairwise
from typing import Any

import pytest
from flow_driver import ROWS, Record, RecordShape
from hypothesis import given, settings
from hypothesis import strategies as st

from pollers.flow.batches import Batch, Discard
from pollers.flow.flow import Flow
from pollers.flow.limits import event_bytes
from pollers.flow.records import EVENT_LIMIT, Failed, Grant, Instant, Page, Partition, Policy, Returned

ROW = pytest.mark.parametrize("row", ROWS)
NOW = Instant(1_000.0, 1_000.0)
NO = Failed("E", "no")
PAGES = st.lists(st.lists(st.sampled_from("abcd"), max_size=10), min_size=1, max_size=8)


class Even:
    """A filter that lets even positions through."""

    def passes(self, partition: Partition, raw: Record) -> bool:
        return raw.position % 2 == 0


def flow_of(row: str, policy: Policy, shape: RecordShape | None = None) -> tuple[Flow, Grant]:
    ids = count(1)
    flow = Flow(policy, ROWS[row], shape or RecordShape(), lambda: str(next(ids)))
    grant = Grant(Partition("p"))
    flow.grant(grant, NOW)
    return flow, grant


def fill(flow: Flow, grant: Grant, pages: list[list[str]], row: str, size: int = 100) -> list[Record]:
    positions = count(1)
    made = []
    for keys in pages:
        records = [Record("p", next(positions), key) for key in keys]
        made += records
        position = (records[-1].position, 0) if records and not ROWS[row].redelivers else None
        flow.accept(grant, Page(records, nbytes=size * len(records), position=position), NOW)
    return made


def drain(flow: Flow) -> list[list[Record]]:
    """Every batch, each answered at once."""
    batches = []
    while (taken := flow.take(NOW, True)) is not None:
        assert isinstance(taken, Batch)
        batches.append([raw for _, some in taken.parts for raw in some])
        flow.answer(taken, Returned(), NOW, 0.5)
    return batches


@pytest.mark.rule("3.2-1", "6.2-6")
@ROW
@settings(max_examples=30)
@given(pages=PAGES)
def test_what_no_filter_lets_through_is_settled_without_an_invocation(row: str, pages: list[list[str]]) -> None:
    flow, grant = flow_of(row, Policy(batch_size=4, filters=Even()))
    made = fill(flow, grant, pages, row)
    seen = [raw for batch in drain(flow) for raw in batch]
    assert sorted(raw.position for raw in seen) == [raw.position for raw in made if raw.position % 2 == 0]
    assert flow.counts.filtered == sum(raw.position % 2 for raw in made)
    assert flow.total.held == 0
    progress = flow.progress(grant)
    if ROWS[row].redelivers:
        assert len(progress.done) == len(made)
    elif made:
        assert progress.safe == (made[-1].position, 0)


@ROW
@settings(max_examples=30)
@given(pages=PAGES, size=st.integers(1, 12))
def test_batches_are_never_too_large_and_together_hold_everything_once(
    row: str, pages: list[list[str]], size: int
) -> None:
    flow, grant = flow_of(row, Policy(batch_size=size))
    made = fill(flow, grant, pages, row)
    batches = drain(flow)
    assert all(0 < len(batch) <= size for batch in batches)
    assert sorted((raw for batch in batches for raw in batch), key=id) == sorted(made, key=id)


@pytest.mark.rule("3.1-7")
@settings(max_examples=30)
@given(pages=PAGES, size=st.integers(1, 12))
def test_a_single_lane_forms_batches_as_full_as_they_can_be(pages: list[list[str]], size: int) -> None:
    flow, grant = flow_of("shard", Policy(batch_size=size))
    made = fill(flow, grant, pages, "shard")
    batches = drain(flow)
    assert len(batches) == -(-len(made) // size)


class Sized(RecordShape):
    """Records whose key is their size in units of 100 KB; the bound is a fifth too high."""

    def size_bound(self, raw: Record) -> int:
        return 120_000 * ord(raw.key) - 120_000 * ord("a") + 1_000

    def event(self, parts: Any, window: Any) -> dict[str, Any]:
        return {"Records": ["x" * (100_000 * (ord(raw.key) - ord("a"))) for _, some in parts for raw in some]}


@pytest.mark.rule("3.1-1")
@pytest.mark.parametrize("row", ["shard", "sqs", "sqs-fifo", "shard-keys"])
@settings(max_examples=30)
@given(keys=st.lists(st.sampled_from("bcefkz"), min_size=1, max_size=60))
def test_an_event_is_never_beyond_six_megabytes(row: str, keys: list[str]) -> None:
    shape = Sized()
    flow, grant = flow_of(row, Policy(batch_size=1_000), shape)
    records = [Record("p", number, key) for number, key in enumerate(keys, 1)]
    bound = sum(shape.size_bound(raw) for raw in records)
    position = None if ROWS[row].redelivers else (len(records), 0)
    flow.accept(grant, Page(records, nbytes=bound, position=position), NOW)
    batches = drain(flow)
    for batch in batches:
        assert event_bytes(shape, Partition("p"), batch) <= EVENT_LIMIT
    if row == "shard":
        for batch, following in pairwise(batches):
            together = event_bytes(shape, Partition("p"), [*batch, following[0]])
            assert together > EVENT_LIMIT - 1_100, "one more would not have fitted"


@ROW
def test_room_shrinks_with_what_is_held_and_comes_back_with_what_is_done(row: str) -> None:
    flow, grant = flow_of(row, Policy(batch_size=5))
    whole = flow.room(grant)
    assert whole >= max(2 * ROWS[row].page, 5)
    fill(flow, grant, [["a"] * 10], row)
    assert flow.room(grant) == whole - 10
    drain(flow)
    assert flow.room(grant) == whole


@ROW
def test_a_spent_byte_budget_closes_batches_at_once(row: str) -> None:
    flow, grant = flow_of(row, Policy(batch_size=100, window=300.0))
    fill(flow, grant, [["a", "b"]], row)
    assert not flow.startable
    flow.press(NOW, True)
    assert flow.startable
    assert sum(len(batch) for batch in drain(flow)) == 2


def test_without_room_a_batch_does_not_wait_for_its_window() -> None:
    flow, grant = flow_of("shard-lanes", Policy(batch_size=5, window=300.0))
    room = flow.room(grant)
    fill(flow, grant, [["a", "b", "c", "d"] * (room // 4 - 1)], "shard-lanes")
    fill(flow, grant, [["a"] * flow.room(grant)], "shard-lanes")
    assert flow.room(grant) == 0
    assert sum(len(batch) for batch in drain(flow)) > room - 3 * 5, "only what is left once there is room waits again"


def test_completions_above_the_position_are_bounded_and_then_the_partition_stops_and_names_the_lane() -> None:
    flow, grant = flow_of("shard-keys", Policy(batch_size=1))
    records = [Record("p", number, "slow" if number == 0 else f"k{number}") for number in range(2_002)]
    flow.accept(grant, Page(records, nbytes=100, position=(2_001, 0)), NOW)
    batches = []
    while isinstance(batch := flow.take(NOW, True), Batch):
        batches.append(batch)
    for batch in batches:
        number = batch.parts[0][1][0].position
        if number % 2 == 0 and number:
            flow.answer(batch, Returned(), NOW, 0.5)
    assert len(flow.progress(grant).above) == 1_000
    assert flow.room(grant) == 0
    flow.answer(batches[0], NO, NOW, 0.5)
    stalled = flow.stalled(grant)
    assert stalled is not None
    assert stalled[1] == "slow"


def test_an_idle_discard_is_not_taken_as_a_batch() -> None:
    flow, grant = flow_of("shard", Policy(batch_size=1, retries=0, destination=True))
    fill(flow, grant, [["a", "b"]], "shard")
    first = flow.take(NOW, True)
    assert isinstance(first, Batch)
    flow.answer(first, NO, NOW, 0.5)
    discard = flow.take(NOW, False)
    assert isinstance(discard, Discard)
    assert flow.take(NOW, True) is None, "the lane waits for the destination"
    flow.discarded(discard, NOW, True)
    assert isinstance(flow.take(NOW, True), Batch)


def test_timers_do_not_pile_up_behind_full_batches() -> None:
    flow, grant = flow_of("shard", Policy(batch_size=2, window=300.0, max_age=3_600.0))
    for number in range(1, 500, 3):
        now = Instant(1_000.0 + number / 100, 1_000.0 + number / 100)
        records = [Record("p", number + one, "k") for one in range(3)]
        flow.accept(grant, Page(records, nbytes=300, position=(number + 2, 0)), now)
        while isinstance(batch := flow.take(now, True), Batch):
            flow.answer(batch, Returned(), now, 0.5)
        flow.wake_at(now)
    assert len(flow._agenda.timers) < 5


@pytest.mark.parametrize("bisect", [True, False])
def test_a_failed_batch_of_many_keys_costs_the_same_for_each_of_them(bisect: bool) -> None:
    few, many = calls_of_a_failure(500, bisect) / 500, calls_of_a_failure(4_000, bisect) / 4_000
    assert many < 2 * few


def calls_of_a_failure(keys: int, bisect: bool) -> int:
    """Calls, of Python and of C, that it takes to answer for one failed batch of so many lanes."""
    flow, grant = flow_of("shard-keys", Policy(batch_size=keys, bisect=bisect))
    records = [Record("p", number, f"k{number}") for number in range(keys)]
    flow.accept(grant, Page(records, nbytes=100 * keys, position=(keys, 0)), NOW)
    batch = flow.take(NOW, True)
    assert isinstance(batch, Batch)
    calls = count()
    sys.setprofile(lambda frame, event, argument: next(calls) if event in ("call", "c_call") else None)  # type: ignore[arg-type,return-value]
    try:
        flow.answer(batch, NO, NOW, 0.5)
    finally:
        sys.setprofile(None)
    return next(calls)
