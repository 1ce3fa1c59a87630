"""Kinesis Data Streams without I/O, on any clock: a request in, an answer or a fault out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pollers.testing.kinesis import administration, consumers, reading, writing
from pollers.testing.kinesis.account import Account
from pollers.testing.kinesis.errors import fault
from pollers.testing.kinesis.limits import KinesisLimits
from pollers.testing.kinesis.stream import Stream
from pollers.testing.kinesis.tokens import Iterator
from pollers.testing.service import Answer, Fault
from pollers.testing.trouble import Call, Journal

__all__ = ["KinesisModel"]

_Action: TypeAlias = Callable[[Account, Mapping[str, Any], float], Answer]

_ACTIONS: Mapping[str, _Action] = {
    "AddTagsToStream": administration.add_tags_to_stream,
    "CreateStream": administration.create_stream,
    "DecreaseStreamRetentionPeriod": administration.decrease_retention,
    "DeleteStream": administration.delete_stream,
    "DeregisterStreamConsumer": consumers.deregister_consumer,
    "DescribeStream": administration.describe_stream,
    "DescribeStreamConsumer": consumers.describe_consumer,
    "DescribeStreamSummary": administration.describe_summary,
    "GetRecords": reading.get_records,
    "GetShardIterator": reading.get_shard_iterator,
    "IncreaseStreamRetentionPeriod": administration.increase_retention,
    "ListShards": administration.list_shards,
    "ListStreamConsumers": consumers.list_consumers,
    "ListStreams": administration.list_streams,
    "ListTagsForStream": administration.list_tags,
    "MergeShards": administration.merge_shards,
    "PutRecord": writing.put_record,
    "PutRecords": writing.put_records,
    "RegisterStreamConsumer": consumers.register_consumer,
    "RemoveTagsFromStream": administration.remove_tags,
    "SplitShard": administration.split_shard,
    "SubscribeToShard": consumers.subscribe_to_shard,
    "UpdateShardCount": administration.update_shard_count,
}
_NOT_MODELED = frozenset(
    {
        "DescribeLimits",
        "DisableEnhancedMonitoring",
        "EnableEnhancedMonitoring",
        "StartStreamEncryption",
        "StopStreamEncryption",
        "UpdateStreamMode",
    }
)


class KinesisModel:
    """Kinesis of one account in one region.

    `clock` gives wall time in seconds; the model never sleeps, and time acts when a call comes, or a `tick`. `trouble`
    and `journal` know a call's resource as "stream", calls of one shard as "stream/shardId-000000000000". Trouble with
    the events of a subscription is that of "SubscribeToShardEvent".
    """

    target = "Kinesis_20131202"
    content_type = "application/x-amz-json-1.1"
    query_compatible = False

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        *,
        region: str = "us-east-1",
        account: str = "123456789012",
        limits: KinesisLimits | None = None,
    ) -> None:
        self.now = clock
        self.journal = Journal()
        self.endpoint = ""
        self.changed: Callable[[], None] = _nobody
        self._account = Account(region, account, limits or KinesisLimits(), clock)
        self.trouble = self._account.trouble

    @property
    def region(self) -> str:
        return self._account.region

    def call(self, action: str, request: Mapping[str, Any]) -> Answer:
        """Do one action, "PutRecord", with the members of its request. Raises Fault, and Dropped on order."""
        now = self.now()
        resource = self._resource(request)
        self.journal.calls.append(Call(action, resource, now))
        afterwards = self.trouble.before(action, resource)
        if afterwards is None and "/" in resource:
            afterwards = self.trouble.before(action, resource.partition("/")[0])
        answer = _action(action)(self._account, request, now)
        self.changed()
        if afterwards is not None:
            afterwards()
        return answer

    def stream(self, name: str) -> Stream:
        """The stream, to look into and to act on. Raises Fault when there is none."""
        return self._account.named(name)

    def wake_at(self) -> float | None:
        """When a subscription ends, or wants an event."""
        return self._account.subscriptions.wake_at()

    def tick(self) -> None:
        """Let subscriptions see the time."""
        self._account.subscriptions.tick()
        self.changed()

    def _resource(self, request: Mapping[str, Any]) -> str:
        named = request.get("StreamName") or request.get("StreamARN") or ""
        if isinstance(consumer := request.get("ConsumerARN"), str):
            named = consumer.partition("/consumer/")[0]
        shard = request.get("ShardId")
        if isinstance(request.get("ShardIterator"), str):
            try:
                iterator = Iterator.parse(request["ShardIterator"], 0.0, float("inf"))
            except Fault:
                return ""
            named, shard = iterator.stream, iterator.shard
        name = str(named).rpartition("/")[2]
        return f"{name}/{shard}" if isinstance(shard, str) else name


def _nobody() -> None:
    """Who listens to `KinesisModel.changed` before a front does."""


def _action(name: str) -> _Action:
    action = _ACTIONS.get(name)
    if action is not None:
        return action
    if name in _NOT_MODELED:
        raise fault("InvalidArgumentException", f"{name} is not part of the embedded Kinesis.")
    raise Fault("UnknownOperationException", "", namespace="com.amazon.coral.service", status=404)
