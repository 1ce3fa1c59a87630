"""Tumbling windows: each record folded once into the state of its window, and one final call for each window."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import msgspec
import pytest
from flow_driver import RecordShape
from hypothesis import given, settings
from hypothesis import strategies as st

from pollers.flow.batches import Batch, Discard
from pollers.flow.flow import Flow
from pollers.flow.outcomes import AllFailed
from pollers.flow.records import (
    Delivery,
    Failed,
    Grant,
    Instant,
    Outcome,
    Page,
    Partition,
    Policy,
    Progress,
    Resume,
    Returned,
    Throttled,
)
from pollers.flow.windows import LATE, STATE_LIMIT

W = 60.0
SHARD = Delivery(lane="partition", slots=1, mixed=False, spans=False, redelivers=False, paced=True, page=100)
WAITING = replace(SHARD, paced=False)
BASE = 6_000.0  # a multiple of the window


@dataclass(frozen=True, eq=False)
class Click:
    position: int
    at: float

    @property
    def partition(self) -> str:
        return "p"

    @property
    def key(self) -> str:
        return "k"


class ClickShape(RecordShape):
    def arrived(self, raw: Any) -> float:
        return float(raw.at)


class Bench:
    """One partition, driven by hand. `now` is wall and monotonic time at once."""

    def __init__(self, delivery: Delivery = SHARD, resume: Resume | None = None, **policy: Any) -> None:
        ids = count(1)
        self.policy = Policy(tumbling=W, **{"batch_size": 10, **policy})
        self.flow = Flow(self.policy, delivery, ClickShape(), lambda: str(next(ids)))
        self.grant = Grant(Partition("p"), resume=resume or Resume())
        self.at = BASE
        self.positions = count(1 if resume is None or resume.safe is None else resume.safe[0] + 1)
        self.flow.grant(self.grant, self.now)

    @property
    def now(self) -> Instant:
        return Instant(self.at, self.at)

    def put(self, *arrivals: float, behind: float = 1.0) -> list[Click]:
        clicks = [Click(next(self.positions), BASE + at) for at in arrivals]
        page = Page(clicks, 100 * len(clicks), (clicks[-1].position, 0), behind=behind)
        self.flow.accept(self.grant, page, self.now)
        return clicks

    def nothing_more(self, at: float) -> None:
        """A read found the end of the shard, at that moment."""
        self.at = BASE + at
        self.flow.accept(self.grant, Page((), 0, behind=0.0), self.now)

    def end(self) -> None:
        self.flow.accept(self.grant, Page((), 0, end=True), self.now)

    def take(self) -> Batch:
        taken = self.flow.take(self.now, True)
        assert isinstance(taken, Batch), taken
        return taken

    def none(self) -> bool:
        return self.flow.take(self.now, True) is None

    def say(self, batch: Batch, outcome: Outcome) -> Any:
        return self.flow.answer(batch, outcome, self.now, 0.5)

    def pass_on(self, **state: Any) -> Batch:
        batch = self.take()
        self.say(batch, Returned({"state": state}))
        return batch

    @property
    def progress(self) -> Progress:
        return self.flow.progress(self.grant)


def told(batch: Batch) -> tuple[float, Mapping[str, Any], bool, bool]:
    """Window's start since BASE, state, final, early."""
    assert batch.window is not None
    return batch.window.start - BASE, msgspec.json.decode(batch.window.state), batch.window.final, batch.window.early


@pytest.mark.rule("7-2")
def test_a_batch_never_spans_windows() -> None:
    bench = Bench()
    bench.put(1, 59.9, 60, 61)
    assert len(bench.pass_on(n=2)) == 2
    final = bench.pass_on()
    assert told(final) == (0.0, {"n": 2}, True, False)
    assert told(bench.take())[0] == 60.0


@pytest.mark.rule("7-2")
def test_a_record_that_is_older_than_the_open_window_belongs_to_it() -> None:
    bench = Bench()
    bench.put(61)
    bench.pass_on(n=1)
    bench.put(59)
    assert told(bench.take()) == (60.0, {"n": 1}, False, False)


