"""One of the two services of DynamoDB: its actions before the account, with a journal and trouble of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pollers.testing.dynamodb.account import Account
from pollers.testing.dynamodb.errors import not_modeled
from pollers.testing.dynamodb.iterators import ShardIterator
from pollers.testing.service import Answer, Fault
from pollers.testing.trouble import Call, Journal, Trouble

__all__ = ["Action", "Endpoint", "stream_resource", "table_resource"]

Action: TypeAlias = Callable[[Account, Mapping[str, Any], float], Answer]


class Endpoint:
    """A service as the front serves it. Nothing waits here, so nothing is ever due."""

    content_type = "application/x-amz-json-1.0"
    query_compatible = False

    def __init__(
        self,
        target: str,
        actions: Mapping[str, Action],
        resource: Callable[[Mapping[str, Any]], str],
        account: Account,
        clock: Callable[[], float],
        trouble: Trouble,
    ) -> None:
        """`resource` says what a request is about: a table's name, "table/shardId", or "" for neither."""
        self.target = target
        self.endpoint = ""
        self.changed: Callable[[], None] = _nobody
        self.now = clock
        self.journal = Journal()
        self.trouble = trouble
        self._actions = actions
        self._resource = resource
        self._account = account

    def call(self, action: str, request: Mapping[str, Any]) -> Answer:
        """Do one action, "PutItem", with the members of its request; what is returned is read only.

        Raises Fault, and Dropped where trouble says so: ordered for the table, the shard, or any.
        """
        now = self.now()
        resource = self._resource(request)
        self.journal.calls.append(Call(action, resource, now))
        afterwards = self.trouble.before(action, resource)
        if afterwards is None and "/" in resource:
            afterwards = self.trouble.before(action, resource.partition("/")[0])
        act = self._actions.get(action)
        if act is None:
            raise not_modeled(action)
        answer = act(self._account, request, now)
        if afterwards is not None:
            afterwards()
        return answer

    def wake_at(self) -> float | None:
        """Never: time acts when a call comes."""
        return None

    def tick(self) -> None:
        """Nothing is due."""


def table_resource(request: Mapping[str, Any]) -> str:
    """The table's name; a batch has one where all its writes are to one table."""
    named = request.get("TableName")
    if named is None:
        batches = request.get("RequestItems")
        named = next(iter(batches)) if isinstance(batches, dict) and len(batches) == 1 else ""
    return _name(named)


def stream_resource(request: Mapping[str, Any]) -> str:
    """The table's name, and behind a slash the shard's id where the call is about one."""
    named, shard = request.get("StreamArn") or request.get("TableName"), request.get("ShardId")
    iterator = request.get("ShardIterator")
    if isinstance(iterator, str):
        try:
            place = ShardIterator.read(iterator)
        except Fault:  # the action says so
            return ""
        named, shard = place.stream, place.shard
    name = _name(named)
    return f"{name}/{shard}" if name and isinstance(shard, str) else name


def _name(named: object) -> str:
    """Of a table's name or ARN, or a stream's ARN."""
    return named.rpartition(":table/")[2].partition("/")[0] if isinstance(named, str) else ""


def _nobody() -> None:
    """Who listens to `Endpoint.changed`: nothing is ever due, so nobody need be told."""
