"""Answers over HTTP and what they come to: the table of outcomes, on real sockets."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pollers.errors import ConfigurationError
from pollers.flow.records import Failed, Outcome, Returned, Throttled, Unreachable
from pollers.spi import Function, Invocation
from pollers.targets.http import HttpTarget, _allowed

FUNCTION = Function("work", "arn:aws:lambda:us-east-1:000000000000:function:work")
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def invocation() -> Invocation:
    return Invocation("an-id", {"Records": [{"body": "ä"}]}, 0.0, time.time() + 3, trace="Root=1-abc")


class Request:
    def __init__(self, head: str, body: bytes) -> None:
        lines = head.split("\r\n")
        self.line = lines[0]
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        self.body = body


async def receive(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().strip()
    length = [line.split(":")[1] for line in head.lower().split("\r\n") if line.startswith("content-length")]
    return Request(head, await reader.readexactly(int(length[0])) if length else b"")


def says(status: str, body: bytes = b"", *headers: str) -> Answer:
    """A server that answers every request with this."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await receive(reader)
            lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            await writer.drain()

    return answer


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[int]:
    """A port on which `answer` talks to each connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=1 << 24)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def opened(url: str, readiness: str | None = None) -> AsyncIterator[HttpTarget]:
    target = HttpTarget(url, FUNCTION, readiness=readiness)
    await target.open()
    try:
        yield target
    finally:
        await target.close()
        await target.close()


async def ask(answer: Answer) -> Outcome:
    async with serving(answer) as port, opened(f"http://127.0.0.1:{port}/work") as target:
        return await target.invoke(invocation())


@pytest.mark.rule("5.1-2", "5.1-3")
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (says("200 OK", b'{"batchItemFailures": []}'), Returned({"batchItemFailures": []})),
        (says("200 OK"), Returned(None)),
        (says("204 No Content"), Returned(None)),
        (says("201 Created", b" null "), Returned(None)),
        (says("200 OK", b'{"a": 1}', "X-Amz-Function-Error: Unhandled"), Failed("Unhandled", '{"a": 1}')),
        (says("400 Bad Request", b"what?"), Failed("Http400", "what?")),
        (says("500 Oops", b"\xff"), Failed("Http500", "\\xff")),
        (says("503 Away"), Failed("Http503", "")),
        (says("503 Away", b"", "Retry-After: 7"), Throttled(7.0)),
        (says("429 Too Many"), Throttled(None)),
        (says("429 Too Many", b"", "Retry-After: 3"), Throttled(3.0)),
        (says("429 Too Many", b"", "Retry-After: soon"), Throttled(None)),
        (says("429 Too Many", b"", "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT"), Throttled(0.0)),
    ],
)
async def test_every_answer_has_its_outcome(answer: Answer, kind: Outcome) -> None:
    assert await ask(answer) == kind


async def test_redirects_are_not_followed() -> None:
    outcome = await ask(says("302 Found", b"", "Location: http://127.0.0.1:1/"))
    assert isinstance(outcome, Failed)
    assert outcome.error == "Http302"


@pytest.mark.rule("5.1-4")
@pytest.mark.parametrize("body", [b"<html>", b"{", b'{"a": NaN}', b"\xff\xfe", b"[" * 100_000])
async def test_an_answer_that_is_no_json_is_returned_as_unreadable(body: bytes) -> None:
    outcome = await ask(says("200 OK", body))
    assert isinstance(outcome, Returned)
    assert outcome.unreadable


@pytest.mark.rule("12-18")
async def test_an_answer_beyond_six_megabytes_is_a_failed_attempt() -> None:
    outcome = await ask(says("200 OK", b'"' + b"x" * 6_400_000 + b'"'))
    assert isinstance(outcome, Failed)
    assert outcome.error == "Function.ResponseSizeTooLarge"


async def test_the_event_is_posted_with_lambdas_headers() -> None:
    seen: list[Request] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await receive(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    await ask(answer)
    (request,) = seen
    assert request.line == "POST /work HTTP/1.1"
    assert json.loads(request.body) == {"Records": [{"body": "ä"}]}
    headers = request.headers
    assert headers["lambda-runtime-aws-request-id"] == "an-id"
    assert headers["lambda-runtime-invoked-function-arn"] == FUNCTION.arn
    assert headers["lambda-runtime-trace-id"] == "Root=1-abc"
    assert abs(int(headers["lambda-runtime-deadline-ms"]) / 1_000 - time.time() - 3) < 60
    assert headers["accept-encoding"] == "identity"


async def hang_up_after_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await receive(reader)


async def hang_up_in_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await receive(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()


async def talk_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await receive(reader)
    writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize("answer", [hang_up_after_request, hang_up_in_answer, talk_nonsense])
async def test_a_fresh_connection_that_breaks_may_have_run_the_function(answer: Answer) -> None:
    assert isinstance(await ask(answer), Failed)


async def test_an_idle_connection_that_ended_did_not_run_it() -> None:
    requests = 0

    async def one_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await receive(reader)
        requests += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await receive(reader)  # the second request is read and never answered
        requests += 1

    async with serving(one_answer) as port, opened(f"http://127.0.0.1:{port}/") as target:
        assert await target.invoke(invocation()) == Returned(None)
        assert isinstance(await target.invoke(invocation()), Unreachable)
    assert requests == 2, "and it was not sent twice behind our back"


async def test_nobody_there_is_unreachable() -> None:
    async with serving(says("200 OK")) as port:
        pass
    for url in (f"http://127.0.0.1:{port}/", "http://nowhere.invalid/", f"https://127.0.0.1:{port}/"):
        async with opened(url) as target:
            outcome = await target.invoke(invocation())
        assert isinstance(outcome, Unreachable)
        assert url.split("/")[2].split(":")[0] in outcome.reason


async def test_a_server_without_tls_is_unreachable_over_https() -> None:
    async with serving(talk_nonsense) as port, opened(f"https://127.0.0.1:{port}/") as target:
        assert isinstance(await target.invoke(invocation()), Unreachable)


async def test_nothing_is_posted_before_readiness_was_given_once() -> None:
    ready = False
    lines: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await receive(reader)
            lines.append(request.line.rpartition(" ")[0])
            status = b"200 OK" if ready or request.line.startswith("POST") else b"503 Starting"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()

    async with serving(answer) as port:
        base = f"http://127.0.0.1:{port}"
        async with opened(f"{base}/work", readiness=f"{base}/ready") as target:
            assert isinstance(await target.invoke(invocation()), Unreachable)
            ready = True
            assert await target.invoke(invocation()) == Returned(None)
            ready = False
            assert await target.invoke(invocation()) == Returned(None)
    assert lines == ["GET /ready", "GET /ready", "POST /work", "POST /work"]


async def test_a_unix_socket_works_like_a_port(tmp_path: Path) -> None:
    socket = tmp_path / "app.sock"
    server = await asyncio.start_unix_server(says("200 OK", b"7"), socket)
    async with server, opened(f"http+unix://{str(socket).replace('/', '%2F')}/work") as target:
        assert await target.invoke(invocation()) == Returned(7)


async def test_a_cancelled_call_closes_its_connection() -> None:
    ended = asyncio.Event()
    got = asyncio.Event()

    async def wait_for_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await receive(reader)
        got.set()
        assert await reader.read() == b""
        ended.set()

    async with serving(wait_for_the_end) as port, opened(f"http://127.0.0.1:{port}/") as target:
        task = asyncio.ensure_future(target.invoke(invocation()))
        await got.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(ended.wait(), 30)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("127.0.0.1", True),
        ("10.0.0.5", True),
        ("::1", True),
        ("169.254.169.254", False),
        ("fe80::1", False),
        ("::ffff:169.254.170.2", False),
        ("fd00:ec2::254", False),
        ("fd00:ec2::23", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
    ],
)
def test_addresses_that_no_function_has_are_refused(address: str, allowed: bool) -> None:
    assert _allowed(address) is allowed


@pytest.mark.parametrize(
    "url",
    ["ftp://a/b", "work", "http://", "http+unix:///path", "http://169.254.169.254/latest", "http://[fe80::1]/"],
)
def test_a_url_that_can_never_work_is_refused_with_a_remedy(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        HttpTarget(url, FUNCTION)
    assert raised.value.problems[0].remedy


async def test_a_name_that_leads_to_metadata_is_not_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    import aiohttp

    async def resolve(self: Any, host: str, port: int = 0, family: Any = 0) -> list[dict[str, Any]]:
        return [{"hostname": host, "host": "169.254.169.254", "port": port, "family": 2, "proto": 0, "flags": 0}]

    monkeypatch.setattr(aiohttp.DefaultResolver, "resolve", resolve)
    async with opened("http://metadata.example/") as target:
        outcome = await target.invoke(invocation())
    assert isinstance(outcome, Unreachable)
    assert "169.254.169.254" in outcome.reason