@pytest.mark.rule("7-3")
def test_the_state_begins_empty_and_is_handed_from_call_to_call() -> None:
    bench = Bench()
    bench.put(1)
    assert told(bench.pass_on(n=1)) == (0.0, {}, False, False)
    bench.put(2)
    assert told(bench.pass_on(n=2))[1] == {"n": 1}


@pytest.mark.rule("7-3")
@pytest.mark.parametrize("payload", [None, {}, {"state": None}, {"state": [1]}, {"state": "text"}, "text", []])
def test_an_answer_without_a_state_is_a_failed_attempt(payload: object) -> None:
    bench = Bench(retries=0)
    bench.put(1)
    batch = bench.take()
    assert isinstance(bench.say(batch, Returned(payload)), AllFailed)
    discard = bench.flow.take(bench.now, True)
    assert isinstance(discard, Discard)
    assert (discard.condition, batch.attempts, batch.answered, batch.error) == ("RetryAttemptsExhausted", 1, True, None)


@pytest.mark.rule("7-3")
def test_beside_a_partial_report_the_state_covers_what_is_done() -> None:
    bench = Bench(reports=True)
    clicks = bench.put(1, 2, 3)
    batch = bench.take()
    failures = [{"itemIdentifier": f"p@{clicks[1].position}"}]
    bench.say(batch, Returned({"state": {"n": 1}, "batchItemFailures": failures}))
    rest = bench.take()
    assert (len(rest), told(rest)[1]) == (2, {"n": 1})


@pytest.mark.rule("7-3")
def test_a_partial_report_without_progress_leaves_the_state_alone() -> None:
    bench = Bench(reports=True)
    clicks = bench.put(1, 2)
    batch = bench.take()
    failures = [{"itemIdentifier": f"p@{clicks[0].position}"}]
    bench.say(batch, Returned({"state": {"n": 9}, "batchItemFailures": failures}))
    bench.at += 1
    assert told(bench.take())[1] == {}


@pytest.mark.rule("7-4")
def test_an_idle_shards_window_is_closed_by_a_read_that_finds_nothing_more() -> None:
    bench = Bench()
    bench.put(1)
    bench.pass_on(n=1)
    bench.nothing_more(W + LATE - 0.1)
    assert bench.none()
    bench.nothing_more(W + LATE)
    final = bench.pass_on(n=1)
    assert (len(final), told(final)) == (0, (0.0, {"n": 1}, True, False))
    assert bench.progress.state is None
    bench.nothing_more(W + LATE + 10)
    assert bench.none()


def test_a_read_that_was_turned_away_closes_no_window() -> None:
    bench = Bench()
    bench.put(1)
    bench.pass_on(n=1)
    bench.at = BASE + W + LATE + 1
    bench.flow.accept(bench.grant, Page((), 0, behind=None), bench.now)
    assert bench.none()


@pytest.mark.rule("7-4")
def test_where_reads_wait_for_records_a_timer_closes_the_window() -> None:
    bench = Bench(WAITING)
    bench.put(1, behind=0)
    bench.pass_on(n=1)
    assert bench.flow.wake_at(bench.now) == pytest.approx(BASE + W + LATE, abs=0.01)
    bench.at = BASE + W + LATE + 0.01
    assert told(bench.take())[2]


@pytest.mark.rule("7-4")
def test_where_reads_wait_for_records_no_window_closes_while_more_of_it_may_be_there() -> None:
    bench = Bench(WAITING)
    bench.at = BASE + 10 * W
    bench.put(1)
    bench.pass_on(n=1)
    assert bench.none()
    bench.put(2, behind=0)
    assert told(bench.pass_on(n=2)) == (0.0, {"n": 1}, False, False)
    assert told(bench.take()) == (0.0, {"n": 2}, True, False)


