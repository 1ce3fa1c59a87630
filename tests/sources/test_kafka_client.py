"""What the client is kept from doing: committing for a group that has gone on, and keeping its errors to itself."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupLoadInProgressError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownError,
)

from pollers.errors import LostGrant, SourceError
from pollers.kafka.connection import KafkaConnection
from pollers.sources.kafka.client import KafkaConsumer
from pollers.sources.kafka.port import Committed, ConsumerTerms
from pollers.testing.loop import virtual_time


class Coordinator:
    """As much of the client's as a commit touches."""

    def __init__(self, *refusals: KafkaError) -> None:
        self.generation = 3
        self.refusals = list(refusals)
        self.sent: list[int] = []  # the generation of each commit that was taken
        self.trouble: KafkaError | None = None
        self.on_refusal = lambda: None
        self._commit_lock = asyncio.Lock()

    async def ensure_coordinator_known(self) -> None:
        pass

    async def _do_commit_offsets(self, assignment: Any, offsets: Any) -> None:
        if self.refusals:
            self.on_refusal()
            raise self.refusals.pop(0)
        self.sent.append(self.generation)

    def check_errors(self) -> None:
        if self.trouble is not None:
            raise self.trouble


def member(coordinator: Coordinator, instance: str | None = None) -> KafkaConsumer:
    consumer = KafkaConsumer(ConsumerTerms(KafkaConnection(("here:9092",)), "orders", "group", instance, 15.0))
    consumer._consumer = SimpleNamespace(_coordinator=coordinator)
    consumer.generation = coordinator.generation
    return consumer


@virtual_time
async def test_a_commit_that_is_tried_again_is_of_the_generation_it_began_under() -> None:
    coordinator = Coordinator(GroupLoadInProgressError())
    consumer = member(coordinator)

    def go_on() -> None:
        coordinator.generation += 1  # while it is tried: the partition may be somebody else's by now

    coordinator.on_refusal = go_on
    with pytest.raises(LostGrant):
        await consumer.commit({0: Committed(5, "")})
    assert coordinator.sent == []


@pytest.mark.parametrize("refusal", [GroupLoadInProgressError(), RebalanceInProgressError()])
@virtual_time
async def test_a_commit_that_is_refused_for_the_moment_is_tried_again(refusal: KafkaError) -> None:
    coordinator = Coordinator(refusal)
    await member(coordinator).commit({0: Committed(5, "")})
    assert coordinator.sent == [3]


@virtual_time
async def test_a_commit_of_an_old_generation_is_lost() -> None:
    with pytest.raises(LostGrant):
        await member(Coordinator(IllegalGenerationError())).commit({0: Committed(5, "")})


@virtual_time
async def test_what_is_wrong_with_the_group_is_taken_note_of_by_a_check_and_by_every_fetch() -> None:
    coordinator = Coordinator()
    consumer = member(coordinator)
    coordinator.trouble = GroupAuthorizationFailedError("group")
    with pytest.raises(SourceError, match="may not join it") as caught:
        consumer.check()
    assert caught.value.missing
    with pytest.raises(SourceError, match="may not join it"):
        await consumer.fetch({0: 10}, 0.0)


@virtual_time
async def test_an_error_that_the_client_does_not_know_is_a_static_members_twin() -> None:
    coordinator = Coordinator()
    coordinator.trouble = KafkaError(repr(UnknownError()))
    with pytest.raises(SourceError, match="another process is the static member 'node-1'"):
        member(coordinator, "node-1").check()
    with pytest.raises(SourceError, match="UnknownError"):
        member(coordinator).check()
