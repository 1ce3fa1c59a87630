"""Our own options, of mappings and of functions: each with its default and one sentence."""

from __future__ import annotations

from typing import Final

from pollers.config.kinds import KAFKA, LOGS, SQS, STREAMS
from pollers.config.scalars import Choice, Flag, Number, Text, Whole
from pollers.config.tables import Field, Table
from pollers.flow.records import EVENT_LIMIT

__all__ = ["FUNCTION_OPTIONS", "MAPPING_OPTIONS"]

_QUEUES: Final = frozenset({SQS})

MAPPING_OPTIONS: Final = Table(
    "MappingOptions",
    Field(
        "heartbeat",
        Flag(),
        "Keep messages invisible while they are held; false refuses a queue whose visibility timeout is shorter "
        "than the function's, as AWS does.",
        True,
        _QUEUES,
    ),
    Field(
        "throttle_hold",
        Number(0, 43_200),
        "Seconds that a message may wait for a free invocation before it is given back to the queue.",
        900.0,
        _QUEUES,
    ),
    Field("weight", Number(0.001, 1_000), "Its part of the invocations that several mappings want at once.", 1.0),
    Field("max_bytes", Whole(65_536, EVENT_LIMIT), "Bytes of an encoded event at which a batch closes.", EVENT_LIMIT),
    Field(
        "lanes",
        Choice(("shard", "key", "none")),
        "What is kept in order: the shard or partition, each key by itself, or nothing.",
        "shard",
        LOGS,
    ),
    Field(
        "on_destination_failure",
        Choice(("hold", "drop")),
        "Whether a batch that its failure destination refuses waits, or is dropped as on AWS.",
        "hold",
        LOGS,
    ),
    Field("backoff", Number(0.2, 3_600), "Seconds that retries of a failing batch are apart at most.", 60.0, LOGS),
    Field("idle_poll", Number(0.2, 60), "Seconds between two reads of a quiet shard at most.", 5.0, STREAMS),
    Field(
        "out_of_range",
        Choice(("earliest", "latest", "stop")),
        "Where to go on when the committed offset no longer exists.",
        "earliest",
        frozenset({KAFKA}),
    ),
    Field(
        "instance",
        Text(1, 249, form="an id that no other process has"),
        "The id of a static member of the consumer group: a restart within seconds moves no partitions. "
        "With --workers each process appends its number.",
        sources=frozenset({KAFKA}),
    ),
    Field("tls", Flag(), "false allows SASL over an unencrypted connection.", True, frozenset({KAFKA})),
)

FUNCTION_OPTIONS: Final = Table(
    "FunctionOptions",
    Field(
        "isolation",
        Choice(("inline", "thread", "process")),
        "Where the handler runs; by default an async def inline on the event loop, a def in warm worker processes.",
    ),
    Field(
        "readiness",
        Text(1, 2_048),
        "A URL that must answer 2xx before the function's url is called for the first time.",
    ),
)
