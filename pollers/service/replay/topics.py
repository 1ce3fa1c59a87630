"""The events of a topic's documents: the one that a document holds, else one of the records, read again by offset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pollers.aws.client import Clients
from pollers.config.access import connect
from pollers.config.model import KafkaTerms, MappingConfig
from pollers.flow.filters import Compiled, compile_filters
from pollers.flow.records import Partition, Parts, Raw
from pollers.kafka.connection import KafkaConnection
from pollers.service.replay.documents import Document
from pollers.service.replay.rebuilding import Impossible, Rebuilding, Rebuilt
from pollers.service.replay.rereading import Gone
from pollers.service.replay.rereading_topics import records_between
from pollers.service.replay.selection import Traits, select
from pollers.sources.kafka.shape import KafkaShape
from pollers.sources.kafka.source import KafkaSource

__all__ = ["TopicRebuilder"]


class TopicRebuilder:
    """A `Rebuilder` of one topic. What a document holds is taken as it is, without asking the cluster."""

    def __init__(self, mapping: MappingConfig, clients: Clients, *, whole_range: bool) -> None:
        """`whole_range`: where the records of a document cannot be told from those between them, take all."""
        assert isinstance(mapping.terms, KafkaTerms), "it reads a topic"
        self._terms = mapping.terms
        self._filters = compile_filters(mapping.filters, KafkaShape.data_rule) if mapping.filters else None
        self._clients = clients
        self._whole_range = whole_range
        self._connection: KafkaConnection | None = None

    async def rebuild(self, document: Document, event: dict[str, Any] | None) -> Rebuilding:
        if event is not None:
            try:
                return Rebuilt(event, _identifiers(event["records"]), "document")
            except (AttributeError, KeyError, TypeError):
                return Impossible("malformed", "its payload is no event of a topic")
        if self._connection is None:
            self._connection = await connect(self._terms, self._clients)
        try:
            parts = [
                (one.partition, await records_between(self._connection, one.partition, one.first, one.last))
                for one in document.offsets
            ]
        except Gone as gone:
            return Impossible("gone", str(gone))
        return self._of_records(document, parts, self._connection)

    def _of_records(self, document: Document, parts: Parts, connection: KafkaConnection) -> Rebuilding:
        assert document.range is not None, "documents of topics have records"
        traits = _traits(self._terms, connection, self._filters)
        found, size = sum(len(records) for _, records in parts), document.range.size
        if found != size and not self._whole_range:
            chosen = _chosen(parts, size, traits)
            if chosen is None:
                return Impossible("ambiguous", f"there are {found} records where it says, and it is about {size}")
            parts = chosen
        named = (traits.shape.identifier(partition, raw) for partition, records in parts for raw in records)
        return Rebuilt(traits.shape.event(parts, None), tuple(named), "topic")


def _traits(terms: KafkaTerms, connection: KafkaConnection, filters: Compiled | None) -> Traits:
    source = KafkaSource(terms.topic, connection, lanes=terms.lanes, arn=terms.arn)
    return Traits(source.delivery, source.shape, None if filters is None else filters.bind(source.shape))


def _chosen(parts: Parts, size: int, traits: Traits) -> Parts | None:
    """Of one partition those that pass the filters; of several it cannot be told."""
    if len(parts) != 1:
        return None
    ((partition, records),) = parts
    chosen: Sequence[Raw] | None = select(partition, records, size, traits)
    return None if chosen is None else [(partition, chosen)]


def _identifiers(records: Mapping[Partition, Sequence[Mapping[str, Any]]]) -> tuple[object, ...]:
    """As `KafkaShape.identifier` has them."""
    return tuple(
        (("offset", record["offset"]), ("partition", name)) for name, some in records.items() for record in some
    )
