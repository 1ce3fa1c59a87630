"""`EventSourceMapping` for programs: a source, a function and AWS's own options, as typed arguments."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from collections.abc import Mapping as AnyMapping
from typing import Any, Literal

from pollers.config.identity import default_identity, function_arn
from pollers.engine.mapping import Mapping
from pollers.errors import ConfigurationError, Problem
from pollers.flow.filters import Compiled, InvalidPattern, compile_filters
from pollers.flow.records import Policy
from pollers.spi import Destination, Function, Source, Target
from pollers.targets.function import function_target

__all__ = ["EventSourceMapping"]


class EventSourceMapping(Mapping):
    """Delivers a source's records to a function, as Lambda's event source mapping of the same options does.

    - `function`: Lambda's `handler(event, context)`, `async def` or `def`; its path ("module.function"); or a `Target`.
    - `batch_size`: records, 1 to 10,000; by default 10 for queues and 100 for logs.
    - `maximum_batching_window_in_seconds`: how long a batch waits to be full, 0 to 300.
    - `function_response_types`: `["ReportBatchItemFailures"]` makes `batchItemFailures` in the answer count.
    - `filters`: event patterns, as JSON text or as dicts; a record that none matches is not delivered.
    - `maximum_retry_attempts`, `maximum_record_age_in_seconds`, `bisect_batch_on_function_error`, `on_failure`: for
      logs; None means until the record expires at the source. A queue redelivers, and has a redrive policy, by itself.
    - `tumbling_window_in_seconds`: for streams, the width of windows whose state the function hands from call to call.
    - `maximum_concurrency`: invocations at once of this mapping; `reserved_concurrency`: of all mappings of a function.
    - `timeout`: seconds of one invocation (Lambda's default is 3); `isolation`: where a function runs.
    - `weight`: its part of permits that several mappings want. `name`: its identity, under which positions are kept.

    Raises `ConfigurationError` with every fault found.
    """

    def __init__(
        self,
        source: Source,
        function: Callable[..., Any] | str | Target,
        *,
        name: str | None = None,
        batch_size: int | None = None,
        maximum_batching_window_in_seconds: float | None = None,
        function_response_types: Sequence[Literal["ReportBatchItemFailures"]] = (),
        filters: Sequence[str | AnyMapping[str, Any]] = (),
        maximum_retry_attempts: int | None = None,
        maximum_record_age_in_seconds: float | None = None,
        bisect_batch_on_function_error: bool = False,
        tumbling_window_in_seconds: int = 0,
        on_failure: Destination | None = None,
        on_destination_failure: Literal["hold", "drop"] = "hold",
        maximum_concurrency: int | None = None,
        reserved_concurrency: int | None = None,
        timeout: float = 3.0,
        isolation: Literal["inline", "thread", "process"] | None = None,
        throttle_hold: float = 900.0,
        backoff: float = 60.0,
        weight: float = 1.0,
    ) -> None:
        queue = source.delivery.redelivers
        size = (10 if queue else 100) if batch_size is None else batch_size
        window = source.delivery.window_default
        if maximum_batching_window_in_seconds is not None:
            window = maximum_batching_window_in_seconds
        problems = _out_of_range(
            ("batch_size", size, 1, 10_000),
            ("maximum_batching_window_in_seconds", window, 0, 300),
            ("maximum_retry_attempts", maximum_retry_attempts, 0, 10_000),
            ("maximum_record_age_in_seconds", maximum_record_age_in_seconds, 60, 604_800),
            ("tumbling_window_in_seconds", tumbling_window_in_seconds, 0, 900),
            ("maximum_concurrency", maximum_concurrency, 1, 1_000_000),
            ("reserved_concurrency", reserved_concurrency, 1, 1_000_000),
            ("timeout", timeout, 0.001, 900),
            ("weight", weight, 0.001, 1_000),
        )
        if queue:
            problems += _not_for_queues(
                maximum_retry_attempts=maximum_retry_attempts,
                maximum_record_age_in_seconds=maximum_record_age_in_seconds,
                bisect_batch_on_function_error=bisect_batch_on_function_error or None,
                on_failure=on_failure,
            )
        if tumbling_window_in_seconds:
            problems += _not_with_windows(source, filters)
        problems += _not_to_topics(source, on_failure)
        compiled = _compile(filters, source, problems)
        if problems:
            raise ConfigurationError(problems)
        target = _target(function, source, timeout, isolation, reserved_concurrency)
        super().__init__(
            identity=name or default_identity(source.arn, target.function.name),
            source=source,
            target=target,
            policy=Policy(
                batch_size=size,
                window=window,
                reports="ReportBatchItemFailures" in function_response_types,
                retries=maximum_retry_attempts,
                max_age=maximum_record_age_in_seconds,
                bisect=bisect_batch_on_function_error,
                tumbling=tumbling_window_in_seconds,
                destination=on_failure is not None,
                drop_undelivered=on_destination_failure == "drop",
                throttle_hold=throttle_hold,
                backoff_cap=backoff,
            ),
            destination=on_failure,
            filters=compiled,
            maximum_concurrency=maximum_concurrency,
            reserved_concurrency=reserved_concurrency,
            weight=weight,
            detail=getattr(target, "describe", type(target).__name__),
        )


def _target(
    function: Callable[..., Any] | str | Target,
    source: Source,
    timeout: float,
    isolation: Literal["inline", "thread", "process"] | None,
    reserved: int | None,
) -> Target:
    if not isinstance(function, str) and hasattr(function, "invoke"):
        return function  # type: ignore[return-value]  # a Target, as far as can be seen
    name = function.rpartition(".")[2] if isinstance(function, str) else getattr(function, "__name__", "function")
    described = Function(name=name, arn=function_arn(name, source.arn), timeout=timeout)
    return function_target(function, described, isolation=isolation, concurrency=reserved)


def _out_of_range(*checks: tuple[str, float | None, float, float]) -> list[Problem]:
    return [
        Problem(name, f"{value} is not between {low:g} and {high:g}.", "Give a value in that range.")
        for name, value, low, high in checks
        if value is not None and not low <= value <= high
    ]


def _not_with_windows(source: Source, filters: Sequence[str | AnyMapping[str, Any]]) -> list[Problem]:
    """AWS: a tumbling window has one state for a shard, so one lane, and takes no filters (7-8)."""
    name, delivery = "tumbling_window_in_seconds", source.delivery
    problems = []
    if delivery.redelivers or delivery.mixed or delivery.slots != 1:
        problems.append(Problem(name, "windows belong to shards with one lane.", "Leave it out, or read in one lane."))
    if filters:
        problems.append(Problem(name, "filters cannot be used with tumbling windows.", "Leave one of the two out."))
    return problems


def _not_for_queues(**given: object) -> list[Problem]:
    """AWS: retries, age, bisect and destinations belong to logs; a queue has its redrive policy (1.1, 5.6-2)."""
    return [
        Problem(name, "a queue redelivers by itself.", "Leave it out and give the queue a redrive policy.")
        for name, value in given.items()
        if value is not None
    ]


def _not_to_topics(source: Source, destination: Destination | None) -> list[Problem]:
    """AWS: a topic takes what comes from another topic of its cluster (1.1, 5.9-9)."""
    if destination is None or not destination.name.startswith("kafka:"):
        return []
    name, arn = "on_failure", source.arn
    if not arn.startswith("kafka:") and ":kafka:" not in arn:
        return [Problem(name, "a topic is a failure destination of Kafka only.", "Name a queue, a file or a bucket.")]
    if arn.rpartition("/")[2] == destination.name.removeprefix("kafka://"):
        return [Problem(name, "the failure destination cannot be the source topic.", "Name another topic.")]
    return []


def _compile(filters: Sequence[str | AnyMapping[str, Any]], source: Source, problems: list[Problem]) -> Compiled | None:
    if not filters:
        return None
    patterns = [pattern if isinstance(pattern, str) else json.dumps(pattern) for pattern in filters]
    try:
        return compile_filters(patterns, source.shape.data_rule)
    except InvalidPattern as error:
        problems.append(Problem(f"filters[{error.index}]", str(error), f"{error.reason}."))
        return None
