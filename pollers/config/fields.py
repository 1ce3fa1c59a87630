"""The fields of a mapping (AWS: CreateEventSourceMapping): ranges, and the sources that take them (1.1, 1.2)."""

from __future__ import annotations

from typing import Final

from pollers.config.idle import IDLE_MAPPING_FIELDS
from pollers.config.kinds import ARN, DYNAMODB, KAFKA, KINESIS, LOGS, MQ, SQS, STREAMS
from pollers.config.options import MAPPING_OPTIONS
from pollers.config.scalars import Choice, Flag, Moment, Text, Whole
from pollers.config.tables import Field, Table
from pollers.config.values import Named, Open, Several

__all__ = ["MAPPING", "PROVISIONED_POLLERS"]

_GROWS: Final = "reading grows with the backlog by itself"
_NO_GROUPS: Final = "mappings have no pollers that they could share"
_BY_ARN: Final = frozenset({SQS, KINESIS, DYNAMODB, KAFKA, MQ})
_ACCESS_TYPES: Final = (
    "BASIC_AUTH",
    "VPC_SUBNET",
    "VPC_SECURITY_GROUP",
    "SASL_SCRAM_512_AUTH",
    "SASL_SCRAM_256_AUTH",
    "VIRTUAL_HOST",
    "CLIENT_CERTIFICATE_TLS_AUTH",
    "SERVER_ROOT_CA_CERTIFICATE",
    "OAUTHBEARER_AUTH",
    "OAUTHBEARER_SCOPE",
    "OAUTHBEARER_AUDIENCE",
    "OAUTHBEARER_LOGICAL_CLUSTER",
    "OAUTHBEARER_IDENTITY_POOL",
    "IAM_AUTH",
    "IAM_OAUTHBEARER_AUTH",
)

_DESTINATION = Text(
    0,
    350,
    rf"$|kafka://([^.]([a-zA-Z0-9\-_.]{{0,248}}))|file:///.+|{ARN}",
    "an ARN, kafka://topic or file:///path.jsonl",
)
_FILTERS = Table(
    "FilterCriteria",
    Field(
        "Filters",
        Several(
            Table(
                "Filter",
                Field(
                    "Pattern", Text(0, 4_096, form="an event pattern as JSON text"), "An event pattern, as JSON text."
                ),
            ),
            0,
            10,
        ),
        "Up to ten patterns; a record that none of them matches is not delivered.",
    ),
)
_ON_FAILURE = Table("OnFailure", Field("Destination", _DESTINATION, "Its ARN, kafka://topic or file:///path.jsonl."))
_DESTINATIONS = Table(
    "DestinationConfig",
    Field("OnFailure", _ON_FAILURE, "Where batches go that are given up."),
    Field("OnSuccess", Open(), "Never valid on a mapping.", sources=frozenset()),
)
_SCALING = Table(
    "ScalingConfig", Field("MaximumConcurrency", Whole(2, 1_000), "Invocations at once of this mapping at most.")
)
PROVISIONED_POLLERS: Final = Table(
    "ProvisionedPollerConfig",
    Field("MinimumPollers", Whole(1, 200), f"Does nothing here: {_GROWS}.", idle=_GROWS),
    Field("MaximumPollers", Whole(1, 10_000), "Ten invocations at once for each; five of a topic.", 200),
    Field(
        "PollerGroupName",
        Text(0, 128),
        f"Does nothing here: {_NO_GROUPS}.",
        sources=frozenset({KAFKA}),
        idle=_NO_GROUPS,
    ),
)
_URI = Text(1, 200, form="a Secrets Manager ARN, file:/path or env:NAME")
_ACCESS = Table(
    "SourceAccessConfiguration",
    Field("Type", Choice(_ACCESS_TYPES), "What it is for."),
    Field("URI", _URI, "Where the secret is kept."),
)
_LABEL = r"[a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?"
_ENDPOINT = rf"({_LABEL}\.)*{_LABEL}:[0-9]{{1,5}}"
_SELF_MANAGED = Table(
    "SelfManagedEventSource",
    Field(
        "Endpoints",
        Named(
            Several(Text(1, 300, _ENDPOINT, "host:port"), 1, 10),
            "KAFKA_BOOTSTRAP_SERVERS",
            "KAFKA_BOOTSTRAP_SERVERS",
            1,
        ),
        "The brokers, under KAFKA_BOOTSTRAP_SERVERS.",
    ),
)
_GROUP = Field("ConsumerGroupId", Text(1, 200), "The consumer group; by default the mapping's identity.")
_REGISTRY = Field("SchemaRegistryConfig", Open(), "The schema registry of the topic.")
_KAFKA_ONLY: Final = frozenset({KAFKA})

