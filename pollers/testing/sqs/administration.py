"""The actions on queues: create, find, describe, change, purge, delete and tag."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

from pollers.testing.service import Answer
from pollers.testing.sqs.account import Account
from pollers.testing.sqs.attributes import COUNTS, known
from pollers.testing.sqs.errors import fault, invalid_parameter, missing_parameter, no_such_queue, serialization
from pollers.testing.sqs.fields import integer, optional_text, required_text, texts
from pollers.testing.sqs.messages import State
from pollers.testing.sqs.queue import Queue

__all__ = [
    "create_queue",
    "delete_queue",
    "get_queue_attributes",
    "get_queue_url",
    "list_dead_letter_source_queues",
    "list_queue_tags",
    "list_queues",
    "purge_queue",
    "set_queue_attributes",
    "tag_queue",
    "untag_queue",
]


def create_queue(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    name = required_text(request, "QueueName")
    tags = _text_map(request, "tags")
    _check_tags(name, tags)
    queue = account.create(name, _text_map(request, "Attributes"), tags, now)
    return {"QueueUrl": account.url(queue)}


def get_queue_url(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    name = required_text(request, "QueueName")
    owner = optional_text(request, "QueueOwnerAWSAccountId")
    if owner is not None and owner != account.number:
        raise no_such_queue()
    return {"QueueUrl": account.url(account.named(name))}


def list_queues(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    prefix = optional_text(request, "QueueNamePrefix") or ""
    names = sorted(queue.name for queue in account.queues() if queue.name.startswith(prefix))
    return _page(account, request, names, "QueueUrls")


def list_dead_letter_source_queues(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    arn = account.at(request.get("QueueUrl")).arn
    sources = (queue for queue in account.queues() if queue.settings.redrive and queue.settings.redrive.target == arn)
    return _page(account, request, sorted(queue.name for queue in sources), "queueUrls")


def get_queue_attributes(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    queue = account.at(request.get("QueueUrl"))
    queue.advance(now)
    names = texts(request, "AttributeNames")
    for name in names:
        if name != "All" and not known(name):
            raise fault("InvalidAttributeName", f"Unknown Attribute {name}.")
    attributes = _described(queue)
    if "All" not in names:
        attributes = {name: attributes[name] for name in names if name in attributes}
    return {"Attributes": attributes} if attributes else {}


def set_queue_attributes(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    queue = account.at(request.get("QueueUrl"))
    given = _text_map(request, "Attributes")
    if not given:
        raise missing_parameter("Attributes")
    account.configure(queue, given, now)
    return {}


def purge_queue(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    account.at(request.get("QueueUrl")).purge(now)
    return {}


def delete_queue(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    account.remove(account.at(request.get("QueueUrl")), now)
    return {}


def tag_queue(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    queue = account.at(request.get("QueueUrl"))
    tags = _text_map(request, "Tags")
    if not tags:
        raise missing_parameter("Tags")
    _check_tags(queue.name, {**queue.tags, **tags})
    queue.tags.update(tags)
    return {}


def untag_queue(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    queue = account.at(request.get("QueueUrl"))
    keys = texts(request, "TagKeys")
    if not keys:
        raise missing_parameter("TagKeys")
    for key in keys:
        queue.tags.pop(key, None)
    return {}


def list_queue_tags(account: Account, request: Mapping[str, Any], now: float) -> Answer:
    tags = account.at(request.get("QueueUrl")).tags
    return {"Tags": dict(tags)} if tags else {}


def _described(queue: Queue) -> dict[str, str]:
    counts = (queue.counts[State.READY], queue.counts[State.IN_FLIGHT], queue.counts[State.DELAYED])
    return {
        **queue.texts,
        **dict(zip(COUNTS, map(str, counts), strict=True)),
        "CreatedTimestamp": str(int(queue.created)),
        "LastModifiedTimestamp": str(int(queue.modified)),
        "QueueArn": queue.arn,
    }


def _page(account: Account, request: Mapping[str, Any], names: list[str], member: str) -> Answer:
    """One page of URLs. AWS: pages, and a NextToken, only where MaxResults is given."""
    most = integer(request, "MaxResults", 1, 1_000, "Must be between 1 and 1000, if provided.")
    after = _read_token(optional_text(request, "NextToken"))
    names = [name for name in names if name > after]
    answer: Answer = {}
    if most is not None and len(names) > most:
        names = names[:most]
        answer["NextToken"] = urlsafe_b64encode(names[-1].encode()).decode()
    if names or member == "queueUrls":  # required there
        answer[member] = [account.url(account.named(name)) for name in names]
    return answer


def _read_token(token: str | None) -> str:
    """The last name of the page before."""
    try:
        return urlsafe_b64decode(token or "").decode()
    except ValueError:  # bad base64 too
        raise invalid_parameter("Invalid or expired next token.") from None


def _text_map(request: Mapping[str, Any], member: str) -> dict[str, str]:
    value = request.get(member)
    if value is None:
        return {}
    if isinstance(value, dict) and all(isinstance(text, str) for text in value.values()):
        return value
    raise serialization(f"{member} must be a map of strings")


def _check_tags(name: str, tags: Mapping[str, str]) -> None:
    if len(tags) > 50:
        raise invalid_parameter(f"Too many tags added for queue {name}.")
    if not all(0 < len(key) <= 128 and len(text) <= 256 for key, text in tags.items()):
        raise invalid_parameter("Tag keys must have 1 to 128 characters, tag values at most 256.")
