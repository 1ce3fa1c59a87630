"""Mappings of Kafka topics: what is read, what is refused, and how their clusters are reached."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pollers.aws.client import Clients
from pollers.config.access import connect
from pollers.config.build import build
from pollers.config.model import Access, KafkaTerms, MappingConfig
from pollers.config.parse import parse
from pollers.config.share import share_of
from pollers.destinations.kafka import KafkaDestination
from pollers.errors import ConfigurationError, Problem, SourceError
from pollers.kafka.connection import KafkaConnection, Sasl, Tls

MSK = "arn:aws:kafka:eu-west-1:123456789012:cluster/orders/abcd1234-abcd-cafe-abab-9876543210ab-4"
SERVERS = {"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["127.0.0.1:9092", "127.0.0.1:9093"]}}


def document(**fields: Any) -> dict[str, Any]:
    mapping = {
        "function_name": "orders",
        "topics": ["orders"],
        "starting_position": "TRIM_HORIZON",
        "self_managed_event_source": SERVERS,
        **fields,
    }
    mapping = {name: value for name, value in mapping.items() if value is not None}
    return {"functions": {"orders": {"handler": "work.handle"}}, "event_source_mappings": [mapping]}


def read(**fields: Any) -> tuple[MappingConfig, KafkaTerms]:
    (mapping,) = parse(document(**fields)).mappings
    assert isinstance(mapping.terms, KafkaTerms)
    return mapping, mapping.terms


def faults(**fields: Any) -> list[Problem]:
    with pytest.raises(ConfigurationError) as caught:
        parse(document(**fields))
    return list(caught.value.problems)


def fault(**fields: Any) -> tuple[str, str]:
    (problem,) = faults(**fields)
    return problem.path.removeprefix("event_source_mappings[0]."), problem.message


@pytest.mark.rule("3.1-3")
def test_defaults_are_those_of_aws() -> None:
    mapping, terms = read()
    assert (mapping.batch_size, mapping.maximum_batching_window_in_seconds) == (100, 0.5)
    assert (terms.topic, terms.servers, terms.arn) == ("orders", ("127.0.0.1:9092", "127.0.0.1:9093"), "")
    assert (terms.lanes, terms.out_of_range, terms.group, terms.access, terms.tls) == (
        "partition",
        "earliest",
        None,
        (),
        True,
    )
    assert mapping.event_source_arn == "kafka://127.0.0.1:9092,127.0.0.1:9093/orders"
    assert read(maximum_batching_window_in_seconds=0)[0].maximum_batching_window_in_seconds == 0


def test_a_topic_of_msk_is_read_by_its_arn() -> None:
    mapping, terms = read(
        self_managed_event_source=None,
        event_source_arn=MSK,
        amazon_managed_kafka_event_source_config={"consumer_group_id": "readers"},
    )
    assert (terms.arn, terms.group, terms.servers) == (MSK, "readers", ())
    assert mapping.event_source_arn == f"{MSK}/orders"


def test_two_topics_of_one_cluster_are_two_mappings() -> None:
    raw = document(name=None)
    raw["event_source_mappings"].append({**raw["event_source_mappings"][0], "topics": ["payments"]})
    one, other = parse(raw).mappings
    assert one.identity != other.identity


@pytest.mark.rule("8-2")
def test_a_moment_is_a_starting_position() -> None:
    _, terms = read(starting_position="AT_TIMESTAMP", starting_position_timestamp="2026-01-31T12:00:00Z")
    assert terms.starting_position == datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.rule("5.7-1", "13-7")
@pytest.mark.parametrize(
    ("more", "retries"),
    [
        ({}, None),
        ({"destination_config": {"on_failure": {"destination": "file:///failed.jsonl"}}}, 10),
        (
            {
                "destination_config": {"on_failure": {"destination": "file:///failed.jsonl"}},
                "provisioned_poller_config": {"maximum_pollers": 2},
            },
            None,
        ),
        (
            {
                "destination_config": {"on_failure": {"destination": "file:///failed.jsonl"}},
                "maximum_retry_attempts": 3,
            },
            3,
        ),
    ],
)
def test_with_a_destination_and_no_limit_there_are_ten_retries(more: dict[str, Any], retries: int | None) -> None:
    assert read(**more)[1].maximum_retry_attempts == retries


@pytest.mark.rule("9-7")
def test_a_provisioned_poller_has_five_invocations_at_once() -> None:
    raw = document(provisioned_poller_config={"maximum_pollers": 3, "poller_group_name": "shared"})
    raw["functions"]["orders"] = {"url": "http://127.0.0.1:8080/orders"}
    configuration = parse(raw)
    (mapping,) = build(configuration).mappings
    assert mapping.maximum_concurrency == 15
    assert any("poller_group_name: does nothing here" in line for line in configuration.notices)
    shares = [build(share_of(configuration, worker, 2)).mappings[0].maximum_concurrency for worker in (1, 2)]
    assert shares == [8, 7]
    assert read()[1].maximum_concurrency is None
    assert "what a topic can have" in fault(provisioned_poller_config={"maximum_pollers": 2_001})[1]


@pytest.mark.rule("5.7-2", "13-6", "13-8")
def test_what_aws_keeps_for_provisioned_pollers_is_always_there() -> None:
    _, terms = read(
        maximum_record_age_in_seconds=60,
        bisect_batch_on_function_error=True,
        function_response_types=["ReportBatchItemFailures"],
        pollers={"lanes": "key", "out_of_range": "stop", "instance": "node-1"},
    )
    assert (terms.maximum_record_age_in_seconds, terms.bisect_batch_on_function_error) == (60, True)
    assert (terms.lanes, terms.out_of_range, terms.instance) == ("key", "stop", "node-1")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"topics": None}, ("topics", "Required 'topics' parameter is missing.")),
        (
            {"starting_position": None},
            (
                "starting_position",
                "Value null at 'startingPosition' failed to satisfy constraint: Member must not be null.",
            ),
        ),
        (
            {"event_source_arn": MSK},
            (
                "self_managed_event_source",
                "a mapping has one source: an MSK cluster by its ARN, or one elsewhere by its addresses.",
            ),
        ),
        (
            {"tumbling_window_in_seconds": 30},
            (
                "tumbling_window_in_seconds",
                "Unsupported TumblingWindowInSeconds parameter for given event source mapping type.",
            ),
        ),
        (
            {"self_managed_kafka_event_source_config": {"consumption_mode": "Queue"}},
            (
                "self_managed_kafka_event_source_config.consumption_mode",
                "share groups are not read by this version of pollers yet.",
            ),
        ),
        (
            {"self_managed_kafka_event_source_config": {"schema_registry_config": {"SchemaRegistryURI": "x"}}},
            (
                "self_managed_kafka_event_source_config.schema_registry_config",
                "schema registries are not read by this version of pollers yet.",
            ),
        ),
        (
            {"source_access_configurations": [{"type": "BASIC_AUTH", "uri": "secret"}]},
            ("source_access_configurations[0].uri", "'secret' does not say where the secret is."),
        ),
        (
            {"destination_config": {"on_failure": {"destination": "kafka://orders"}}},
            (
                "destination_config.on_failure.destination",
                "The failure destination cannot be the source topic orders.",
            ),
        ),
    ],
)
def test_what_cannot_be_run_is_one_clear_fault(fields: dict[str, Any], expected: tuple[str, str]) -> None:
    assert fault(**fields) == expected


@pytest.mark.rule("5.9-9")
def test_a_topic_of_the_same_cluster_is_a_failure_destination() -> None:
    raw = document(destination_config={"on_failure": {"destination": "kafka://failed"}})
    raw["functions"]["orders"] = {"url": "http://127.0.0.1:8080/orders"}
    (mapping,) = build(parse(raw)).mappings
    assert isinstance(mapping.destination, KafkaDestination)
    assert mapping.destination.name == "kafka://failed"


def test_a_topic_is_no_failure_destination_of_a_stream() -> None:
    raw = document(
        topics=None,
        self_managed_event_source=None,
        event_source_arn="arn:aws:kinesis:eu-west-1:123456789012:stream/clicks",
        destination_config={"on_failure": {"destination": "kafka://failed"}},
    )
    with pytest.raises(ConfigurationError, match="a topic is a failure destination of Kafka only"):
        parse(raw)


def test_two_ways_to_log_in_are_refused() -> None:
    access = [{"type": one, "uri": "env:KAFKA"} for one in ("BASIC_AUTH", "SASL_SCRAM_512_AUTH")]
    path, message = fault(source_access_configurations=access)
    assert (path, "two ways to log in" in message) == ("source_access_configurations", True)


@pytest.mark.rule("12-23")
def test_a_secret_in_the_open_is_said_and_must_be_asked_for() -> None:
    access = [{"type": "BASIC_AUTH", "uri": "env:KAFKA"}]
    raw = document(source_access_configurations=access, pollers={"tls": False}, name="orders")
    assert any("not encrypted: its secret can be read" in line for line in parse(raw).notices)
    assert not any("not encrypted" in line for line in parse(document(source_access_configurations=access)).notices)


# Connections


def terms(*access: Access, tls: bool = True) -> KafkaTerms:
    return replace(read()[1], access=access, tls=tls)


@pytest.mark.rule("12-23")
async def test_without_access_configurations_everything_is_in_the_open() -> None:
    assert await connect(terms(), Clients()) == KafkaConnection(("127.0.0.1:9092", "127.0.0.1:9093"))


@pytest.mark.rule("12-23")
async def test_secrets_are_read_when_the_source_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kafka.json").write_text(json.dumps({"username": "me", "password": "geheim"}))
    monkeypatch.setenv("AUTHORITY", json.dumps({"certificate": "-----BEGIN"}))
    found = await connect(
        terms(
            Access("SASL_SCRAM_512_AUTH", "SCRAM-SHA-512", f"file://{tmp_path}/kafka.json"),
            Access("SERVER_ROOT_CA_CERTIFICATE", None, "env:AUTHORITY"),
        ),
        Clients(),
    )
    assert found.sasl == Sasl("SCRAM-SHA-512", "me", "geheim")
    assert found.tls == Tls(ca="-----BEGIN")
    assert "geheim" not in repr(found)


@pytest.mark.rule("12-23")
@pytest.mark.parametrize("tls", [True, False])
async def test_sasl_is_encrypted_unless_somebody_says_otherwise(tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA", '{"username": "me", "password": "geheim"}')
    found = await connect(terms(Access("BASIC_AUTH", "PLAIN", "env:KAFKA"), tls=tls), Clients())
    assert (found.tls is not None) == tls


@pytest.mark.parametrize(
    ("secret", "sentence"),
    [(None, "no such environment variable"), ("plain", "not a JSON object"), ('{"username": "me"}', "has no password")],
)
async def test_a_secret_that_cannot_be_used_is_said_and_not_shown(
    secret: str | None, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if secret is not None:
        monkeypatch.setenv("KAFKA", secret)
    with pytest.raises(SourceError, match=sentence) as caught:
        await connect(terms(Access("BASIC_AUTH", "PLAIN", "env:KAFKA")), Clients())
    assert "the secret env:KAFKA of BASIC_AUTH" in str(caught.value)
    assert "plain" not in str(caught.value)


def test_a_topic_needs_no_store() -> None:
    raw = document()
    raw["functions"]["orders"] = {"url": "http://127.0.0.1:8080/orders"}
    service = build(parse(raw))
    assert service.store is None
    assert service.mappings[0].source.name == "kafka"
