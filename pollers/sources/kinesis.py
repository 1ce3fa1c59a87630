"""Kinesis Data Streams, on shared throughput (`kinesis_calls`) or as a consumer with its own (`kinesis_fanout`).

Order, lineage and positions are those of `sources.shards`; `kinesis_shape` knows the event.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, TypeAlias

from pollers.aws.client import Clients
from pollers.clock import Clock
from pollers.sources.kinesis_calls import KinesisStream
from pollers.sources.kinesis_fanout import PushedStream, is_consumer
from pollers.sources.shards.discovery import LATEST
from pollers.sources.shards.pace import Paces
from pollers.sources.shards.source import Lanes, OpenReader, ShardSource, shared_reader
from pollers.spi import Store

__all__ = ["KinesisSource"]

Start: TypeAlias = Literal["TRIM_HORIZON", "LATEST"] | datetime


class KinesisSource(ShardSource):
    """Records of one stream, shard by shard.

    - `stream` is its ARN or its name; region, endpoint and credentials come from where botocore's users keep them. By
      the ARN of a consumer that is registered with the stream, records are pushed to it with a throughput of its own
      (enhanced fan-out), and those that the Kinesis Producer Library aggregated come one by one.
    - `store`: where positions are kept: `SqliteStore(path)`, or `MemoryStore()` to keep none beyond the process.
    - `starting_position`: where a mapping begins that never read the stream: "TRIM_HORIZON" (the oldest record),
      "LATEST" (what comes from now on), or a moment.
    - `parallelization_factor`: 1 to 10 batches of a shard at once, records of one partition key in order.
    - `lanes`: what is kept in order: the "shard" (as above), each "key" by itself, or "none".
    - `idle_poll`: seconds between two reads of a quiet shard at most; a consumer waits for records and reads none.
    - `clients` and `paces` are shared by the sources of a process; without them the source has its own.
    """

    def __init__(
        self,
        stream: str,
        *,
        store: Store,
        region: str | None = None,
        starting_position: Start = "TRIM_HORIZON",
        parallelization_factor: int = 1,
        lanes: Lanes = "shard",
        idle_poll: float = 5.0,
        clients: Clients | None = None,
        paces: Paces | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Raises ConfigurationError where `stream` names none."""
        shared = clients or Clients()
        pushed = is_consumer(stream)
        port, reader = _pushed(stream, region, shared) if pushed else _polled(stream, region, shared)
        super().__init__(
            port,
            port.requests,
            start=_start(starting_position),
            parallelization_factor=parallelization_factor,
            lanes=lanes,
            idle_poll=idle_poll,
            store=store,
            clients=shared,
            owns_clients=clients is None,
            paces=paces or Paces(),
            clock=clock or Clock(),
            reader=reader,
            waits=pushed,
        )


def _polled(stream: str, region: str | None, clients: Clients) -> tuple[KinesisStream, OpenReader]:
    return KinesisStream(stream, region, clients), shared_reader


def _pushed(consumer: str, region: str | None, clients: Clients) -> tuple[KinesisStream, OpenReader]:
    port = PushedStream(consumer, region, clients)
    return port, port.reader


def _start(position: Start) -> float | None:
    if isinstance(position, datetime):
        return (position if position.tzinfo else position.replace(tzinfo=UTC)).timestamp()
    return LATEST if position == "LATEST" else None
