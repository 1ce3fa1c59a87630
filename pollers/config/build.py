"""The one composition root: makes sources, targets, stores and mappings of a configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from pollers.aws.client import Clients
from pollers.config.identity import function_arn
from pollers.config.kinds import DYNAMODB, STREAMS
from pollers.config.model import Configuration, FunctionConfig, KafkaTerms, MappingConfig, QueueTerms, StreamTerms
from pollers.config.stores import store_path, store_table
from pollers.destinations.file import FileDestination
from pollers.destinations.s3 import S3Destination
from pollers.destinations.sns import SnsDestination
from pollers.destinations.sqs import SqsDestination
from pollers.engine.mapping import Mapping
from pollers.errors import ConfigurationError, Problem
from pollers.flow.filters import compile_filters
from pollers.flow.records import Policy
from pollers.sources.dynamodb import DynamoDbSource
from pollers.sources.kinesis import KinesisSource
from pollers.sources.shards.pace import Paces
from pollers.sources.sqs import SqsSource
from pollers.spi import Destination, Function, Source, Store, Target
from pollers.stores.dynamodb_names import MAPPING
from pollers.stores.memory import MemoryStore
from pollers.stores.sqlite import SqliteStore
from pollers.targets.function import function_target
from pollers.targets.http import HttpTarget
from pollers.targets.lambda_api import LambdaTarget

__all__ = ["Service", "build", "build_destination", "build_store", "build_target", "kafka_extra"]


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that one process runs. Whoever runs it closes it."""

    mappings: tuple[Mapping, ...]
    clients: Clients
    store: Store | None  # None: no mapping keeps positions
    concurrency: int
    ramp: float
    grace: float
    metrics_port: int | None
    metrics_host: str
    notices: tuple[str, ...]

    async def close(self) -> None:
        """End what the mappings share."""
        if self.store is not None:
            await self.store.close()
        await self.clients.close()


@dataclass(frozen=True, slots=True)
class _Shared:
    """What the mappings of one process have in common."""

    clients: Clients
    store: Store | None
    paces: Paces
    app_dir: str | None


def build(configuration: Configuration, *, app_dir: str | None = None) -> Service:
    """Make everything, without connecting or importing anything. `app_dir` is where functions are imported from."""
    if app_dir is None and configuration.folder is not None:
        app_dir = str(configuration.folder)
    service = configuration.service
    enabled = [mapping for mapping in configuration.mappings if mapping.enabled]
    keeps = any(mapping.kind in STREAMS for mapping in enabled)
    clients = Clients()
    shared = _Shared(clients, build_store(configuration, clients) if keeps else None, Paces(), app_dir)
    return Service(
        mappings=tuple(_mapping(mapping, configuration, shared) for mapping in enabled),
        clients=shared.clients,
        store=shared.store,
        concurrency=service.concurrency,
        ramp=service.ramp,
        grace=service.grace,
        metrics_port=service.metrics_port,
        metrics_host=service.metrics_host,
        notices=configuration.notices,
    )


def build_store(configuration: Configuration, clients: Clients | None = None) -> Store:
    """Where the positions of this configuration are kept. Without `clients` a store that needs some has its own."""
    table, lease = store_table(configuration.store), configuration.store.lease
    if table is not None:
        from pollers.stores.dynamodb import DynamoDbStore  # the start of all others does not pay for it

        name, region = table
        return DynamoDbStore(name, region=region, lease=lease, clients=clients)
    path = store_path(configuration)
    return MemoryStore() if path is None else SqliteStore(path, lease=lease)


def _mapping(mapping: MappingConfig, configuration: Configuration, shared: _Shared) -> Mapping:
    function = configuration.functions[mapping.function]
    source = _source(mapping, shared)
    # Each mapping has workers and connections of its own: as on AWS, mappings of one function do not see each other.
    target = build_target(function, mapping.event_source_arn, shared.clients, shared.app_dir)
    terms = mapping.terms
    detail = getattr(target, "describe", "")
    if shared.store is not None and isinstance(terms, StreamTerms):
        detail = f"{detail}; positions in {shared.store.url.replace(MAPPING, mapping.identity)}"
    return Mapping(
        identity=mapping.identity,
        source=source,
        target=target,
        policy=_policy(mapping),
        destination=_destination(terms, shared.clients),
        filters=compile_filters(mapping.filters, source.shape.data_rule) if mapping.filters else None,
        maximum_concurrency=None if isinstance(terms, StreamTerms) else terms.maximum_concurrency,
        reserved_concurrency=function.reserved_concurrent_executions or getattr(target, "concurrency", None),
        weight=mapping.weight,
        detail=detail,
    )


