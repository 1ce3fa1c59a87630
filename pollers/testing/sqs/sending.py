"""SendMessage and SendMessageBatch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pollers.testing.service import Answer, Fault
from pollers.testing.sqs.account import Account
from pollers.testing.sqs.batch import entries_of, run_batch
from pollers.testing.sqs.checksums import attributes_md5, content_id, text_md5
from pollers.testing.sqs.errors import fault, invalid_parameter, missing_parameter
from pollers.testing.sqs.fields import integer, optional_text
from pollers.testing.sqs.fifo import Original
from pollers.testing.sqs.limits import LARGEST_MESSAGE, check_body, check_group_text
from pollers.testing.sqs.message_attributes import read_attributes, read_system_attributes, size
from pollers.testing.sqs.messages import SENDER, Attributes, Message
from pollers.testing.sqs.queue import Queue

__all__ = ["send_message", "send_message_batch"]

_WRONG_KIND = "The request include parameter that is not valid for this queue type."


@dataclass(slots=True)
class _Draft:
    """A message as the request describes it, checked."""

    body: str
    encoded: bytes
    attributes: Attributes
    system: Attributes
    delay: int | None
    group: str | None
    deduplication: str | None


def send_message(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    queue = account.at(request.get("QueueUrl"))
    return _send(account, queue, request, now)


def send_message_batch(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    queue = account.at(request.get("QueueUrl"))
    entries = entries_of(request, "SendMessageBatchRequestEntry")
    total = sum(map(_weight, entries))
    if total > LARGEST_MESSAGE:
        message = f"Batch requests cannot be longer than {LARGEST_MESSAGE} bytes. You have sent {total} bytes."
        raise fault("BatchRequestTooLong", message)
    ordered = account.trouble.for_entries("SendMessageBatch", queue.name)
    return run_batch(entries, lambda entry: _send(account, queue, entry, now), ordered)


def _send(account: Account, queue: Queue, request: Mapping[str, Any], now: float) -> Answer:
    draft = _read(queue, request)
    if not queue.settings.fifo:
        id = account.ids()
        order = 0
        _put(queue, draft, id, order, now)
    else:
        id, order = _send_fifo(account, queue, draft, now)
    return _receipt(draft, id, order, text_md5(draft.encoded))


def _send_fifo(account: Account, queue: Queue, draft: _Draft, now: float) -> Original:
    """AWS: a duplicate within five minutes is accepted, answered with the original's ids, and not delivered."""
    key = (draft.group, draft.deduplication) if queue.settings.scope_is_group else draft.deduplication
    original = queue.sends.find(key, now)
    if original is None:
        original = Original(account.ids(), account.next_sequence())
        queue.sends.keep(key, original, now)
        _put(queue, draft, original.id, original.order, now)
    return original


def _put(queue: Queue, draft: _Draft, id: str, order: int, now: float) -> None:
    system = {"SenderId": SENDER}
    if draft.group is not None:
        system["MessageGroupId"] = draft.group
    if draft.deduplication is not None:
        system["MessageDeduplicationId"] = draft.deduplication
        system["SequenceNumber"] = str(order)
    if draft.system:
        system["AWSTraceHeader"] = draft.system["AWSTraceHeader"]["StringValue"]
    message = Message(
        id, draft.body, text_md5(draft.encoded), draft.attributes, system, now, group=draft.group or "", order=order
    )
    queue.put(message, queue.settings.delay if draft.delay is None else draft.delay, now)


def _receipt(draft: _Draft, id: str, order: int, md5: str) -> Answer:
    answer = {"MessageId": id, "MD5OfMessageBody": md5}
    if draft.attributes:
        answer["MD5OfMessageAttributes"] = attributes_md5(draft.attributes)
    if draft.system:
        answer["MD5OfMessageSystemAttributes"] = attributes_md5(draft.system)
    if order:
        answer["SequenceNumber"] = str(order)
    return answer


def _read(queue: Queue, request: Mapping[str, Any]) -> _Draft:
    body = optional_text(request, "MessageBody") or ""
    check_body(body)
    encoded = body.encode()
    attributes = read_attributes(request)
    if len(encoded) + size(attributes) > queue.settings.largest:
        raise invalid_parameter(
            f"One or more parameters are invalid. Reason: Message must be shorter than {queue.settings.largest} bytes."
        )
    delay = integer(request, "DelaySeconds", 0, 900, "DelaySeconds must be >= 0 and <= 900.")
    group = _group_text(request, "MessageGroupId")
    deduplication = _group_text(request, "MessageDeduplicationId")
    if queue.settings.fifo:
        deduplication = _check_fifo(queue, encoded, delay, group, deduplication)
        delay = None
    elif deduplication is not None:
        raise invalid_parameter(
            f"Value {deduplication} for parameter MessageDeduplicationId is invalid. Reason: {_WRONG_KIND}"
        )
    return _Draft(body, encoded, attributes, read_system_attributes(request), delay, group, deduplication)


def _check_fifo(queue: Queue, encoded: bytes, delay: int | None, group: str | None, deduplication: str | None) -> str:
    """The deduplication id. AWS: FIFO messages have a group, and no delay of their own."""
    if delay:
        raise invalid_parameter(f"Value {delay} for parameter DelaySeconds is invalid. Reason: {_WRONG_KIND}")
    if group is None:
        raise missing_parameter("MessageGroupId")
    if deduplication is not None:
        return deduplication
    if not queue.settings.content_based:
        raise invalid_parameter(
            "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided "
            "explicitly"
        )
    return content_id(encoded)


def _group_text(request: Mapping[str, Any], name: str) -> str | None:
    text = optional_text(request, name)
    if text is not None:
        check_group_text(name, text)
    return text


def _weight(entry: Mapping[str, Any]) -> int:
    """Bytes of an entry; what is malformed weighs nothing, its own check will refuse it."""
    body = entry.get("MessageBody")
    weight = len(body.encode(errors="replace")) if isinstance(body, str) else 0
    if entry.get("MessageAttributes"):
        try:
            weight += size(read_attributes(entry))
        except Fault:
            return weight
    return weight
