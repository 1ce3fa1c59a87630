"""The committed offsets of a group, looked at and moved from outside, while it has no members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from pollers.errors import SourceError
from pollers.kafka.connection import client_settings
from pollers.kafka.reasons import obstacle
from pollers.sources.kafka.client import no_topic, unusable
from pollers.sources.kafka.port import Committed, ConsumerTerms

__all__ = ["GroupOffsets", "To"]

To: TypeAlias = Literal["TRIM_HORIZON", "LATEST"] | float  # a float: seconds since the epoch


class GroupOffsets:
    """An asynchronous context manager. Everything in it raises `SourceError` where the cluster says no."""

    def __init__(self, terms: ConsumerTerms) -> None:
        self._terms = terms
        self._consumer: Any = None
        self._all: list[TopicPartition] = []

    async def __aenter__(self) -> GroupOffsets:
        terms = self._terms
        settings = client_settings(terms.connection)
        self._consumer = AIOKafkaConsumer(**settings, group_id=terms.group, enable_auto_commit=False)
        try:
            await self._consumer.start()
            # Its public `topics` says their names only, and a subscription would join the group.
            known = await self._consumer._client.fetch_all_metadata()
            numbers = sorted(known.partitions_for_topic(terms.topic) or ())
            if not numbers:
                raise no_topic(terms.topic)
            self._all = [TopicPartition(terms.topic, number) for number in numbers]
            self._consumer.assign(self._all)
        except KafkaError as error:
            await self._consumer.stop()
            raise await obstacle(terms.connection) or unusable(error, terms) from error
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._consumer.stop()

    async def committed(self) -> dict[int, Committed | None]:
        """What the group keeps of each partition of the topic; None: nothing."""
        found = await self._asked(self._consumer._coordinator.fetch_committed_offsets(self._all))
        return {
            one.partition: Committed(kept.offset, kept.metadata or "")
            if (kept := found.get(one)) is not None and kept.offset >= 0
            else None
            for one in self._all
        }

    async def bounds(self) -> dict[int, tuple[int, int]]:
        """Of each partition the oldest offset, and that of the next record."""
        oldest = await self._asked(self._consumer.beginning_offsets(self._all))
        newest = await self._asked(self._consumer.end_offsets(self._all))
        return {one.partition: (oldest[one], newest[one]) for one in self._all}

    async def found(self, to: To) -> dict[int, int]:
        """The offset of each partition that this position means."""
        bounds = await self.bounds()
        if not isinstance(to, float):
            return {number: newest if to == "LATEST" else oldest for number, (oldest, newest) in bounds.items()}
        moments = dict.fromkeys(self._all, int(to * 1_000))
        found = await self._asked(self._consumer.offsets_for_times(moments))
        return {one.partition: bounds[one.partition][1] if at is None else at.offset for one, at in found.items()}

    async def move(self, offsets: Mapping[int, int]) -> None:
        """Let the group go on at these, with nothing finished above them."""
        wanted = {
            TopicPartition(self._terms.topic, number): OffsetAndMetadata(at, "") for number, at in offsets.items()
        }
        try:
            await self._consumer.commit(wanted)
        except CommitFailedError as error:
            remedy = "Stop every process that reads with it; a member that was killed is forgotten within ten seconds."
            raise SourceError(f"consumer group {self._terms.group}", "it has members", remedy) from error
        except KafkaError as error:
            raise unusable(error, self._terms) from error

    async def _asked(self, question: Any) -> Any:
        try:
            return await question
        except KafkaError as error:
            raise unusable(error, self._terms) from error
