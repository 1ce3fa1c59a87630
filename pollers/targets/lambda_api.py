"""Functions that run in Lambda itself, invoked synchronously."""

from __future__ import annotations

from typing import Any, Final

import aiohttp
import msgspec
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from pollers.aws.arn import Arn
from pollers.aws.client import Clients
from pollers.aws.errors import CallFailed, Kind
from pollers.flow.records import Failed, Outcome, Returned, Throttled, Unreachable
from pollers.spi import Function, Invocation

__all__ = ["LambdaTarget"]

# AWS: before invocation, nothing has run; more of the same later may be served (Invoke, errors).
_BUSY: Final = frozenset(
    {
        "EC2ThrottledException",
        "EC2UnexpectedException",
        "EFSMountConnectivityException",
        "EFSMountTimeoutException",
        "ENILimitReachedException",
        "ENINotReadyException",
        "ResourceConflictException",
        "ResourceNotReadyException",
        "SnapStartNotReadyException",
        "SnapStartTimeoutException",
        "SubnetIPAddressLimitReachedException",
    }
)
# AWS: it is this event that Lambda does not take, now or later.
_EVENT: Final = frozenset(
    {"InvalidRequestContentException", "RequestTooLargeException", "UnsupportedMediaTypeException"}
)


class LambdaTarget:
    """Invokes a function of Lambda by its ARN (RequestResponse), with the credentials of `clients`.

    `clients` are shared and not closed; without them the target has its own.
    """

    def __init__(self, arn: str, function: Function, clients: Clients | None = None) -> None:
        self.function = function
        self.concurrency: int | None = None  # as many at once as permits allow
        self.describe = f"Invoke {arn}, given up after {function.timeout:g} s"
        self._arn = arn
        self._clients = clients or Clients()
        self._owned = clients is None
        self._client = self._clients.get("lambda", Arn.parse(arn).region or None, "invoke")

    async def open(self) -> None:
        """Build the client. Nothing is invoked, and no permission is needed but that to invoke. Raises SourceError."""
        try:
            await self._client.open()
        except CallFailed as failure:
            raise failure.about(self._arn) from failure.__cause__

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Invoke and wait. Cancelled, it gives the call up; the function in Lambda goes on to its own timeout."""
        try:
            answer = await self._client.call(
                "Invoke",
                FunctionName=self._arn,
                InvocationType="RequestResponse",
                Payload=msgspec.json.encode(invocation.event),
            )
            async with answer["Payload"] as stream:
                payload: bytes = await stream.read()
        except CallFailed as failure:
            return _not_invoked(failure)
        except (aiohttp.ClientError, ReadTimeoutError, OSError) as error:
            return Failed(type(error).__name__, f"{self._arn}: the answer broke off: {error}")
        return _outcome(answer.get("FunctionError"), payload)

    async def close(self) -> None:
        """Close the client where it is not shared."""
        if self._owned:
            await self._clients.close()


def _outcome(error: str | None, payload: bytes) -> Outcome:
    unreadable, body = None, None
    if payload.strip():
        try:
            body = msgspec.json.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            unreadable = str(fault)
    if error is None:
        return Returned(body, unreadable)
    described: dict[str, Any] = body if isinstance(body, dict) else {}
    text = described.get("errorMessage", payload[:500].decode(errors="backslashreplace"))
    return Failed(str(described.get("errorType", error)), str(text))


def _not_invoked(failure: CallFailed) -> Outcome:
    """A call that Lambda refused, or that did not reach it. AWS: 5.1-3, before invocation: no attempt is spent."""
    cause = failure.__cause__
    if failure.code in _EVENT:
        return Failed(failure.code, str(failure))
    if failure.kind is Kind.THROTTLED or failure.code in _BUSY:
        return Throttled(_retry_after(cause))
    never_sent = isinstance(cause, ConnectTimeoutError | EndpointConnectionError)
    if failure.kind is Kind.UNREACHABLE and not never_sent:
        return Failed(type(cause).__name__, str(failure))  # it was sent, so it may have run
    return Unreachable(str(failure))


def _retry_after(cause: BaseException | None) -> float | None:
    response = getattr(cause, "response", None) or {}
    text = str(response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("retry-after", ""))
    return float(text) if text.isdecimal() and len(text) < 10 else None
