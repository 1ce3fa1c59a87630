"""ReceiveMessage, and what receivers do afterwards: delete and change visibility, alone and in batches."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pollers.testing.service import Answer, Waiting
from pollers.testing.sqs.account import Account
from pollers.testing.sqs.attributes import known
from pollers.testing.sqs.batch import entries_of, run_batch
from pollers.testing.sqs.errors import fault, invalid_parameter, missing_parameter
from pollers.testing.sqs.fields import integer, required_text, texts
from pollers.testing.sqs.limits import LONGEST_VISIBILITY, check_group_text
from pollers.testing.sqs.messages import Selection
from pollers.testing.sqs.polls import Wish
from pollers.testing.sqs.queue import Queue

__all__ = [
    "change_message_visibility",
    "change_message_visibility_batch",
    "delete_message",
    "delete_message_batch",
    "receive_message",
]

_SYSTEM = frozenset(
    {
        "All",
        "SenderId",
        "SentTimestamp",
        "ApproximateReceiveCount",
        "ApproximateFirstReceiveTimestamp",
        "SequenceNumber",
        "MessageDeduplicationId",
        "MessageGroupId",
        "AWSTraceHeader",
        "DeadLetterQueueSourceArn",
    }
)


def receive_message(account: Account, request: Mapping[str, Any], now: float) -> Answer | Waiting:
    queue = account.at(request.get("QueueUrl"))
    wish = _wish(queue, request)
    answer = account.take(queue, wish, now)
    if answer is not None:
        return answer
    if wish.wait > 0:
        return account.polls.wait(queue, wish, now)
    if queue.full() and not queue.settings.fifo:
        # AWS: OverLimit goes to short polls of standard queues only; all others just find nothing.
        raise fault(
            "OverLimit", f"Too many messages in flight in {queue.name}: delete some, or wait until they are visible."
        )
    return {}


def delete_message(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    return _delete(account.at(request.get("QueueUrl")), request, now)


def delete_message_batch(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    queue = account.at(request.get("QueueUrl"))
    entries = entries_of(request, "DeleteMessageBatchRequestEntry")
    ordered = account.trouble.for_entries("DeleteMessageBatch", queue.name)
    return run_batch(entries, lambda entry: _delete(queue, entry, now), ordered)


def change_message_visibility(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    return _change(account.at(request.get("QueueUrl")), request, now)


def change_message_visibility_batch(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    queue = account.at(request.get("QueueUrl"))
    entries = entries_of(request, "ChangeMessageVisibilityBatchRequestEntry")
    ordered = account.trouble.for_entries("ChangeMessageVisibilityBatch", queue.name)
    return run_batch(entries, lambda entry: _change(queue, entry, now), ordered)


def _delete(queue: Queue, request: Mapping[str, Any], now: float) -> Answer:
    queue.delete(required_text(request, "ReceiptHandle"), now)
    return {}


def _change(queue: Queue, request: Mapping[str, Any], now: float) -> Answer:
    handle = required_text(request, "ReceiptHandle")
    seconds = _visibility(request)
    if seconds is None:
        raise missing_parameter("VisibilityTimeout")
    queue.change_visibility(handle, seconds, now)
    return {}


def _visibility(request: Mapping[str, Any]) -> int | None:
    reason = f"Must be between 0 and {LONGEST_VISIBILITY}, if provided."
    return integer(request, "VisibilityTimeout", 0, LONGEST_VISIBILITY, reason)


def _wish(queue: Queue, request: Mapping[str, Any]) -> Wish:
    limit = integer(request, "MaxNumberOfMessages", 1, 10, "Must be between 1 and 10, if provided.")
    wait = integer(request, "WaitTimeSeconds", 0, 20, "Must be >= 0 and <= 20, if provided.")
    visibility = _visibility(request)
    attempt = request.get("ReceiveRequestAttemptId")
    if attempt is not None:
        check_group_text("ReceiveRequestAttemptId", required_text(request, "ReceiveRequestAttemptId"))
        if not queue.settings.fifo:
            raise invalid_parameter(
                f"Value {attempt} for parameter ReceiveRequestAttemptId is invalid. Reason: The request include "
                "parameter that is not valid for this queue type."
            )
    return Wish(
        limit=1 if limit is None else limit,
        visibility=queue.settings.visibility if visibility is None else visibility,
        wait=queue.settings.wait if wait is None else wait,
        selection=_selection(
            tuple(texts(request, "MessageSystemAttributeNames")),
            tuple(texts(request, "AttributeNames")),
            tuple(texts(request, "MessageAttributeNames")),
        ),
        attempt=attempt,
    )


@lru_cache(maxsize=256)  # a poller asks for the same attributes each time
def _selection(system: tuple[str, ...], legacy: tuple[str, ...], attributes: tuple[str, ...]) -> Selection:
    for name in (*system, *legacy):
        # AttributeNames takes names of queue attributes too, and they mean nothing here.
        if name not in _SYSTEM and not (name in legacy and known(name)):
            raise fault("InvalidAttributeName", f"Unknown Attribute {name}.")
    return Selection.of([*system, *legacy], list(attributes))
