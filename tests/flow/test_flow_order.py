"""Whatever happens, in every kind of source: order holds, positions are true, and every record comes to one end."""

from __future__ import annotations

import pytest
from flow_driver import ROWS, SHAPE, Driver, Record
from hypothesis import given, settings
from hypothesis import strategies as st

from pollers.flow.batches import Batch
from pollers.flow.flow import Flow
from pollers.flow.records import Grant, Instant, Page, Partition, Policy, Returned

SEEDS = st.integers(0, 2**32)
ROW = pytest.mark.parametrize("row", ROWS)


@pytest.mark.rule("4-1", "4-2", "4-3", "4-12", "13-8")
@ROW
@settings(max_examples=300)
@given(seed=SEEDS)
def test_order_holds_and_every_record_is_resolved_once(row: str, seed: int) -> None:
    driver = Driver(row, seed)
    for _ in range(120):
        driver.step()
    driver.finish_everything()


@ROW
@settings(max_examples=30)
@given(seed=SEEDS)
def test_nothing_of_a_revoked_partition_starts_and_what_runs_still_counts(row: str, seed: int) -> None:
    driver = Driver(row, seed)
    for _ in range(60):
        driver.step()
    side = driver.chance.choice(list(driver.sides.values()))
    running = {raw for batch in driver.running for _, some in batch.parts for raw in some}
    side.revoked = True
    driver.flow.revoke(side.grant, driver.now)
    assert driver.flow.room(side.grant) == 0
    if driver.delivery.redelivers:
        driver.note_given_back()
        driver.settle(side.grant)
        for raw in side.records:
            assert (raw.state not in {"waiting"}) or raw in running
    while driver.running:
        batch = driver.running.pop()
        mine = [raw for _, some in batch.parts for raw in some if raw.partition == side.grant.partition]
        driver.finish(batch, Returned())
        assert all(raw.state == "done" for raw in mine)
    while driver.delivering:
        driver.deliver()
    assert driver.flow.idle(side.grant)
    for grant in driver.flow.changed():
        driver.settle(grant)
    driver.flow.forget(side.grant, driver.now)
    del driver.sides[side.grant.partition]
    driver.finish_everything()


@ROW
@settings(max_examples=30)
@given(seed=SEEDS)
def test_answers_of_a_lost_partition_count_no_more(row: str, seed: int) -> None:
    driver = Driver(row, seed)
    for _ in range(60):
        driver.step()
    name, side = driver.chance.choice(list(driver.sides.items()))
    driver.flow.forget(side.grant, driver.now)
    del driver.sides[name]
    assert driver.flow.idle(side.grant)
    batches, driver.running = driver.running, []
    for batch in batches:
        for partition, some in batch.parts:
            for raw in some:
                if partition in driver.sides:
                    raw.state = "done"
        driver.flow.answer(batch, Returned(), driver.now, 0.5)
    for discard in driver.delivering:
        for partition, some in discard.batch.parts:
            for raw in some:
                if partition in driver.sides:
                    raw.state = "gone"
        driver.flow.discarded(discard, driver.now, True)
    driver.delivering.clear()
    assert side.grant not in driver.flow.changed()
    driver.finish_everything()


LOGS = pytest.mark.parametrize("row", [name for name, delivery in ROWS.items() if not delivery.redelivers])


@pytest.mark.rule("12-2", "12-22")
@LOGS
@settings(max_examples=30)
@given(seed=SEEDS)
def test_who_resumes_repeats_exactly_what_was_unfinished(row: str, seed: int) -> None:
    driver = Driver(row, seed)
    for _ in range(100):
        driver.step()
    for name, side in driver.sides.items():
        resume = driver.resume_of(name)
        unfinished = [raw for raw in side.records if raw.state not in {"done", "gone"}]
        safe = -1 if resume.safe is None else resume.safe[0]
        rest = [Record(raw.partition, raw.position, raw.key) for raw in side.records if raw.position > safe]
        assert started_again(row, resume, rest) == sorted(raw.position for raw in unfinished)


def started_again(row: str, resume: object, rest: list[Record]) -> list[int]:
    """The positions that a new owner invokes."""
    ids = iter(range(10_000))
    flow = Flow(Policy(batch_size=7), ROWS[row], SHAPE, lambda: str(next(ids)))
    grant = Grant(Partition("p"), 2, resume)  # type: ignore[arg-type]
    now = Instant(1.0, 1.0)
    flow.grant(grant, now)
    for start in range(0, len(rest), 5):
        page = rest[start : start + 5]
        flow.accept(grant, Page(page, nbytes=500, position=(page[-1].position, 0)), now)
    positions: list[int] = []
    while isinstance(batch := flow.take(now, True), Batch):
        positions += [raw.position for _, some in batch.parts for raw in some]
        flow.answer(batch, Returned(), now, 0.5)
    assert not flow.total.held
    return sorted(positions)
