"""Long-lived clients of AWS: one per service, region and purpose, all of one identity.

Endpoints, regions, credentials and proxies come from where botocore's users keep them (environment, profiles, roles,
metadata services) and from nowhere else: clients are built without keys, so that each signature asks the provider that
renews them. Where that is not enough (a provider that is stuck on expired credentials, which happens in pods after a
day or two), three refusals in a row drop the session with its clients, and the next call builds new ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import lru_cache, partial
from importlib.metadata import version
from platform import python_version
from types import TracebackType
from typing import Any, Final, Literal, TypeAlias

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError, InvalidEndpointConfigurationError

from pollers.aws.answers import EVENTS, WireAnswers
from pollers.aws.errors import FAILURES, CallFailed, Kind, check_answer, diagnose
from pollers.aws.events import Events, WireEvents

__all__ = ["Client", "Clients", "Purpose"]

# Long polls; reads of shards; what else is answered at once; what is answered in events; what runs as long as a
# function does.
Purpose: TypeAlias = Literal["poll", "read", "call", "events", "invoke"]
_Key: TypeAlias = tuple[str, str | None, Purpose]

REFUSALS: Final = 3  # calls in a row whose credentials were refused, before the session is built anew

# Long polls have connections of their own: on a shared pool, ten of them would block a delete for their whole wait.
# They are not retried here: the engine reads again, with a backoff that is seen.
_CONFIGS: Final[dict[Purpose, dict[str, Any]]] = {
    "poll": {
        "max_pool_connections": 10_000,  # an upper bound: as many are opened as polls wait
        "read_timeout": 30,  # seconds; more than the 20 of the longest poll
        "retries": {"mode": "standard", "total_max_attempts": 1},
    },
    "read": {
        "max_pool_connections": 1_000,
        "read_timeout": 15,
        "retries": {"mode": "standard", "total_max_attempts": 1},  # the next read comes by itself, when its turn is
    },
    "call": {
        "max_pool_connections": 200,
        "read_timeout": 15,
        "retries": {"mode": "standard", "total_max_attempts": 3},
    },
    "events": {
        "max_pool_connections": 10_000,  # as many are opened as shards are subscribed to
        "read_timeout": 30,  # seconds without an event. AWS: a quiet shard's subscription brings one every few seconds
        "retries": {"mode": "standard", "total_max_attempts": 1},
    },
    "invoke": {
        "max_pool_connections": 10_000,
        "read_timeout": 910,  # more than the 900 of the longest function
        "retries": {"mode": "standard", "total_max_attempts": 1},  # a function must not run twice for one batch
    },
}
_AGENT: Final = f"pollers/{version('pollers')} aiobotocore/{version('aiobotocore')} Python/{python_version()}"
_CONNECT: Final = 5  # seconds
_IDLE: Final = 60.0  # seconds that an unused connection is kept: a new one costs a TLS handshake


class Clients:
    """Every client of one identity, shared by sources, targets and destinations. Close it after the last of them."""

    def __init__(self, session: Callable[[], AioSession] = AioSession) -> None:
        """`session` makes a session; it is called again when the credentials have been refused three times."""
        self._make = session
        self._session: _Session | None = None
        self._retired: set[_Session] = set()
        self._clients: dict[_Key, Client] = {}

    def get(self, service: str, region: str | None = None, purpose: Purpose = "call") -> Client:
        """The client of a service; nothing is connected before its first call. `region` None: the configured one."""
        key = (service, region, purpose)
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = Client(self, *key)
        return client

    async def close(self) -> None:
        """Close every connection. May be called twice; a call made afterwards connects anew."""
        sessions, self._session = [*self._retired, self._session], None
        self._retired.clear()
        for session in sessions:
            if session is not None:
                await session.close()

    async def __aenter__(self) -> Clients:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def current(self) -> _Session:
        """The session that calls are made with now."""
        if self._session is None:
            self._session = _Session(self._make())
        return self._session

    def refused(self, session: _Session) -> None:
        """The credentials of a call were refused."""
        session.refusals += 1
        if session.refusals >= REFUSALS and session is self._session:
            self._session = None
            self._retired.add(session)

    async def leave(self, session: _Session) -> None:
        """A call with a session has ended: the last call of a retired one closes it."""
        session.calls -= 1
        if not session.calls and session in self._retired:
            self._retired.discard(session)
            await session.close()


class Client:
    """Calls of one service. It outlives the connections and credentials that it uses."""

    def __init__(self, clients: Clients, service: str, region: str | None, purpose: Purpose) -> None:
        self.service = service
        self.region = region or ""  # known once opened
        self.endpoint = f"the endpoint of {service.upper()}"  # a URL once opened
        self._clients = clients
        self._key = (service, region, purpose)

    async def open(self) -> None:
        """Build the client, so that region and endpoint are known. Connects to nothing. Raises `CallFailed`."""
        session = self._clients.current()
        session.calls += 1
        try:
            await self._connect(session)
        except FAILURES as error:
            raise self._failed("open", error) from error
        finally:
            await self._clients.leave(session)

    async def call(self, operation: str, /, **parameters: Any) -> dict[str, Any]:
        """Call an operation by its name in the API ("ReceiveMessage"). Raises `CallFailed`."""
        session = self._clients.current()
        session.calls += 1
        try:
            client = session.clients.get(self._key) or await self._connect(session)
            answer: dict[str, Any] = await getattr(client, _method(operation))(**parameters)
            check_answer(answer, self.endpoint)
        except FAILURES as error:
            failure = self._failed(operation, error)
            if failure.kind is Kind.CREDENTIALS:
                self._clients.refused(session)
            raise failure from error
        else:
            session.refusals = 0
            return answer
        finally:
            await self._clients.leave(session)

    async def events(self, operation: str, /, **parameters: Any) -> Events:
        """Call an operation that is answered in events ("SubscribeToShard"), and close them. Raises `CallFailed`.

        They end early where the credentials of other calls are refused and the session is built anew.
        """
        answer = await self.call(operation, **parameters)
        return WireEvents(answer[EVENTS], f"{operation}Event", self.endpoint, partial(self._failed, operation))

    async def _connect(self, session: _Session) -> Any:
        client = await session.client(self._key)
        self.endpoint, self.region = client.meta.endpoint_url, client.meta.region_name
        return client

    def _failed(self, operation: str, error: Exception) -> CallFailed:
        code = str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""
        place = f"{self.endpoint} (region {self.region})" if self.region else self.endpoint
        return CallFailed(operation, diagnose(error, service=self.service, operation=operation, endpoint=place), code)


class _Session:
    """One botocore session, the clients made from it, and how it fares. Compared by identity."""

    def __init__(self, session: AioSession) -> None:
        self.clients: dict[_Key, Any] = {}
        self.calls = 0  # under way
        self.refusals = 0  # in a row
        session.register_component("response_parser_factory", WireAnswers())
        self._session = session
        self._stack = AsyncExitStack()
        self._creating = asyncio.Lock()  # a client takes 0.1 s to build: each is built once

    async def client(self, key: _Key) -> Any:
        async with self._creating:
            if key not in self.clients:
                service, region, purpose = key
                config = AioConfig(
                    connect_timeout=_CONNECT,
                    connector_args={"keepalive_timeout": _IDLE},
                    tcp_keepalive=True,
                    # A text of our own, and no second check of our own parameters: both are built anew for each call,
                    # and together they are a fifth of what a call costs.
                    user_agent=_AGENT,
                    parameter_validation=False,
                    **_CONFIGS[purpose],
                )
                creator = self._session.create_client(service, region_name=region, config=config)
                try:
                    self.clients[key] = await self._stack.enter_async_context(creator)
                except BotoCoreError:
                    raise  # some are ValueErrors too
                except ValueError as error:  # botocore's way to say that an endpoint is no URL
                    raise InvalidEndpointConfigurationError(msg=str(error)) from error
            return self.clients[key]

    async def close(self) -> None:
        self.clients.clear()
        await self._stack.aclose()


@lru_cache(maxsize=64)
def _method(operation: str) -> str:
    return str(xform_name(operation))
