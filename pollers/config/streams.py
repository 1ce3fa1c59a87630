"""Mappings of Kinesis and DynamoDB streams: AWS's rules for them (semantics 1.1 to 1.3)."""

from __future__ import annotations

import re
from typing import Final

from pollers.config.kinds import DYNAMODB, KINESIS
from pollers.config.logs import failure_destination, limit, max_age, starting_position
from pollers.config.model import StreamTerms
from pollers.config.tables import Given

__all__ = ["read_stream"]

_ACCOUNT = r"[a-z0-9-]+:\d{12}"
_ARNS: Final = {
    KINESIS: re.compile(
        rf"arn:[a-z-]+:kinesis:{_ACCOUNT}:stream/[a-zA-Z0-9_.-]{{1,128}}(?P<consumer>/consumer/[a-zA-Z0-9_.-]{{1,128}}:\d+)?",
        re.ASCII,
    ),
    DYNAMODB: re.compile(rf"arn:[a-z-]+:dynamodb:{_ACCOUNT}:table/[a-zA-Z0-9_.-]{{1,255}}/stream/[^/]+", re.ASCII),
}
_FORMS: Final = {
    KINESIS: "Write it as arn:aws:kinesis:region:account:stream/name, with /consumer/name:timestamp behind it for "
    "enhanced fan-out; DescribeStreamConsumer shows it as ConsumerARN.",
    DYNAMODB: "Write it as arn:aws:dynamodb:region:account:table/name/stream/label; DescribeTable shows it as "
    "LatestStreamArn.",
}


def read_stream(given: Given, kind: str) -> StreamTerms | None:
    """What only streams have, its faults reported; None where the source is not a stream's ARN."""
    arn: str = given.get("event_source_arn")
    named = _ARNS[kind].fullmatch(arn)
    if named is None:
        given.at("event_source_arn").fault(f"'{arn}' is not the ARN of a {kind.split()[0]} stream.", _FORMS[kind])
        return None
    options = given.inner("pollers")
    if kind == KINESIS and named["consumer"] and options.has("idle_poll"):
        options.at("idle_poll").fault("records are pushed to a consumer, which polls for none.", "Leave it out.")
    _check_windows(given)
    _check_lanes(given)
    return StreamTerms(
        starting_position=starting_position(given, kind),
        parallelization_factor=given.get("parallelization_factor"),
        lanes=options.get("lanes"),
        maximum_retry_attempts=limit(given.get("maximum_retry_attempts")),
        maximum_record_age_in_seconds=max_age(given),
        bisect_batch_on_function_error=given.get("bisect_batch_on_function_error"),
        tumbling_window_in_seconds=given.get("tumbling_window_in_seconds"),
        destination=failure_destination(given, kind),
        drop_undelivered=options.get("on_destination_failure") == "drop",
        backoff=options.get("backoff"),
        idle_poll=options.get("idle_poll"),
    )


# Lanes


def _check_windows(given: Given) -> None:
    """AWS: tumbling windows go with one lane and without filters (7-8)."""
    if not given.get("tumbling_window_in_seconds"):
        return
    if given.get("parallelization_factor") > 1:
        given.at("parallelization_factor").fault(
            "Parallelization factor must be equal to 1 when tumbling window period is configured.",
            "Leave one of the two out.",
        )
    if given.inner("filter_criteria").get("filters"):
        given.at("filter_criteria").fault(
            "Filters cannot be used when a tumbling window period is configured.", "Leave one of the two out."
        )
    if given.inner("pollers").get("lanes") != "shard":
        given.inner("pollers").at("lanes").fault(
            "a tumbling window has one state for its shard, and so one lane.", "Leave one of the two out."
        )


def _check_lanes(given: Given) -> None:
    options = given.inner("pollers")
    if options.get("lanes") != "shard" and given.get("parallelization_factor") > 1:
        options.at("lanes").fault(
            "ParallelizationFactor divides shards into lanes; with other lanes there is nothing to divide.",
            "Leave one of the two out.",
        )
