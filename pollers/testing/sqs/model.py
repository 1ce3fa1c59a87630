"""SQS without I/O, on any clock: a request in, an answer, a fault or a wait out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pollers.clock import request_ids
from pollers.testing.service import Answer, Fault, Waiting
from pollers.testing.sqs import administration, receiving, sending
from pollers.testing.sqs.account import Account
from pollers.testing.sqs.errors import fault
from pollers.testing.sqs.limits import Limits
from pollers.testing.sqs.queue import Queue
from pollers.testing.trouble import Call, Journal

__all__ = ["SqsModel"]

_Action: TypeAlias = Callable[[Account, Mapping[str, Any], float], Answer | Waiting]

_ACTIONS: Mapping[str, _Action] = {
    "ChangeMessageVisibility": receiving.change_message_visibility,
    "ChangeMessageVisibilityBatch": receiving.change_message_visibility_batch,
    "CreateQueue": administration.create_queue,
    "DeleteMessage": receiving.delete_message,
    "DeleteMessageBatch": receiving.delete_message_batch,
    "DeleteQueue": administration.delete_queue,
    "GetQueueAttributes": administration.get_queue_attributes,
    "GetQueueUrl": administration.get_queue_url,
    "ListDeadLetterSourceQueues": administration.list_dead_letter_source_queues,
    "ListQueueTags": administration.list_queue_tags,
    "ListQueues": administration.list_queues,
    "PurgeQueue": administration.purge_queue,
    "ReceiveMessage": receiving.receive_message,
    "SendMessage": sending.send_message,
    "SendMessageBatch": sending.send_message_batch,
    "SetQueueAttributes": administration.set_queue_attributes,
    "TagQueue": administration.tag_queue,
    "UntagQueue": administration.untag_queue,
}
_NOT_MODELED = frozenset(
    {"AddPermission", "RemovePermission", "StartMessageMoveTask", "CancelMessageMoveTask", "ListMessageMoveTasks"}
)


class SqsModel:
    """SQS of one account in one region.

    `clock` gives wall time in seconds; the model never sleeps. Whoever drives it calls `tick` when `wake_at` is due,
    so that long polls end; everything else needs no ticking.
    """

    target = "AmazonSQS"
    content_type = "application/x-amz-json-1.0"
    query_compatible = True

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        *,
        region: str = "us-east-1",
        account: str = "123456789012",
        ids: Callable[[], str] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.now = clock
        self.journal = Journal()
        self.changed: Callable[[], None] = _nobody
        self._account = Account(region, account, ids or request_ids(), limits or Limits())
        self.trouble = self._account.trouble

    @property
    def endpoint(self) -> str:
        """The base of queue URLs."""
        return self._account.endpoint

    @endpoint.setter
    def endpoint(self, url: str) -> None:
        self._account.endpoint = url

    @property
    def region(self) -> str:
        return self._account.region

    def call(self, action: str, request: Mapping[str, Any]) -> Answer | Waiting:
        """Do one action, "SendMessage", with the members of its request.

        A ReceiveMessage that finds nothing and may wait is answered with a Waiting. Raises Fault, and Dropped where
        trouble says so.
        """
        now = self.now()
        resource = _resource(request)
        self.journal.calls.append(Call(action, resource, now))
        afterwards = self.trouble.before(action, resource)
        try:
            answer = _action(action)(self._account, request, now)
        finally:
            self._account.polls.serve(now)
            self.changed()
        if afterwards is not None:
            if isinstance(answer, Waiting):
                answer.cancel()
            afterwards()
        return answer

    def queue(self, name: str) -> Queue:
        """The queue, to look into. Raises Fault when there is none."""
        return self._account.named(name)

    def wake_at(self) -> float | None:
        """When a long poll can be answered without another call, wall time; None: never."""
        return self._account.polls.wake_at()

    def tick(self) -> None:
        """Answer the long polls that can be answered by now."""
        self._account.polls.tick(self.now())
        self.changed()


def _nobody() -> None:
    """Who listens to `SqsModel.changed` before a front does."""


def _action(name: str) -> _Action:
    action = _ACTIONS.get(name)
    if action is not None:
        return action
    if name in _NOT_MODELED:
        raise fault("UnsupportedOperation", f"{name} is not part of the embedded SQS.")
    raise Fault("UnknownOperationException", "", namespace="com.amazon.coral.service", status=404)


def _resource(request: Mapping[str, Any]) -> str:
    named = request.get("QueueUrl") or request.get("QueueName")
    return named.rpartition("/")[2] if isinstance(named, str) else ""
