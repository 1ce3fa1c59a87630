"""The kinds of event sources, and which of them a mapping names."""

from __future__ import annotations

import re
from typing import Final

from pollers.config.tables import Given

__all__ = ["ARN", "DYNAMODB", "KAFKA", "KINESIS", "LOGS", "MQ", "NOT_YET", "SQS", "STREAMS", "kind_of", "name_in"]

SQS: Final = "SQS"
KINESIS: Final = "Kinesis"
DYNAMODB: Final = "DynamoDB Streams"
KAFKA: Final = "Kafka"
MQ: Final = "Amazon MQ"

STREAMS: Final = frozenset({KINESIS, DYNAMODB})
LOGS: Final = STREAMS | {KAFKA}
NOT_YET: Final = frozenset({MQ})  # recognized, and not run by this version

# AWS: the pattern of EventSourceArn in Lambda's service model.
ARN: Final = (
    r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)"
)

_SERVICES: Final = {"sqs": SQS, "kinesis": KINESIS, "dynamodb": DYNAMODB, "kafka": KAFKA, "mq": MQ}
_FUNCTION = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:)?(?:\d{12}:)?(?:function:)?([a-zA-Z0-9_-]+)(:(?:\$LATEST|[a-zA-Z0-9_-]+))?"
)


def kind_of(mapping: Given) -> str | None:
    """The kind of source that a mapping reads; None where it names none that Lambda has mappings for."""
    arn = mapping.get("event_source_arn")
    if isinstance(arn, str):
        return _SERVICES.get(arn.split(":")[2])
    return KAFKA if mapping.has("self_managed_event_source") else None


def name_in(reference: str) -> tuple[str, str]:
    """The name and the qualifier (":live", or nothing) in a function's name, partial ARN or ARN."""
    found = _FUNCTION.fullmatch(reference)
    return (found[1], found[2] or "") if found else (reference, "")
