"""The event of a failure document, made anew: from the records where the stream has them, else from the document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from pollers.aws.client import Clients
from pollers.config.kinds import DYNAMODB
from pollers.config.model import MappingConfig, StreamTerms
from pollers.flow.filters import compile_filters
from pollers.flow.records import Raw
from pollers.service.replay.documents import Document
from pollers.service.replay.rereading import Gone, Rereading
from pollers.service.replay.selection import Traits, named, select
from pollers.sources.dynamodb import DynamoDbSource
from pollers.sources.kinesis import KinesisSource
from pollers.sources.shards.source import ShardSource
from pollers.stores.memory import MemoryStore

__all__ = ["Impossible", "Rebuilder", "Rebuilding", "Rebuilt", "StreamRebuilder"]


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """An event to invoke the function with."""

    event: dict[str, Any]
    identifiers: tuple[object, ...]  # of its records, as a report names them
    origin: Literal["stream", "topic", "document"]  # where the records are from


@dataclass(frozen=True, slots=True)
class Impossible:
    """There is no event for the document."""

    outcome: Literal["gone", "ambiguous", "malformed"]
    reason: str


Rebuilding: TypeAlias = Rebuilt | Impossible


class Rebuilder(Protocol):
    """Makes the events of one mapping's documents."""

    async def rebuild(self, document: Document, event: dict[str, Any] | None) -> Rebuilding:
        """`event`: the one that the document holds, if any. Raises `SourceError` where the log cannot be read."""


class StreamRebuilder:
    """A `Rebuilder` of Kinesis and DynamoDB streams: of the records where they have them, else of the document."""

    def __init__(self, mapping: MappingConfig, clients: Clients, *, whole_range: bool) -> None:
        """`whole_range`: where the records of a document cannot be told from those between them, take all."""
        source = _source(mapping, clients)
        compiled = compile_filters(mapping.filters, source.shape.data_rule) if mapping.filters else None
        self._traits = Traits(source.delivery, source.shape, None if compiled is None else compiled.bind(source.shape))
        self._reading = Rereading(mapping.kind, mapping.event_source_arn, source.shape, clients)
        self._whole_range = whole_range

    async def rebuild(self, document: Document, event: dict[str, Any] | None) -> Rebuilding:
        try:
            held = None if event is None else Rebuilt(event, _identifiers(event), "document")
        except (KeyError, TypeError):
            return Impossible("malformed", "its payload is no event of a stream")
        if document.windowed or document.range is None:
            # The state with which the function was called is in the event and nowhere else.
            return held or Impossible("gone", "it is of a tumbling window, and holds no event with the window's state")
        where = document.range
        try:
            records = await self._reading.records(document.shard, where.start, where.end)
        except Gone as gone:
            return held or Impossible("gone", str(gone))
        if held is not None:
            chosen = named(document.shard, records, held.identifiers, self._traits)
            return held if chosen is None else self._of_records(document, chosen)
        chosen = records if self._whole_range else select(document.shard, records, where.size, self._traits)
        if chosen is None:
            reason = f"there are {len(records)} records between its first and its last, and it is about {where.size}"
            return Impossible("ambiguous", reason)
        return self._of_records(document, chosen)

    def _of_records(self, document: Document, records: Sequence[Raw]) -> Rebuilt:
        shape, shard = self._traits.shape, document.shard
        event = shape.event([(shard, records)], None)
        return Rebuilt(event, tuple(shape.identifier(shard, raw) for raw in records), "stream")


def _identifiers(event: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        record["kinesis"]["sequenceNumber"] if "kinesis" in record else record["dynamodb"]["SequenceNumber"]
        for record in event["Records"]
    )


def _source(mapping: MappingConfig, clients: Clients) -> ShardSource:
    """The mapping's source as far as it says how records look and are divided. It is never opened."""
    terms = mapping.terms
    assert isinstance(terms, StreamTerms), "only mappings of streams are replayed"
    made = DynamoDbSource if mapping.kind == DYNAMODB else KinesisSource
    return made(
        mapping.event_source_arn,
        store=MemoryStore(),
        parallelization_factor=terms.parallelization_factor,
        lanes=terms.lanes,
        clients=clients,
    )
