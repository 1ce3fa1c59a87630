"""How records move: in virtual time, on doubles, with the three bugs of movement looked for by name."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from engine_doubles import (
    FunctionDouble,
    LogDouble,
    Message,
    QueueDouble,
    Told,
    messages,
    pair,
    pollers,
    until,
)

from pollers.errors import LostGrant, Undelivered
from pollers.flow.records import Failed, Grant, Outcome, Page, Progress, Returned, Throttled, Unreachable
from pollers.spi import Failure, Lost, Revoked
from pollers.telemetry import (
    DeliveryHeld,
    Drained,
    InvocationFailed,
    InvocationLate,
    LaneStalled,
    PartitionLost,
    PollerCrashed,
    RecordsDiscarded,
    SourceTroubled,
    TargetUnavailable,
)
from pollers.testing.loop import VirtualLoop, virtual_time


def now() -> float:
    return asyncio.get_running_loop().time()


@virtual_time
async def test_every_message_of_a_queue_is_invoked_once_and_deleted() -> None:
    queue, function = QueueDouble(messages(95)), FunctionDouble(seconds=0.1)
    async with pollers(pair(queue, function)):
        await until(lambda: len(queue.done) == 95)
    assert sorted(queue.done) == list(range(95))
    assert sorted(name for _, names in function.calls for name in names) == list(range(95))
    assert queue.unstarted == queue.failed == []
    assert queue.released
    assert queue.closed


@virtual_time
async def test_a_log_is_processed_in_order_and_its_position_saved_once_a_second() -> None:
    log, function = LogDouble(messages(1_000)), FunctionDouble(seconds=0.05)
    async with pollers(pair(log, function, batch_size=10)):
        begun = now()
        await until(lambda: log.safe == 999)
        took = now() - begun
    assert [name for _, names in function.calls for name in names] == list(range(1_000))
    assert len(log.progress) <= took + 2


@pytest.mark.rule("4-7")
@virtual_time
async def test_the_next_batch_of_a_shard_starts_only_when_the_one_before_is_resolved() -> None:
    log, function = LogDouble(messages(20)), FunctionDouble(seconds=5)
    async with pollers(pair(log, function, batch_size=10)):
        await until(lambda: len(function.calls) == 2)
    (first, _), (second, _) = function.calls
    assert second - first >= 4.999
    assert function.most == 1


@virtual_time
async def test_lanes_of_a_shard_run_side_by_side() -> None:
    log = LogDouble([Message(number, f"key{number}") for number in range(200)], slots=4)
    function = FunctionDouble(seconds=1)
    async with pollers(pair(log, function, batch_size=10)):
        await until(lambda: log.safe == 199)
    assert function.most == 4


@virtual_time
async def test_reads_grow_under_backlog_and_shrink_to_one_when_it_is_quiet() -> None:
    queue, function = QueueDouble(messages(2_000)), FunctionDouble(seconds=0.5)
    queue.read_delay = 0.1
    async with pollers(pair(queue, function), concurrency=64):
        await until(lambda: len(queue.done) == 2_000)
        assert function.most > 10, "several receives at once under backlog"
        await asyncio.sleep(60)
        assert queue.reads == 1


@virtual_time
async def test_nothing_is_received_that_cannot_start_soon() -> None:
    queue, function = QueueDouble(messages(500)), FunctionDouble(seconds=10)
    async with pollers(pair(queue, function, reserved_concurrency=3)):
        await asyncio.sleep(5)
        held = 500 - len(queue.waiting)
        assert function.running == 3
        assert held == 30


@pytest.mark.rule("13-13")
@virtual_time
async def test_failures_do_not_slow_the_polling_of_a_queue_down() -> None:
    async def answer(names: list[int]) -> Outcome:
        return Failed("E", "no")

    queue = QueueDouble(messages(20_000), redelivery=100_000)
    queue.read_delay = 1.0
    async with pollers(pair(queue, FunctionDouble(answer)), concurrency=4):
        await asyncio.sleep(60)
        early = len(queue.failed)
        await asyncio.sleep(60)
        late = len(queue.failed) - early
    assert late >= 0.95 * early > 0


# The three bugs of movement


@virtual_time
async def test_what_is_due_waits_for_a_permit_without_turning_the_loop() -> None:
    """A timer that is due while no permit is free must not make the loop spin."""
    fails = True

    async def answer(names: list[int]) -> Outcome:
        return Failed("E", "no") if fails else Returned()

    log, hog = LogDouble(messages(1)), QueueDouble(messages(1), name="hog")
    function, other = FunctionDouble(answer, name="f"), FunctionDouble(seconds=0.1, name="g")
    async with pollers(pair(log, function, "log"), pair(hog, other, "hog"), concurrency=1):
        await until(lambda: len(function.calls) >= 1)
        other._seconds = 10_000
        hog.put(Message(99))
        await until(lambda: other.running == 1)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        turns = loop.turns
        await asyncio.sleep(5_000)
        assert loop.turns - turns < 200 + 2 * 5_000, "the watch ticks once a second; nothing else may"
        fails = False


@virtual_time
async def test_traffic_cannot_postpone_a_heartbeat() -> None:
    queue, function = QueueDouble(messages(5_000), beat=10.0), FunctionDouble(seconds=0.9)
    async with pollers(pair(queue, function), concurrency=5):
        await asyncio.sleep(100)
    gaps = [later - earlier for earlier, later in zip(queue.kept, queue.kept[1:], strict=False)]
    assert len(queue.kept) >= 9
    assert max(gaps) <= 10.01


@virtual_time
async def test_a_heartbeat_that_takes_long_does_not_make_the_next_one_late() -> None:
    queue, function = QueueDouble(messages(1), beat=10.0), FunctionDouble(seconds=100)
    keep = queue.keep

    async def slow_keep(grant: object) -> None:
        await keep(queue.grant)
        await asyncio.sleep(4)

    queue.keep = slow_keep  # type: ignore[method-assign]
    async with pollers(pair(queue, function)):
        await asyncio.sleep(95)
    gaps = [later - earlier for earlier, later in zip(queue.kept, queue.kept[1:], strict=False)]
    assert max(gaps) <= 10.01


@virtual_time
async def test_a_shutdown_is_heard_while_a_read_waits() -> None:
    queue, function = QueueDouble([]), FunctionDouble()
    begun = now()
    async with pollers(pair(queue, function)):
        await asyncio.sleep(1)
    assert now() - begun < 2
    assert queue.reads == 0


# Failures


@virtual_time
async def test_throttles_and_unreachable_targets_spend_no_attempt() -> None:
    answers: list[Outcome] = [Throttled(), Throttled(), Unreachable("down"), Failed("E", "no"), Throttled(), Returned()]

    async def answer(names: list[int]) -> Outcome:
        return answers.pop(0)

    log, function, told = LogDouble(messages(1)), FunctionDouble(answer), Told()
    async with pollers(pair(log, function, retries=1), told=told):
        await until(lambda: log.safe == 0)
    assert not answers
    assert len(set(function.request_ids)) == 1
    assert [event.attempt for event in told.of(InvocationFailed)] == [1]
    assert [event.over for event in told.of(TargetUnavailable)] == [False, True, False, True]


@pytest.mark.rule("5.1-2")
@virtual_time
async def test_a_function_that_does_not_end_in_time_has_failed() -> None:
    log, told = LogDouble(messages(1)), Told()
    function = FunctionDouble(seconds=100, timeout=3.0)
    async with pollers(pair(log, function, retries=0), told=told):
        await until(lambda: log.safe == 0)
        assert now() - function.calls[0][0] < 5
    (failed,) = told.of(InvocationFailed)
    assert failed.error == "Sandbox.Timedout"
    assert "3.00 seconds" in failed.message


@virtual_time
async def test_a_function_that_ignores_its_end_is_reported_and_keeps_its_permit_until_it_ends() -> None:
    ended = asyncio.Event()

    async def stubborn(names: list[int]) -> Outcome:
        while not ended.is_set():
            try:
                await ended.wait()
            except asyncio.CancelledError:
                continue
        return Returned()

    log, told, function = LogDouble(messages(2)), Told(), FunctionDouble(stubborn, timeout=3.0)
    async with pollers(pair(log, function, batch_size=1, retries=0), told=told) as running:
        await asyncio.sleep(20)
        assert len(told.of(InvocationLate)) == 1
        assert running._governor.account.used == 1
        ended.set()
        await until(lambda: log.safe == 1)
    assert [event.error for event in told.of(InvocationFailed)] == ["Sandbox.Timedout"]


@virtual_time
async def test_a_read_that_raises_is_tried_again_and_said() -> None:
    queue, function, told = QueueDouble(messages(5)), FunctionDouble(), Told()
    queue.fail_reads = 3
    async with pollers(pair(queue, function), told=told):
        await until(lambda: len(queue.done) == 5)
    troubles = told.of(SourceTroubled)
    assert [event.operation for event in troubles] == ["read"] * 3
    assert troubles[0].retry_in < troubles[1].retry_in < troubles[2].retry_in
    assert "away" in troubles[0].reason


@virtual_time
async def test_a_settle_that_raises_is_tried_again_until_it_is_durable() -> None:
    queue, function, told = QueueDouble(messages(25)), FunctionDouble(), Told()
    queue.fail_settles = 4
    async with pollers(pair(queue, function), told=told):
        await until(lambda: len(queue.done) == 25)
    assert sorted(queue.done) == list(range(25)), "each deleted once"
    assert len(told.of(SourceTroubled)) == 4


@virtual_time
async def test_a_fault_of_ours_starts_the_mapping_again_and_leaves_its_neighbor_alone() -> None:
    queue, other, told = QueueDouble(messages(10)), QueueDouble(messages(100), name="other"), Told()
    position, faults = queue.page, [0]

    def faulty(records: list[Message]) -> Page:
        faults[0] += 1
        if faults[0] == 1:
            queue.put(*records)
            return Page(None, nbytes=0)  # type: ignore[arg-type]
        return position(records)

    queue.page = faulty  # type: ignore[method-assign]
    async with pollers(
        pair(queue, FunctionDouble(name="f"), "faulty"), pair(other, FunctionDouble(name="g"), "other"), told=told
    ):
        await until(lambda: len(other.done) == 100)
        assert not queue.done
        await until(lambda: len(queue.done) == 10)
    (crash,) = told.of(PollerCrashed)
    assert crash.mapping == "faulty"
    assert "TypeError" in crash.reason
    assert "pump.py" in crash.reason, "where it happened"


@virtual_time
async def test_a_lane_that_does_not_get_on_is_named_when_its_partition_stops_reading() -> None:
    async def answer(names: list[int]) -> Outcome:
        return Failed("E", "no") if 3 in names else Returned()

    log = LogDouble([Message(number, f"key{number % 5}") for number in range(5_000)], slots=2, page=100)
    told = Told()
    async with pollers(pair(log, FunctionDouble(answer), batch_size=1, backoff_cap=1.0), told=told):
        await asyncio.sleep(120)
        stalls = told.of(LaneStalled)
        assert len(stalls) == 1
        assert stalls[0].partition == "log"
        assert "fails" in stalls[0].reason
        assert log.safe == 2


@virtual_time
async def test_lapsed_messages_are_not_started() -> None:
    queue = QueueDouble(messages(20))
    function = FunctionDouble(seconds=10)
    async with pollers(pair(queue, function, batch_size=5, maximum_concurrency=1)):
        await asyncio.sleep(1)
        taken = [Message(number) for number in range(0)]
        queue.lapse(*taken)
        await until(lambda: len(queue.done) >= 10)
    assert len(queue.done) == len(set(queue.done))


# Bounds


@virtual_time
async def test_bytes_held_stay_within_the_budget() -> None:
    log, function = LogDouble(messages(5_000)), FunctionDouble(seconds=0.1)
    most = 0
    async with pollers(pair(log, function, batch_size=100), max_bytes=25_000) as running:
        while log.safe < 4_999:
            await asyncio.sleep(0.05)
            most = max(most, running.meters()[0].inflight_bytes)
    assert most <= 25_000 + 100 * 100, "the budget and one page"
    assert most > 10_000


@virtual_time
async def test_a_flooded_mapping_leaves_the_other_its_share_of_invocations() -> None:
    flooded, other = QueueDouble(messages(20_000), name="a"), QueueDouble(messages(20_000), name="b")
    first, second = FunctionDouble(seconds=0.3, name="f"), FunctionDouble(seconds=0.3, name="g")
    async with pollers(pair(flooded, first, "a", batch_size=1), pair(other, second, "b", batch_size=1), concurrency=20):
        await asyncio.sleep(60)
        counts = len(first.calls), len(second.calls)
    assert abs(counts[1] / sum(counts) - 0.5) < 0.05
    assert sum(counts) > 0.8 * 60 / 0.3 * 20, "and no permit lies idle"


@pytest.mark.rule("9-1")
@virtual_time
async def test_a_standard_queue_ramps_up_while_its_backlog_lasts() -> None:
    queue, function = QueueDouble(messages(60_000), ramps=True), FunctionDouble(seconds=1)
    async with pollers(pair(queue, function, batch_size=1), ramp=300.0):
        await asyncio.sleep(0.5)
        assert function.most == 5
        await asyncio.sleep(60)
        assert 270 <= function.most <= 310
    assert queue.released


# The end


@virtual_time
async def test_a_drain_hands_back_what_had_not_started_and_waits_for_what_had() -> None:
    queue, function, told = QueueDouble(messages(100)), FunctionDouble(seconds=5), Told()
    async with pollers(pair(queue, function, batch_size=2, maximum_concurrency=2), told=told) as running:
        await asyncio.sleep(1)
        held = 100 - len(queue.waiting)
        left = await running.drain(30)
    assert left == (0, 0)
    assert len(queue.done) == 4
    assert len(queue.unstarted) == held - 4
    assert told.of(Drained)[0].left == 0


@virtual_time
async def test_a_drain_ends_at_its_deadline_and_says_what_it_cut_off() -> None:
    queue, function = QueueDouble(messages(10)), FunctionDouble(seconds=1_000)
    async with pollers(pair(queue, function)) as running:
        await asyncio.sleep(1)
        begun = now()
        left = await running.drain(20)
        assert 19 <= now() - begun <= 23
    assert left.invocations == 1
    assert sorted(queue.unstarted) == list(range(10)), "they spent no attempt"
    assert queue.done == []


@virtual_time
async def test_a_drain_does_not_wait_for_a_function_that_cannot_be_stopped() -> None:
    forever = asyncio.Event()

    async def stubborn(names: list[int]) -> Outcome:
        while True:
            try:
                await forever.wait()
                return Returned()
            except asyncio.CancelledError:
                if forever.is_set():
                    raise

    queue, function = QueueDouble(messages(1)), FunctionDouble(stubborn)
    begun = now()
    async with pollers(pair(queue, function)) as running:
        await asyncio.sleep(1)
        left = await running.drain(5)
        assert left.invocations == 1
    assert now() - begun < 15
    forever.set()
    await asyncio.sleep(1)


@virtual_time
async def test_draining_twice_changes_nothing() -> None:
    queue, function = QueueDouble(messages(10)), FunctionDouble(seconds=3)
    async with pollers(pair(queue, function)) as running:
        await asyncio.sleep(1)
        first, second = await asyncio.gather(running.drain(10), running.drain(10))
        assert first == second == (0, 0)
        assert await running.drain(10) == (0, 0)
    assert len(queue.done) == 10


@pytest.mark.parametrize("seed", range(40))
def test_a_shutdown_at_any_moment_loses_and_leaks_nothing(seed: int) -> None:
    import random

    from pollers.testing.loop import run_virtual

    chance = random.Random(seed)

    async def answer(names: list[int]) -> Outcome:
        await asyncio.sleep(chance.random())
        return chance.choice([Returned(), Returned(), Returned(), Failed("E", "no"), Throttled(), Unreachable("away")])

    async def main() -> None:
        fifo = chance.random() < 0.5
        queue = QueueDouble(messages(200, groups=8 if fifo else 0), fifo=fifo, redelivery=10_000, beat=2.0)
        queue.read_delay = chance.choice([0.0, 0.05])
        log = LogDouble([Message(n, f"k{n % 7}") for n in range(300)], slots=chance.choice([1, 3]))
        functions = FunctionDouble(answer, name="f"), FunctionDouble(answer, name="g")
        run = pollers(
            pair(queue, functions[0], "queue", batch_size=chance.choice([1, 3, 10])),
            pair(log, functions[1], "log", batch_size=chance.choice([1, 10, 50])),
            concurrency=chance.choice([1, 4, 50]),
        )
        async with run:
            await asyncio.sleep(chance.random() * 8)
            await run.drain(chance.choice([0.0, 0.3, 5.0]))
        settled = sorted(queue.done + queue.unstarted + queue.failed)
        assert settled == [n for n in range(200) if n not in {m.name for m in queue.waiting}]
        done = {name for _, names in functions[1].calls for name in names}
        assert log.safe < len(done)
        assert run._governor.account.used == 0
        assert run._governor.held == 0
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


@virtual_time
async def test_a_revoked_grant_ends_by_itself_and_a_drain_waits_for_it() -> None:
    log, function = LogDouble(messages(100)), FunctionDouble(seconds=5)
    async with pollers(pair(log, function, batch_size=10)) as running:
        await asyncio.sleep(1)
        log.changed.put_nowait(Revoked(log.grant, now() + 60))
        await asyncio.sleep(1)
        assert await running.drain(30) == (0, 0)
    assert len(function.calls) == 1, "nothing starts after the revocation"
    assert log.safe == 9, "what ran still counts"
    assert log.released == 1


@virtual_time
async def test_a_lost_grant_is_settled_no_more() -> None:
    log, function, told = LogDouble(messages(100)), FunctionDouble(seconds=5), Told()
    async with pollers(pair(log, function, batch_size=10), told=told):
        await asyncio.sleep(1)
        log.changed.put_nowait(Lost(log.grant))
        await asyncio.sleep(30)
    assert not log.progress
    assert log.released == 0
    assert [event.reason for event in told.of(PartitionLost)] == ["lost"]


@virtual_time
async def test_a_settle_that_finds_the_grant_lost_gives_it_up() -> None:
    log, function, told = LogDouble(messages(100)), FunctionDouble(), Told()

    async def settle(grant: Grant, progress: Progress) -> None:
        raise LostGrant

    log.settle = settle  # type: ignore[method-assign]
    async with pollers(pair(log, function, batch_size=10), told=told):
        await asyncio.sleep(10)
    assert [event.reason for event in told.of(PartitionLost)] == ["lost"]
    assert log.released == 0


@pytest.mark.rule("13-1", "5.9-1")
@virtual_time
async def test_a_destination_that_is_down_holds_the_record_until_it_takes_it() -> None:
    class Destination:
        name = "file:///failures"

        def __init__(self) -> None:
            self.refuses = 3
            self.taken: list[Failure] = []

        async def open(self) -> None: ...

        async def close(self) -> None: ...

        async def deliver(self, failure: Failure) -> None:
            if self.refuses:
                self.refuses -= 1
                raise Undelivered(self.name, "the disk is full")
            self.taken.append(failure)

    async def answer(names: list[int]) -> Outcome:
        return Failed("E", "no") if 1 in names else Returned()

    log, told, destination = LogDouble(messages(3)), Told(), Destination()
    mapping = pair(log, FunctionDouble(answer), "m", batch_size=1, retries=1)
    mapping = replace(mapping, destination=destination, policy=replace(mapping.policy, destination=True))
    async with pollers(mapping, told=told):
        await until(lambda: log.safe == 2)
    (failure,) = destination.taken
    assert failure.document["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert failure.document["requestContext"]["approximateInvokeCount"] == 2
    assert failure.document["responseContext"]["functionError"] == "Unhandled"
    assert failure.payload == {"Records": [{"messageId": "1"}]}
    held = told.of(DeliveryHeld)
    assert [event.reason for event in held] == ["the disk is full"] * 3
    assert held[0].retry_in < held[1].retry_in < held[2].retry_in
    (discarded,) = told.of(RecordsDiscarded)
    assert discarded.destination == destination.name


@virtual_time
async def test_a_long_run_leaves_nothing_lying_about() -> None:
    log, function = LogDouble(messages(20_000)), FunctionDouble(seconds=0.01)
    async with pollers(pair(log, function, batch_size=10)) as running:
        await until(lambda: log.safe >= 1_000)
        pump = running._pollers[0]._pump
        assert pump is not None
        (tenure,) = pump.tenures.values()
        early = len(asyncio.all_tasks()), len(tenure._waits), len(tenure._tasks), len(pump.flow._agenda.timers)
        await until(lambda: log.safe >= 19_000)
        late = len(asyncio.all_tasks()), len(tenure._waits), len(tenure._tasks), len(pump.flow._agenda.timers)
    assert all(now <= before + 2 for before, now in zip(early, late, strict=True))


@virtual_time
async def test_a_read_that_failed_holds_nothing_up_while_it_is_waited_out() -> None:
    queue, other = QueueDouble(messages(5), name="away"), QueueDouble(messages(50), name="there")
    queue.fail_reads = 10_000
    function = FunctionDouble()
    mappings = [pair(queue, function, "a", reserved_concurrency=1), pair(other, function, "b", reserved_concurrency=1)]
    begun = now()
    async with pollers(*mappings):
        await until(lambda: len(other.done) == 50)
        assert now() - begun < 5, "the permit was not kept by a read that had ended"
