"""Clients that outlive connections and credentials."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aws_stage import FakeSessions, refusal

from pollers.aws.client import REFUSALS, Clients, Purpose
from pollers.aws.errors import CallFailed, Kind
from pollers.testing.loop import idle, virtual_time

EMPTY = {"ResponseMetadata": {"HTTPHeaders": {"content-length": "2", "content-type": "application/x-amz-json-1.0"}}}


def fine(session: int, parameters: dict[str, Any]) -> dict[str, Any]:
    return EMPTY


async def refused(clients: Clients, times: int) -> None:
    for _ in range(times):
        with pytest.raises(CallFailed) as caught:
            await clients.get("sqs").call("ReceiveMessage")
        assert caught.value.kind is Kind.CREDENTIALS


@virtual_time
async def test_one_client_per_service_region_and_purpose_is_built_once() -> None:
    sessions = FakeSessions(fine)
    async with Clients(sessions) as clients:
        poll = clients.get("sqs", "eu-west-1", "poll")
        assert clients.get("sqs", "eu-west-1", "poll") is poll
        await asyncio.gather(*(poll.call("ReceiveMessage") for _ in range(5)))
        await clients.get("sqs", "eu-west-1", "call").call("ReceiveMessage")
        await clients.get("sqs", "us-east-1", "poll").call("ReceiveMessage")
    assert [(service, region) for _, service, region, _ in sessions.built] == [
        ("sqs", "eu-west-1"),
        ("sqs", "eu-west-1"),
        ("sqs", "us-east-1"),
    ]
    assert sessions.made == 1
    assert sessions.closed == [1, 1, 1]


@virtual_time
async def test_long_polls_outlast_the_wait_of_the_service_and_leave_short_calls_their_connections() -> None:
    sessions = FakeSessions(fine)
    async with Clients(sessions) as clients:
        purposes: tuple[Purpose, ...] = ("poll", "call", "invoke")
        for purpose in purposes:
            await clients.get("sqs", None, purpose).open()
    poll, call, invoke = (config for _, _, _, config in sessions.built)
    assert poll.read_timeout > 20
    assert invoke.read_timeout > 900
    assert poll.max_pool_connections >= 1_000 + 1_250
    assert call.max_pool_connections >= 100
    assert poll.retries["total_max_attempts"] == invoke.retries["total_max_attempts"] == 1


@virtual_time
async def test_client_knows_region_and_endpoint_once_it_is_open() -> None:
    async with Clients(FakeSessions(fine)) as clients:
        client = clients.get("sqs")
        assert (client.region, client.endpoint) == ("", "the endpoint of SQS")
        await client.open()
        assert (client.region, client.endpoint) == ("eu-west-1", "https://sqs.test")


@virtual_time
async def test_three_refusals_in_a_row_build_the_session_anew() -> None:
    sessions = FakeSessions(lambda session, _: refusal("ExpiredToken") if session == 1 else EMPTY)
    async with Clients(sessions) as clients:
        await refused(clients, REFUSALS)
        assert sessions.closed == [1]
        await clients.get("sqs").call("ReceiveMessage")
        assert sessions.made == 2


@virtual_time
async def test_success_and_other_errors_do_not_count_as_refusals() -> None:
    answers: list[Any] = []
    sessions = FakeSessions(lambda session, _: answers.pop(0))
    async with Clients(sessions) as clients:
        answers += [refusal("ExpiredToken")] * 2 + [EMPTY] + [refusal("ExpiredToken")] * 2
        await refused(clients, 2)
        await clients.get("sqs").call("ReceiveMessage")
        await refused(clients, 2)
        answers += [refusal("AccessDenied")] * 5
        for _ in range(5):
            with pytest.raises(CallFailed):
                await clients.get("sqs").call("ReceiveMessage")
        assert sessions.made == 1
        answers += [refusal("ExpiredToken"), EMPTY]
        await refused(clients, 1)
        await clients.get("sqs").call("ReceiveMessage")
        assert sessions.made == 2


@virtual_time
async def test_calls_under_way_end_on_the_old_session_before_it_is_closed() -> None:
    sessions = FakeSessions(lambda session, _: refusal("ExpiredToken") if session == 1 else EMPTY)
    async with Clients(sessions) as clients:
        await refused(clients, REFUSALS - 1)
        sessions.gates[1] = asyncio.Event()
        calls = [asyncio.create_task(clients.get("sqs").call("ReceiveMessage")) for _ in range(4)]
        await idle()
        late = asyncio.create_task(clients.get("sqs").call("ReceiveMessage"))
        await idle()
        late.cancel()  # says nothing about the credentials
        await asyncio.wait([late])
        assert sessions.closed == []
        sessions.gates[1].set()
        await asyncio.wait(calls)
        assert all(isinstance(call.exception(), CallFailed) for call in calls)
        assert sessions.closed == [1]
        await clients.get("sqs").call("ReceiveMessage")
        assert sessions.made == 2


@virtual_time
async def test_closing_twice_is_harmless_and_a_later_call_connects_anew() -> None:
    sessions = FakeSessions(fine)
    clients = Clients(sessions)
    await clients.close()
    await clients.get("sqs").call("ReceiveMessage")
    await clients.close()
    await clients.close()
    assert sessions.closed == [1]
    await clients.get("sqs").call("ReceiveMessage")
    await clients.close()
    assert (sessions.made, sessions.closed) == (2, [1, 2])
