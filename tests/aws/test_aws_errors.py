"""What users are told when a call of AWS fails: through the real client where that can be had, else from its errors."""

from __future__ import annotations

import ssl
from pathlib import Path

import aiohttp
import pytest
from aws_stage import answering, refusal
from botocore import exceptions as botocore

from pollers.aws.client import Clients
from pollers.aws.errors import CallFailed, Diagnosis, Kind, diagnose

URL = "https://sqs.eu-west-1.amazonaws.com"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Nothing but what the test says: no profile, no role, no metadata service."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:1")
    return monkeypatch


async def failure(region: str | None = None) -> CallFailed:
    async with Clients() as clients:
        with pytest.raises(CallFailed) as caught:
            await clients.get("sqs", region, "poll").call("ReceiveMessage", QueueUrl="http://x/1/orders")
    return caught.value


async def test_unreachable_endpoint_is_named(environment: pytest.MonkeyPatch) -> None:
    found = await failure()
    assert found.kind is Kind.UNREACHABLE
    assert str(found) == (
        "http://127.0.0.1:1 (region eu-west-1) cannot be reached: Connection refused. Check that the service is up and "
        "that AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_SQS, the region and the network lead to it."
    )


@pytest.mark.parametrize(
    ("status", "kind", "body", "words"),
    [
        (200, "text/html", b"<html>It works</html>", "is not SQS (content type text/html)"),
        (200, "application/json", b'{"cut off' + b" " * 100, "is not SQS (109 bytes that are not its JSON)"),
        (404, "text/html", b"<html>Not\n found</html>", "is not SQS (status 404: <html>Not found</html>)"),
        (403, "text/plain", b"x" * 1_000, "is not SQS (status 403: " + "x" * 300 + "...)"),
    ],
)
async def test_answer_that_is_no_json_is_not_taken_for_an_empty_queue(
    environment: pytest.MonkeyPatch, status: int, kind: str, body: bytes, words: str
) -> None:
    async with answering(status, kind, body) as url:
        environment.setenv("AWS_ENDPOINT_URL_SQS", url)
        found = await failure()
    assert found.kind is Kind.UNREADABLE
    assert words in str(found)
    assert url in str(found)
    assert "Check AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_SQS" in str(found)


async def test_proxy_that_fails_is_tried_again(environment: pytest.MonkeyPatch) -> None:
    async with answering(502, "text/html", b"<h1>Bad gateway</h1>") as url:
        environment.setenv("AWS_ENDPOINT_URL_SQS", url)
        found = await failure()
    assert found.kind is Kind.OTHER
    assert str(found) == (
        f"ReceiveMessage failed at {url} (region eu-west-1) with status 502: <h1>Bad gateway</h1>. "
        "It is tried again, more slowly."
    )


