"""What a failed call of AWS means for a user: its kind, a short cause, and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import aiohttp
from botocore import exceptions as botocore
from botocore.parsers import ResponseParserError

from pollers.aws.refusals import Kind, kind_of
from pollers.errors import PollersError, SourceError

__all__ = ["FAILURES", "CallFailed", "Diagnosis", "Kind", "Unreadable", "check_answer", "diagnose"]

_LONGEST = 300  # characters of somebody else's message that are worth quoting

_GIVE_CREDENTIALS = (
    "Give them as for the AWS CLI and boto3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, a web identity, "
    "or the role of the container or instance. Emulators take any, such as AWS_ACCESS_KEY_ID=test and "
    "AWS_SECRET_ACCESS_KEY=test."
)
_CHECK_CREDENTIALS = (
    "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_PROFILE: the first that is set wins. "
    "'aws sts get-caller-identity' shows whom AWS takes them for."
)
_RENEW_CREDENTIALS = (
    "Renew them ('aws sso login' for a profile of IAM Identity Center). Those of a role, a web identity, a container "
    "or an instance are renewed by themselves."
)
_GIVE_REGION = "Set AWS_DEFAULT_REGION, or region in the profile, or name the resource by its ARN."
_CHECK_ENDPOINT = (
    "Check that the service is up and that AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_{service}, the region and the network "
    "lead to it."
)
_AGAIN = "It is tried again, more slowly."
_WHEN_FULL = "They leave when they are deleted or their visibility timeout ends. It is tried again, more slowly."


class Unreadable(Exception):
    """An answer with status 200 that is not one of the service: no JSON, or not that of the operation."""

    def __init__(self, endpoint: str, detail: str) -> None:
        self.endpoint = endpoint
        self.detail = detail
        super().__init__(f"The answer of {endpoint} is not AWS's: {detail}")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Sentences for a user. `cause` begins in lower case and has no full stop, `remedy` is whole sentences."""

    kind: Kind
    cause: str
    remedy: str


class CallFailed(PollersError):
    """A call that AWS refused, or that did not reach it. What the client raised is its `__cause__`."""

    def __init__(self, operation: str, diagnosis: Diagnosis, code: str = "") -> None:
        self.operation = operation
        self.diagnosis = diagnosis
        self.code = code  # AWS's error code, where there was an answer
        super().__init__(f"{diagnosis.cause}. {diagnosis.remedy}")

    @property
    def kind(self) -> Kind:
        return self.diagnosis.kind

    @property
    def outcome(self) -> Literal["error", "throttled"]:
        """How such a call is counted."""
        return "throttled" if self.kind in (Kind.THROTTLED, Kind.FULL) else "error"

    def about(self, resource: str) -> SourceError:
        """The error to raise for a resource that cannot be used for this reason."""
        missing = self.kind is Kind.MISSING
        return SourceError(resource, self.diagnosis.cause, self.diagnosis.remedy, missing=missing)


def diagnose(error: Exception, *, service: str, operation: str, endpoint: str) -> Diagnosis:
    """What `error` of botocore, aiobotocore or aiohttp means. Never raises."""
    if isinstance(error, botocore.ClientError):
        return _of_answer(error.response, service, operation, endpoint)
    if isinstance(error, Unreadable):
        return _unreadable(error.detail, service, error.endpoint)
    if isinstance(error, ResponseParserError):
        return _unreadable(_text(error), service, endpoint)
    if _is(error, _NO_CREDENTIALS):
        return Diagnosis(Kind.CREDENTIALS, "no credentials were found", _GIVE_CREDENTIALS)
    if _is(error, _CREDENTIALS):
        return Diagnosis(Kind.CREDENTIALS, f"there are no usable credentials: {_text(error)}", _CHECK_CREDENTIALS)
    if _is(error, _EXPIRED):
        return Diagnosis(Kind.CREDENTIALS, f"the login has expired: {_text(error)}", _RENEW_CREDENTIALS)
    if _is(error, _REGION):
        return Diagnosis(Kind.INVALID, f"there is no usable region: {_text(error)}", _GIVE_REGION)
    if isinstance(error, botocore.ParamValidationError):
        return Diagnosis(Kind.INVALID, f"{operation} cannot be called: {_text(error)}", "Check the configuration.")
    return _of_network(error, service, endpoint) or _of_the_rest(error, operation, service, endpoint)


_NO_CREDENTIALS = (botocore.NoCredentialsError, botocore.NoAuthTokenError)
_CREDENTIALS = (
    botocore.PartialCredentialsError,
    botocore.CredentialRetrievalError,
    botocore.MetadataRetrievalError,
    botocore.ProfileNotFound,
    botocore.UnknownCredentialError,
    botocore.InvalidConfigError,
    botocore.RefreshWithMFAUnsupportedError,
)
_EXPIRED = (botocore.SSOError, botocore.TokenRetrievalError, botocore.LoginError)
_REGION = (
    botocore.NoRegionError,
    botocore.InvalidRegionError,
    botocore.UnknownRegionError,
    botocore.UnknownEndpointError,
    botocore.ServiceNotInRegionError,
)
_TIMEOUTS = (botocore.ReadTimeoutError, botocore.ConnectTimeoutError, TimeoutError)
_NETWORK = (botocore.ConnectionError, botocore.HTTPClientError, aiohttp.ClientError, OSError)


# All that a call of a client raises on purpose.
FAILURES: Final = (
    botocore.ClientError,
    botocore.BotoCoreError,
    ResponseParserError,
    aiohttp.ClientError,
    OSError,
    Unreadable,
)
# HTTP: the answer to a HEAD has no body, and so no code of its own.
_OF_HEADS: Final = {403: "AccessDenied", 404: "NotFound"}


