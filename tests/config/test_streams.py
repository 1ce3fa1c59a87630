"""Mappings of streams: AWS's rules and texts for them, and what a valid one comes to."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pollers.config.build import build
from pollers.config.kinds import DYNAMODB, KINESIS
from pollers.config.model import StreamTerms
from pollers.config.parse import from_flags, load, parse
from pollers.config.share import check_shared
from pollers.config.stores import store_path
from pollers.destinations.file import FileDestination
from pollers.destinations.s3 import S3Destination
from pollers.destinations.sns import SnsDestination
from pollers.destinations.sqs import SqsDestination
from pollers.errors import ConfigurationError
from pollers.sources.dynamodb import DynamoDbSource
from pollers.sources.kinesis import KinesisSource
from pollers.stores.dynamodb import DynamoDbStore
from pollers.stores.memory import MemoryStore

CLICKS = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"
CONSUMER = f"{CLICKS}/consumer/mine:1700000000"
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/2026-01-31T00:00:00.000"
AT = "event_source_mappings[0]"
URL = "http://127.0.0.1:8080/count"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:failures"


def document(arn: str = CLICKS, **mapping: Any) -> dict[str, Any]:
    whole = {"function_name": "count", "event_source_arn": arn, "starting_position": "TRIM_HORIZON", **mapping}
    return {
        "functions": {"count": {"url": URL}},
        "event_source_mappings": [{name: value for name, value in whole.items() if value is not None}],
    }


def terms(**mapping: Any) -> StreamTerms:
    (read,) = parse(document(**mapping)).mappings
    assert isinstance(read.terms, StreamTerms)
    return read.terms


@pytest.mark.parametrize(("arn", "kind"), [(CLICKS, KINESIS), (TABLE, DYNAMODB)])
def test_defaults_are_those_of_aws(arn: str, kind: str) -> None:
    (mapping,) = parse(document(arn)).mappings

    assert (mapping.kind, mapping.batch_size, mapping.maximum_batching_window_in_seconds) == (kind, 100, 0)
    assert mapping.terms == StreamTerms(
        starting_position="TRIM_HORIZON",
        parallelization_factor=1,
        lanes="shard",
        maximum_retry_attempts=None,
        maximum_record_age_in_seconds=None,
        bisect_batch_on_function_error=False,
        tumbling_window_in_seconds=0,
        destination=None,
        drop_undelivered=False,
        backoff=60.0,
        idle_poll=5.0,
    )


FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no starting position": (
        document(starting_position=None),
        "starting_position",
        "Value null at 'startingPosition' failed to satisfy constraint: Member must not be null.",
    ),
    "a starting position of no meaning": (
        document(starting_position="invalid"),
        "starting_position",
        "1 validation error detected: Value 'invalid' at 'startingPosition' failed to satisfy constraint: "
        "Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON].",
    ),
    "a timestamp without AT_TIMESTAMP": (
        document(starting_position_timestamp="2026-01-31T12:00:00Z"),
        "starting_position_timestamp",
        "Timestamp only valid with StartingPosition AT_TIMESTAMP.",
    ),
    "AT_TIMESTAMP without a timestamp": (
        document(starting_position="AT_TIMESTAMP"),
        "starting_position_timestamp",
        "When the starting position is 'AT_TIMESTAMP', a starting position timestamp must be provided.",
    ),
    "a timestamp in the future": (
        document(starting_position="AT_TIMESTAMP", starting_position_timestamp="2999-01-01T00:00:00Z"),
        "starting_position_timestamp",
        "2999-01-01T00:00:00+00:00 is in the future.",
    ),
    "a factor of eleven": (
        document(parallelization_factor=11),
        "parallelization_factor",
        "1 validation error detected: Value '11' at 'parallelizationFactor' failed to satisfy constraint: "
        "Member must have value less than or equal to 10.",
    ),
    "an age below a minute": (
        document(maximum_record_age_in_seconds=59),
        "maximum_record_age_in_seconds",
        "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 (inclusive).",
    ),
    "a window and several lanes": (
        document(tumbling_window_in_seconds=60, parallelization_factor=2),
        "parallelization_factor",
        "Parallelization factor must be equal to 1 when tumbling window period is configured.",
    ),
    "a window and filters": (
        document(tumbling_window_in_seconds=60, filter_criteria={"filters": [{"pattern": '{"data": {"a": ["b"]}}'}]}),
        "filter_criteria",
        "Filters cannot be used when a tumbling window period is configured.",
    ),
    "a window and lanes by key": (
        document(tumbling_window_in_seconds=60, pollers={"lanes": "key"}),
        "pollers.lanes",
        "a tumbling window has one state for its shard, and so one lane.",
    ),
    "lanes twice": (
        document(parallelization_factor=2, pollers={"lanes": "key"}),
        "pollers.lanes",
        "ParallelizationFactor divides shards into lanes; with other lanes there is nothing to divide.",
    ),
    "a destination of success": (
        document(destination_config={"on_success": {"destination": QUEUE}}),
        "destination_config.on_success",
        "Unsupported DestinationConfig parameter for given event source mapping type.",
    ),
    "a FIFO queue as destination": (
        document(destination_config={"on_failure": {"destination": f"{QUEUE}.fifo"}}),
        "destination_config.on_failure.destination",
        f"{QUEUE}.fifo is a FIFO queue, which cannot be a failure destination.",
    ),
    "a topic of Kafka as destination": (
        document(destination_config={"on_failure": {"destination": "kafka://failures"}}),
        "destination_config.on_failure.destination",
        "a topic is a failure destination of Kafka only.",
    ),
    "a limit of queues": (
        document(scaling_config={"maximum_concurrency": 5}),
        "scaling_config",
        "Unsupported ScalingConfig parameter for given event source mapping type.",
    ),
    "half of a consumer": (
        document(f"{CLICKS}/consumer/mine"),
        "event_source_arn",
        f"'{CLICKS}/consumer/mine' is not the ARN of a Kinesis stream.",
    ),
    "a consumer that is to poll": (
        document(CONSUMER, pollers={"idle_poll": 1}),
        "pollers.idle_poll",
        "records are pushed to a consumer, which polls for none.",
    ),
    "no stream": (
        document("arn:aws:kinesis:eu-west-1:123456789012:clicks"),
        "event_source_arn",
        "'arn:aws:kinesis:eu-west-1:123456789012:clicks' is not the ARN of a Kinesis stream.",
    ),
    "a table and not its stream": (
        document("arn:aws:dynamodb:eu-west-1:123456789012:table/t"),
        "event_source_arn",
        "'arn:aws:dynamodb:eu-west-1:123456789012:table/t' is not the ARN of a DynamoDB stream.",
    ),
    "a moment for a table": (
        document(TABLE, starting_position="AT_TIMESTAMP", starting_position_timestamp=1_700_000_000),
        "starting_position",
        f"Unsupported starting position for arn type: {TABLE}.",
    ),
    "a destination of success for a table": (
        document(TABLE, destination_config={"on_success": {"destination": QUEUE}}),
        "destination_config.on_success",
        "OnSuccess configuration is not supported for event source mappings.",
    ),
    "a filter that is no pattern": (
        document(filter_criteria={"filters": [{"pattern": '{"data": "text"}'}]}),
        "filter_criteria.filters[0].pattern",
        "Invalid filter pattern definition.",
    ),
}


@pytest.mark.rule("8-2", "7-8")
@pytest.mark.parametrize("case", FAULTS)
def test_faults_are_said_in_the_words_of_aws_where_they_are(case: str) -> None:
    raw, place, message = FAULTS[case]

    with pytest.raises(ConfigurationError) as caught:
        parse(raw)

    (problem,) = caught.value.problems
    assert problem.path == f"{AT}.{place}"
    assert problem.message.startswith(message)
    assert problem.remedy


@pytest.mark.parametrize(
    "written",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31T13:00:00+01:00",
        datetime(2026, 1, 31, 12, tzinfo=UTC),
        datetime(2026, 1, 31, 12),
        1_769_860_800,
        1_769_860_800.0,
    ],
)
def test_a_moment_may_be_written_in_each_way_that_aws_prints_it(written: object) -> None:
    position = terms(starting_position="AT_TIMESTAMP", starting_position_timestamp=written).starting_position

    assert position == datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_minus_one_is_without_end() -> None:
    without = terms(maximum_retry_attempts=-1, maximum_record_age_in_seconds=-1)
    limited = terms(maximum_retry_attempts=0, maximum_record_age_in_seconds=60)

    assert (without.maximum_retry_attempts, without.maximum_record_age_in_seconds) == (None, None)
    assert (limited.maximum_retry_attempts, limited.maximum_record_age_in_seconds) == (0, 60)


@pytest.mark.rule("5.2-10")
def test_retries_without_any_end_are_warned_of() -> None:
    endless = parse(document(name="clicks"))
    limited = parse(document(name="clicks", maximum_retry_attempts=3))

    assert "retries without end" in endless.notices[0]
    assert limited.notices == ()


def test_two_mappings_of_one_function_and_stream_are_refused_in_the_words_for_streams() -> None:
    raw = document()
    raw["event_source_mappings"] *= 2

    with pytest.raises(ConfigurationError, match=r'The event source arn \(" arn.* provided mapping already exists'):
        parse(raw)


def test_what_aws_prints_of_a_stream_is_a_valid_mapping() -> None:
    """AWS: the answer to CreateEventSourceMapping (1.4)."""
    printed = {
        "BatchSize": 100,
        "BisectBatchOnFunctionError": False,
        "DestinationConfig": {"OnFailure": {}},
        "EventSourceArn": CLICKS,
        "EventSourceMappingArn": "arn:aws:lambda:eu-west-1:123456789012:event-source-mapping:14e0db71",
        "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:count",
        "FunctionResponseTypes": [],
        "LastModified": "2026-01-31T12:00:00Z",
        "LastProcessingResult": "No records processed",
        "MaximumBatchingWindowInSeconds": 0,
        "MaximumRecordAgeInSeconds": -1,
        "MaximumRetryAttempts": -1,
        "ParallelizationFactor": 1,
        "StartingPosition": "TRIM_HORIZON",
        "State": "Enabled",
        "StateTransitionReason": "User action",
        "TumblingWindowInSeconds": 0,
        "UUID": "14e0db71",
    }

    (mapping,) = parse({"functions": {"count": {"handler": "app.count"}}, "event_source_mappings": [printed]}).mappings

    assert (mapping.identity, mapping.event_source_arn) == ("14e0db71", CLICKS)


def test_a_consumer_is_a_source_and_its_arn_the_mappings() -> None:
    (mapping,) = parse(document(CONSUMER)).mappings
    (stream,) = parse(document()).mappings

    assert (mapping.kind, mapping.event_source_arn) == (KINESIS, CONSUMER)
    assert mapping.identity != stream.identity


def test_two_mappings_that_read_as_one_consumer_are_refused() -> None:
    raw = document(CONSUMER)
    raw["event_source_mappings"] += document(CONSUMER, function_name="other")["event_source_mappings"]
    raw["functions"]["other"] = {"url": URL}

    with pytest.raises(ConfigurationError) as caught:
        parse(raw)
    (problem,) = caught.value.problems
    assert problem.path == "event_source_mappings[1].event_source_arn"
    assert "event_source_mappings[0] reads as this consumer, too" in problem.message


def test_flags_name_a_stream_and_where_it_begins() -> None:
    (mapping,) = from_flags(CLICKS, "app.count", "LATEST").mappings

    assert isinstance(mapping.terms, StreamTerms)
    assert mapping.terms.starting_position == "LATEST"
    with pytest.raises(ConfigurationError, match="--starting-position: Value null"):
        from_flags(CLICKS, "app.count")


# What is built


def test_a_stream_is_built_with_all_that_was_asked_for() -> None:
    raw = document(
        parallelization_factor=3,
        maximum_retry_attempts=2,
        maximum_record_age_in_seconds=600,
        bisect_batch_on_function_error=True,
        function_response_types=["ReportBatchItemFailures"],
        filter_criteria={"filters": [{"pattern": '{"data": {"kind": ["click"]}}'}]},
        destination_config={"on_failure": {"destination": QUEUE}},
        pollers={"on_destination_failure": "drop", "backoff": 5, "weight": 2},
    )
    service = build(parse(raw | {"store": {"url": "memory:"}}))

    (mapping,) = service.mappings
    assert isinstance(mapping.source, KinesisSource)
    assert mapping.source.delivery.slots == 3
    assert isinstance(service.store, MemoryStore)
    assert isinstance(mapping.destination, SqsDestination)
    policy = mapping.policy
    assert (policy.batch_size, policy.retries, policy.max_age, policy.bisect) == (100, 2, 600, True)
    assert (policy.reports, policy.destination, policy.drop_undelivered) == (True, True, True)
    assert (policy.backoff_cap, mapping.weight) == (5, 2)
    assert mapping.filters is not None


def test_a_consumers_source_waits_for_records() -> None:
    (mapping,) = build(parse(document(CONSUMER) | {"store": {"url": "memory:"}})).mappings

    assert isinstance(mapping.source, KinesisSource)
    assert (mapping.source.arn, mapping.source.delivery.paced) == (CONSUMER, False)


def test_a_tables_stream_is_built_with_its_window_and_lanes() -> None:
    raw = document(TABLE, tumbling_window_in_seconds=30)
    raw["event_source_mappings"].append(
        document(TABLE, name="by-item", function_name="other", pollers={"lanes": "key"})["event_source_mappings"][0]
    )
    raw["functions"]["other"] = {"url": URL}
    windowed, by_item = build(parse(raw | {"store": {"url": "memory:"}})).mappings

    assert isinstance(windowed.source, DynamoDbSource)
    assert windowed.policy.tumbling == 30
    assert by_item.source.delivery.lane == "key"


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        (QUEUE, SqsDestination),
        ("arn:aws:sns:eu-west-1:123456789012:failures", SnsDestination),
        ("arn:aws:s3:::failures", S3Destination),
        ("file:///tmp/failures.jsonl", FileDestination),
    ],
)
def test_each_kind_of_failure_destination_is_built(written: str, kind: type) -> None:
    raw = document(destination_config={"on_failure": {"destination": written}})

    (mapping,) = build(parse(raw | {"store": {"url": "memory:"}})).mappings

    assert isinstance(mapping.destination, kind)


def test_positions_are_kept_beside_the_file_unless_it_says_where(tmp_path: Path) -> None:
    file = tmp_path / "mappings.toml"
    text = f"""
    [functions.count]
    handler = "app.count"
    [[event_source_mappings]]
    function_name = "count"
    event_source_arn = "{CLICKS}"
    starting_position = "LATEST"
    """
    file.write_text(text)
    assert store_path(load(file)) == tmp_path / "mappings.toml.state.db"
    file.write_text(text + '\n[store]\nurl = "sqlite:////var/lib/pollers/state.db"\n')
    assert store_path(load(file)) == Path("/var/lib/pollers/state.db")
    file.write_text(text + '\n[store]\nurl = "memory:"\n')
    assert store_path(load(file)) is None


def stored(url: str, *names: str) -> dict[str, Any]:
    arns = (CLICKS, TABLE)
    mappings = [document(arn, name=name)["event_source_mappings"][0] for arn, name in zip(arns, names, strict=False)]
    return document() | {"event_source_mappings": mappings, "store": {"url": url, "lease": 20}}


@pytest.mark.parametrize(
    ("url", "region"),
    [("dynamodb://clicks", None), ("dynamodb://pollers-{mapping}?region=eu-north-1", "eu-north-1")],
)
def test_positions_may_be_kept_in_a_lease_table(url: str, region: str | None) -> None:
    service = build(parse(stored(url, "clicks")))

    assert isinstance(service.store, DynamoDbStore)
    assert (service.store.url, service.store.lease) == (url, 20)
    assert service.mappings[0].detail.endswith(f"positions in {url.replace('{mapping}', 'clicks')}")
    check_shared(parse(stored(url, "clicks")))  # processes may share it


@pytest.mark.parametrize(
    ("url", "names", "message", "remedy"),
    [
        (
            "dynamodb://pollers",
            ("clicks", "carts"),
            "clicks and carts would have the leases of their shards in one table, pollers.",
            "Give each a table of its own, as in dynamodb://pollers-{mapping}.",
        ),
        (
            "dynamodb://pollers-{mapping}",
            ("clicks", "a:b"),
            "no table can be called pollers-a:b: 3 to 247 letters, digits and _ . - are allowed.",
            "Give the table, or the mapping, another name.",
        ),
        ("dynamodb://pollers/clicks", ("clicks",), "satisfy regular expression pattern", "Write sqlite:///path"),
        ("dynamodb://{stream}", ("clicks",), "satisfy regular expression pattern", "Write sqlite:///path"),
    ],
)
def test_mappings_that_would_share_a_lease_table_are_refused(
    url: str, names: tuple[str, ...], message: str, remedy: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(stored(url, *names))

    (problem,) = caught.value.problems
    assert problem.path == "store.url"
    assert message in problem.message
    assert problem.remedy.startswith(remedy)


def test_mappings_with_tables_of_their_own_are_not() -> None:
    assert len(parse(stored("dynamodb://pollers-{mapping}", "clicks", "carts")).mappings) == 2


def test_a_file_of_queues_makes_no_store(tmp_path: Path) -> None:
    raw = document("arn:aws:sqs:eu-west-1:123456789012:orders", starting_position=None)

    assert build(parse(raw)).store is None
