"""Mappings: their function, their source, their identity, with AWS's rules for all of them (semantics 1.1, 1.3)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from pollers.config.fields import MAPPING, PROVISIONED_POLLERS
from pollers.config.filters import patterns
from pollers.config.identity import default_identity
from pollers.config.kafka import WINDOW, kafka_name, read_kafka
from pollers.config.kinds import DYNAMODB, KAFKA, KINESIS, NOT_YET, SQS, kind_of, name_in
from pollers.config.model import KafkaTerms, MappingConfig, QueueTerms, StreamTerms
from pollers.config.options import MAPPING_OPTIONS
from pollers.config.queues import read_queue
from pollers.config.spelling import nearest, snake
from pollers.config.streams import read_stream
from pollers.config.tables import Field, Given
from pollers.sources.dynamodb_shape import DynamoDbShape
from pollers.sources.kafka.shape import KafkaShape
from pollers.sources.kinesis_fanout import is_consumer
from pollers.sources.kinesis_shape import KinesisShape
from pollers.sources.sqs_shape import SqsShape

__all__ = ["Mappings"]

_OF_THE_QUEUE: Final = frozenset(
    {"DestinationConfig", "MaximumRetryAttempts", "MaximumRecordAgeInSeconds", "BisectBatchOnFunctionError"}
)
_RULES: Final = {
    SQS: SqsShape.data_rule,
    KINESIS: KinesisShape.data_rule,
    DYNAMODB: DynamoDbShape.data_rule,
    KAFKA: KafkaShape.data_rule,
}
_QUEUE_BATCH: Final = 10  # AWS: BatchSize of queues where none is given
_LOG_BATCH: Final = 100  # AWS: of everything else
_QUOTED: Final = frozenset({"Queues", "Topics"})  # AWS writes these two names in another way


class Mappings:
    """The mappings of one file. No two may share an identity, or a source and a function."""

    def __init__(self, functions: Collection[str]) -> None:
        self.read: list[MappingConfig] = []
        self._functions = functions
        self._places: dict[str, str] = {}  # of an identity
        self._identities: dict[tuple[str, str], str] = {}  # of (source, function as it was referred to)
        self._consumers: dict[str, str] = {}  # places of those that read as a stream's consumer, by its ARN

    def add(self, given: Given) -> None:
        """Read one mapping and keep it, or report its faults."""
        reference, function = self._function(given)
        kind = kind_of(given)
        if kind is None:
            _unrecognized(given)
        elif kind in NOT_YET:
            given.place.fault(
                f"{kind} cannot be read by this version of pollers yet.",
                "Leave this mapping on Lambda, and run those of queues and streams here.",
            )
        elif given.get("event_source_arn") is not None or not given.has("event_source_arn"):
            _refuse_foreign(given, kind)
            mapping = _read(given, kind, reference, function)
            if mapping is not None and not self._is_twin(given, mapping, reference):
                self.read.append(mapping)

    def _function(self, given: Given) -> tuple[str, str]:
        """The function as it is referred to, qualifier included, and its name in the file."""
        named = [one for one in ("function_name", "function_arn") if given.has(one)]
        if not named:
            given.place.fault(
                "Value null at 'functionName' failed to satisfy constraint: Member must not be null.",
                "Add function_name, a name in functions.",
            )
            return "", ""
        references = [name_in(given.get(one)) for one in named if given.get(one) is not None]
        if len({name for name, _ in references}) > 1:
            given.at("function_arn").fault("is another function than function_name.", "Keep one of the two.")
        if not references:
            return "", ""
        name, qualifier = references[0]
        if name not in self._functions:
            meant = nearest(name, self._functions)
            given.at(named[0]).fault(
                "Function does not exist.",
                f"Did you mean {meant}?" if meant else f"Add [functions.{name}] with a handler, a url or an arn.",
            )
        return name + qualifier, name

    def _is_twin(self, given: Given, mapping: MappingConfig, reference: str) -> bool:
        """AWS: a source has one mapping to a function, as it is referred to. Ours: no two have one identity."""
        arn, identity = mapping.event_source_arn, mapping.identity
        pair, place = (arn, reference), given.place
        if pair in self._identities:
            # AWS: two texts for the same fault (1.3).
            what = (
                f'An event source mapping with SQS arn (" {arn} ") and function (" {reference} ") already exists. '
                if mapping.kind == SQS
                else f'The event source arn (" {arn} ") and function (" {reference} ") '
                "provided mapping already exists. "
            )
            place.fault(
                f"{what}Please update or delete the existing mapping with UUID {self._identities[pair]}.",
                "Keep one of the two.",
            )
            return True
        if identity in self._places:
            place.fault(
                f"{self._places[identity]} is called '{identity}', too.", "Give each mapping a name of its own."
            )
            return True
        self._identities[pair] = identity
        self._places[identity] = place.path
        self._check_consumer(given, mapping)
        return False

    def _check_consumer(self, given: Given, mapping: MappingConfig) -> None:
        """A consumer has one subscription of each shard: two mappings would take it from each other for ever."""
        if mapping.kind != KINESIS or not is_consumer(mapping.event_source_arn):
            return
        other = self._consumers.setdefault(mapping.event_source_arn, given.place.path)
        if other != given.place.path:
            given.at("event_source_arn").fault(
                f"{other} reads as this consumer, too.", "Register a consumer of the stream for each mapping."
            )


def _read(given: Given, kind: str, reference: str, function: str) -> MappingConfig | None:
    """The mapping, its faults reported; None where its source is not of the kind that it says."""
    arn: str = given.get("event_source_arn") or ""
    if kind == KAFKA:
        arn = f"{arn}/{kafka_name(given).rpartition('/')[2]}" if arn else kafka_name(given)
    size: int | None = given.get("batch_size")
    if size is None:
        size = _QUEUE_BATCH if kind == SQS else _LOG_BATCH
    terms = _terms(given, kind, size)
    filters = patterns(given, _RULES[kind])
    if terms is None:
        return None
    options = given.inner("pollers")
    return MappingConfig(
        identity=given.get("name") or given.get("uuid") or default_identity(arn, reference),
        kind=kind,
        event_source_arn=arn,
        function=function,
        enabled=given.get("enabled"),
        batch_size=size,
        maximum_batching_window_in_seconds=_window(given, kind),
        reports=bool(given.get("function_response_types")),
        filters=filters,
        weight=options.get("weight"),
        max_bytes=options.get("max_bytes"),
        terms=terms,
    )


def _terms(given: Given, kind: str, size: int) -> QueueTerms | StreamTerms | KafkaTerms | None:
    if kind == SQS:
        return read_queue(given, size)
    return read_kafka(given) if kind == KAFKA else read_stream(given, kind)


def _window(given: Given, kind: str) -> float:
    """AWS: Kafka's 500 ms cannot be written, and hold where nothing is (3.1-3)."""
    name = "maximum_batching_window_in_seconds"
    written: int | None = given.get(name)
    return WINDOW if kind == KAFKA and not given.has(name) else float(written or 0)


