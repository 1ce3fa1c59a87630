"""Whole files: three formats and two spellings of one configuration, and what AWS prints."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from pollers.config.identity import default_identity
from pollers.config.kinds import SQS
from pollers.config.model import Configuration, FunctionConfig, MappingConfig, QueueTerms, ServiceConfig, StoreConfig
from pollers.config.parse import from_flags, load
from pollers.config.read import read_document
from pollers.config.schema import json_schema
from pollers.errors import ConfigurationError

EXAMPLES = Path(__file__).parent / "examples"
ROOT = Path(__file__).parents[2]
SHIPPED = [
    path
    for folder in (EXAMPLES, ROOT / "handlers", ROOT / "deploy")
    for path in sorted(folder.rglob("*.*"))
    if path.suffix in (".toml", ".yaml", ".json") and re.search(r"(?i)event_?source_?mappings", path.read_text())
]
README = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)

FIFO = "arn:aws:sqs:eu-west-1:123456789012:orders.fifo"
ORDERS = Configuration(
    functions={
        "orders": FunctionConfig(
            name="orders",
            handler="app.orders",
            url=None,
            arn=None,
            timeout=30,
            memory_size=128,
            reserved_concurrent_executions=20,
            environment={"TABLE": "orders"},
            isolation=None,
            readiness=None,
        ),
        "audit": FunctionConfig(
            name="audit",
            handler=None,
            url="http://127.0.0.1:8080/audit",
            arn=None,
            timeout=3,
            memory_size=128,
            reserved_concurrent_executions=None,
            environment=None,
            isolation=None,
            readiness="http://127.0.0.1:8080/ready",
        ),
    },
    mappings=(
        MappingConfig(
            identity=default_identity(FIFO, "orders"),
            kind=SQS,
            event_source_arn=FIFO,
            function="orders",
            enabled=True,
            batch_size=5,
            maximum_batching_window_in_seconds=0,
            reports=True,
            filters=(),
            weight=1.0,
            max_bytes=6_291_456,
            terms=QueueTerms(fifo=True, maximum_concurrency=None, heartbeat=True, throttle_hold=900.0),
        ),
        MappingConfig(
            identity="audit-orders",
            kind=SQS,
            event_source_arn="arn:aws:sqs:eu-west-1:123456789012:events",
            function="audit",
            enabled=False,
            batch_size=100,
            maximum_batching_window_in_seconds=2,
            reports=False,
            filters=('{"body": {"kind": ["order"]}}',),
            weight=2.5,
            max_bytes=1_000_000,
            terms=QueueTerms(fifo=False, maximum_concurrency=7, heartbeat=False, throttle_hold=60),
        ),
    ),
    store=StoreConfig(url=None),
    service=ServiceConfig(concurrency=100, ramp=60, grace=12.5, metrics_port=9090, metrics_host="0.0.0.0"),
    notices=(),
    path=None,
)


@pytest.mark.parametrize("name", ["orders.toml", "orders.yaml", "orders.json"])
def test_formats_and_spellings_say_the_same(name: str) -> None:
    path = EXAMPLES / name

    assert load(path) == replace(ORDERS, path=path)


def test_functions_are_imported_from_the_folder_of_the_file() -> None:
    assert load(EXAMPLES / "orders.toml").folder == EXAMPLES.resolve()


def test_what_aws_prints_is_a_valid_mapping_with_a_line_for_all_that_has_no_effect() -> None:
    configuration = load(EXAMPLES / "printed-by-aws.json")

    (mapping,) = configuration.mappings
    assert isinstance(mapping.terms, QueueTerms)
    assert mapping.identity == "14e0db71-5d35-4eb5-b481-8945cf9d10c2"
    assert (mapping.function, mapping.terms.maximum_concurrency, len(mapping.filters)) == ("orders", 5, 1)
    at = "event_source_mappings[0]"
    assert configuration.notices == (
        f"{at}.KMSKeyArn: does nothing here: filters are read from this file as they are.",
        f"{at}.MetricsConfig: does nothing here: every metric is always exposed.",
        f"{at}.LoggingConfig: does nothing here: logs go to the output of pollers.",
        "Reported by AWS and not used here: EventSourceMappingArn, LastModified, State, StateTransitionReason.",
    )


def test_two_flags_configure_a_function_and_its_mapping() -> None:
    configuration = from_flags("arn:aws:sqs:eu-west-1:123456789012:orders", "app.handle")

    (mapping,) = configuration.mappings
    assert mapping.event_source_arn == "arn:aws:sqs:eu-west-1:123456789012:orders"
    assert configuration.functions[mapping.function].handler == "app.handle"
    assert configuration.folder is None


def test_faults_of_flags_name_the_flags() -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_flags("orders", "handle")

    assert [problem.path for problem in caught.value.problems] == ["--handler", "--event-source-arn"]


def test_schema_is_valid_itself() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_file_is_valid_to_parser_and_schema(path: Path) -> None:
    load(path)
    jsonschema.Draft202012Validator(json_schema()).validate(read_document(path))


def test_every_file_of_the_readme_is_valid_to_the_schema() -> None:
    files: list[dict[str, Any]] = [tomllib.loads(text) for text in README if "[[event_source_mappings]]" in text]

    for document in files:
        jsonschema.Draft202012Validator(json_schema()).validate(json.loads(json.dumps(document)))


def test_schema_carries_ranges_defaults_and_descriptions_of_the_parser() -> None:
    mapping = json_schema()["$defs"]["EventSourceMapping"]["properties"]

    assert mapping["maximum_batching_window_in_seconds"] == {
        "type": "integer",
        "minimum": 0,
        "maximum": 300,
        "default": 0,
        "description": "How long a batch waits to be full; not for FIFO queues.",
    }
    assert mapping["MaximumBatchingWindowInSeconds"] == {
        "$ref": "#/$defs/EventSourceMapping/properties/maximum_batching_window_in_seconds"
    }


def test_every_option_of_ours_has_one_sentence_and_those_of_queues_a_default() -> None:
    options = json_schema()["$defs"]["MappingOptions"]["properties"]

    assert all(option["description"].endswith(".") for option in options.values())
    assert {name for name, option in options.items() if "default" not in option} == {"instance"}
