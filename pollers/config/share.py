"""One worker's part of a configuration that several processes run together: limits are divided, all else is shared."""

from __future__ import annotations

import os
from dataclasses import replace

from pollers.config.kinds import STREAMS
from pollers.config.model import Configuration, FunctionConfig, KafkaTerms, MappingConfig, StreamTerms
from pollers.config.stores import MEMORY
from pollers.errors import ConfigurationError, Problem

__all__ = ["check_shared", "share_of"]


def check_shared(configuration: Configuration) -> None:
    """Raises `ConfigurationError` where several processes would each process every record."""
    streams = [one.identity for one in configuration.mappings if one.enabled and one.kind in STREAMS]
    if streams and configuration.store.url == MEMORY:
        message = f"processes cannot share positions in memory, and {', '.join(streams)} would be read by each of them."
        raise ConfigurationError([Problem("store.url", message, "Leave it out, or run one process.")])


def share_of(configuration: Configuration, worker: int, workers: int) -> Configuration:
    """What the `worker`-th of `workers` processes runs, counted from 1.

    Limits add up to those of the file. Where one is smaller than the number of processes, some of them get nothing of
    it and leave the mappings concerned to the others.
    """
    functions = {name: _function(one, worker, workers) for name, one in configuration.functions.items()}
    divided = [_mapping(one, worker, workers) for one in configuration.mappings]
    service = configuration.service
    port = service.metrics_port
    return replace(
        configuration,
        functions=functions,
        mappings=tuple(one for one in divided if one is not None and _runs(functions[one.function])),
        service=replace(
            service,
            concurrency=max(1, _part(service.concurrency, worker, workers)),
            ramp=max(1, _part(service.ramp, worker, workers)),
            metrics_port=port + worker - 1 if port else port,
        ),
    )


def _part(limit: int, worker: int, workers: int) -> int:
    """The first processes get what cannot be divided."""
    return limit // workers + (worker <= limit % workers)


def _function(function: FunctionConfig, worker: int, workers: int) -> FunctionConfig:
    reserved = function.reserved_concurrent_executions
    if reserved is not None:
        return replace(function, reserved_concurrent_executions=_part(reserved, worker, workers))
    return replace(function, processes=max(1, 2 * (os.cpu_count() or 1) // workers))


def _runs(function: FunctionConfig) -> bool:
    return function.reserved_concurrent_executions != 0


def _mapping(mapping: MappingConfig, worker: int, workers: int) -> MappingConfig | None:
    """The mapping with its part of its own limit, with its own id as a static member; None: it has nothing to do."""
    terms = mapping.terms
    if isinstance(terms, StreamTerms):
        return mapping
    if isinstance(terms, KafkaTerms) and terms.instance is not None:
        terms = replace(terms, instance=f"{terms.instance}-{worker}")
    if terms.maximum_concurrency is None:
        return replace(mapping, terms=terms)
    part = _part(terms.maximum_concurrency, worker, workers)
    return replace(mapping, terms=replace(terms, maximum_concurrency=part)) if part else None