@pytest.mark.rule("7-5", "12-15")
def test_a_state_that_outgrows_its_limit_ends_the_window_early_and_the_rest_begins_anew() -> None:
    bench = Bench()
    bench.put(1)
    bench.pass_on(text="x" * (STATE_LIMIT - len('{"text":""}')))
    bench.put(2)
    large = {"text": "x" * STATE_LIMIT}
    bench.say(bench.take(), Returned({"state": large}))
    early = bench.pass_on()
    assert told(early) == (0.0, large, True, True)
    assert len(early) == 0
    bench.put(3)
    assert told(bench.pass_on(n=1)) == (0.0, {}, False, False)
    bench.put(61)
    assert told(bench.take()) == (0.0, {"n": 1}, True, False)


@pytest.mark.rule("7-5")
def test_the_state_takes_its_part_of_the_largest_event() -> None:
    bench = Bench(max_bytes=70_000, batch_size=100)
    bench.put(1)
    bench.pass_on(text="x" * 68_500)
    bench.put(*[2.0 + number / 100 for number in range(90)])
    batch = bench.take()
    assert 0 < len(batch) < 90


@pytest.mark.rule("7-6")
def test_the_end_of_a_shard_closes_its_window_before_it_is_finished() -> None:
    bench = Bench()
    bench.put(1)
    bench.end()
    batch = bench.take()
    bench.say(batch, Returned({"state": {"n": 1}}))
    assert not bench.progress.finished
    assert told(bench.pass_on())[2]
    assert bench.progress.finished


@pytest.mark.rule("7-7")
def test_a_failing_final_call_is_retried_within_the_limits_and_holds_the_shard() -> None:
    bench = Bench(retries=1, destination=True)
    bench.put(1)
    bench.pass_on(n=1)
    bench.put(61)
    final = bench.take()
    bench.say(final, Failed("E", "no"))
    assert bench.none()
    bench.at += 1
    again = bench.take()
    assert (again.request_id, told(again)) == (final.request_id, (0.0, {"n": 1}, True, False))
    bench.say(again, Failed("E", "no"))
    discard = bench.flow.take(bench.now, False)
    assert isinstance(discard, Discard)
    assert (discard.condition, discard.count, discard.partition) == ("RetryAttemptsExhausted", 2, "p")
    assert bench.none()
    bench.flow.discarded(discard, bench.now, True)
    assert told(bench.take()) == (60.0, {}, False, False)


@pytest.mark.rule("7-7")
def test_a_final_call_is_as_old_as_the_latest_record_of_its_window() -> None:
    bench = Bench(max_age=100.0)
    bench.put(1)
    bench.pass_on(n=1)
    bench.put(95)
    final = bench.take()
    bench.say(final, Throttled())
    bench.at = BASE + 101.5
    discard = bench.flow.take(bench.now, True)
    assert isinstance(discard, Discard)
    assert (discard.condition, len(discard.batch)) == ("RecordAgeExceeded", 0)
    bench.flow.discarded(discard, bench.now, True)
    assert told(bench.take()) == (60.0, {}, False, False)


def test_discarded_records_do_not_change_the_state() -> None:
    bench = Bench(retries=0)
    bench.put(1)
    bench.pass_on(n=1)
    bench.put(2)
    bench.say(bench.take(), Failed("E", "no"))
    discard = bench.flow.take(bench.now, True)
    assert isinstance(discard, Discard)
    bench.flow.discarded(discard, bench.now, True)
    bench.put(3)
    assert told(bench.take())[1] == {"n": 1}


@pytest.mark.rule("5.3-2")
def test_halves_are_told_the_state_of_their_time() -> None:
    bench = Bench(bisect=True)
    bench.put(1, 2)
    bench.say(bench.take(), Failed("E", "no"))
    assert told(bench.pass_on(n=1))[1] == {}
    assert told(bench.take())[1] == {"n": 1}


def test_an_orderly_stop_closes_no_window_and_the_next_owner_goes_on_with_it() -> None:
    bench = Bench()
    bench.put(1, 2)
    bench.pass_on(n=2)
    bench.flow.revoke(bench.grant, bench.now)
    bench.nothing_more(W + LATE + 1)
    assert bench.none()
    progress = bench.progress
    later = Bench(resume=Resume(progress.safe, progress.above, progress.state))
    later.put(3)
    assert told(later.take()) == (0.0, {"n": 2}, False, False)


