"""What a mapping asks AWS for before it can reach its cluster: secrets, brokers and tokens, over the wire to a stub."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from pollers.aws.client import Clients
from pollers.config.access import connect
from pollers.config.model import KafkaTerms
from pollers.config.parse import parse
from pollers.errors import ConfigurationError, PollersError, SourceError
from pollers.kafka.connection import KafkaConnection, Sasl, Tls, client_settings

MSK = "arn:aws:kafka:eu-west-1:123456789012:cluster/orders/abcd1234-abcd-cafe-abab-9876543210ab-4"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:AmazonMSK_orders-AbCdEf"
BROKERS = {
    "bootstrapBrokerString": "b-1:9092,b-2:9092",
    "bootstrapBrokerStringTls": "b-1:9094,b-2:9094",
    "bootstrapBrokerStringSaslScram": "b-1:9096,b-2:9096",
    "bootstrapBrokerStringSaslIam": "b-1:9098,b-2:9098",
}


@dataclass
class Account:
    """An AWS with one secret, one cluster and a role."""

    secret: str = json.dumps({"username": "me", "password": "geheim"})
    brokers: dict[str, str] = field(default_factory=lambda: BROKERS)
    lifetime: float = 300.0  # seconds of a token
    asked: list[dict[str, Any]] = field(default_factory=list)
    fault: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        region = request.headers["Authorization"].split("/")[2]
        if request.method == "GET":
            self.asked.append({"path": request.path, "region": region})
            return web.json_response(self.brokers)
        content = (await request.read()).decode()
        if "X-Amz-Target" in request.headers:
            self.asked.append({**json.loads(content), "region": region})
            if self.fault:
                return web.json_response({"__type": self.fault, "message": "no"}, status=400)
            return web.json_response({"SecretString": self.secret})
        self.asked.append({**{name: value[0] for name, value in parse_qs(content).items()}, "region": region})
        return web.Response(text=self._token(), content_type="text/xml")

    def _token(self) -> str:
        end = datetime.fromtimestamp(time.time() + self.lifetime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        token = f"<WebIdentityToken>token-{len(self.asked)}</WebIdentityToken><Expiration>{end}</Expiration>"
        return f"<R><GetWebIdentityTokenResult>{token}</GetWebIdentityTokenResult></R>"


@pytest.fixture
async def account(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Account]:
    account = Account()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", account.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_REGION": "us-west-2",
        "AWS_DEFAULT_REGION": "us-west-2",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    yield account
    await runner.cleanup()


def terms(*access: dict[str, str], arn: str | None = None, **options: Any) -> KafkaTerms:
    servers = {"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["127.0.0.1:9092"]}}
    mapping = {
        "function_name": "orders",
        "topics": ["orders"],
        "starting_position": "LATEST",
        "source_access_configurations": list(access),
        "pollers": options,
        **({"event_source_arn": arn} if arn else {"self_managed_event_source": servers}),
    }
    functions = {"orders": {"handler": "work.handle"}}
    (read,) = parse({"functions": functions, "event_source_mappings": [mapping]}).mappings
    assert isinstance(read.terms, KafkaTerms)
    return read.terms


async def connection(given: KafkaTerms) -> KafkaConnection:
    async with Clients() as clients:
        return await connect(given, clients)


@pytest.mark.rule("12-23")
async def test_a_secret_of_secrets_manager_is_read_in_its_own_region(account: Account) -> None:
    found = await connection(terms({"type": "SASL_SCRAM_512_AUTH", "uri": SECRET}))
    assert found == KafkaConnection(("127.0.0.1:9092",), Sasl("SCRAM-SHA-512", "me", "geheim"), Tls())
    assert account.asked == [{"SecretId": SECRET, "region": "eu-central-1"}]


async def test_a_secret_that_is_not_there_is_said(account: Account) -> None:
    account.fault = "ResourceNotFoundException"
    with pytest.raises(SourceError) as caught:
        await connection(terms({"type": "BASIC_AUTH", "uri": SECRET}))
    assert caught.value.resource == SECRET
    assert caught.value.missing


@pytest.mark.parametrize(
    ("access", "port", "sasl"),
    [
        ([], 9098, Sasl("AWS_MSK_IAM", region="eu-west-1")),
        ([{"type": "IAM_AUTH"}], 9098, Sasl("AWS_MSK_IAM", region="eu-west-1")),
        ([{"type": "SASL_SCRAM_512_AUTH", "uri": SECRET}], 9096, Sasl("SCRAM-SHA-512", "me", "geheim")),
    ],
)
async def test_the_brokers_of_msk_are_those_for_the_way_in(
    account: Account, access: list[dict[str, str]], port: int, sasl: Sasl
) -> None:
    found = await connection(terms(*access, arn=MSK))
    assert found == KafkaConnection((f"b-1:{port}", f"b-2:{port}"), sasl, Tls())
    assert account.asked[-1]["region"] == "eu-west-1"


async def test_a_certificate_goes_to_the_brokers_that_encrypt_and_its_key_may_have_a_password(account: Account) -> None:
    account.secret = json.dumps({"certificate": "PEM", "privateKey": "KEY", "privateKeyPassword": "geheim"})
    found = await connection(terms({"type": "CLIENT_CERTIFICATE_TLS_AUTH", "uri": SECRET}, arn=MSK))
    assert found == KafkaConnection(("b-1:9094", "b-2:9094"), None, Tls(None, "PEM", "KEY", "geheim"))
    assert "KEY" not in repr(found)
    assert "geheim" not in repr(found)


async def test_a_cluster_without_that_way_in_is_said(account: Account) -> None:
    account.brokers = {"bootstrapBrokerString": "b-1:9092"}
    with pytest.raises(SourceError, match="no brokers for SaslIam"):
        await connection(terms(arn=MSK))


async def test_msk_has_no_brokers_for_ways_in_that_it_does_not_have(account: Account) -> None:
    with pytest.raises(SourceError, match="no brokers for PLAIN"):
        await connection(terms({"type": "BASIC_AUTH", "uri": SECRET}, arn=MSK))


async def test_iam_on_a_cluster_elsewhere_signs_for_the_region_that_botocore_finds(account: Account) -> None:
    found = await connection(terms({"type": "IAM_AUTH"}))
    assert found.sasl == Sasl("AWS_MSK_IAM", region="us-west-2")
    settings = client_settings(found)
    assert (settings["security_protocol"], settings["sasl_mechanism"]) == ("SASL_SSL", "OAUTHBEARER")
    token = await settings["sasl_oauth_token_provider"].token()
    assert token == await settings["sasl_oauth_token_provider"].token(), "used until shortly before its end"


IDENTITY = ({"type": "IAM_OAUTHBEARER_AUTH"}, {"type": "OAUTHBEARER_AUDIENCE", "uri": "https://kafka.example"})


@pytest.mark.parametrize(("lifetime", "made"), [(300.0, 1), (30.0, 2)])
async def test_the_identity_of_the_role_is_a_token_for_the_audience(
    account: Account, lifetime: float, made: int
) -> None:
    """A token that would end soon is not used again."""
    account.lifetime = lifetime
    async with Clients() as clients:
        found = await connect(terms(*IDENTITY), clients)
        provider = client_settings(found)["sasl_oauth_token_provider"]
        assert [await provider.token(), await provider.token()] == ["token-1", f"token-{made}"]
    asked = account.asked[0]
    assert (asked["Action"], asked["Audience.member.1"]) == ("GetWebIdentityToken", "https://kafka.example")
    assert len(account.asked) == made


@pytest.mark.parametrize(
    ("access", "words"),
    [
        ([IDENTITY[0]], "IAM_OAUTHBEARER_AUTH needs an OAUTHBEARER_AUDIENCE"),
        ([IDENTITY[1]], "OAUTHBEARER_AUDIENCE is for IAM_OAUTHBEARER_AUTH only"),
        ([{"type": "OAUTHBEARER_AUTH", "uri": SECRET}], "OAUTHBEARER_AUTH cannot be used by this version"),
        ([{"type": "VIRTUAL_HOST", "uri": "/"}], "VIRTUAL_HOST cannot be used by this version"),
        ([{"type": "BASIC_AUTH", "uri": "arn:aws:s3:::secrets"}], "does not say where the secret is"),
        ([{"type": "BASIC_AUTH"}], "a secret is needed"),
        ([{"type": "IAM_AUTH"}, *IDENTITY], "two ways to log in"),
    ],
)
def test_what_cannot_be_obeyed_is_one_clear_fault(access: list[dict[str, str]], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        terms(*access)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("tls", [Tls(ca="nonsense"), Tls(certificate="nonsense", key="geheim")])
def test_a_certificate_that_is_none_is_said_and_not_shown(tls: Tls) -> None:
    with pytest.raises(PollersError, match="a certificate or its key cannot be used") as caught:
        client_settings(KafkaConnection(("127.0.0.1:9092",), tls=tls))
    assert "geheim" not in str(caught.value)
