"""Real servers for the integration tests: started once per session on 127.0.0.1 and a free port, stopped at its end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kafka_broker import KafkaBroker, free_ports
from kinesis_client import LACKS, KinesisServer
from moto_process import moto_process

from pollers.testing.front import EmbeddedAws

SERVERS = Path(__file__).with_name("servers")
# Tokens as well, unsigned ones, and a session of two seconds for those who come with one in the open.
TOKENS = """
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl_plaintext.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="poller";
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="poller";
listener.name.sasl_plaintext.oauthbearer.connections.max.reauth.ms=2000
"""
LACKING = 3  # exit code of a start script that misses a program

# The contracts stand beside the embedded servers' tests, which they are written for first.
sys.path.insert(0, str(Path(__file__).parents[1] / "testing"))
pytest.register_assert_rewrite("sqs_cases_messages", "sqs_cases_queues", "sqs_cases_fifo")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(script: str, folder: Path, port: int, *server: str, **settings: str) -> None:
    """Run the start script. What it lacks is a reason to skip on a user's machine, and a failure in CI."""
    command = [str(SERVERS / script), "start", *server, str(folder), str(port)]
    given = {**os.environ, **settings}
    with (folder / "start.log").open("w+") as log:  # not a pipe: the server would keep it open
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=300, env=given)
        log.seek(0)
        said = log.read().strip()
    if done.returncode == LACKING and not os.environ.get("CI"):
        pytest.skip(said)
    if done.returncode:
        pytest.fail(said, pytrace=False)


@pytest.fixture(scope="session", params=list(LACKS))
def kinesis_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KinesisServer]:
    """Each Kinesis in turn: the embedded one, and two that others wrote."""
    name = str(request.param)
    if name == "embedded":
        with EmbeddedAws.in_thread() as aws:
            yield KinesisServer(name, aws.endpoint_url, LACKS[name])
        return
    folder = tmp_path_factory.mktemp(name)
    port = _free_port()
    try:
        _start("kinesis.sh", folder, port, name)
        yield KinesisServer(name, f"http://127.0.0.1:{port}", LACKS[name])
    finally:
        subprocess.run([str(SERVERS / "kinesis.sh"), "stop", str(folder)], check=True, timeout=60)


@pytest.fixture(scope="session", params=["embedded", "moto"])
def dynamodb_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of each DynamoDB in turn: the embedded one, and moto, whose streams have one shard for ever."""
    if request.param == "embedded":
        with EmbeddedAws.in_thread() as aws:
            yield aws.endpoint_url
        return
    with moto_process(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture(scope="session")
def elasticmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an ElasticMQ."""
    folder = tmp_path_factory.mktemp("elasticmq")
    port = _free_port()
    try:
        _start("elasticmq.sh", folder, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        subprocess.run([str(SERVERS / "elasticmq.sh"), "stop", str(folder)], check=True, timeout=60)


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """One Apache Kafka for all tests that leave it alive; each test has topics of its own."""
    with _kafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture
def own_kafka_broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    """One that the test may kill."""
    with _kafka(tmp_path) as broker:
        yield broker


@pytest.fixture(scope="session")
def secure_kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """One that also listens with SASL, with TLS for those who show a certificate, and with both."""
    folder = tmp_path_factory.mktemp("secure-kafka")
    with _kafka(folder, SASL="1", TLS="1", TLS_CLIENT="required", PROPERTIES=TOKENS) as broker:
        yield broker


@contextmanager
def _kafka(folder: Path, **settings: str) -> Iterator[KafkaBroker]:
    port = free_ports(KafkaBroker.PORTS)
    try:
        _start("kafka.sh", folder, port, **settings)
        yield KafkaBroker(folder, port)
    finally:
        subprocess.run([str(SERVERS / "kafka.sh"), "stop", str(folder), str(port)], check=True, timeout=60)
