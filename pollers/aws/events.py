"""Answers that come in events for as long as a call lasts, as AWS's event streams carry them.

botocore's own reading of them parses every member (see `answers`), and cannot be called off without losing what it had
read. Here an event is taken apart when it is asked for, and its JSON is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec
from botocore.eventstream import EventStreamBuffer, EventStreamMessage, ParserError
from botocore.exceptions import ClientError

from pollers.aws.errors import FAILURES, CallFailed, Unreadable

__all__ = ["Events", "WireEvents"]

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Events(Protocol):
    """The events of one call, in order. Nothing is read from the connection while nobody asks for one."""

    async def receive(self) -> dict[str, Any] | None:
        """The members of the next event; None at the end. Raises `CallFailed`. Cancelled, it has lost nothing."""

    def close(self) -> None:
        """Have no more of them. May be called twice."""


class WireEvents:
    """`Events` over HTTP."""

    def __init__(self, body: Any, kind: str, endpoint: str, failed: Callable[[Exception], CallFailed]) -> None:
        """`body`: the client's response, of which nothing was read. `kind`: of the events that are wanted."""
        self._body = body
        self._kind = kind
        self._endpoint = endpoint
        self._failed = failed
        self._buffer = EventStreamBuffer()

    async def receive(self) -> dict[str, Any] | None:
        try:
            while True:
                for message in self._buffer:
                    # Others are passed over: "initial-response", which not every emulator sends, and what may come.
                    if (event := self._event(message)) is not None:
                        return event
                data: bytes = await self._body.content.readany()
                if not data:
                    return None
                self._buffer.add_data(data)
        except (ParserError, msgspec.DecodeError) as error:
            raise self._failed(Unreadable(self._endpoint, f"no stream of events: {error}")) from error
        except FAILURES as error:
            raise self._failed(error) from error

    def _event(self, message: EventStreamMessage) -> dict[str, Any] | None:
        headers = message.headers
        if headers.get(":message-type") != "event":
            raise _error(headers, message.payload)
        return _decode(message.payload) if headers.get(":event-type") == self._kind else None

    def close(self) -> None:
        self._body.close()


def _error(headers: dict[str, Any], payload: bytes) -> ClientError:
    """What ends a stream before its time: an exception that the API knows by name, or any error."""
    code = str(headers.get(":exception-type") or headers.get(":error-code") or "")
    message = headers.get(":error-message") or (_decode(payload).get("message") if payload else "")
    status = 500 if code.startswith("Internal") else 400
    return ClientError(
        {"Error": {"Code": code, "Message": str(message)}, "ResponseMetadata": {"HTTPStatusCode": status}},
        "event",
    )
