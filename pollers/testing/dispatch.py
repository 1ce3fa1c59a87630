"""AWS's JSON protocol before the models: clients use them as they would use AWS.

Credentials are not verified, but a request must carry some: an unsigned one is refused, as by AWS.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pollers.clock import request_ids
from pollers.testing.frames import event_frame, exception_frame
from pollers.testing.http import Connection, Refusal, Request
from pollers.testing.service import EVENTS, Answer, Dropped, Events, Fault, Service, Waiting

__all__ = ["Front"]

_CORAL = "com.amazon.coral.service"
_JSON = "application/x-amz-json-1.0"

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Front:
    """Serves models on one address. All of them are called from the loop that `start` was called in."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = {service.target: service for service in services}
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._timers: dict[str, tuple[float, asyncio.TimerHandle]] = {}  # target to what it waits for
        self._ids = request_ids()

    async def start(self, host: str, port: int) -> str:
        """Listen; port 0 chooses one. Returns the URL."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, host, port)
        url = f"http://{host}:{self._server.sockets[0].getsockname()[1]}"
        for service in self._services.values():
            service.endpoint = url
            service.changed = self._rearming(loop, service)
        return url

    async def close(self) -> None:
        """Stop listening and cut every connection. May be called twice."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        for connection in list(self._connections):
            connection.cut()
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for service in self._services.values():
            service.changed = _nothing
        await server.wait_closed()
        await asyncio.sleep(0)  # aborted transports report their end in the next turn

    def _connection(self) -> Connection:
        return Connection(self._handle, self._connections)

    def _handle(self, request: Request | Refusal, connection: Connection) -> None:
        service = None
        try:
            if isinstance(request, Refusal):
                raise _generic("SerializationException", request.message, request.status)
            service, action = self._route(request)
            result = service.call(action, _members(request.body))
        except Fault as error:
            self._answer(connection, service, error)
        except Dropped:
            connection.drop()
        except Exception:
            # A fault of the model, not of its caller: AWS answers its own with a 500, and so does the front.
            _log.exception("The model failed")
            self._answer(connection, service, _generic("InternalFailure", "The model failed.", 500))
        else:
            if isinstance(result, Waiting):
                self._await(connection, service, result)
            elif isinstance(events := result.pop(EVENTS, None), Events):
                connection.begin(200, self._headers("application/vnd.amazon.eventstream"))
                _Streamed(connection, service, events).begin(result)
            else:
                self._answer(connection, service, result)

    def _await(self, connection: Connection, service: Service, waiting: Waiting) -> None:
        def lost() -> None:
            waiting.cancel()
            service.changed()

        connection.on_lost = lost  # before `notify`, which may answer at once
        waiting.notify(lambda answer: self._answer(connection, service, answer))

    def _route(self, request: Request) -> tuple[Service, str]:
        target, _, action = request.headers.get(b"x-amz-target", b"").decode("latin-1").rpartition(".")
        service = self._services.get(target)
        if service is None or request.method != b"POST":
            raise _generic("UnknownOperationException", "", 404)
        if b"Credential=" not in request.headers.get(b"authorization", b""):
            raise _generic("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
        return service, action

    def _answer(self, connection: Connection, service: Service | None, result: Answer | Fault) -> None:
        headers = self._headers(service.content_type if service else _JSON)
        if not isinstance(result, Fault):
            connection.answer(200, headers, _encode(result))
            return
        if service is not None and service.query_compatible:
            headers += f"x-amzn-query-error: {result.code};{'Sender' if result.sender else 'Receiver'}\r\n".encode()
        body = {"__type": f"{result.namespace}#{result.kind}"}
        if result.message:
            body["message"] = result.message
        connection.answer(result.status, headers, _encode(body))

    def _headers(self, content_type: str) -> bytes:
        return f"x-amzn-RequestId: {self._ids()}\r\nContent-Type: {content_type}\r\n".encode()

    def _rearming(self, loop: asyncio.AbstractEventLoop, service: Service) -> Callable[[], None]:
        """What keeps the service's timer at its `wake_at`."""

        def rearm() -> None:
            at = service.wake_at()
            armed = self._timers.get(service.target)
            if armed is not None:
                if armed[0] == at:
                    return
                armed[1].cancel()
                del self._timers[service.target]
            if at is not None:
                timer = loop.call_later(max(0.0, at - service.now()), tick)
                self._timers[service.target] = at, timer

        def tick() -> None:
            self._timers.pop(service.target, None)
            service.tick()  # ends with `changed`, so with `rearm`

        return rearm


class _Streamed:
    """An answer in events, on its way to a client: no event is taken that the client does not read."""

    def __init__(self, connection: Connection, service: Service, events: Events) -> None:
        self._connection = connection
        self._service = service
        self._events = events
        self._due = False  # a flush is coming: what happens in one turn of the loop goes out together
        self._over = False

    def begin(self, answer: Answer) -> None:
        """Say what the call is answered with at once; the events follow."""
        self._connection.on_lost = self._lost
        self._connection.on_drained = self._events.ready = self._soon
        self._connection.send(event_frame("initial-response", self._service.content_type, _encode(answer)))
        self._soon()

    def _soon(self) -> None:
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._due = False
        connection, events = self._connection, self._events
        if self._over:
            return
        try:
            while not connection.clogged and (event := events.take()) is not None:
                connection.send(event_frame(events.kind, self._service.content_type, _encode(event)))
        except Fault as fault:
            body = _encode({"message": fault.message})
            connection.send(exception_frame(fault.kind, self._service.content_type, body))
        except Dropped:
            self._over = True
            connection.drop()
        if events.over and not self._over:
            self._over = True
            connection.end()
        self._service.changed()

    def _lost(self) -> None:
        self._over = True
        self._events.cancel()
        self._service.changed()


def _members(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        return _decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _generic("SerializationException", f"The body is not a JSON structure: {error}", 400) from None


def _generic(kind: str, message: str, status: int) -> Fault:
    return Fault(kind, message, namespace=_CORAL, status=status, sender=status < 500)


def _nothing() -> None:
    """Who listens to `Service.changed` without a front."""