async def test_missing_credentials_say_how_to_give_them(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("AWS_ACCESS_KEY_ID")
    environment.delenv("AWS_SECRET_ACCESS_KEY")
    found = await failure()
    assert found.kind is Kind.CREDENTIALS
    assert str(found).startswith("no credentials were found. Give them as for the AWS CLI and boto3: AWS_ACCESS_KEY_ID")


async def test_half_of_the_credentials_is_none(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("AWS_SECRET_ACCESS_KEY")
    found = await failure()
    assert found.kind is Kind.CREDENTIALS
    assert "missing: AWS_SECRET_ACCESS_KEY" in str(found)


async def test_unknown_profile_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_PROFILE", "nope")
    found = await failure()
    assert found.kind is Kind.CREDENTIALS
    assert "there are no usable credentials: The config profile (nope) could not be found" in str(found)


async def test_missing_region_says_how_to_give_it(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("AWS_DEFAULT_REGION")
    found = await failure()
    assert found.kind is Kind.INVALID
    assert str(found) == (
        "there is no usable region: You must specify a region. Set AWS_DEFAULT_REGION, or region in the profile, or "
        "name the resource by its ARN."
    )


async def test_region_that_is_none_is_named(environment: pytest.MonkeyPatch) -> None:
    found = await failure("Bad Region!")
    assert found.kind is Kind.INVALID
    assert "'Bad Region!'" in str(found)


async def test_endpoint_that_is_no_url_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_ENDPOINT_URL_SQS", "localhost")
    found = await failure()
    assert found.kind is Kind.INVALID
    assert "Invalid endpoint: localhost. Give AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_SQS as http://host:port." in str(
        found
    )


def told(error: Exception, operation: str = "ReceiveMessage") -> Diagnosis:
    return diagnose(error, service="sqs", operation=operation, endpoint=URL)


@pytest.mark.parametrize(
    ("code", "message", "status", "kind", "cause"),
    [
        ("AWS.SimpleQueueService.NonExistentQueue", "Gone.", 400, Kind.MISSING, f"it does not exist at {URL}: AWS"),
        ("QueueDoesNotExist", "Gone.", 400, Kind.MISSING, "it does not exist"),
        ("ResourceNotFoundException", "", 400, Kind.MISSING, "it does not exist"),
        ("AccessDenied", "No.", 403, Kind.DENIED, "ReceiveMessage is denied: AccessDenied: No"),
        ("KMS.AccessDeniedException", "No.", 400, Kind.DENIED, "ReceiveMessage is denied"),
        ("ExpiredToken", "It expired.", 403, Kind.CREDENTIALS, "the credentials have expired: ExpiredToken"),
        (
            "InvalidClientTokenId",
            "Who?",
            403,
            Kind.CREDENTIALS,
            "the credentials are not accepted: InvalidClientTokenI",
        ),
        ("SignatureDoesNotMatch", "Differs.", 403, Kind.CREDENTIALS, "the credentials are not accepted"),
        (
            "SignatureDoesNotMatch",
            "Signature expired: 1 is now earlier than 2",
            403,
            Kind.SKEWED,
            "this machine's clock",
        ),
        (
            "InvalidSignatureException",
            "Signature not yet current: 2",
            400,
            Kind.SKEWED,
            "this machine's clock is wrong",
        ),
        ("RequestTimeTooSkewed", "Off.", 403, Kind.SKEWED, "this machine's clock is wrong"),
        ("RequestThrottled", "Slow.", 400, Kind.THROTTLED, "ReceiveMessage is throttled: RequestThrottled: Slow"),
        ("ThrottlingException", "", 400, Kind.THROTTLED, "ReceiveMessage is throttled"),
        ("OverLimit", "Many.", 403, Kind.FULL, "too many of its messages are in flight: OverLimit"),
        ("InvalidParameterValue", "Bad.", 400, Kind.INVALID, "ReceiveMessage is refused: InvalidParameterValue: Bad"),
        ("NeverSeen", "?", 400, Kind.INVALID, "ReceiveMessage is refused"),
        ("NeverSeen", "?", 401, Kind.CREDENTIALS, "the credentials are not accepted"),
        ("NeverSeen", "?", 403, Kind.DENIED, "ReceiveMessage is denied"),
        ("NeverSeen", "?", 429, Kind.THROTTLED, "ReceiveMessage is throttled"),
        (
            "InternalFailure",
            "Oh.",
            500,
            Kind.OTHER,
            f"ReceiveMessage failed at {URL} with status 500: InternalFailure: Oh",
        ),
        ("503", "", 503, Kind.OTHER, "with status 503: 503"),
    ],
)
def test_refusal_is_told_by_its_code(code: str, message: str, status: int, kind: Kind, cause: str) -> None:
    found = told(refusal(code, message, status))
    assert found.kind is kind
    assert cause in found.cause
    assert found.remedy


def test_permission_to_ask_for_is_named_without_its_batch() -> None:
    found = told(refusal("AccessDenied", "No.", 403), "DeleteMessageBatch")
    assert found.remedy.startswith("Allow sqs:DeleteMessage to these credentials")


@pytest.mark.parametrize(
    ("error", "kind", "cause"),
    [
        (botocore.ReadTimeoutError(endpoint_url=URL), Kind.UNREACHABLE, f"{URL} did not answer in time"),
        (botocore.ConnectTimeoutError(endpoint_url=URL), Kind.UNREACHABLE, "did not answer in time"),
        (botocore.ConnectionClosedError(endpoint_url=URL), Kind.UNREACHABLE, "closed the connection without an answer"),
        (botocore.ProxyConnectionError(proxy_url="http://p:1"), Kind.UNREACHABLE, 'proxy URL: "http://p:1"'),
        (
            botocore.SSLError(endpoint_url=URL, error=ssl.SSLError(1, "bad certificate")),
            Kind.UNREACHABLE,
            "there is no trusted TLS connection",
        ),
        (aiohttp.ServerDisconnectedError(), Kind.UNREACHABLE, "cannot be reached: Server disconnected"),
        (ConnectionResetError(104, "x"), Kind.UNREACHABLE, "cannot be reached: Connection reset by peer"),
        (TimeoutError(), Kind.UNREACHABLE, "did not answer in time"),
        (
            botocore.CredentialRetrievalError(provider="assume-role", error_msg="No."),
            Kind.CREDENTIALS,
            "Error when retrieving credentials from assume-role: No",
        ),
        (botocore.UnauthorizedSSOTokenError(), Kind.CREDENTIALS, "the login has expired: The SSO session"),
        (botocore.ParamValidationError(report="Bad."), Kind.INVALID, "ReceiveMessage cannot be called: Parameter"),
        (RuntimeError("odd"), Kind.OTHER, f"ReceiveMessage failed at {URL}: RuntimeError: odd"),
    ],
)
def test_error_without_an_answer_is_told_by_its_type(error: Exception, kind: Kind, cause: str) -> None:
    found = told(error)
    assert found.kind is kind
    assert cause in found.cause
    assert not found.cause.endswith(".")
    assert found.remedy.endswith(".")


def test_error_about_a_resource_says_whether_it_is_missing() -> None:
    missing = CallFailed("ReceiveMessage", told(refusal("QueueDoesNotExist", "Gone.")), "QueueDoesNotExist").about("q")
    denied = CallFailed("ReceiveMessage", told(refusal("AccessDenied", "No."))).about("q")
    assert (missing.missing, denied.missing) == (True, False)
    assert missing.resource == "q"
    assert str(missing).startswith("q: it does not exist at ")
