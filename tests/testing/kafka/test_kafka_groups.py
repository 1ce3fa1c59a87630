"""Groups of the embedded Kafka, without a wire: who joins when, and what a broker allows meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from pollers.testing.kafka.groups import Group, Joined, Refused, Wish
from pollers.testing.loop import virtual_time

ILLEGAL_GENERATION, INCONSISTENT, UNKNOWN_MEMBER, REBALANCE = 22, 23, 25, 27


def wish(member: str = "", *protocols: str) -> Wish:
    known = [(name, b"of " + name.encode()) for name in protocols or ("range",)]
    return Wish(member, None, session=10.0, rebalance=30.0, protocols=known)


@contextmanager
def refused(code: int) -> Iterator[None]:
    with pytest.raises(Refused) as caught:
        yield
    assert caught.value.code == code


async def two(group: Group) -> tuple[Joined, Joined]:
    """A leader and a follower of one generation; nobody has assigned anything."""
    alone = await group.join(wish())
    follower = asyncio.create_task(group.join(wish()))
    await asyncio.sleep(0.1)
    return await group.join(wish(alone.member)), await follower


def ended(test: Callable[[Group], Awaitable[None]]) -> Callable[[], None]:
    """A test with a group whose timers end with it, in virtual time."""

    async def run() -> None:
        group = Group()
        try:
            await test(group)
        finally:
            group.close()

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return virtual_time(run)


@ended
async def test_a_new_member_waits_until_the_others_have_joined_again(group: Group) -> None:
    one = await group.join(wish())
    assert (one.generation, one.leader, [member for member, _, _ in one.members]) == (1, one.member, [one.member])
    two = asyncio.create_task(group.join(wish()))
    await asyncio.sleep(1.0)
    assert not two.done()
    with refused(REBALANCE):
        group.beat(1, one.member)
    again = await group.join(wish(one.member))
    assert again.leader == (await two).leader == one.member
    assert again.generation == (await two).generation == 2
    assert (len(again.members), len((await two).members)) == (2, 0)


@ended
async def test_a_follower_gets_its_assignment_before_and_after_the_leader_has_come(group: Group) -> None:
    leader, follower = await two(group)
    early = asyncio.create_task(group.sync(2, follower.member, {}))
    await asyncio.sleep(0.1)
    assignments = {leader.member: b"its", follower.member: b"other"}
    assert await group.sync(2, leader.member, assignments) == b"its"
    assert await early == b"other"
    assert await group.sync(2, follower.member, {}) == b"other"


@ended
async def test_commits_pass_until_a_member_has_joined_again_and_not_before_it_knows_its_part(group: Group) -> None:
    leader, follower = await two(group)
    with refused(REBALANCE):
        group.commits(2, leader.member)
    await group.sync(2, leader.member, {})
    group.commits(2, leader.member)
    third = asyncio.create_task(group.join(wish()))
    await asyncio.sleep(0.1)
    group.commits(2, leader.member)
    again = [asyncio.create_task(group.join(wish(one.member))) for one in (leader, follower)]
    await asyncio.gather(third, *again)
    with refused(ILLEGAL_GENERATION):
        group.commits(2, leader.member)


@ended
async def test_a_silent_member_is_put_out_after_its_session(group: Group) -> None:
    leader, follower = await two(group)
    await group.sync(2, leader.member, {})
    for _ in range(3):
        await asyncio.sleep(4.0)
        if group.members == 2:
            group.beat(2, leader.member)
    assert group.members == 1
    with refused(UNKNOWN_MEMBER):
        group.beat(2, follower.member)
    with refused(REBALANCE):
        group.beat(2, leader.member)
    assert (await group.join(wish(leader.member))).generation == 3


@ended
async def test_a_member_that_does_not_join_again_in_time_is_left_behind(group: Group) -> None:
    leader, follower = await two(group)
    await group.sync(2, leader.member, {})
    third = asyncio.create_task(group.join(wish()))
    for _ in range(8):
        await asyncio.sleep(4.0)
        for one in (leader, follower):
            if not third.done():
                with refused(REBALANCE):
                    group.beat(2, one.member)
    joined = await third
    assert (joined.leader, group.members) == (joined.member, 1)


@ended
async def test_one_that_leaves_makes_the_others_share_anew(group: Group) -> None:
    leader, follower = await two(group)
    waits = asyncio.create_task(group.sync(2, follower.member, {}))
    await asyncio.sleep(0.1)
    group.leave(leader.member)
    with refused(REBALANCE):
        await waits
    assert (await group.join(wish(follower.member))).leader == follower.member


@ended
async def test_the_protocol_is_one_that_all_know(group: Group) -> None:
    first = await group.join(wish("", "sticky", "range"))
    assert first.protocol == "sticky"
    second = asyncio.create_task(group.join(wish("", "range")))
    await asyncio.sleep(0.1)
    assert (await group.join(wish(first.member, "sticky", "range"))).protocol == "range"
    stranger = asyncio.create_task(group.join(wish("", "other")))
    await asyncio.sleep(0.1)
    again = [wish(first.member, "sticky", "range"), wish((await second).member, "range")]
    answers = await asyncio.gather(stranger, *map(group.join, again), return_exceptions=True)
    assert [one.code for one in answers if isinstance(one, Refused)] == [INCONSISTENT] * 3


@ended
async def test_an_idle_group_lets_anybody_set_its_offsets(group: Group) -> None:
    group.commits(-1, "")
    await group.join(wish())
    with refused(UNKNOWN_MEMBER):
        group.commits(-1, "")
