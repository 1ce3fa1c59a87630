"""SQS's quotas, and what texts it takes: names, ids and bodies."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pollers.testing.sqs.errors import fault, invalid_parameter, missing_parameter

__all__ = [
    "DEDUPLICATION_INTERVAL",
    "LARGEST_MESSAGE",
    "LONGEST_VISIBILITY",
    "Limits",
    "check_body",
    "check_group_text",
    "check_queue_name",
]

LARGEST_MESSAGE = 1_048_576  # bytes of a message, and of the entries of one batch together
LONGEST_VISIBILITY = 43_200  # seconds that one receive may keep a message
DEDUPLICATION_INTERVAL = 300.0  # seconds

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_FIFO_NAME = re.compile(r"[A-Za-z0-9_-]{1,75}\.fifo")
_GROUP_TEXT = re.compile(r"[!-~]{1,128}")
_NOT_IN_A_BODY = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Limits:
    """Quotas that a test may want smaller."""

    in_flight: int = 120_000  # messages received and neither deleted nor visible again, per queue
    recreate_after: float = 60.0  # seconds after DeleteQueue until the name may be used again
    purge_every: float = 60.0  # seconds between two PurgeQueue


def check_queue_name(name: str, *, fifo: bool) -> None:
    if fifo and not _FIFO_NAME.fullmatch(name):
        raise invalid_parameter(
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
            "must end with .fifo suffix and be 1 to 80 in length."
        )
    if not fifo and not _QUEUE_NAME.fullmatch(name):
        raise invalid_parameter("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")


def check_group_text(name: str, text: str) -> None:
    """A MessageGroupId or MessageDeduplicationId; `name` says which."""
    if not _GROUP_TEXT.fullmatch(text):
        raise invalid_parameter(
            f"Value {text} for parameter {name} is invalid. Reason: {name} can only include alphanumeric and "
            "punctuation characters. 1 to 128 in length."
        )


def check_body(body: str) -> None:
    """Empty, or with characters that XML 1.0 has not, is refused."""
    if not body:
        raise missing_parameter("MessageBody")
    if _NOT_IN_A_BODY.search(body):
        raise fault(
            "InvalidMessageContents",
            "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | "
            "#xE000 to #xFFFD | #x10000 to #x10FFFF.",
        )