def _unrecognized(given: Given) -> None:
    if given.has("event_source_arn") and given.get("event_source_arn") is None:
        return  # its fault has been reported
    given.at("event_source_arn").fault(
        "Unrecognized event source.", "Add event_source_arn, such as arn:aws:sqs:eu-west-1:123456789012:orders."
    )


def _refuse_foreign(given: Given, kind: str) -> None:
    """Refuse what the source does not take. Empty containers pass: AWS prints them for what was never set."""
    tables = (
        (given, MAPPING),
        (given.inner("pollers"), MAPPING_OPTIONS),
        (given.inner("provisioned_poller_config"), PROVISIONED_POLLERS),
    )
    for inner, table in tables:
        for field in table.fields:
            name = snake(field.name)
            if field.sources is not None and kind not in field.sources and inner.has(name) and not inner.blank(name):
                inner.at(name).fault(*_refusal(field, kind))


def _refusal(field: Field, kind: str) -> tuple[str, str]:
    """The message, in AWS's words where the parameter is AWS's, and the remedy."""
    homes = ", ".join(sorted(field.sources or ()))
    remedy = f"Leave it out: it is for {homes}." if homes else "Leave it out."
    if field.ours:
        return f"is not used by {kind}.", remedy
    if field.name in _OF_THE_QUEUE:
        remedy = "Leave it out: a queue redelivers by itself; give it a redrive policy."
    label = f"'{field.name.lower()}'" if field.name in _QUOTED else field.name
    return f"Unsupported {label} parameter for given event source mapping type.", remedy
