"""The Kafka source under the engine, in virtual time: who is asked for records, what is committed and what is not."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import pytest
from kafka_doubles import Cluster

from pollers.engine.supervisor import Pollers
from pollers.errors import LostGrant, SourceError
from pollers.flow.records import Failed, Returned
from pollers.sources.kafka.finished import LIMIT, RANGES, decode, encode
from pollers.sources.kafka.port import Committed
from pollers.sources.kafka.reading import PAGE
from pollers.sources.kafka.source import DRAIN, MARGIN
from pollers.sources.kafka.watch import LOOK, STALL
from pollers.spi import Granted
from pollers.telemetry import Event, LaneStalled, PartitionLost, PollerCrashed, RecordsMissed, SourceTroubled
from pollers.testing.functions import Invoked, ScriptedFunction
from pollers.testing.loop import clock, idle, virtual_time

FAULT = SourceError("here:9092", "no", "It is tried again.")


class Notes:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def notice(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def values(call: Invoked) -> list[str]:
    return [b64decode(one["value"]).decode() for some in call.event["records"].values() for one in some]


def seen(function: ScriptedFunction) -> list[str]:
    return [value for call in function.calls for value in values(call)]


def unless(condition: Callable[[Invoked], bool]) -> Callable[[Invoked], Any]:
    return lambda call: Failed("ValueError", "no") if condition(call) else Returned()


# Reading


@virtual_time
async def test_only_partitions_whose_readers_wait_are_asked_for() -> None:
    cluster, function = Cluster(partitions=2), ScriptedFunction()
    function.hold()
    cluster.put(*map(str, range(3 * PAGE)), partition=0)
    async with Pollers([cluster.mapping(function)], clock=clock(), grace=1.0):
        await asyncio.sleep(10)
        assert {0, 1} in [set(asked) for asked in cluster.fetches]
        cluster.fetches.clear()
        await asyncio.sleep(10)
        assert cluster.fetches
        assert all(set(asked) == {1} for asked in cluster.fetches), "partition 0 has no room"


@virtual_time
async def test_pages_are_cut_to_what_the_reader_wants_and_nothing_is_skipped() -> None:
    cluster, function = Cluster(), ScriptedFunction(seconds=0.01)
    cluster.put(*map(str, range(5_000)))
    async with Pollers([cluster.mapping(function, batch_size=100)], clock=clock()):
        await asyncio.sleep(60)
    assert seen(function) == list(map(str, range(5_000)))


@pytest.mark.rule("3.2-2", "4-5")
@virtual_time
async def test_one_batch_may_hold_several_partitions_and_each_has_one_batch_at_a_time() -> None:
    cluster, function = Cluster(partitions=3), ScriptedFunction(seconds=1.0)
    for number in range(3):
        cluster.put(*(f"{number}-{index}" for index in range(4)), partition=number)
    mapping = cluster.mapping(function, batch_size=6, maximum_batching_window_in_seconds=1)
    async with Pollers([mapping], clock=clock()):
        await asyncio.sleep(20)
    assert len(function.calls[0].event["records"]) > 1
    running: dict[str, float] = {}
    for call in function.calls:
        assert call.ended is not None
        for partition in call.event["records"]:
            assert call.begun >= running.get(partition, 0.0)
            running[partition] = call.ended
    for number in range(3):
        assert [one for one in seen(function) if one.startswith(f"{number}-")] == [f"{number}-{i}" for i in range(4)]


@virtual_time
async def test_a_read_that_is_called_off_in_the_moment_of_its_page_returns_it() -> None:
    cluster = Cluster()
    cluster.put("a")
    cluster.stalled = True
    source = cluster.source()
    source.fit(mapping="orders", batch_size=10, window=0.0, timeout=3.0)
    await source.open()
    changes = source.changes()
    granted = await anext(changes)
    assert isinstance(granted, Granted)
    reading = asyncio.ensure_future(source.read(granted.grant, 10))
    await asyncio.sleep(1)
    waiter = source._reading.held[0].reader
    assert waiter is not None
    waiter.add_done_callback(lambda _: reading.cancel())
    cluster.stalled = False
    cluster.news.set()
    page = await reading
    assert [record.value for record in page.records] == [b"a"]
    await source.close()
    assert await anext(changes, None) is None


@virtual_time
async def test_a_partition_that_cannot_be_read_leaves_the_others_alone() -> None:
    cluster, function, notes = Cluster(partitions=2), ScriptedFunction(), Notes()
    cluster.faults[0] = [FAULT] * 3
    cluster.put("bad", partition=0)
    cluster.put("good", partition=1)
    async with Pollers([cluster.mapping(function)], observers=[notes], clock=clock()):
        await idle()
        assert seen(function) == ["good"]
        await asyncio.sleep(10)
    assert seen(function) == ["good", "bad"]
    assert len([event for event in notes.of(SourceTroubled) if event.operation == "read"]) == 3


@virtual_time
async def test_a_cluster_that_does_not_answer_is_asked_less_and_less_often() -> None:
    cluster, function, notes = Cluster(), ScriptedFunction(), Notes()
    async with Pollers([cluster.mapping(function)], observers=[notes], clock=clock()):
        await asyncio.sleep(1)
        cluster.down = FAULT
        await asyncio.sleep(40)
        assert 3 < len(notes.of(SourceTroubled)) < 10
        cluster.down = None
        cluster.put("back")
        await asyncio.sleep(20)
    assert seen(function) == ["back"]
    assert not notes.of(PollerCrashed)


@pytest.mark.rule("12-21", "12-14")
@virtual_time
async def test_records_that_are_deleted_before_they_are_read_are_said() -> None:
    cluster, function, notes = Cluster(), ScriptedFunction(), Notes()
    cluster.put("a")
    async with Pollers([cluster.mapping(function)], observers=[notes], clock=clock()):
        await asyncio.sleep(2)
        cluster.stalled = True
        cluster.put("b", "c", "d")
        cluster.trim(3)
        cluster.stalled = False
        await asyncio.sleep(5)
    assert seen(function) == ["a", "d"]
    (missed,) = notes.of(RecordsMissed)
    assert "offset 1" in missed.detail
    assert "goes on at 3" in missed.detail


@virtual_time
async def test_what_was_fetched_before_a_rebalance_is_not_given_to_who_has_the_partition_after_it() -> None:
    cluster, function = Cluster(partitions=2), ScriptedFunction()
    cluster.put("a", "b", partition=0)
    async with Pollers([cluster.mapping(function)], clock=clock()):
        await asyncio.sleep(2)
        cluster.stalled = True
        cluster.put("c", "d", partition=0)
        cluster.trim(3, partition=0)
        cluster.put("x", partition=1)
        cluster.gates.append(gate := asyncio.Event())
        cluster.stalled = False
        cluster.news.set()
        await asyncio.sleep(0.01)
        await cluster.member.revoke()
        cluster.member.assign(0, 1)
        await asyncio.sleep(0.01)
        gate.set()
        await asyncio.sleep(5)
    assert sorted(seen(function)) == ["a", "b", "d", "x"]
    assert {number: kept.offset for number, kept in cluster.committed.items()} == {0: 4, 1: 1}


@pytest.mark.rule("12-21")
@pytest.mark.parametrize(("seconds", "expected"), [(2, []), (60, ["0", "1", "2"])])
@virtual_time
async def test_a_log_that_ends_below_what_was_committed_is_looked_at_again_first(
    seconds: float, expected: list[str]
) -> None:
    cluster, function, notes = Cluster(), ScriptedFunction(), Notes()
    cluster.put("0", "1", "2")
    cluster.committed[0] = Committed(5, "")
    async with Pollers([cluster.mapping(function)], observers=[notes], clock=clock()):
        await asyncio.sleep(seconds)
        cluster.skip(2)  # the leader knows by now how far its log is
        await asyncio.sleep(10)
    assert seen(function) == expected
    assert [("was never there" in missed.detail) for missed in notes.of(RecordsMissed)] == [True] * bool(expected)


# What is committed


@pytest.mark.rule("5.7-4", "12-2")
@virtual_time
async def test_the_contiguous_prefix_is_committed_and_what_is_finished_above_it_beside() -> None:
    cluster = Cluster()
    function = ScriptedFunction(unless(lambda call: values(call) == ["3"]))
    for number in range(10):
        cluster.put(str(number), key=f"key-{number}")
    async with Pollers([cluster.mapping(function, batch_size=1, lanes="key")], clock=clock(), grace=1.0):
        await asyncio.sleep(5)
        kept = cluster.committed[0]
    assert kept.offset == 3
    assert decode(kept.offset, kept.metadata) == (((4, 0), (9, 0)),)


@virtual_time
async def test_what_is_finished_above_is_not_delivered_to_the_next_owner() -> None:
    cluster, function = Cluster(), ScriptedFunction()
    cluster.put(*map(str, range(10)))
    cluster.committed[0] = Committed(2, encode(2, [((3, 0), (5, 0)), ((8, 0), (8, 0))]))
    async with Pollers([cluster.mapping(function)], clock=clock()):
        await asyncio.sleep(5)
    assert seen(function) == ["2", "6", "7", "9"]
    assert cluster.committed[0] == Committed(10, "")


@virtual_time
async def test_metadata_of_somebody_else_mean_duplicates_and_never_loss() -> None:
    cluster, function = Cluster(), ScriptedFunction()
    cluster.put(*map(str, range(4)))
    cluster.committed[0] = Committed(1, "e\x00\x00 not ours")
    async with Pollers([cluster.mapping(function)], clock=clock()):
        await asyncio.sleep(5)
    assert seen(function) == ["1", "2", "3"]


@virtual_time
async def test_markers_and_gaps_do_not_hold_up_what_is_committed() -> None:
    cluster, function = Cluster(), ScriptedFunction()
    cluster.put("a")
    cluster.skip(5)
    cluster.put("b")
    cluster.skip(2)
    async with Pollers([cluster.mapping(function)], clock=clock()):
        await asyncio.sleep(3)
        assert cluster.committed[0].offset == 9
        cluster.skip(3)  # nothing but markers
        await asyncio.sleep(3)
        assert cluster.committed[0].offset == 12
    assert seen(function) == ["a", "b"]


@pytest.mark.rule("13-12")
@virtual_time
async def test_a_lane_that_does_not_get_on_stops_reading_before_the_metadata_are_too_long() -> None:
    cluster, notes = Cluster(), Notes()
    bad = {str(number) for number in range(0, 3_000, 2)}
    stuck = True
    function = ScriptedFunction(unless(lambda call: stuck and bool(bad & set(values(call)))))
    for number in range(3_000):
        cluster.put(str(number), key=f"key-{number % 1_000}")
    mapping = cluster.mapping(function, batch_size=1, lanes="key", backoff=1.0)
    async with Pollers([mapping], observers=[notes], clock=clock(), grace=1.0, concurrency=2_000) as pollers:
        await asyncio.sleep(10)
        (meter,) = pollers.meters()
        assert meter.inflight_records < 3_000
        assert notes.of(LaneStalled)
        stuck = False
        await asyncio.sleep(60)
    assert max(len(kept.metadata) for request in cluster.requests for kept in request.values()) <= LIMIT
    assert max(len(decode(0, kept.metadata)) for request in cluster.requests for kept in request.values()) > RANGES / 2
    assert cluster.committed[0] == Committed(3_000, "")


@virtual_time
async def test_partitions_that_settle_together_share_a_request() -> None:
    cluster, function = Cluster(partitions=8), ScriptedFunction()
    for number in range(8):
        cluster.put("x", partition=number)
    async with Pollers([cluster.mapping(function)], clock=clock()):
        await asyncio.sleep(5)
    assert [len(request) for request in cluster.requests] == [8]


@virtual_time
async def test_a_commit_that_fails_is_made_again() -> None:
    cluster, function = Cluster(), ScriptedFunction()
    cluster.put("a")
    cluster.refused = [FAULT, FAULT]
    async with Pollers([cluster.mapping(function)], clock=clock()):
        await asyncio.sleep(5)
    assert cluster.committed[0].offset == 1
    assert seen(function) == ["a"]


@pytest.mark.rule("5.7-5")
@virtual_time
async def test_a_commit_that_comes_too_late_loses_the_partition_and_nothing_else() -> None:
    cluster, function, notes = Cluster(), ScriptedFunction(), Notes()
    cluster.put("a")
    cluster.refused = [LostGrant("too late")]
    async with Pollers([cluster.mapping(function)], observers=[notes], clock=clock()):
        await asyncio.sleep(5)
        assert len(notes.of(PartitionLost)) == 1
        cluster.member.assign(0)
        await asyncio.sleep(5)
    assert seen(function) == ["a", "a"]
    assert cluster.committed[0].offset == 1
    assert not notes.of(PollerCrashed)


# Where groups begin


@pytest.mark.rule("12-24", "8-1")
@virtual_time
async def test_latest_is_committed_for_the_whole_topic_at_the_first_assignment() -> None:
    cluster, function = Cluster(partitions=2), ScriptedFunction()
    cluster.put("old", partition=0)
    cluster.put("old", "old", partition=1)
    async with Pollers([cluster.mapping(function, starting_position="LATEST")], clock=clock()):
        await asyncio.sleep(1)
        assert {number: kept.offset for number, kept in cluster.committed.items()} == {0: 1, 1: 2}
        cluster.put("new", partition=1)
        await asyncio.sleep(1)
    assert seen(function) == ["new"]


@pytest.mark.rule("12-24")
@virtual_time
async def test_latest_is_committed_for_partitions_of_other_members_too() -> None:
    """A second member would otherwise take what is committed of the first for a group that has begun."""
    cluster, function = Cluster(partitions=2), ScriptedFunction()
    cluster.alone = False
    cluster.put("old", partition=1)
    async with Pollers([cluster.mapping(function, starting_position="LATEST")], clock=clock()):
        await asyncio.sleep(1)
        cluster.member.assign(0)
        await asyncio.sleep(1)
        assert {number: kept.offset for number, kept in cluster.committed.items()} == {0: 0, 1: 1}
        cluster.member.assign(0, 1)
        await asyncio.sleep(1)
    assert not function.calls


@pytest.mark.rule("12-24")
@virtual_time
async def test_a_member_waits_for_the_one_that_says_where_the_group_begins() -> None:
    """Its own word could come when that one has read on, and would be taken for how far it has come."""
    cluster, function, notes = Cluster(partitions=2), ScriptedFunction(), Notes()
    cluster.alone = False
    cluster.put("old", partition=1)
    async with Pollers([cluster.mapping(function, starting_position="LATEST")], observers=[notes], clock=clock()):
        await asyncio.sleep(1)
        cluster.member.assign(1)
        await asyncio.sleep(5)
        assert not cluster.requests
        assert not notes.of(SourceTroubled)
        await asyncio.sleep(10)
        assert "has not said where group group begins" in notes.of(SourceTroubled)[0].reason
        cluster.committed = {0: Committed(0, ""), 1: Committed(1, "")}
        cluster.put("new", partition=1)
        await asyncio.sleep(1)
        assert seen(function) == ["new"]
        await asyncio.sleep(2)
    assert [set(request) for request in cluster.requests] == [{1}]


@pytest.mark.rule("12-24")
@virtual_time
async def test_a_group_that_begins_between_two_questions_has_not_added_a_partition() -> None:
    cluster, function = Cluster(partitions=2), ScriptedFunction()
    cluster.alone = False
    cluster.put("old", partition=1)
    async with Pollers([cluster.mapping(function, starting_position="LATEST")], clock=clock()):
        await asyncio.sleep(1)
        cluster.gates.append(gate := asyncio.Event())
        cluster.member.assign(1)
        await asyncio.sleep(1)  # it knows that nothing is committed of its partition
        cluster.committed = {0: Committed(0, ""), 1: Committed(1, "")}
        gate.set()
        cluster.put("new", partition=1)
        await asyncio.sleep(1)
    assert seen(function) == ["new"]


@virtual_time
async def test_a_group_that_goes_on_while_it_begins_is_asked_again_after_the_next_assignment() -> None:
    cluster, function, notes = Cluster(), ScriptedFunction(), Notes()
    cluster.refused = [LostGrant("too late")]
    async with Pollers([cluster.mapping(function, starting_position="LATEST")], observers=[notes], clock=clock()):
        await asyncio.sleep(1)
        assert not cluster.committed
        cluster.member.assign(0)
        await asyncio.sleep(1)
        cluster.put("new")
        await asyncio.sleep(1)
    assert seen(function) == ["new"]
    assert not notes.of(PollerCrashed)


@virtual_time
async def test_positions_that_cannot_be_found_out_are_asked_for_again() -> None:
    cluster, function, notes = Cluster(), ScriptedFunction(), Notes()
    cluster.put("a")
    async with Pollers([cluster.mapping(function)], observers=[notes], clock=clock()):
        cluster.down = FAULT
        await asyncio.sleep(3)
        assert {event.operation for event in notes.of(SourceTroubled)} >= {"begin"}
        cluster.down = None
        await asyncio.sleep(10)
    assert seen(function) == ["a"]


# Rebalances


@virtual_time
async def test_a_revoked_partition_is_given_up_once_what_runs_has_ended_and_is_committed() -> None:
    cluster, function = Cluster(), ScriptedFunction(seconds=3.0, timeout=5.0)
    cluster.put(*map(str, range(100)))
    async with Pollers([cluster.mapping(function)], clock=clock()):
        await asyncio.sleep(1)
        before = asyncio.get_running_loop().time()
        await cluster.member.revoke()
        assert 1.9 < asyncio.get_running_loop().time() - before < 2.5
        assert cluster.committed[0].offset == 10
        await asyncio.sleep(20)
        assert len(function.calls) == 1, "nothing is started after a revoke"
        cluster.member.assign(0)
        await asyncio.sleep(31)
    assert seen(function)[:20] == list(map(str, range(20)))
    assert len(seen(function)) == len(set(seen(function)))


@pytest.mark.rule("5.7-5")
@virtual_time
async def test_what_does_not_end_within_the_rebalance_timeout_is_not_committed() -> None:
    cluster, notes = Cluster(), Notes()
    function = ScriptedFunction(seconds=60.0, timeout=5.0)
    function.hold()
    cluster.put("a")
    async with Pollers([cluster.mapping(function)], observers=[notes], clock=clock(), grace=1.0):
        await asyncio.sleep(1)
        assert cluster.member.terms.rebalance == 5.0 + DRAIN
        before = asyncio.get_running_loop().time()
        await cluster.member.revoke()
        assert asyncio.get_running_loop().time() - before <= cluster.member.terms.rebalance - MARGIN / 2 + 0.001
        cluster.member.gone = True
        function.let_go()
        await asyncio.sleep(100)
    assert not cluster.requests


@virtual_time
async def test_a_lost_partition_is_not_committed_whatever_its_function_answers() -> None:
    cluster, function, notes = Cluster(), ScriptedFunction(seconds=3.0), Notes()
    cluster.put("a")
    async with Pollers([cluster.mapping(function)], observers=[notes], clock=clock()):
        await asyncio.sleep(1)
        await cluster.member.revoke(lost=True)
        await asyncio.sleep(10)
        assert not cluster.requests
        cluster.member.assign(0)
        await asyncio.sleep(10)
    assert seen(function) == ["a", "a"]
    assert len(notes.of(PartitionLost)) == 1


@virtual_time
async def test_a_spanning_batch_keeps_counting_for_the_partitions_that_stay() -> None:
    cluster, function = Cluster(partitions=2), ScriptedFunction(seconds=5.0)
    cluster.put("a", partition=0)
    cluster.put("b", partition=1)
    mapping = cluster.mapping(function, maximum_batching_window_in_seconds=1)
    async with Pollers([mapping], clock=clock()):
        await asyncio.sleep(2)
        await cluster.member.revoke(lost=True)  # both, as rebalances are eager
        cluster.member.assign(1)
        await asyncio.sleep(30)
    assert set(cluster.committed) == {1}


@virtual_time
async def test_nothing_is_started_once_the_group_may_have_gone_on() -> None:
    cluster, function = Cluster(), ScriptedFunction()
    async with Pollers([cluster.mapping(function)], clock=clock()):
        await asyncio.sleep(1)
        loop = asyncio.get_running_loop()
        cluster.member.alive_until = loop.time() - 1.0
        cluster.put("a")
        await asyncio.sleep(5)
        assert not function.calls
        cluster.member.alive_until = loop.time() + 100.0
        await asyncio.sleep(1)
        assert seen(function) == ["a"]


@virtual_time
async def test_a_static_member_that_is_put_out_again_and_again_has_a_twin() -> None:
    cluster, function, notes = Cluster(), ScriptedFunction(), Notes()
    async with Pollers([cluster.mapping(function, instance="node-1")], observers=[notes], clock=clock()):
        for _ in range(2):
            await asyncio.sleep(1)
            await cluster.member.revoke(lost=True)
            cluster.member.assign(0)
        await asyncio.sleep(1)
    assert "another process is the static member 'node-1'" in notes.of(PollerCrashed)[0].reason


@virtual_time
async def test_what_only_somebody_can_mend_is_tried_once_a_minute() -> None:
    cluster, function, notes = Cluster(), ScriptedFunction(), Notes()
    cluster.put("a")
    async with Pollers([cluster.mapping(function)], observers=[notes], clock=clock()):
        cluster.down = SourceError("topic orders", "the user may not read it", "Grant it.", missing=True)
        await asyncio.sleep(200)
        assert [crash.retry_in for crash in notes.of(PollerCrashed)] == [60.0] * 4
        cluster.down, cluster.password = None, "second"
        await asyncio.sleep(60)
    assert seen(function) == ["a"]
    passwords = [one.terms.connection.sasl.password for one in cluster.consumers if one.terms.connection.sasl]
    assert passwords == ["first"] * 4 + ["second"], "a secret is read whenever a client is made"


@virtual_time
async def test_an_orderly_stop_commits_what_is_done_and_leaves_the_group() -> None:
    cluster, function = Cluster(), ScriptedFunction(seconds=2.0)
    cluster.put("a", "b")
    async with Pollers([cluster.mapping(function)], clock=clock()):
        await asyncio.sleep(1)
    assert cluster.committed[0].offset == 2
    assert cluster.member.closed


# The watchdog


@virtual_time
async def test_records_that_are_there_and_not_read_have_the_client_made_anew() -> None:
    cluster, function, notes = Cluster(), ScriptedFunction(), Notes()
    async with Pollers([cluster.mapping(function)], observers=[notes], clock=clock()):
        await asyncio.sleep(5)
        cluster.stalled = True
        cluster.put("a")
        await asyncio.sleep(STALL)
        assert not notes.of(PollerCrashed)
        await asyncio.sleep(3 * LOOK)
        (crash,) = notes.of(PollerCrashed)
        assert "topic-0 has records that nothing was read of" in crash.reason
        cluster.stalled = False
        await asyncio.sleep(5)
    assert seen(function) == ["a"]
    assert len(cluster.consumers) == 2
    assert cluster.consumers[0].closed


@virtual_time
async def test_a_group_that_assigns_nothing_has_the_client_made_anew() -> None:
    cluster, function, notes = Cluster(), ScriptedFunction(timeout=5.0), Notes()
    async with Pollers([cluster.mapping(function)], observers=[notes], clock=clock()):
        await asyncio.sleep(1)
        await cluster.member.revoke()
        await asyncio.sleep(5.0 + DRAIN + STALL)
        assert not notes.of(PollerCrashed)
        await asyncio.sleep(2 * LOOK)
        assert "it has assigned no partitions" in notes.of(PollerCrashed)[0].reason
        cluster.put("a")
        await asyncio.sleep(5)
    assert seen(function) == ["a"]


@virtual_time
async def test_what_keeps_the_member_from_its_group_is_said_also_when_nobody_reads() -> None:
    cluster, function, notes = Cluster(), ScriptedFunction(), Notes()
    async with Pollers([cluster.mapping(function)], observers=[notes], clock=clock()):
        await asyncio.sleep(1)
        await cluster.member.revoke()
        cluster.member.trouble = SourceError("consumer group group", "the user may not join it", "Grant it.")
        await asyncio.sleep(2 * LOOK)
    assert "the user may not join it" in notes.of(PollerCrashed)[0].reason


@pytest.mark.parametrize("calm", ["quiet", "full", "busy", "unanswered", "idle member"])
@virtual_time
async def test_the_watchdog_is_silent_where_nothing_is_wrong(calm: str) -> None:
    cluster, function, notes = Cluster(), ScriptedFunction(), Notes()
    if calm == "full":
        function.hold()
        cluster.put(*map(str, range(3 * PAGE)))
    async with Pollers([cluster.mapping(function)], observers=[notes], clock=clock(), grace=1.0):
        await asyncio.sleep(1)
        if calm == "unanswered":
            cluster.down = FAULT
        if calm == "idle member":
            await cluster.member.revoke()
            cluster.member.assign()
        for _ in range(30):
            if calm == "busy":
                cluster.put("x")
            await asyncio.sleep(STALL / 10)
    assert not notes.of(PollerCrashed)
