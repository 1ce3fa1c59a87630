"""A session of botocore's that opens no connection, and a server that answers everything alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

Answer = dict[str, Any] | Exception


class FakeSessions:
    """Makes sessions; `answer` decides what each call of their clients comes to."""

    def __init__(self, answer: Callable[[int, dict[str, Any]], Answer]) -> None:
        self.answer = answer  # given the number of the session, from 1, and the parameters
        self.made = 0
        self.built: list[tuple[int, str, str | None, Any]] = []  # (session, service, region, config)
        self.closed: list[int] = []  # sessions, once per client
        self.gates: dict[int, asyncio.Event] = {}  # calls of a session wait for it

    def __call__(self) -> FakeSession:
        self.made += 1
        return FakeSession(self, self.made)


class FakeSession:
    def __init__(self, sessions: FakeSessions, number: int) -> None:
        self._sessions = sessions
        self._number = number

    def register_component(self, name: str, component: Any) -> None:
        assert name == "response_parser_factory"

    @asynccontextmanager
    async def create_client(self, service: str, region_name: str | None, config: Any) -> AsyncIterator[FakeClient]:
        self._sessions.built.append((self._number, service, region_name, config))
        await asyncio.sleep(0)  # as long as it takes to notice that it is built twice
        yield FakeClient(self._sessions, self._number, region_name or "eu-west-1")
        self._sessions.closed.append(self._number)


class FakeClient:
    def __init__(self, sessions: FakeSessions, number: int, region: str) -> None:
        self._sessions = sessions
        self._number = number
        self.meta = SimpleNamespace(endpoint_url="https://sqs.test", region_name=region)

    async def receive_message(self, **parameters: Any) -> dict[str, Any]:
        if (gate := self._sessions.gates.get(self._number)) is not None:
            await gate.wait()
        answer = self._sessions.answer(self._number, parameters)
        if isinstance(answer, Exception):
            raise answer
        return answer


def refusal(code: str, message: str = "", status: int = 400) -> ClientError:
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "ReceiveMessage")


@asynccontextmanager
async def answering(status: int, kind: str, body: bytes) -> AsyncIterator[str]:
    """The URL of a server that gives every request this answer."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            writer.write(head + body)
            await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()
