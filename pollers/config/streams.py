"""Mappings of Kinesis and DynamoDB streams: AWS's rules for them (semantics 1.1 to 1.3)."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any, Final, Literal

from pollers.config.kinds import DYNAMODB, KINESIS
from pollers.config.model import StreamTerms
from pollers.config.tables import Given

__all__ = ["read_stream"]

_ACCOUNT = r"[a-z0-9-]+:\d{12}"
_ARNS: Final = {
    KINESIS: re.compile(rf"arn:[a-z-]+:kinesis:{_ACCOUNT}:stream/[a-zA-Z0-9_.-]{{1,128}}", re.ASCII),
    DYNAMODB: re.compile(rf"arn:[a-z-]+:dynamodb:{_ACCOUNT}:table/[a-zA-Z0-9_.-]{{1,255}}/stream/[^/]+", re.ASCII),
}
_FORMS: Final = {
    KINESIS: "Write it as arn:aws:kinesis:region:account:stream/name.",
    DYNAMODB: "Write it as arn:aws:dynamodb:region:account:table/name/stream/label; DescribeTable shows it as "
    "LatestStreamArn.",
}
_CONSUMER: Final = re.compile(r".*:stream/[^/]+/consumer/.+")
_YOUNGEST: Final = 60  # seconds. AWS: of MaximumRecordAgeInSeconds, unless it is -1


def read_stream(given: Given, kind: str) -> StreamTerms | None:
    """What only streams have, its faults reported; None where the source is not a stream's ARN."""
    if not _is_stream(given, kind):
        return None
    _check_windows(given)
    _check_lanes(given)
    options = given.inner("pollers")
    return StreamTerms(
        starting_position=_starting_position(given, kind),
        parallelization_factor=given.get("parallelization_factor"),
        lanes=options.get("lanes"),
        maximum_retry_attempts=_limit(given.get("maximum_retry_attempts")),
        maximum_record_age_in_seconds=_max_age(given),
        bisect_batch_on_function_error=given.get("bisect_batch_on_function_error"),
        tumbling_window_in_seconds=given.get("tumbling_window_in_seconds"),
        destination=_destination(given, kind),
        drop_undelivered=options.get("on_destination_failure") == "drop",
        backoff=options.get("backoff"),
        idle_poll=options.get("idle_poll"),
    )


def _is_stream(given: Given, kind: str) -> bool:
    arn: str = given.get("event_source_arn")
    if _ARNS[kind].fullmatch(arn):
        return True
    if kind == KINESIS and _CONSUMER.fullmatch(arn):
        given.at("event_source_arn").fault(
            "enhanced fan-out cannot be read by this version of pollers yet.",
            f"Name the stream itself: {arn.partition('/consumer/')[0]}.",
        )
    else:
        given.at("event_source_arn").fault(f"'{arn}' is not the ARN of a {kind.split()[0]} stream.", _FORMS[kind])
    return False


# Where it begins


def _starting_position(given: Given, kind: str) -> Literal["TRIM_HORIZON", "LATEST"] | datetime:
    """AWS: required, and a moment goes with AT_TIMESTAMP only (1.3, 8-2)."""
    position = given.get("starting_position")
    moment = _moment(given)
    if not given.has("starting_position"):
        given.at("starting_position").fault(
            "Value null at 'startingPosition' failed to satisfy constraint: Member must not be null.",
            "Write TRIM_HORIZON, to begin with the oldest record, or LATEST, to begin with what comes from now on.",
        )
    elif position == "AT_TIMESTAMP":
        return _at_timestamp(given, kind, moment)
    elif given.has("starting_position_timestamp") and not given.blank("starting_position_timestamp"):
        given.at("starting_position_timestamp").fault(
            "Timestamp only valid with StartingPosition AT_TIMESTAMP.", "Leave it out, or write AT_TIMESTAMP."
        )
    return "LATEST" if position == "LATEST" else "TRIM_HORIZON"


def _at_timestamp(given: Given, kind: str, moment: datetime | None) -> Literal["TRIM_HORIZON"] | datetime:
    if kind == DYNAMODB:
        given.at("starting_position").fault(
            f"Unsupported starting position for arn type: {given.get('event_source_arn')}.",
            "Write TRIM_HORIZON or LATEST.",
        )
    elif not given.has("starting_position_timestamp"):
        given.at("starting_position_timestamp").fault(
            "When the starting position is 'AT_TIMESTAMP', a starting position timestamp must be provided.",
            "Write a date such as 2026-01-31T12:00:00Z.",
        )
    elif moment is not None and moment > datetime.now(UTC):
        given.at("starting_position_timestamp").fault(f"{moment.isoformat()} is in the future.", "Give a past moment.")
    return moment or "TRIM_HORIZON"


def _moment(given: Given) -> datetime | None:
    """The timestamp; one without an offset is taken as UTC."""
    written: Any = given.get("starting_position_timestamp")
    if isinstance(written, int | float):
        return datetime.fromtimestamp(written, UTC)
    if isinstance(written, str):
        written = datetime.fromisoformat(written)
    if isinstance(written, date) and not isinstance(written, datetime):
        written = datetime(written.year, written.month, written.day, tzinfo=UTC)
    if isinstance(written, datetime):
        return written if written.tzinfo else written.replace(tzinfo=UTC)
    return None


# Limits and lanes


def _limit(written: int) -> int | None:
    """AWS: -1 is without end."""
    return None if written == -1 else written


def _max_age(given: Given) -> int | None:
    age: int = given.get("maximum_record_age_in_seconds")
    if age != -1 and age < _YOUNGEST:
        given.at("maximum_record_age_in_seconds").fault(
            "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 (inclusive).",
            "Give one of these.",
        )
    return _limit(age)


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


# Where batches go that are given up


def _destination(given: Given, kind: str) -> str | None:
    destinations = given.inner("destination_config")
    if destinations.has("on_success") and not destinations.blank("on_success"):
        destinations.at("on_success").fault(
            "OnSuccess configuration is not supported for event source mappings."
            if kind == DYNAMODB
            else "Unsupported DestinationConfig parameter for given event source mapping type.",
            "Leave it out.",
        )
    on_failure = destinations.inner("on_failure")
    written: str | None = on_failure.get("destination")
    if not written:
        return None  # AWS: an empty text removes it
    reason = _unfit(written)
    if reason is not None:
        on_failure.at("destination").fault(reason, "Name an SQS queue, an SNS topic, an S3 bucket, or file:///path.")
    return written


def _unfit(destination: str) -> str | None:
    """Why it cannot be a failure destination of a stream. AWS: SQS, SNS, S3, and none that is FIFO (1.1, 1.2)."""
    if destination.startswith("file:"):
        return None
    service = destination.split(":")[2] if destination.startswith("arn:") else destination.partition(":")[0]
    if service not in ("sqs", "sns", "s3"):
        return f"{destination} is no failure destination of a stream."
    if destination.endswith(".fifo"):
        what = "queue" if service == "sqs" else "topic"
        return f"{destination} is a FIFO {what}, which cannot be a failure destination."
    return None
