"""AWS Lambda's event source mappings as software of your own: a service, a sidecar, and a library.

A mapping connects one event source to one function. Records move from a source through ordering lanes into batches,
past filters, to a function under a governor; its answer decides what is done, tried again, halved, discarded, given
back.

- Run: `Pollers`, `EventSourceMapping`.
- Sources: `SqsSource`, `KinesisSource`, `DynamoDbSource`, `KafkaSource` with its `KafkaConnection`, `Sasl` and `Tls`;
  in process, for tests and small programs: `MemoryQueue`, `MemoryQueueSource`, `MemoryLog`, `MemoryLogSource`.
- Functions: any callable or dotted path; `HttpTarget`, `LambdaTarget`, `Function`.
- Positions of streams: `SqliteStore`, `DynamoDbStore`, `MemoryStore`.
- Failure destinations: `FileDestination`, `SqsDestination`; of a topic also another one: `KafkaDestination`.
- Observe: `LogObserver`; `pollers.telemetry` has the events and numbers.
- Extend: `pollers.spi` has the protocols of sources, targets, destinations and observers on one page.
- Errors: `PollersError` and its kind.

The house, from the ground up: `errors`, `flow` (decisions) and `clock`, `spi` and `telemetry`, `aws` and `kafka`, then
side by side `engine` (movement), `sources`, `targets`, `destinations`, `observers`, above them `config` and `service`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pollers.clock import Clock
    from pollers.config.library import EventSourceMapping
    from pollers.destinations.file import FileDestination
    from pollers.destinations.kafka import KafkaDestination
    from pollers.destinations.sqs import SqsDestination
    from pollers.engine.poller import Left
    from pollers.engine.supervisor import Pollers
    from pollers.errors import (
        ConfigurationError,
        FunctionNotLoaded,
        LostGrant,
        PollersError,
        Problem,
        SourceError,
        Undelivered,
    )
    from pollers.kafka.connection import KafkaConnection, Sasl, Tls
    from pollers.observers.log import LogObserver
    from pollers.sources.dynamodb import DynamoDbSource
    from pollers.sources.kafka.source import KafkaSource
    from pollers.sources.kinesis import KinesisSource
    from pollers.sources.memory import MemoryLog, MemoryLogSource, MemoryQueue, MemoryQueueSource
    from pollers.sources.sqs import SqsSource
    from pollers.spi import Function
    from pollers.stores.dynamodb import DynamoDbStore
    from pollers.stores.memory import MemoryStore
    from pollers.stores.sqlite import SqliteStore
    from pollers.targets.http import HttpTarget
    from pollers.targets.lambda_api import LambdaTarget

__all__ = [
    "Clock",
    "ConfigurationError",
    "DynamoDbSource",
    "DynamoDbStore",
    "EventSourceMapping",
    "FileDestination",
    "Function",
    "FunctionNotLoaded",
    "HttpTarget",
    "KafkaConnection",
    "KafkaDestination",
    "KafkaSource",
    "KinesisSource",
    "LambdaTarget",
    "Left",
    "LogObserver",
    "LostGrant",
    "MemoryLog",
    "MemoryLogSource",
    "MemoryQueue",
    "MemoryQueueSource",
    "MemoryStore",
    "Pollers",
    "PollersError",
    "Problem",
    "Sasl",
    "SourceError",
    "SqliteStore",
    "SqsDestination",
    "SqsSource",
    "Tls",
    "Undelivered",
]

# Imported when first asked for, so that `import pollers.spi` does not pay for every client library.
_HOMES = {
    "Clock": "clock",
    "EventSourceMapping": "config.library",
    "FileDestination": "destinations.file",
    "KafkaDestination": "destinations.kafka",
    "SqsDestination": "destinations.sqs",
    "Left": "engine.poller",
    "Pollers": "engine.supervisor",
    "ConfigurationError": "errors",
    "FunctionNotLoaded": "errors",
    "LostGrant": "errors",
    "PollersError": "errors",
    "Problem": "errors",
    "SourceError": "errors",
    "Undelivered": "errors",
    "LogObserver": "observers.log",
    "DynamoDbSource": "sources.dynamodb",
    "KafkaConnection": "kafka.connection",
    "Sasl": "kafka.connection",
    "Tls": "kafka.connection",
    "KafkaSource": "sources.kafka.source",
    "KinesisSource": "sources.kinesis",
    "MemoryLog": "sources.memory",
    "MemoryLogSource": "sources.memory",
    "MemoryQueue": "sources.memory",
    "MemoryQueueSource": "sources.memory",
    "SqsSource": "sources.sqs",
    "Function": "spi",
    "DynamoDbStore": "stores.dynamodb",
    "MemoryStore": "stores.memory",
    "SqliteStore": "stores.sqlite",
    "HttpTarget": "targets.http",
    "LambdaTarget": "targets.lambda_api",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'pollers' has no attribute {name!r}")
    try:
        value = getattr(import_module(f"pollers.{home}"), name)
    except ModuleNotFoundError as error:
        if "kafka" in home:
            error.add_note('Kafka\'s client is an extra: pip install "pollers[kafka]"')
        raise
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
