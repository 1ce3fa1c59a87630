"""Mappings of SQS queues: AWS's rules for them."""

from __future__ import annotations

import re
from typing import Final

from pollers.config.model import QueueTerms
from pollers.config.tables import Given

__all__ = ["read_queue"]

_QUEUE: Final = re.compile(r"arn:[a-z-]+:sqs:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,80}(\.fifo)?", re.ASCII)
_AT_ONCE: Final = 10  # messages. AWS: larger batches of a queue need a window to be gathered in
_FIFO_BATCH: Final = 10  # AWS: batches of FIFO queues hold ten messages at most
_PER_POLLER: Final = 10  # invocations at once. AWS: what one provisioned poller of SQS can do (9-4)
_POLLERS: Final = 2, 2_000  # AWS: MaximumPollers of SQS (12-12)


def read_queue(given: Given, batch_size: int) -> QueueTerms | None:
    """What only queues have, its faults reported; None where the source is not a queue's ARN."""
    arn: str = given.get("event_source_arn")
    if not _QUEUE.fullmatch(arn):
        given.at("event_source_arn").fault(
            f"'{arn}' is not the ARN of a queue.", "Write it as arn:aws:sqs:region:account:name."
        )
        return None
    fifo = arn.endswith(".fifo")
    _check_batching(given, batch_size, fifo)
    options = given.inner("pollers")
    return QueueTerms(
        fifo=fifo,
        maximum_concurrency=_concurrency(given),
        heartbeat=options.get("heartbeat"),
        throttle_hold=options.get("throttle_hold"),
    )


def _check_batching(given: Given, size: int, fifo: bool) -> None:
    window = given.get("maximum_batching_window_in_seconds")
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