MAPPING: Final = Table(
    "EventSourceMapping",
    Field(
        "name",
        Text(1, 128, r"[A-Za-z0-9_.:-]+", "letters, digits and _ . : -"),
        "Its identity; else UUID, else a hash.",
    ),
    Field("UUID", Text(1, 128, r"[A-Za-z0-9_.:-]+", "a UUID"), "Its identity where it has no name."),
    Field(
        "EventSourceArn",
        Text(1, 10_000, ARN, "an ARN such as arn:aws:sqs:eu-west-1:123456789012:orders"),
        "The source.",
        sources=_BY_ARN,
    ),
    Field("FunctionName", Text(1, 256), "A name in `functions`, or an ARN that ends in one."),
    Field("FunctionArn", Text(1, 10_000), "As AWS prints it: resolved by the function's name."),
    Field("Enabled", Flag(), "false: the mapping is checked and not run.", True),
    Field("BatchSize", Whole(1, 10_000), "Records of a batch at most; 10 for queues (FIFO: at most 10), 100 for logs."),
    Field(
        "MaximumBatchingWindowInSeconds", Whole(0, 300), "How long a batch waits to be full; not for FIFO queues.", 0
    ),
    Field("FilterCriteria", _FILTERS, "Which records are delivered."),
    Field("FilterCriteriaError", Open(), "As AWS prints it where it cannot show the filters: refused.", read_only=True),
    Field(
        "FunctionResponseTypes",
        Several(Choice(("ReportBatchItemFailures",)), 0, 1),
        "ReportBatchItemFailures: the function's answer says which records failed.",
        sources=LOGS | {SQS},
    ),
    Field("ScalingConfig", _SCALING, "Limits of this mapping.", sources=frozenset({SQS})),
    Field(
        "ProvisionedPollerConfig",
        PROVISIONED_POLLERS,
        "As on AWS, a limit; excludes ScalingConfig.",
        sources=_KAFKA_ONLY | {SQS},
    ),
    Field(
        "StartingPosition",
        Choice(("LATEST", "AT_TIMESTAMP", "TRIM_HORIZON")),
        "Where the first start begins.",
        sources=LOGS,
    ),
    Field("StartingPositionTimestamp", Moment(), "The moment for AT_TIMESTAMP.", sources=LOGS),
    Field("ParallelizationFactor", Whole(1, 10), "Lanes of a shard.", 1, STREAMS),
    Field("MaximumRecordAgeInSeconds", Whole(-1, 604_800), "Older records are given up; -1: none.", -1, LOGS),
    Field("MaximumRetryAttempts", Whole(-1, 10_000), "Retries before a batch is given up; -1: no end.", -1, LOGS),
    Field("BisectBatchOnFunctionError", Flag(), "Cut a failing batch in two.", False, LOGS),
    Field("TumblingWindowInSeconds", Whole(0, 900), "Seconds of a window with a state; 0: none.", 0, STREAMS),
    Field("DestinationConfig", _DESTINATIONS, "Where batches go that are given up.", sources=LOGS),
    Field(
        "Topics",
        Several(Text(1, 249, r"[^.]([a-zA-Z0-9\-_.]+)", "a topic's name"), 1, 1),
        "The topic.",
        sources=_KAFKA_ONLY,
    ),
    Field("Queues", Several(Text(1, 1_000), 1, 1), "The queue of the broker.", sources=frozenset({MQ})),
    Field("SourceAccessConfigurations", Several(_ACCESS, 0, 23), "How to log in.", sources=frozenset({KAFKA, MQ})),
    Field("SelfManagedEventSource", _SELF_MANAGED, "A Kafka cluster by its addresses.", sources=_KAFKA_ONLY),
    Field(
        "AmazonManagedKafkaEventSourceConfig",
        Table("AmazonManagedKafka", _GROUP, _REGISTRY),
        "Of an MSK topic.",
        sources=_KAFKA_ONLY,
    ),
    Field(
        "SelfManagedKafkaEventSourceConfig",
        Table(
            "SelfManagedKafka",
            _GROUP,
            _REGISTRY,
            Field("ConsumptionMode", Choice(("Stream", "Queue")), "How it reads.", "Stream"),
        ),
        "Of a topic elsewhere.",
        sources=_KAFKA_ONLY,
    ),
    Field(
        "DocumentDBEventSourceConfig", Open(), "DocumentDB is not a source of pollers: refused.", sources=frozenset()
    ),
    Field("pollers", MAPPING_OPTIONS, "Our own options, which AWS does not have."),
    *IDLE_MAPPING_FIELDS,
)
