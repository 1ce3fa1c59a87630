"""What a configuration says, as plain typed values: what is run, nothing about how the file spelled it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

__all__ = [
    "Access",
    "Configuration",
    "FunctionConfig",
    "Isolation",
    "KafkaTerms",
    "MappingConfig",
    "Mechanism",
    "QueueTerms",
    "ServiceConfig",
    "StoreConfig",
    "StreamTerms",
]

Isolation: TypeAlias = Literal["inline", "thread", "process"]
Mechanism: TypeAlias = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM"]


@dataclass(frozen=True, slots=True)
class FunctionConfig:
    """A function. Exactly one of `handler`, `url` and `arn` is set."""

    name: str
    handler: str | None  # "module.function" or "module:function"
    url: str | None  # where events are posted to
    arn: str | None  # of a real Lambda function
    timeout: int  # seconds of one invocation
    memory_size: int  # MiB
    reserved_concurrent_executions: int | None  # invocations at once; None: what the account has
    environment: Mapping[str, str] | None = field(repr=False)  # may hold secrets
    isolation: Isolation | None  # None: by the kind of function
    readiness: str | None  # URL that must answer before the first call
    processes: int | None = None  # that it runs in at once, where nothing is reserved; None: two for each core

    @property
    def runs(self) -> str:
        """What is called: the handler's path, the URL or the ARN."""
        return self.handler or self.url or self.arn or ""


@dataclass(frozen=True, slots=True)
class QueueTerms:
    """What only mappings of SQS queues have."""

    fifo: bool
    maximum_concurrency: int | None
    heartbeat: bool  # False: a queue whose visibility timeout is below the function's is refused (13-3)
    throttle_hold: float  # seconds


@dataclass(frozen=True, slots=True)
class StreamTerms:
    """What only mappings of Kinesis and DynamoDB streams have."""

    starting_position: Literal["TRIM_HORIZON", "LATEST"] | datetime
    parallelization_factor: int
    lanes: Literal["shard", "key", "none"]
    maximum_retry_attempts: int | None  # None: until the record expires at the source
    maximum_record_age_in_seconds: int | None  # None: forever
    bisect_batch_on_function_error: bool
    tumbling_window_in_seconds: int  # 0: none
    destination: str | None  # an ARN or file:///path.jsonl
    drop_undelivered: bool  # as on AWS, when the destination refuses (13-1)
    backoff: float  # seconds, of retries at most
    idle_poll: float  # seconds between two reads of a quiet shard at most


@dataclass(frozen=True, slots=True)
class Access:
    """One way to show a Kafka cluster who we are, or to know who it is."""

    kind: str  # AWS's type: "SASL_SCRAM_512_AUTH"
    mechanism: Mechanism | None  # None: certificates, or for whom a token is
    uri: str  # of the secret: a Secrets Manager ARN, file: or env:; the audience itself


@dataclass(frozen=True, slots=True)
class KafkaTerms:
    """What only mappings of Kafka topics have."""

    topic: str
    servers: tuple[str, ...]  # host:port; empty: MSK is asked
    arn: str  # of an MSK cluster; "": another one
    group: str | None  # None: the mapping's identity
    starting_position: Literal["TRIM_HORIZON", "LATEST"] | datetime
    lanes: Literal["partition", "key", "none"]
    out_of_range: Literal["earliest", "latest", "stop"]
    instance: str | None  # the id of a static member
    access: tuple[Access, ...]
    tls: bool  # False: log in over a connection that is not encrypted
    maximum_concurrency: int | None  # batches at once; None: as many as there are partitions or lanes
    maximum_retry_attempts: int | None
    maximum_record_age_in_seconds: int | None
    bisect_batch_on_function_error: bool
    destination: str | None  # an ARN, kafka://topic of the same cluster, or file:///path.jsonl
    drop_undelivered: bool
    backoff: float


@dataclass(frozen=True, slots=True)
class MappingConfig:
    """A mapping from a source to a function, every default filled in."""

    identity: str  # its name, else its UUID, else a hash
    kind: str  # one of `kinds`: "SQS", "Kinesis", "DynamoDB Streams"
    event_source_arn: str
    function: str  # a name in `Configuration.functions`
    enabled: bool
    batch_size: int
    maximum_batching_window_in_seconds: float
    reports: bool  # ReportBatchItemFailures
    filters: tuple[str, ...]  # event patterns as JSON text, each known to be valid
    weight: float
    max_bytes: int  # of an encoded event
    terms: QueueTerms | StreamTerms | KafkaTerms


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """Where positions are kept."""

    url: str | None  # "sqlite:///path", "dynamodb://table" or "memory:"; None: SQLite beside the file
    lease: float = 10.0  # seconds without a sign of life after which a worker loses its shards


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """Limits of a process."""

    concurrency: int  # invocations at once
    ramp: int  # batches at once more per minute
    grace: float  # seconds
    metrics_port: int | None  # None: no port is opened; 0: any free one
    metrics_host: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """A whole file, known to be valid."""

    functions: Mapping[str, FunctionConfig]
    mappings: tuple[MappingConfig, ...]
    store: StoreConfig
    service: ServiceConfig
    notices: tuple[str, ...]  # what was accepted and does nothing, or works and may surprise
    path: Path | None  # the file; None: command line flags

    @property
    def folder(self) -> Path | None:
        """Where functions are imported from unless somebody says otherwise."""
        return None if self.path is None else self.path.resolve().parent