def _is(error: Exception, kinds: tuple[type[Exception], ...]) -> bool:
    return isinstance(error, kinds)


def _of_network(error: Exception, service: str, endpoint: str) -> Diagnosis | None:
    remedy = _CHECK_ENDPOINT.format(service=service.upper())
    if isinstance(error, botocore.ProxyConnectionError):
        return Diagnosis(Kind.UNREACHABLE, _text(error), "Check HTTP_PROXY, HTTPS_PROXY and NO_PROXY.")
    if isinstance(error, botocore.SSLError | aiohttp.ClientSSLError):
        return Diagnosis(
            Kind.UNREACHABLE,
            f"there is no trusted TLS connection to {endpoint}: {_deepest(error)}",
            f"{remedy} A certificate authority of your own is named by AWS_CA_BUNDLE.",
        )
    if _is(error, _TIMEOUTS):
        return Diagnosis(Kind.UNREACHABLE, f"{endpoint} did not answer in time", remedy)
    if isinstance(error, botocore.ConnectionClosedError):
        return Diagnosis(Kind.UNREACHABLE, f"{endpoint} closed the connection without an answer", remedy)
    if _is(error, _NETWORK):
        return Diagnosis(Kind.UNREACHABLE, f"{endpoint} cannot be reached: {_deepest(error)}", remedy)
    return None


def _of_the_rest(error: Exception, operation: str, service: str, endpoint: str) -> Diagnosis:
    if isinstance(error, botocore.InvalidEndpointConfigurationError):
        remedy = f"Give AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_{service.upper()} as http://host:port."
        return Diagnosis(Kind.INVALID, f"the endpoint is no URL: {_text(error)}", remedy)
    cause = f"{operation} failed at {endpoint}: {type(error).__name__}: {_text(error)}"
    return Diagnosis(Kind.OTHER, cause, _AGAIN)


def _of_answer(response: Mapping[str, Any], service: str, operation: str, endpoint: str) -> Diagnosis:
    """An answer with a status of 300 or more."""
    fault = response.get("Error", {})
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    heads = _OF_HEADS if operation.startswith("Head") else {}
    code, message = heads.get(status, str(fault.get("Code", ""))), _short(str(fault.get("Message", "")).rstrip("."))
    if status < 500 and (not code or code.isdigit()):
        return _unreadable(f"status {status}: {message or 'no text'}", service, endpoint)
    kind = kind_of(code, message, status)
    said = message or code if code.isdigit() else f"{code}: {message}" if message else code
    match kind:
        case Kind.MISSING:
            return Diagnosis(kind, f"it does not exist at {endpoint}: {said}", "Check its name, region and account.")
        case Kind.DENIED:
            action = f"{service}:{operation.removesuffix('Batch')}"  # AWS: permissions have no batches
            remedy = f"Allow {action} to these credentials, by their policy or by the resource's own."
            return Diagnosis(kind, f"{operation} is denied: {said}", remedy)
        case Kind.CREDENTIALS:
            expired = "expired" in said.lower()
            cause = "the credentials have expired" if expired else "the credentials are not accepted"
            return Diagnosis(kind, f"{cause}: {said}", _RENEW_CREDENTIALS if expired else _CHECK_CREDENTIALS)
        case Kind.SKEWED:
            return Diagnosis(kind, f"this machine's clock is wrong: {said}", "Set its clock, best by NTP.")
        case Kind.THROTTLED:
            return Diagnosis(kind, f"{operation} is throttled: {said}", _AGAIN)
        case Kind.FULL:
            return Diagnosis(kind, f"too many of its messages are in flight: {said}", _WHEN_FULL)
        case Kind.INVALID:
            return Diagnosis(kind, f"{operation} is refused: {said}", "Check the configuration of the resource.")
        case Kind.OTHER | Kind.UNREACHABLE | Kind.UNREADABLE:
            return Diagnosis(kind, f"{operation} failed at {endpoint} with status {status}: {said}", _AGAIN)


def _unreadable(detail: str, service: str, endpoint: str) -> Diagnosis:
    return Diagnosis(
        Kind.UNREADABLE,
        f"what answers at {endpoint} is not {service.upper()} ({detail})",
        f"Check AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_{service.upper()}, and proxies between here and there.",
    )


def check_answer(answer: Mapping[str, Any], endpoint: str) -> None:
    """Raise `Unreadable` for an answer without any member that cannot be an answer of the service.

    botocore makes an empty answer of a page of HTML, or of JSON that was cut off, when its status is 200: to a poller
    that looks like an empty queue, for ever.
    """
    if len(answer) > 1:
        return  # more than ResponseMetadata
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    length, kind = headers.get("content-length", "0"), headers.get("content-type", "json")
    if length != "0" and "json" not in kind:
        raise Unreadable(endpoint, f"content type {_short(kind)}")
    if length.isdigit() and int(length) > _EMPTY:
        raise Unreadable(endpoint, f"{length} bytes that are not its JSON")


_EMPTY = 64  # bytes that an empty answer in JSON does not exceed: {}, or {"Messages": []}


def _deepest(error: BaseException) -> str:
    """The words of the first cause: the operating system's, where there are any."""
    inner = getattr(error, "kwargs", {}).get("error") or error.__cause__
    if isinstance(inner, BaseException) and inner is not error:
        return _deepest(inner)
    reason = getattr(error, "os_error", None) or error
    if isinstance(reason, OSError) and reason.errno and reason.errno > 0:
        return os.strerror(reason.errno)  # "Connection refused", where asyncio says "Connect call failed"
    return _short(getattr(reason, "strerror", None) or str(reason) or type(reason).__name__)


def _text(error: Exception) -> str:
    return _short(str(error).rstrip("."))


def _short(text: str) -> str:
    """On one line, and not too long: it may be a page of HTML."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
