"""What mappings of all logs have in common: AWS's rules for starting positions, limits and failure destinations."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Final, Literal

from pollers.config.kinds import DYNAMODB, KAFKA
from pollers.config.tables import Given

__all__ = ["failure_destination", "limit", "max_age", "starting_position"]

_YOUNGEST: Final = 60  # seconds. AWS: of MaximumRecordAgeInSeconds, unless it is -1


# Where it begins


def starting_position(given: Given, kind: str) -> Literal["TRIM_HORIZON", "LATEST"] | datetime:
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


# Limits


def limit(written: int) -> int | None:
    """AWS: -1 is without end."""
    return None if written == -1 else written


def max_age(given: Given) -> int | None:
    age: int = given.get("maximum_record_age_in_seconds")
    if age != -1 and age < _YOUNGEST:
        given.at("maximum_record_age_in_seconds").fault(
            "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 (inclusive).",
            "Give one of these.",
        )
    return limit(age)


# Where batches go that are given up


def failure_destination(given: Given, kind: str) -> str | None:
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
    reason = _unfit(written, kind)
    if reason is not None:
        topic = ", kafka://topic" if kind == KAFKA else ""
        remedy = f"Name an SQS queue, an SNS topic, an S3 bucket{topic}, or file:///path."
        on_failure.at("destination").fault(reason, remedy)
    return written


def _unfit(destination: str, kind: str) -> str | None:
    """Why it cannot be a failure destination. AWS: SQS, SNS, S3, none that is FIFO, and of Kafka topics (1.1, 1.2)."""
    if destination.startswith("file:"):
        return None
    if destination.startswith("kafka:"):
        return None if kind == KAFKA else "a topic is a failure destination of Kafka only."
    service = destination.split(":")[2] if destination.startswith("arn:") else destination.partition(":")[0]
    if service not in ("sqs", "sns", "s3"):
        return f"{destination} is no failure destination of a stream."
    if destination.endswith(".fifo"):
        what = "queue" if service == "sqs" else "topic"
        return f"{destination} is a FIFO {what}, which cannot be a failure destination."
    return None
