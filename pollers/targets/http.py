"""Functions behind HTTP: the event is posted, the answer is what the function returned."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import unquote

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from pollers.errors import ConfigurationError, Problem
from pollers.flow.records import EVENT_LIMIT, Failed, Outcome, Returned, Throttled, Unreachable
from pollers.spi import Function, Invocation

__all__ = ["HttpTarget"]

IDLE: Final = 60.0  # seconds that an unused connection is kept
CONNECT: Final = 5.0  # seconds


class HttpTarget:
    """Posts each event as JSON to `url`; a 2xx answer is what the function returned.

    `http://`, `https://`, or `http+unix://%2Frun%2Fapp.sock/path` for a unix socket. With `readiness` nothing is
    posted before a GET of that URL has answered 2xx once. Redirects are never followed, proxies never asked, and
    link-local, multicast and unspecified addresses never connected to. Request headers carry request id, deadline,
    function ARN and trace under the names of Lambda's Runtime API.

    Raises ConfigurationError for a URL that can never work.
    """

    def __init__(self, url: str, function: Function, *, readiness: str | None = None) -> None:
        self.function = function
        self.concurrency: int | None = None  # as many at once as permits allow
        self.describe = f"POST {url}, timeout {function.timeout:g} s, the connection is closed at its end"
        self._url, self._socket = _parsed(url)
        self._readiness = None if readiness is None else _parsed(readiness)[0]
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Prepare the connections. What answers may start later than we do, so nothing is called yet."""
        connector: aiohttp.BaseConnector = (
            aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE, resolver=_CheckedResolver())
            if self._socket is None
            else aiohttp.UnixConnector(self._socket, limit=0, keepalive_timeout=IDLE)
        )
        tracing = aiohttp.TraceConfig()
        tracing.on_connection_reuseconn.append(_note_reuse)
        self._session = aiohttp.ClientSession(
            connector=connector,
            # The engine cancels a call at its deadline; only connecting has a limit of its own.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT),
            trace_configs=[tracing],
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity", "User-Agent": "pollers"},
        )

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Post the event. Cancelled, it closes the connection."""
        session = self._session
        assert session is not None, "opened before it is invoked"
        connection = _Connection()
        try:
            if self._readiness is not None and not await self._ready(session):
                return Unreachable(f"{self._readiness} does not answer 2xx yet")
            async with session.post(
                self._url,
                data=msgspec.json.encode(invocation.event),
                headers=self._headers(invocation),
                allow_redirects=False,
                trace_request_ctx=connection,
            ) as response:
                connection.answered = True
                return await _outcome(response)
        except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError) as error:
            return Unreachable(f"{self._url}: {error}")
        except (aiohttp.ClientError, ConnectionError, ssl.SSLError) as error:
            return self._broken(connection, error)

    def _broken(self, connection: _Connection, error: Exception) -> Outcome:
        """The connection ended while the call was under way."""
        if isinstance(error, aiohttp.ClientConnectionError) and connection.reused and not connection.answered:
            # An idle connection that the other side was just closing: it never saw the event.
            return Unreachable(f"{self._url}: an idle connection had ended")
        return Failed(type(error).__name__, f"{self._url}: {error or 'the connection ended without an answer'}")

    async def close(self) -> None:
        """End every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _headers(self, invocation: Invocation) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(invocation.deadline_wall * 1_000)),
            "Lambda-Runtime-Invoked-Function-Arn": self.function.arn,
        }
        if invocation.trace is not None:
            headers["Lambda-Runtime-Trace-Id"] = invocation.trace
        return headers

    async def _ready(self, session: aiohttp.ClientSession) -> bool:
        assert self._readiness is not None
        try:
            async with session.get(self._readiness, allow_redirects=False) as response:
                if not 200 <= response.status < 300:
                    return False
        except (aiohttp.ClientError, OSError):
            return False
        self._readiness = None  # once is enough
        return True


class _Connection:
    """What became of the connection of one call."""

    reused = False
    answered = False  # the head of an answer has come


async def _note_reuse(
    session: aiohttp.ClientSession, context: Any, parameters: aiohttp.TraceConnectionReuseconnParams
) -> None:
    connection = context.trace_request_ctx
    if connection is not None:
        connection.reused = True


class _CheckedResolver(AbstractResolver):
    """Resolves names, and leaves out addresses that a function never has: what is checked is what is connected to."""

    def __init__(self) -> None:
        self._inner = aiohttp.DefaultResolver()

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        allowed = [one for one in found if _allowed(one["host"])]
        if found and not allowed:
            raise OSError(None, f"{host} resolves to {found[0]['host']}, which is never connected to")
        return allowed

    async def close(self) -> None:
        await self._inner.close()


# AWS: the instance metadata service and the credentials of EKS pods over IPv6, which are not link-local.
_METADATA: Final = frozenset({ip_address("fd00:ec2::254"), ip_address("fd00:ec2::23")})


def _allowed(address: str) -> bool:
    """Link-local addresses lead to metadata services and their credentials."""
    parsed = ip_address(address.partition("%")[0])
    if parsed in _METADATA:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    if mapped is not None:
        parsed = mapped
    return not (parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified)


def _parsed(text: str) -> tuple[URL, str | None]:
    """(the URL to ask for, the unix socket to ask through)."""
    if text.startswith("http+unix://"):
        socket, slash, path = text.removeprefix("http+unix://").partition("/")
        if not socket:
            raise _refused(text, "it names no socket.", "Write http+unix://%2Frun%2Fapp.sock/path.")
        return URL(f"http://localhost{slash}{path}"), unquote(socket)
    try:
        url = URL(text)
    except ValueError as error:
        raise _refused(text, f"it is no URL ({error}).", "Write http://host:port/path.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise _refused(text, "it is no http or https URL.", "Write http://host:port/path.")
    with suppress(ValueError):
        if not _allowed(url.host):
            raise _refused(text, "link-local, multicast and unspecified addresses are refused.", "Name the service.")
    return url, None


def _refused(url: str, what: str, remedy: str) -> ConfigurationError:
    return ConfigurationError([Problem(url, what, remedy)])


async def _outcome(response: aiohttp.ClientResponse) -> Outcome:
    status = response.status
    if status == 429 or (status == 503 and "Retry-After" in response.headers):
        return Throttled(_retry_after(response.headers))
    body = await _body(response)
    if body is None:
        return Failed("Function.ResponseSizeTooLarge", f"the answer exceeds {EVENT_LIMIT:,} bytes")
    error = response.headers.get("X-Amz-Function-Error")
    if 200 <= status < 300 and error is None:
        return _returned(body)
    if 300 <= status < 400:
        return Failed(f"Http{status}", f"redirects are not followed (to {response.headers.get('Location', 'nowhere')})")
    return Failed(error or f"Http{status}", body[:500].decode(errors="backslashreplace"))


async def _body(response: aiohttp.ClientResponse) -> bytes | None:
    """The whole body; None when it is larger than any answer may be."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_chunked(1 << 18):
        size += len(chunk)
        if size > EVENT_LIMIT:
            response.close()  # the rest is not worth reading
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _returned(body: bytes) -> Returned:
    if not body.strip():
        return Returned()
    try:
        return Returned(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Returned(unreadable=str(error))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; the header has them, or a date. What is neither is as if it were not there."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
