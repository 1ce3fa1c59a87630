"""The one composition root: makes sources, targets and mappings of a configuration."""

from __future__ import annotations

from dataclasses import dataclass

from pollers.aws.client import Clients
from pollers.config.identity import function_arn
from pollers.config.model import Configuration, FunctionConfig, MappingConfig
from pollers.engine.mapping import Mapping
from pollers.flow.filters import compile_filters
from pollers.flow.records import Policy
from pollers.sources.sqs import SqsSource
from pollers.spi import Function, Target
from pollers.targets.function import function_target
from pollers.targets.http import HttpTarget
from pollers.targets.lambda_api import LambdaTarget

__all__ = ["Service", "build", "build_target"]


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that one process runs. Whoever runs it closes it."""

    mappings: tuple[Mapping, ...]
    clients: Clients
    concurrency: int
    ramp: float
    grace: float
    metrics_port: int | None
    metrics_host: str
    notices: tuple[str, ...]

    async def close(self) -> None:
        """End the clients that the mappings share."""
        await self.clients.close()


def build(configuration: Configuration, *, app_dir: str | None = None) -> Service:
    """Make everything, without connecting or importing anything. `app_dir` is where functions are imported from."""
    clients = Clients()
    if app_dir is None and configuration.folder is not None:
        app_dir = str(configuration.folder)
    service = configuration.service
    enabled = [mapping for mapping in configuration.mappings if mapping.enabled]
    return Service(
        mappings=tuple(_mapping(mapping, configuration, clients, app_dir) for mapping in enabled),
        clients=clients,
        concurrency=service.concurrency,
        ramp=service.ramp,
        grace=service.grace,
        metrics_port=service.metrics_port,
        metrics_host=service.metrics_host,
        notices=configuration.notices,
    )


def _mapping(mapping: MappingConfig, configuration: Configuration, clients: Clients, app_dir: str | None) -> Mapping:
    function = configuration.functions[mapping.function]
    source = SqsSource(mapping.event_source_arn, clients=clients, heartbeat=mapping.heartbeat)
    # Each mapping has workers and connections of its own: as on AWS, mappings of one function do not see each other.
    target = build_target(function, mapping.event_source_arn, clients, app_dir)
    return Mapping(
        identity=mapping.identity,
        source=source,
        target=target,
        policy=Policy(
            batch_size=mapping.batch_size,
            window=mapping.maximum_batching_window_in_seconds,
            reports=mapping.reports,
            throttle_hold=mapping.throttle_hold,
            max_bytes=mapping.max_bytes,
        ),
        filters=compile_filters(mapping.filters, source.shape.data_rule) if mapping.filters else None,
        maximum_concurrency=mapping.maximum_concurrency,
        reserved_concurrency=function.reserved_concurrent_executions or getattr(target, "concurrency", None),
        weight=mapping.weight,
        detail=getattr(target, "describe", ""),
    )


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
        concurrency=function.reserved_concurrent_executions,
    )