def _policy(mapping: MappingConfig) -> Policy:
    common = Policy(
        batch_size=mapping.batch_size,
        window=mapping.maximum_batching_window_in_seconds,
        reports=mapping.reports,
        max_bytes=mapping.max_bytes,
    )
    terms = mapping.terms
    if isinstance(terms, QueueTerms):
        return replace(common, throttle_hold=terms.throttle_hold)
    return replace(
        common,
        retries=terms.maximum_retry_attempts,
        max_age=terms.maximum_record_age_in_seconds,
        bisect=terms.bisect_batch_on_function_error,
        tumbling=terms.tumbling_window_in_seconds if isinstance(terms, StreamTerms) else 0.0,
        destination=terms.destination is not None,
        drop_undelivered=terms.drop_undelivered,
        backoff_cap=terms.backoff,
    )


def _source(mapping: MappingConfig, shared: _Shared) -> Source:
    terms, arn = mapping.terms, mapping.event_source_arn
    if isinstance(terms, QueueTerms):
        return SqsSource(arn, clients=shared.clients, heartbeat=terms.heartbeat)
    if isinstance(terms, KafkaTerms):
        return _kafka(terms, shared)
    assert shared.store is not None, "streams have a store"
    start = terms.starting_position
    if mapping.kind == DYNAMODB:
        assert not isinstance(start, datetime), "the configuration refuses moments for DynamoDB"
        return DynamoDbSource(
            arn,
            store=shared.store,
            starting_position=start,
            parallelization_factor=terms.parallelization_factor,
            lanes=terms.lanes,
            idle_poll=terms.idle_poll,
            clients=shared.clients,
            paces=shared.paces,
        )
    return KinesisSource(
        arn,
        store=shared.store,
        starting_position=start,
        parallelization_factor=terms.parallelization_factor,
        lanes=terms.lanes,
        idle_poll=terms.idle_poll,
        clients=shared.clients,
        paces=shared.paces,
    )


@contextmanager
def kafka_extra() -> Iterator[None]:
    """For imports of Kafka's client: an extra of its own, which those who read no Kafka need not have."""
    try:
        yield
    except ModuleNotFoundError as error:
        remedy = 'Install it with: pip install "pollers[kafka]"'
        raise ConfigurationError([Problem("event_source_mappings", f"Kafka needs {error.name}.", remedy)]) from None


def _kafka(terms: KafkaTerms, shared: _Shared) -> Source:
    with kafka_extra():
        from pollers.config.access import connect
        from pollers.sources.kafka.source import KafkaSource
    return KafkaSource(
        terms.topic,
        partial(connect, terms, shared.clients),
        servers=terms.servers,
        group=terms.group,
        starting_position=terms.starting_position,
        lanes=terms.lanes,
        out_of_range=terms.out_of_range,
        instance=terms.instance,
        arn=terms.arn,
    )


def _destination(terms: QueueTerms | StreamTerms | KafkaTerms, clients: Clients) -> Destination | None:
    if isinstance(terms, QueueTerms) or terms.destination is None:
        return None
    if isinstance(terms, KafkaTerms) and terms.destination.startswith("kafka:"):
        with kafka_extra():
            from pollers.config.access import connect
            from pollers.destinations.kafka import KafkaDestination
        return KafkaDestination(terms.destination, partial(connect, terms, clients))
    return build_destination(terms.destination, clients)


def build_destination(name: str, clients: Clients) -> Destination:
    """The failure destination of this ARN or file URL. Raises `ConfigurationError` for what is none."""
    if name.startswith("file:"):
        return FileDestination(name)
    service = name.split(":")[2]
    if service == "sns":
        return SnsDestination(name, clients=clients)
    return S3Destination(name, clients=clients) if service == "s3" else SqsDestination(name, clients=clients)


def build_target(function: FunctionConfig, source: str, clients: Clients, app_dir: str | None) -> Target:
    """What a configured function is invoked through. `source` is the ARN that lends its region and account."""
    described = Function(
        name=function.name,
        arn=function.arn or function_arn(function.name, source),
        timeout=function.timeout,
        memory=function.memory_size,
    )
    if function.url is not None:
        return HttpTarget(function.url, described, readiness=function.readiness)
    if function.arn is not None:
        return LambdaTarget(function.arn, described, clients)
    assert function.handler is not None, "the configuration has exactly one of handler, url and arn"
    return function_target(
        function.handler,
        described,
        isolation=function.isolation,
        environment=function.environment,
        app_dir=app_dir,
        concurrency=function.reserved_concurrent_executions or function.processes,
    )
