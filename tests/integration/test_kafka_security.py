"""How a real broker is logged in to, and what is said where that fails. No secret is in anything that is said."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from kafka_broker import KafkaBroker

from pollers import EventSourceMapping, KafkaConnection, KafkaSource, Pollers, Sasl, SourceError, Tls
from pollers.config.build import build
from pollers.config.parse import parse
from pollers.telemetry import Event, PartitionGranted, PollerCrashed
from pollers.testing.functions import ScriptedFunction

PASSWORD = "poller-secret"  # of the user `poller`, as kafka.sh makes it
PLAIN, OPEN_SASL, ENCRYPTED, SECURE = range(4)  # listeners, by their distance from the broker's port
Access = dict[str, str]


class Cluster:
    """A topic of the broker, with its secrets in files, as a mapping's configuration names them."""

    def __init__(self, broker: KafkaBroker, folder: Path) -> None:
        self.broker = broker
        self.tls = broker.folder / "tls"
        self.topic = f"topic-{time.time_ns()}"
        self._folder = folder

    async def put(self, *values: str) -> None:
        await self.broker.create_topic(self.topic)
        await self.add(*values)

    async def add(self, *values: str) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.broker.servers)
        await producer.start()
        for value in values:
            await producer.send_and_wait(self.topic, value.encode(), partition=0)
        await producer.stop()

    def address(self, listener: int) -> str:
        return f"127.0.0.1:{self.broker.port + listener}"

    def text(self, name: str) -> str:
        return (self.tls / name).read_text()

    def access(self, kind: str, **secret: str) -> Access:
        path = self._folder / f"{kind}.json"
        path.write_text(json.dumps(secret))
        return {"type": kind, "uri": path.as_uri()}

    def user(self, kind: str, password: str = PASSWORD) -> Access:
        return self.access(kind, username="poller", password=password)

    def authority(self) -> Access:
        return self.access("SERVER_ROOT_CA_CERTIFICATE", certificate=self.text("ca.pem"))

    def certificate(self) -> Access:
        name = "CLIENT_CERTIFICATE_TLS_AUTH"
        return self.access(name, certificate=self.text("client.pem"), privateKey=self.text("client.key"))

    async def read(self, listener: int, *access: Access, expected: int = 1, **options: Any) -> list[str]:
        """What a mapping reads that is configured like this."""
        mapping = {
            "function_name": "orders",
            "topics": [self.topic],
            "starting_position": "TRIM_HORIZON",
            "maximum_batching_window_in_seconds": 0,
            "self_managed_event_source": {"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [self.address(listener)]}},
            "source_access_configurations": list(access),
            "pollers": options,
        }
        functions = {"orders": {"url": "http://127.0.0.1:1/orders", "timeout": 5}}
        service = build(parse({"functions": functions, "event_source_mappings": [mapping]}))
        function = ScriptedFunction(timeout=5.0)
        try:
            async with Pollers([replace(one, target=function) for one in service.mappings]):
                await until(lambda: len(seen(function)) >= expected)
        finally:
            await service.close()
        return seen(function)

    async def refusal(self, listener: int, *access: Access, **options: Any) -> SourceError:
        with pytest.raises(SourceError) as caught:
            await self.read(listener, *access, **options)
        assert caught.value.resource == self.address(listener)
        return caught.value


def seen(function: ScriptedFunction) -> list[str]:
    records = (one for call in function.calls for some in call.event["records"].values() for one in some)
    return [b64decode(one["value"]).decode() for one in records]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.05)


@pytest.fixture
async def cluster(secure_kafka_broker: KafkaBroker, tmp_path: Path) -> Cluster:
    return Cluster(secure_kafka_broker, tmp_path)


