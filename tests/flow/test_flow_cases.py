"""AWS's published and observed cases, replayed: which invocations follow from which answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any
from zlib import crc32

import pytest
from flow_driver import ROWS, SHAPE, Record

from pollers.flow.batches import Discard
from pollers.flow.flow import Flow
from pollers.flow.records import (
    Failed,
    Grant,
    Instant,
    Outcome,
    Page,
    Partition,
    Policy,
    Returned,
    Throttled,
    Unreachable,
)

NO = Failed("ValueError", "no")
BEGIN = Instant(1_000.0, 50_000.0)


@dataclass
class Story:
    """One partition of numbered records under a function; what was invoked when, and what was given up."""

    policy: Policy
    row: str = "shard"
    now: Instant = BEGIN
    invoked: list[list[int]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    given_up: list[tuple[str, list[int], int]] = field(default_factory=list)
    errors: list[tuple[bool, str | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        numbers = count(1)
        self.flow = Flow(self.policy, ROWS[self.row], SHAPE, lambda: str(next(numbers)))
        self.grant = Grant(Partition("p0"))
        self.flow.grant(self.grant, self.now)

    def put(self, *numbers: int, key: Callable[[int], str] = lambda number: "k", size: int = 100) -> None:
        records = [Record("p0", number, key(number)) for number in numbers]
        position = None if ROWS[self.row].redelivers else (numbers[-1], 0)
        self.flow.accept(self.grant, Page(records, nbytes=size * len(records), position=position), self.now)

    def run(self, function: Callable[[list[int]], Outcome], seconds: float = 600.0, permitted: bool = True) -> Story:
        """Until nothing is left to do, or so much time has passed."""
        end = self.now.monotonic + seconds
        while True:
            taken = self.flow.take(self.now, permitted)
            if isinstance(taken, Discard):
                numbers = [raw.position for _, some in taken.batch.parts for raw in some]
                self.given_up.append((taken.condition, numbers, taken.count))
                self.errors.append((taken.batch.answered, taken.batch.error))
                self.flow.discarded(taken, self.now, True)
            elif taken is not None:
                numbers = [raw.position for _, some in taken.parts for raw in some]
                self.invoked.append(numbers)
                self.times.append(round(self.now.monotonic - 1_000.0, 3))
                self.ids.append(taken.request_id)
                self.flow.answer(taken, function(numbers), self.now, 0.5)
            else:
                wake = self.flow.wake_at(self.now)
                if wake is None or wake > end:
                    return self
                self.wait(wake - self.now.monotonic)

    def wait(self, seconds: float) -> None:
        self.now = Instant(self.now.monotonic + seconds, self.now.wall + seconds)

    @property
    def safe(self) -> int | None:
        position = self.flow.progress(self.grant).safe
        return None if position is None else position[0]


def fails_with(*bad: int) -> Callable[[list[int]], Outcome]:
    """Raises when any of these is in the batch."""
    return lambda numbers: NO if set(bad) & set(numbers) else Returned()


def reports(*bad: int) -> Callable[[list[int]], Outcome]:
    """Reports those of these that are in the batch."""

    def function(numbers: list[int]) -> Outcome:
        found = [{"itemIdentifier": f"p0@{number}"} for number in numbers if number in bad]
        return Returned({"batchItemFailures": found})

    return function


@pytest.mark.rule("5.2-3", "5.1-1", "4-8")
def test_batches_follow_each_other_in_order() -> None:
    story = Story(Policy(batch_size=10))
    for start in (0, 10, 20):
        story.put(*range(start, start + 10))
    story.run(lambda numbers: Returned({"batchItemFailures": [{"itemIdentifier": "p0@1"}]}))
    assert story.invoked == [list(range(10)), list(range(10, 20)), list(range(20, 30))]
    assert story.safe == 29


@pytest.mark.rule("5.2-1", "5.2-4", "5.2-5", "5.2-6", "5.2-9")
@pytest.mark.parametrize("retries", [0, 1, 2, 3])
def test_a_poison_record_is_delivered_once_more_than_it_is_retried(retries: int) -> None:
    story = Story(Policy(batch_size=1, retries=retries))
    story.put(1, 2)
    story.run(fails_with(1))
    assert story.invoked == [[1]] * (retries + 1) + [[2]]
    assert story.given_up == [("RetryAttemptsExhausted", [1], retries + 1)]
    assert story.safe == 2


@pytest.mark.rule("5.2-10")
def test_with_unlimited_retries_a_poison_record_blocks_its_shard() -> None:
    story = Story(Policy(batch_size=1))
    story.put(1, 2)
    story.run(fails_with(1), seconds=3_600)
    assert {tuple(numbers) for numbers in story.invoked} == {(1,)}
    assert story.safe is None


@pytest.mark.rule("3.2-2", "4-3")
def test_a_batch_of_a_stream_holds_one_lane_of_one_shard() -> None:
    story = Story(Policy(batch_size=100), row="shard-lanes")
    story.put(*range(1, 31), key=str)
    story.run(lambda numbers: Returned())
    assert len(story.invoked) == 3, "one batch for each of three lanes"
    lanes = [{crc32(str(number).encode()) % 3 for number in numbers} for numbers in story.invoked]
    assert sorted(lanes, key=min) == [{0}, {1}, {2}]


@pytest.mark.rule("5.2-11", "13-12")
def test_other_lanes_of_a_shard_are_not_delayed() -> None:
    story = Story(Policy(batch_size=1), row="shard-lanes")
    story.put(*range(1, 31), key=str)
    story.run(fails_with(1), seconds=60)
    done = {number for numbers in story.invoked for number in numbers} - {1}
    assert len(done) > 15, "all but the lane of 1"
    assert story.safe is None


@pytest.mark.rule("5.2-8")
def test_a_retry_keeps_its_request_id_and_a_new_batch_gets_a_new_one() -> None:
    story = Story(Policy(batch_size=4, retries=1, reports=True))
    story.put(1, 2, 3, 4)
    story.run(reports(3))
    assert story.invoked == [[1, 2, 3, 4], [3, 4], [3, 4]]
    assert story.ids[1] == story.ids[2] != story.ids[0]


@pytest.mark.rule("5.2-12", "12-1")
def test_backoff_doubles_from_a_fifth_of_a_second_and_age_ends_it_at_the_eighth_attempt() -> None:
    story = Story(Policy(batch_size=1, max_age=60.0))
    story.put(1)
    record = story.flow._holds[story.grant].lanes[None].runs[0].records[0]
    since = story.now.wall - 20.0

    class Arrived(type(SHAPE)):  # type: ignore[misc]
        def arrived(self, raw: Record) -> float:
            return since if raw is record else 0.0

    story.flow._claims.shape = Arrived()
    story.run(fails_with(1))
    gaps = [round(later - earlier, 3) for earlier, later in zip(story.times, story.times[1:], strict=False)]
    assert gaps == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8]
    assert story.given_up == [("RecordAgeExceeded", [1], 8)]


@pytest.mark.rule("12-1")
def test_backoff_is_capped() -> None:
    story = Story(Policy(batch_size=1, backoff_cap=60.0))
    story.put(1)
    story.run(fails_with(1), seconds=1_000)
    gaps = [later - earlier for earlier, later in zip(story.times, story.times[1:], strict=False)]
    assert gaps[-1] == pytest.approx(60.0)
    assert max(gaps) <= 60.001


@pytest.mark.rule("5.3-1", "5.3-2")
def test_bisect_splits_at_the_first_failure_left_part_first() -> None:
    story = Story(Policy(batch_size=4, retries=1, bisect=True))
    story.put(1, 2, 3, 4)
    story.run(fails_with(2))
    assert story.invoked == [[1, 2, 3, 4], [1, 2], [1], [2], [2], [3, 4]]
    assert story.given_up == [("RetryAttemptsExhausted", [2], 2)]
    assert len(set(story.ids)) == 5
    assert story.times[:4] == [0.0] * 4, "what is new is dispatched at once"


@pytest.mark.rule("5.3-2")
def test_bisect_without_retries_gives_the_record_up_after_its_one_failure() -> None:
    story = Story(Policy(batch_size=5, retries=0, bisect=True))
    story.put(1, 2, 3, 4, 5)
    story.run(fails_with(4))
    assert story.invoked == [[1, 2, 3, 4, 5], [1, 2], [3, 4, 5], [3], [4, 5], [4], [5]]
    assert story.given_up == [("RetryAttemptsExhausted", [4], 1)]


@pytest.mark.rule("5.3-2")
@pytest.mark.parametrize("bad", [1, 37, 64, 100])
def test_bisect_finds_one_poison_record_in_a_hundred_in_few_calls(bad: int) -> None:
    story = Story(Policy(batch_size=100, retries=2, bisect=True))
    story.put(*range(1, 101))
    story.run(fails_with(bad))
    assert len(story.invoked) - 3 <= 2 * 7 + 1
    assert story.given_up == [("RetryAttemptsExhausted", [bad], 3)]


@pytest.mark.rule("5.4-2", "5.6-5")
@pytest.mark.parametrize("row", ["shard", "sqs"])
@pytest.mark.parametrize("answer", ["", None, {}, [], {"batchItemFailures": []}, {"batchItemFailures": None}])
def test_empty_answers_are_success(row: str, answer: Any) -> None:
    story = Story(Policy(batch_size=3, retries=None if row == "sqs" else 0, reports=True), row=row)
    story.put(1, 2, 3)
    story.run(lambda numbers: Returned(answer))
    assert story.invoked == [[1, 2, 3]]
    assert not story.given_up
    assert story.flow.counts.processed == 3


UNUSABLE = {
    "a number": [{"itemIdentifier": 123}],
    "not in the batch": [{"itemIdentifier": "p0@99"}],
    "empty": [{"itemIdentifier": ""}],
    "null": [{"itemIdentifier": None}],
    "a wrong name": [{"foo": "notvalid"}],
    "a wrong name with null": [{"foo": None}],
    "a right value under a wrong name": [{"foo": "p0@2"}],
    "an empty entry": [{}],
    "not an object": ["p0@1"],
    "good and bad": [{"itemIdentifier": "p0@2"}, {"foo": 1}],
    "good and unknown": [{"itemIdentifier": "p0@2"}, {"itemIdentifier": "p0@99"}],
    "an unhashable object": [{"itemIdentifier": {"a": [1]}}],
}


@pytest.mark.rule("5.4-3", "5.6-7", "5.6-8", "12-3", "12-8", "5.6-11")
@pytest.mark.parametrize("failures", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_anything_unusable_fails_the_whole_batch(failures: Any) -> None:
    answer = Returned({"batchItemFailures": failures})
    shard = Story(Policy(batch_size=3, retries=1, reports=True, destination=True))
    shard.put(1, 2, 3)
    shard.run(lambda numbers: answer)
    assert shard.invoked == [[1, 2, 3]] * 2
    assert shard.given_up == [("RetryAttemptsExhausted", [1, 2, 3], 2)]
    assert shard.errors == [(True, None)], "functionError is null"
    queue = Story(Policy(batch_size=3, reports=True), row="sqs")
    queue.put(1, 2, 3)
    queue.run(lambda numbers: answer)
    progress = queue.flow.progress(queue.grant)
    assert ([raw.position for raw in progress.failed], progress.done) == ([1, 2, 3], [])


@pytest.mark.rule("5.4-3", "5.1-4", "5.6-9", "5.6-10", "5.6-1", "5.9-4")
@pytest.mark.parametrize("outcome", [NO, Returned(unreadable="no JSON"), Returned("text"), Returned(7), Returned([1])])
def test_exceptions_and_answers_that_are_no_object_fail_the_whole_batch(outcome: Outcome) -> None:
    shard = Story(Policy(batch_size=2, retries=0, reports=True, destination=True))
    shard.put(1, 2)
    shard.run(lambda numbers: outcome)
    assert shard.given_up == [("RetryAttemptsExhausted", [1, 2], 1)]
    assert shard.errors == [(True, "Unhandled" if outcome is NO else None)]
    queue = Story(Policy(batch_size=2, reports=True), row="sqs")
    queue.put(1, 2)
    queue.run(lambda numbers: outcome)
    assert [raw.position for raw in queue.flow.progress(queue.grant).failed] == [1, 2]


@pytest.mark.rule("5.1-1")
def test_without_response_types_an_answer_is_not_read() -> None:
    for outcome in (Returned(unreadable="no JSON"), Returned({"batchItemFailures": [{"itemIdentifier": "p0@1"}]})):
        story = Story(Policy(batch_size=1, retries=0))
        story.put(1)
        story.run(lambda numbers, outcome=outcome: outcome)  # type: ignore[misc]
        assert not story.given_up
        assert story.safe == 1


@pytest.mark.rule("5.4-1", "5.4-4", "5.4-5", "5.4-6")
def test_progress_makes_a_new_batch_with_a_fresh_counter() -> None:
    story = Story(Policy(batch_size=3, retries=3, reports=True))
    story.put(0, 1, 2, 3, 4, 5)
    story.run(reports(5))
    assert story.invoked == [[0, 1, 2], [3, 4, 5], [5], [5], [5], [5]]
    assert story.given_up == [("RetryAttemptsExhausted", [5], 4)]


@pytest.mark.rule("5.4-4", "5.4-5", "5.2-7")
def test_what_follows_a_failure_is_retried_and_given_up_with_it() -> None:
    story = Story(Policy(batch_size=4, retries=1, reports=True))
    story.put(1, 2, 3, 4)
    story.run(reports(2))
    assert story.invoked == [[1, 2, 3, 4], [2, 3, 4], [2, 3, 4]]
    assert story.given_up == [("RetryAttemptsExhausted", [2, 3, 4], 2)]


@pytest.mark.rule("5.4-4")
def test_the_lowest_reported_record_counts_by_number_not_by_text() -> None:
    story = Story(Policy(batch_size=4, retries=0, reports=True))
    story.put(8, 9, 10, 11)
    story.run(reports(10, 9))
    assert story.invoked[1] == [9, 10, 11]


@pytest.mark.rule("5.4-7", "12-9")
def test_bisect_cuts_at_the_reported_record_and_splits_without_progress() -> None:
    story = Story(Policy(batch_size=4, retries=1, reports=True, bisect=True))
    story.put(1, 2, 3, 4)
    story.run(reports(2))
    assert story.invoked == [[1, 2, 3, 4], [2, 3, 4], [2], [2], [3, 4]]
    assert story.given_up == [("RetryAttemptsExhausted", [2], 2)]


class Aged(type(SHAPE)):  # type: ignore[misc]
    """Records arrived at ten times their number, on the wall."""

    def arrived(self, raw: Record) -> float:
        return raw.position * 10.0


def aged(**policy: Any) -> Story:
    story = Story(Policy(**policy))
    story.flow._claims.shape = story.flow._shape = Aged()
    return story


@pytest.mark.rule("5.5-1", "5.5-2", "5.5-3", "5.5-4", "5.2-2", "5.9-5")
def test_only_the_expired_front_leaves_and_counts_as_one_without_an_invocation() -> None:
    story = aged(batch_size=10, max_age=60.0, destination=True)
    story.put(4_900, 4_996, 4_997, 4_998, 4_999, 5_000)
    story.run(lambda numbers: Returned())
    assert story.given_up == [("RecordAgeExceeded", [4_900], 1)]
    assert story.errors == [(False, None)]
    assert story.invoked == [[4_996, 4_997, 4_998, 4_999, 5_000]]


@pytest.mark.rule("5.5-1")
def test_a_record_is_expired_when_its_age_reaches_the_limit() -> None:
    story = aged(batch_size=10, max_age=60.0)
    story.put(4_994, 4_995)
    story.run(lambda numbers: Returned())
    assert story.given_up == [("RecordAgeExceeded", [4_994], 1)]


@pytest.mark.rule("12-10")
def test_what_is_left_of_an_expiring_batch_keeps_its_counter_and_its_id() -> None:
    story = aged(batch_size=2, max_age=60.0, retries=6)
    story.put(4_995, 5_000)
    story.run(fails_with(5_000))
    assert story.given_up[0] == ("RecordAgeExceeded", [4_995], 7 - story.invoked.count([5_000]))
    assert story.given_up[1] == ("RetryAttemptsExhausted", [5_000], 7)
    assert len(set(story.ids)) == 1


@pytest.mark.rule("3.2-7")
def test_age_counts_while_a_batch_waits_for_its_window() -> None:
    story = aged(batch_size=10, max_age=60.0, window=300.0)
    story.put(4_999)
    story.run(lambda numbers: Returned(), seconds=100)
    assert story.given_up == [("RecordAgeExceeded", [4_999], 1)]
    assert not story.invoked


@pytest.mark.rule("5.1-6")
def test_age_needs_no_permit() -> None:
    story = aged(batch_size=1, max_age=60.0)
    story.put(4_999, 5_000)
    story.run(lambda numbers: Returned(), seconds=100, permitted=False)
    assert story.given_up == [("RecordAgeExceeded", [4_999], 1), ("RecordAgeExceeded", [5_000], 1)]
    assert not story.invoked


@pytest.mark.rule("5.1-3", "12-16", "9-9", "12-1")
def test_throttles_touch_neither_the_counter_nor_the_failure_backoff() -> None:
    answers: list[Outcome] = [NO, Throttled(), Throttled(), Unreachable("x"), Unreachable("x"), NO, Throttled(5.0), NO]
    story = Story(Policy(batch_size=1, retries=2))
    story.put(1)
    story.run(lambda numbers: answers.pop(0))
    assert story.given_up == [("RetryAttemptsExhausted", [1], 3)]
    assert len(set(story.ids)) == 1
    gaps = [round(later - earlier, 3) for earlier, later in zip(story.times, story.times[1:], strict=False)]
    assert gaps[0] == 0.2
    assert gaps[3:5] == [1.0, 1.0], "an unreachable target is tried again within a second"
    assert gaps[5:] == [0.4, 5.0], "and the failure backoff goes on where it was"


@pytest.mark.rule("5.6-4", "5.6-6")
def test_a_standard_queue_keeps_what_is_reported_and_deletes_the_rest() -> None:
    story = Story(Policy(batch_size=4, reports=True), row="sqs")
    story.put(1, 2, 3, 4)
    story.run(reports(2, 3))
    progress = story.flow.progress(story.grant)
    assert [raw.position for raw in progress.done] == [1, 4]
    assert [raw.position for raw in progress.failed] == [2, 3]


@pytest.mark.rule("5.6-12", "13-5", "4-10", "4-11")
def test_a_fifo_queue_deletes_what_is_not_reported_and_gives_the_rest_of_the_group_back() -> None:
    story = Story(Policy(batch_size=4, reports=True), row="sqs-fifo")
    story.put(1, 2, 3, 4, 5, 6, key=lambda number: "g")
    story.put(7, key=lambda number: "h")
    story.run(reports(2, 3))
    assert story.invoked == [[1, 2, 3, 4], [7]], "nothing of the failed group overtakes"
    progress = story.flow.progress(story.grant)
    assert [raw.position for raw in progress.done] == [1, 4, 7]
    assert [raw.position for raw in progress.failed] == [2, 3]
    assert [raw.position for raw in progress.unstarted] == [5, 6]


@pytest.mark.rule("4-9", "4-2", "9-2")
def test_one_batch_of_a_group_runs_at_a_time_and_other_groups_beside_it() -> None:
    story = Story(Policy(batch_size=1), row="sqs-fifo")
    story.put(1, 2, 3, key=lambda number: "g")
    story.put(4, key=lambda number: "h")
    running = [story.flow.take(story.now, True) for _ in range(3)]
    assert [batch is not None for batch in running] == [True, True, False]


@pytest.mark.rule("3.1-1", "3.1-2", "3.1-7", "3.2-6", "12-17")
def test_a_window_closes_by_count_or_by_time_and_begins_when_the_batch_before_has_ended() -> None:
    story = Story(Policy(batch_size=2, window=5.0))
    story.put(1, 2, 3, 4, 5)
    story.run(lambda numbers: Returned())
    assert story.invoked == [[1, 2], [3, 4], [5]]
    assert story.times == [0.0, 0.0, 5.0]


@pytest.mark.rule("3.1-7", "3.2-1")
def test_without_a_window_whatever_is_there_is_invoked_at_once() -> None:
    story = Story(Policy(batch_size=100))
    story.put(1, 2)
    story.run(lambda numbers: Returned())
    story.put(3)
    story.run(lambda numbers: Returned())
    assert story.invoked == [[1, 2], [3]]
    assert story.times == [0.0, 0.0]


@pytest.mark.rule("3.2-3", "12-17")
@pytest.mark.parametrize("size", [15, 100, 1_000, 10_000])
def test_a_queues_batch_gathers_over_several_receives(size: int) -> None:
    story = Story(Policy(batch_size=size, window=10.0), row="sqs")
    story.put(*range(10))
    story.wait(3.0)
    story.put(*range(10, 15))
    story.run(lambda numbers: Returned())
    assert story.invoked == [list(range(15))]
    assert story.times == ([3.0] if size == 15 else [10.0]), "by the first message's clock"


class Large(type(SHAPE)):  # type: ignore[misc]
    """Records of a megabyte and a half each."""

    def size_bound(self, raw: Record) -> int:
        return 1_500_100

    def event(self, parts: Any, window: Any) -> dict[str, Any]:
        return {
            "Records": ["x" * (8_000_000 if raw.position == 99 else 1_500_000) for _, some in parts for raw in some]
        }


def large(row: str = "shard", **policy: Any) -> Story:
    story = Story(Policy(**policy), row=row)
    story.flow._claims.shape = story.flow._shape = Large()
    return story


@pytest.mark.rule("3.1-1")
def test_a_batch_closes_before_the_record_that_would_not_fit_and_not_earlier() -> None:
    story = large(batch_size=100, window=300.0)
    story.put(*range(9), size=1_500_100)
    story.run(lambda numbers: Returned(), seconds=10)
    assert story.invoked == [[0, 1, 2, 3], [4, 5, 6, 7]], "6 MB take four, and the window never delays a full batch"


@pytest.mark.rule("3.3-1")
@pytest.mark.parametrize("retries", [0, 2])
def test_a_record_that_fits_no_event_spends_its_retries_without_an_invocation(retries: int) -> None:
    story = large(batch_size=10, retries=retries, destination=True)
    story.flow._claims.delivery = replace(ROWS["shard"], oversize="attempt")
    story.flow._claims.shape.size_bound = lambda raw: 8_000_100 if raw.position == 99 else 1_500_100  # type: ignore[method-assign]
    story.put(99, size=8_000_100)
    story.put(100, size=1_500_100)
    story.run(lambda numbers: Returned())
    assert story.given_up == [("RetryAttemptsExhausted", [99], retries + 1)]
    assert story.errors == [(False, None)], "no responseContext"
    assert story.invoked == [[100]]


@pytest.mark.rule("3.3-4")
def test_a_message_that_fits_no_event_is_left_to_the_queue_and_its_redrive_policy() -> None:
    story = large("sqs-fifo", batch_size=1)
    story.flow._claims.shape.size_bound = lambda raw: 8_000_100  # type: ignore[method-assign]
    story.put(99, size=8_000_100)
    story.put(100, size=1_500_100)
    story.run(lambda numbers: Returned(), seconds=100)
    progress = story.flow.progress(story.grant)
    assert not story.invoked
    assert [raw.position for raw in progress.failed] == [99]
    assert [raw.position for raw in progress.unstarted] == [100], "of the same group"


@pytest.mark.rule("13-2", "5.6-14")
def test_what_a_queue_would_redeliver_is_held_for_throttle_hold_and_then_given_back() -> None:
    waits = Story(Policy(batch_size=1, throttle_hold=900.0), row="sqs")
    waits.put(1, 2)
    waits.run(lambda numbers: Returned(), seconds=899, permitted=False)
    assert not waits.flow.progress(waits.grant).unstarted
    waits.wait(900.0)
    waits.run(lambda numbers: Returned(), seconds=1, permitted=False)
    assert [raw.position for raw in waits.flow.progress(waits.grant).unstarted] == [1, 2]
    throttled = Story(Policy(batch_size=1, throttle_hold=900.0), row="sqs-fifo")
    throttled.put(1, 2)
    throttled.run(lambda numbers: Throttled(), seconds=2_000)
    assert throttled.now.monotonic - 1_000.0 == pytest.approx(900.0)
    assert [raw.position for raw in throttled.flow.progress(throttled.grant).unstarted] == [1, 2]


@pytest.mark.rule("13-1")
def test_a_destination_that_refuses_holds_its_lane_and_tries_one_document_at_a_time() -> None:
    story = Story(Policy(batch_size=1, retries=0, destination=True), row="shard-lanes")
    story.put(*range(1, 10), key=str)
    discards = []
    while (taken := story.flow.take(story.now, True)) is not None:
        if isinstance(taken, Discard):
            discards.append(taken)
        else:
            story.flow.answer(taken, NO, story.now, 0.5)
    assert len(discards) == 3, "one of each lane"
    for discard in discards:
        assert story.flow.discarded(discard, story.now, False) is not None
    assert story.flow.take(story.now, True) is None, "they share one backoff"
    wake = story.flow.wake_at(story.now)
    assert wake is not None
    story.wait(wake - story.now.monotonic)
    probe = story.flow.take(story.now, False)
    assert isinstance(probe, Discard)
    assert story.flow.take(story.now, False) is None, "one probe while it fails"
    assert story.flow.discarded(probe, story.now, True) is None
    assert isinstance(story.flow.take(story.now, False), Discard), "and all of them once it takes one"
    assert story.flow.counts.dropped == 0


@pytest.mark.rule("13-1", "5.9-10")
def test_the_option_drops_what_a_destination_refuses() -> None:
    story = Story(Policy(batch_size=1, retries=0, destination=True, drop_undelivered=True))
    story.put(1, 2)
    for _ in range(2):
        batch = story.flow.take(story.now, True)
        assert batch is not None
        assert not isinstance(batch, Discard)
        story.flow.answer(batch, NO, story.now, 0.5)
        discard = story.flow.take(story.now, True)
        assert isinstance(discard, Discard)
        assert story.flow.discarded(discard, story.now, False) is None
    assert (story.flow.counts.dropped, story.flow.counts.delivery_failures) == (2, 2)
    assert story.safe == 2


@pytest.mark.rule("13-11")
def test_a_spanning_batch_splits_by_partition_and_keeps_its_attempts() -> None:
    numbers = count(1)
    flow = Flow(Policy(batch_size=10, retries=1), ROWS["kafka"], SHAPE, lambda: str(next(numbers)))
    now = Instant(1.0, 1.0)
    for name in ("a", "b"):
        grant = Grant(Partition(name))
        flow.grant(grant, now)
        flow.accept(grant, Page([Record(name, 1, "k")], nbytes=100, position=(1, 0)), now)
    whole = flow.take(now, True)
    assert whole is not None
    assert not isinstance(whole, Discard)
    assert len(whole.parts) == 2
    flow.answer(whole, NO, now, 0.5)
    now = Instant(1.3, 1.3)
    parts = [flow.take(now, True), flow.take(now, True)]
    assert [part is not None and len(part.parts) == 1 and part.attempts == 1 for part in parts] == [True, True]  # type: ignore[union-attr]
    assert len({part.request_id for part in parts} | {whole.request_id}) == 3  # type: ignore[union-attr]