def test_a_window_that_ended_while_nobody_read_is_closed_by_the_next_owner() -> None:
    bench = Bench()
    bench.put(1)
    bench.pass_on(n=1)
    later = Bench(resume=Resume(bench.progress.safe, (), bench.progress.state))
    later.nothing_more(3 * W)
    assert told(later.take()) == (0.0, {"n": 1}, True, False)


@pytest.mark.parametrize("state", [{}, {"start": "x"}, {"start": 1, "state": 3, "last": 2}, {"n": 1}])
def test_a_saved_state_that_cannot_be_understood_is_as_if_absent(state: dict[str, Any]) -> None:
    bench = Bench(resume=Resume((5, 0), (), state))
    bench.put(1)
    assert told(bench.take()) == (0.0, {}, False, False)


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 50), min_size=1, max_size=60),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 3, 10]),
    st.booleans(),
    st.booleans(),
)
def test_every_record_is_folded_once_into_its_window_whatever_fails_and_restarts(
    steps: list[float], seed: int, batch_size: int, bisect: bool, reports: bool
) -> None:
    """`state` collects positions; finals hand them out; nothing may be missing, doubled, or under another window."""
    chance = random.Random(seed)
    arrivals, at = [], 0.0
    for step in steps:
        at += step
        arrivals.append(at)
    clicks = [Click(number + 1, BASE + at) for number, at in enumerate(arrivals)]
    options = {"batch_size": batch_size, "bisect": bisect, "reports": reports}
    bench = Bench(**options)
    given_to, closed, saved = 0, [], bench.progress
    for _ in range(2_000):
        if given_to < len(clicks) and chance.random() < 0.4:
            some = clicks[given_to : given_to + chance.randint(1, 7)]
            bench.flow.accept(bench.grant, Page(some, 100 * len(some), (some[-1].position, 0), behind=1.0), bench.now)
            given_to += len(some)
        elif given_to == len(clicks):
            bench.nothing_more(bench.at - BASE + 1)
        bench.at = max(bench.at + chance.random(), BASE + (arrivals[given_to - 1] if given_to else 0.0))
        saved = bench.progress
        if chance.random() < 0.05:  # a new owner, from what was settled
            bench2 = Bench(resume=Resume(saved.safe, saved.above, saved.state), **options)
            bench2.at, bench = bench.at, bench2
            given_to = saved.safe[0] if saved.safe else 0
            continue
        taken = bench.flow.take(bench.now, True)
        if isinstance(taken, Batch):
            _answer(bench, taken, chance, closed)
        if given_to == len(clicks) and saved.state is None and saved.safe == (len(clicks), 0):
            break
    expected: dict[float, list[int]] = {}
    for click in clicks:
        expected.setdefault(click.at // W * W, []).append(click.position)
    assert closed == list(expected.items())


def _answer(bench: Bench, batch: Batch, chance: random.Random, closed: list[tuple[float, list[int]]]) -> None:
    assert batch.window is not None
    records = [raw for _, some in batch.parts for raw in some]
    assert {raw.at // W * W for raw in records} <= {batch.window.start}
    state = msgspec.json.decode(batch.window.state)
    kind = chance.random()
    if kind < 0.2:
        bench.say(batch, chance.choice([Failed("E", "no"), Throttled(), Returned({"no": "state"})]))
        return
    if batch.final:
        closed.append((batch.window.start, state["seen"]))
        bench.say(batch, Returned({"state": {}}))
        return
    failed = records[chance.randint(0, len(records) - 1) :] if bench.policy.reports and kind < 0.4 else []
    seen = [raw.position for raw in records if raw not in failed]
    answer = {"state": {"seen": [*state.get("seen", []), *seen]}}
    if failed:
        answer["batchItemFailures"] = [{"itemIdentifier": f"p@{raw.position}"} for raw in failed]  # type: ignore[assignment]
    bench.say(batch, Returned(answer))