@pytest.fixture(autouse=True)
def no_secret_is_said(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """As the service has it: of clients nothing below a warning."""
    caplog.set_level(logging.WARNING)
    yield
    assert PASSWORD not in caplog.text
    assert "PRIVATE KEY" not in caplog.text


# Logging in


@pytest.mark.rule("12-23")
@pytest.mark.parametrize("kind", ["BASIC_AUTH", "SASL_SCRAM_256_AUTH", "SASL_SCRAM_512_AUTH"])
async def test_a_user_with_a_password_reads_over_tls_and_where_asked_for_in_the_open(
    cluster: Cluster, kind: str
) -> None:
    await cluster.put("a")
    assert await cluster.read(SECURE, cluster.user(kind), cluster.authority()) == ["a"]
    assert await cluster.read(OPEN_SASL, cluster.user(kind), tls=False) == ["a"]


@pytest.mark.rule("12-23")
async def test_a_certificate_reads_without_a_user(cluster: Cluster) -> None:
    await cluster.put("a")
    assert await cluster.read(ENCRYPTED, cluster.authority(), cluster.certificate()) == ["a"]


# Refusals


@pytest.mark.parametrize("kind", ["BASIC_AUTH", "SASL_SCRAM_256_AUTH", "SASL_SCRAM_512_AUTH"])
async def test_a_wrong_password_is_said_and_not_shown(cluster: Cluster, kind: str) -> None:
    error = await cluster.refusal(SECURE, cluster.user(kind, "geheim-7"), cluster.authority())
    assert "does not accept who we are" in str(error)
    assert "source_access_configurations" in str(error)
    assert error.missing
    assert "geheim" not in "".join(map(repr, (error, error.__cause__, error.__context__)))


async def test_a_certificate_that_is_not_trusted_is_said(cluster: Cluster) -> None:
    error = await cluster.refusal(SECURE, cluster.user("SASL_SCRAM_512_AUTH"))
    assert "its certificate cannot be trusted" in str(error)
    assert "SERVER_ROOT_CA_CERTIFICATE" in str(error)
    assert error.missing


async def test_a_missing_certificate_of_ours_is_said(cluster: Cluster) -> None:
    error = await cluster.refusal(ENCRYPTED, cluster.authority())
    assert "ends the TLS connection" in str(error)
    assert "CLIENT_CERTIFICATE_TLS_AUTH" in str(error)
    assert error.missing


@pytest.mark.parametrize(
    ("listener", "tls", "words"),
    [
        (PLAIN, True, "Its listener may have no TLS"),
        (PLAIN, False, "its listener has no SASL"),
        (ENCRYPTED, False, "its listener wants TLS"),
        (OPEN_SASL, True, "Its listener may have no TLS"),
    ],
)
async def test_the_port_of_another_listener_is_said(cluster: Cluster, listener: int, tls: bool, words: str) -> None:
    more = [cluster.authority()] if tls else []
    error = await cluster.refusal(listener, cluster.user("SASL_SCRAM_512_AUTH"), *more, tls=tls)
    assert words in str(error)
    assert "Check the port" in str(error)


async def test_nobody_in_particular_at_a_port_that_wants_to_know_is_said(cluster: Cluster) -> None:
    error = await cluster.refusal(OPEN_SASL)
    assert "closes the connection at our first request" in str(error)


# Tokens


def token(seconds: float = 3_600.0) -> str:
    """An unsigned one, which this broker takes."""
    now = time.time()
    parts = {"alg": "none"}, {"sub": "poller", "iat": now, "exp": now + seconds}
    return "".join(urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") + "." for one in parts)


async def test_a_token_reads_over_tls(cluster: Cluster) -> None:
    await cluster.put("a")

    async def fresh() -> str:
        return token()

    connection = KafkaConnection(
        (cluster.address(SECURE),), Sasl("OAUTHBEARER", token=fresh), Tls(ca=cluster.text("ca.pem"))
    )
    function = ScriptedFunction(timeout=5.0)
    async with Pollers([EventSourceMapping(KafkaSource(cluster.topic, connection), function, name=cluster.topic)]):
        await until(lambda: seen(function) == ["a"])


class Told(list[Event]):
    """An observer that keeps what it is told."""

    notice = list[Event].append


async def test_a_session_that_the_broker_ends_goes_on_with_a_new_token_and_nothing_is_lost(cluster: Cluster) -> None:
    """The client cannot renew a session: it connects anew, and asks for a token each time."""
    await cluster.put("0")
    tokens: list[str] = []
    told = Told()

    async def fresh() -> str:
        tokens.append(token(5.0))
        return tokens[-1]

    connection = KafkaConnection((cluster.address(OPEN_SASL),), Sasl("OAUTHBEARER", token=fresh))
    function = ScriptedFunction(timeout=5.0)
    source = KafkaSource(cluster.topic, connection)
    mapping = EventSourceMapping(source, function, name=cluster.topic, maximum_batching_window_in_seconds=0)
    async with Pollers([mapping], observers=[told]):
        for number in range(1, 13):
            await asyncio.sleep(0.75)  # sessions end meanwhile: four or five of each connection
            await cluster.add(str(number))
        await until(lambda: len(seen(function)) >= 13)
    assert len(tokens) > 6
    assert not any(isinstance(event, PollerCrashed) for event in told)
    assert sum(isinstance(event, PartitionGranted) for event in told) == 1, "the group noticed nothing"
    assert seen(function) == [str(number) for number in range(13)]
