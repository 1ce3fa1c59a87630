"""HTTP/1.1 of the loopback front: one connection, its requests answered one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

import httptools

__all__ = ["Connection", "Refusal", "Request"]

LARGEST_BODY = 16 * 1024 * 1024  # bytes
LARGEST_HEAD = 64 * 1024  # bytes of all header fields
PIPELINED = 32  # requests that wait on one connection before it is read no further

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Request:
    """One request, complete."""

    method: bytes
    headers: dict[bytes, bytes] = field(default_factory=dict)  # by lower-case name
    body: bytes = b""
    keep_alive: bool = True


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is not HTTP, or too large: answered in its turn, and nothing after it is read."""

    status: int
    message: str


class Connection(asyncio.Protocol):
    """Parses requests and hands them, one at a time, to `handle`, which calls `answer` or `drop`, at once or later.

    Instead of `answer` it may `begin`, `send` and `end` one in pieces.
    """

    def __init__(self, handle: Callable[[Request | Refusal, Connection], None], connections: set[Connection]) -> None:
        self.on_lost: Callable[[], None] | None = None  # set by the handler while it owes an answer
        self.on_drained: Callable[[], None] | None = None  # set while an answer is sent piece by piece
        self._handle = handle
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request | Refusal] = deque()
        self._head = 0  # bytes of header fields of the request being read
        self._chunks: list[bytes] = []
        self._size = 0
        self._headers: dict[bytes, bytes] = {}
        self._continue = False  # the client waits for "100 Continue"
        self._busy = False  # an answer is owed
        self._keep_alive = True
        self._pumping = False
        self._refused = False  # nothing more is read
        self._clogged = False  # the client does not read its answers

    # asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._refused = True
        self._waiting.clear()
        self._lose()

    def eof_received(self) -> None:
        """At once, not with `connection_lost` a turn later: between them a message could be given to nobody."""
        self._lose()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._waiting.pop()  # the request that asked: the parser left its body out
            self._refuse(400, "Upgrades are not supported.")
        except httptools.HttpParserError as error:
            if not self._refused:
                self._refuse(400, f"The request is not HTTP/1.1: {error}")
        self._pump()

    def pause_writing(self) -> None:
        self._clogged = True

    def resume_writing(self) -> None:
        self._clogged = False
        if self.on_drained is not None:
            self.on_drained()
        self._pump()

    # httptools calls these

    def on_message_begin(self) -> None:
        self._headers = {}
        self._chunks = []
        self._size = self._head = 0
        self._continue = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head += len(name) + len(value)
        if self._head > LARGEST_HEAD:
            self._refuse(431, "The header fields are too large.")
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._continue = self._headers.get(b"expect", b"").lower() == b"100-continue"
        self._allow_body()

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > LARGEST_BODY:
            self._refuse(413, f"The body is larger than {LARGEST_BODY} bytes.")
        if not self._refused:
            self._chunks.append(body)

    def on_message_complete(self) -> None:
        if self._refused:
            return
        self._continue = False
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        request = Request(self._parser.get_method(), self._headers, body, self._parser.should_keep_alive())
        self._waiting.append(request)
        if len(self._waiting) == PIPELINED:
            self._transport.pause_reading()

    # the handler calls these

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """Send the answer that is owed. `headers`: whole lines, besides the length."""
        if not self._transport.is_closing():
            head = self._head_of(status, f"Content-Length: {len(body)}")
            self._transport.write(b"".join((head, headers, b"\r\n", body)))  # in one write: two would wait for an ack
        self._answered()

    def begin(self, status: int, headers: bytes) -> None:
        """Begin an answer of unknown length: any number of `send`, while the client is not `clogged`, then `end`."""
        self._transport.write(b"".join((self._head_of(status, "Transfer-Encoding: chunked"), headers, b"\r\n")))

    def send(self, piece: bytes) -> None:
        """The next piece of the answer, which is not empty."""
        self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def end(self) -> None:
        """That was all of the answer."""
        self._transport.write(b"0\r\n\r\n")
        self._answered()

    @property
    def clogged(self) -> bool:
        """The client does not read what it is sent; `on_drained` is called once it does."""
        return self._clogged

    def drop(self) -> None:
        """End the connection, without an answer or in the middle of one."""
        self.on_lost = self.on_drained = None
        self._transport.abort()

    def cut(self) -> None:
        """The server ends: whoever owes an answer is told that nobody waits for it."""
        self._lose()
        self.drop()

    def _head_of(self, status: int, length: str) -> bytes:
        close = "" if self._keep_alive else "Connection: close\r\n"
        return f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n{length}\r\n{close}".encode()

    def _answered(self) -> None:
        self.on_lost = self.on_drained = None
        self._busy = False
        if self._transport.is_closing():
            return
        if not self._keep_alive:
            self._transport.close()
        elif not self._pumping:
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Hand over what waits, while no answer is owed."""
        if self._pumping:
            return
        self._pumping = True
        while self._waiting and not (self._busy or self._clogged or self._transport.is_closing()):
            request = self._waiting.popleft()
            if len(self._waiting) == PIPELINED - 1:
                self._transport.resume_reading()
            self._busy = True
            self._keep_alive = isinstance(request, Request) and request.keep_alive
            self._handle(request, self)
        self._pumping = False
        self._allow_body()

    def _allow_body(self) -> None:
        """Say "100 Continue" once every earlier answer is out."""
        if self._continue and not self._busy and not self._waiting and not self._refused:
            self._continue = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _lose(self) -> None:
        lost, self.on_lost, self.on_drained = self.on_lost, None, None
        if lost is not None:
            lost()

    def _refuse(self, status: int, message: str) -> None:
        if not self._refused:
            self._refused = True
            self._waiting.append(Refusal(status, message))
