"""Functions in Lambda: a real client against a stub of Invoke, and what each answer comes to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from pollers.errors import SourceError
from pollers.flow.records import Failed, Outcome, Returned, Throttled, Unreachable
from pollers.spi import Function, Invocation
from pollers.targets.lambda_api import LambdaTarget

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:work"
INVOCATION = Invocation("an-id", {"Records": [{"body": "ä"}]}, 0.0, 0.0)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "stub")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "stub")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@asynccontextmanager
async def lambda_that_answers(
    monkeypatch: pytest.MonkeyPatch, answer: web.Response | None
) -> AsyncIterator[tuple[LambdaTarget, list[web.Request]]]:
    """None: it closes the connection instead of answering."""
    seen: list[web.Request] = []

    async def invoke(request: web.Request) -> web.Response:
        await request.read()
        seen.append(request)
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return answer

    application = web.Application()
    application.router.add_post("/2015-03-31/functions/{name}/invocations", invoke)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{port}")
    target = LambdaTarget(ARN, Function("work", ARN))
    try:
        await target.open()
        yield target, seen
    finally:
        await target.close()
        await target.close()
        await runner.cleanup()


def refused(status: int, code: str, **headers: str) -> web.Response:
    body = json.dumps({"Type": "User", "Message": "no"}).encode()
    return web.Response(status=status, body=body, headers={"X-Amzn-ErrorType": code, **headers})


def crashed(payload: object) -> web.Response:
    return web.Response(body=json.dumps(payload).encode(), headers={"X-Amz-Function-Error": "Unhandled"})


@pytest.mark.rule("5.1-2", "5.1-3")
@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (web.Response(body=b'{"batchItemFailures": []}'), Returned({"batchItemFailures": []})),
        (web.Response(body=b"null"), Returned(None)),
        (web.Response(body=b""), Returned(None)),
        (crashed({"errorType": "KeyError", "errorMessage": "'x'"}), Failed("KeyError", "'x'")),
        (crashed("boom"), Failed("Unhandled", '"boom"')),
        (refused(429, "TooManyRequestsException"), Throttled(None)),
        (refused(429, "TooManyRequestsException", **{"Retry-After": "4"}), Throttled(4.0)),
        (refused(502, "EC2ThrottledException"), Throttled(None)),
        (refused(502, "ENILimitReachedException"), Throttled(None)),
        (refused(502, "SubnetIPAddressLimitReachedException"), Throttled(None)),
        (refused(409, "ResourceConflictException"), Throttled(None)),
    ],
)
async def test_every_answer_has_its_outcome(
    monkeypatch: pytest.MonkeyPatch, answer: web.Response, outcome: Outcome
) -> None:
    async with lambda_that_answers(monkeypatch, answer) as (target, seen):
        assert await target.invoke(INVOCATION) == outcome
    assert len(seen) == 1, "a function must not run twice for one batch"


@pytest.mark.rule("5.1-3", "5.1-5")
@pytest.mark.parametrize(
    "answer",
    [
        refused(500, "ServiceException"),
        refused(404, "ResourceNotFoundException"),
        refused(403, "AccessDeniedException"),
        refused(403, "UnrecognizedClientException"),
    ],
)
async def test_what_lambda_did_not_run_spends_no_attempt(monkeypatch: pytest.MonkeyPatch, answer: web.Response) -> None:
    async with lambda_that_answers(monkeypatch, answer) as (target, _):
        outcome = await target.invoke(INVOCATION)
    assert isinstance(outcome, Unreachable)
    assert outcome.reason


@pytest.mark.parametrize("code", ["RequestTooLargeException", "InvalidRequestContentException"])
async def test_an_event_that_lambda_does_not_take_has_failed(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    async with lambda_that_answers(monkeypatch, refused(413, code)) as (target, _):
        outcome = await target.invoke(INVOCATION)
    assert isinstance(outcome, Failed)
    assert outcome.error == code


async def test_a_call_that_broke_off_may_have_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async with lambda_that_answers(monkeypatch, None) as (target, seen):
        assert isinstance(await target.invoke(INVOCATION), Failed)
    assert len(seen) == 1


async def test_nobody_there_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:1")
    target = LambdaTarget(ARN, Function("work", ARN))
    await target.open()
    outcome = await target.invoke(INVOCATION)
    await target.close()
    assert isinstance(outcome, Unreachable)
    assert "127.0.0.1:1" in outcome.reason


async def test_an_answer_that_is_no_json_is_returned_as_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    async with lambda_that_answers(monkeypatch, web.Response(body=b"<html>")) as (target, _):
        outcome = await target.invoke(INVOCATION)
    assert isinstance(outcome, Returned)
    assert outcome.unreadable


async def test_the_event_is_sent_once_as_a_synchronous_invocation(monkeypatch: pytest.MonkeyPatch) -> None:
    async with lambda_that_answers(monkeypatch, web.Response(body=b"1")) as (target, seen):
        await target.invoke(INVOCATION)
    (request,) = seen
    assert request.match_info["name"] == ARN
    assert request.headers["X-Amz-Invocation-Type"] == "RequestResponse"
    assert json.loads(await request.read()) == {"Records": [{"body": "ä"}]}


async def test_a_broken_endpoint_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "no url at all")
    target = LambdaTarget(ARN, Function("work", ARN))
    with pytest.raises(SourceError, match="work"):
        await target.open()
    await target.close()
