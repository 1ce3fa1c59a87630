"""Mappings of SQS queues: AWS's rules for them, and their values with every default filled in."""

from __future__ import annotations

import re
from typing import Final

from pollers.config.model import MappingConfig
from pollers.config.tables import Given
from pollers.flow.filters import InvalidPattern, compile_filters
from pollers.sources.sqs_shape import SqsShape

__all__ = ["read_queue"]

_QUEUE: Final = re.compile(r"arn:[a-z-]+:sqs:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,80}(\.fifo)?", re.ASCII)
DEFAULT_BATCH: Final = 10  # AWS: BatchSize of queues
_AT_ONCE: Final = 10  # messages. AWS: larger batches of a queue need a window to be gathered in
_FIFO_BATCH: Final = 10  # AWS: batches of FIFO queues hold ten messages at most
_PER_POLLER: Final = 10  # invocations at once. AWS: what one provisioned poller of SQS can do (9-4)
_POLLERS: Final = 2, 2_000  # AWS: MaximumPollers of SQS (12-12)


def read_queue(given: Given, identity: str, function: str) -> MappingConfig | None:
    """The mapping, its faults reported; None where its source is not a queue's ARN."""
    arn: str = given.get("event_source_arn")
    if not _QUEUE.fullmatch(arn):
        given.at("event_source_arn").fault(
            f"'{arn}' is not the ARN of a queue.", "Write it as arn:aws:sqs:region:account:name."
        )
        return None
    fifo = arn.endswith(".fifo")
    _check_batching(given, fifo)
    _check_filters(given)
    options = given.inner("pollers")
    return MappingConfig(
        identity=identity,
        event_source_arn=arn,
        function=function,
        fifo=fifo,
        enabled=given.get("enabled"),
        batch_size=_batch_size(given),
        maximum_batching_window_in_seconds=given.get("maximum_batching_window_in_seconds"),
        reports=bool(given.get("function_response_types")),
        filters=_patterns(given),
        maximum_concurrency=_concurrency(given),
        heartbeat=options.get("heartbeat"),
        throttle_hold=options.get("throttle_hold"),
        weight=options.get("weight"),
        max_bytes=options.get("max_bytes"),
    )


def _check_batching(given: Given, fifo: bool) -> None:
    size, window = _batch_size(given), given.get("maximum_batching_window_in_seconds")
    if fifo:
        if size > _FIFO_BATCH:
            given.at("batch_size").fault(
                f"{size} is more than the {_FIFO_BATCH} messages that a batch of a FIFO queue can hold.",
                f"Give a whole number from 1 to {_FIFO_BATCH}.",
            )
        if window:
            given.at("maximum_batching_window_in_seconds").fault(
                "Unsupported MaximumBatchingWindowInSeconds parameter for given event source mapping type.",
                "Leave it out: batches of a FIFO queue do not wait.",
            )
    elif size > _AT_ONCE and not window and _sound(given, "maximum_batching_window_in_seconds"):
        given.at("batch_size").fault(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10.",
            "Set maximum_batching_window_in_seconds to 1 or more, or batch_size to 10 or less.",
        )


def _batch_size(given: Given) -> int:
    size: int | None = given.get("batch_size")
    return DEFAULT_BATCH if size is None else size


def _sound(given: Given, name: str) -> bool:
    """Whether it has no fault that has been reported already."""
    return given.valid(name) or not given.has(name)


def _concurrency(given: Given) -> int | None:
    """Invocations at once: `ScalingConfig`, or what the provisioned pollers could do. AWS: one of the two only."""
    limit: int | None = given.inner("scaling_config").get("maximum_concurrency")
    provisioned = given.inner("provisioned_poller_config")
    if not given.has("provisioned_poller_config") or given.blank("provisioned_poller_config"):
        return limit
    if limit is not None:
        provisioned.place.fault(
            "MaximumConcurrency and ProvisionedPollerConfig exclude each other.", "Keep one of the two."
        )
    pollers: int = provisioned.get("maximum_pollers")
    low, high = _POLLERS
    if not low <= pollers <= high:
        provisioned.at("maximum_pollers").fault(
            f"{pollers} is not between {low} and {high}, what a queue can have.", f"Give {low} to {high}."
        )
    return _PER_POLLER * pollers


def _filters(given: Given) -> tuple[Given, ...]:
    filters: tuple[Given, ...] = given.inner("filter_criteria").get("filters") or ()
    return filters


def _patterns(given: Given) -> tuple[str, ...]:
    return tuple(one.get("pattern") for one in _filters(given))


def _check_filters(given: Given) -> None:
    if given.has("filter_criteria_error"):
        given.at("filter_criteria_error").fault(
            "AWS could not show the filters of this mapping, so that every record would pass.",
            "Write them in filter_criteria, and leave this out.",
        )
    for one in _filters(given):
        if not one.has("pattern"):
            one.place.fault("Invalid filter pattern definition.", "Give it a pattern, as JSON text.")
        elif one.get("pattern") is not None:
            _compile(one)


def _compile(one: Given) -> None:
    try:
        compile_filters([one.get("pattern")], SqsShape.data_rule)
    except InvalidPattern as error:
        one.at("pattern").fault(
            f"{error} The pattern {error.reason}." if error.reason.startswith("is ") else f"{error} {error.reason}.",
            'Write JSON such as {"body": {"color": ["red"]}}: every leaf is a list of alternatives.',
        )
