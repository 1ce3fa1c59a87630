"""`pollers seek`: moves where a stopped mapping goes on in its stream or topic. It reads and writes no record.

Positions of streams are in the store; those of a topic are its group's, on the cluster (`seek_topic`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Literal

from pollers.config.build import build_store
from pollers.config.kinds import DYNAMODB, SQS
from pollers.config.model import Configuration, KafkaTerms, MappingConfig
from pollers.config.stores import MEMORY, store_path
from pollers.errors import ConfigurationError, Problem
from pollers.flow.records import Partition
from pollers.service.output import say
from pollers.sources.shards.positions import OWN
from pollers.spi import Row, Store

__all__ = ["After", "To", "chosen", "moment", "seek"]

WORDS: Final = ("TRIM_HORIZON", "LATEST")  # positions that are no moments


@dataclass(frozen=True, slots=True)
class To:
    """The whole stream, from here on."""

    start: float | None  # seconds since the epoch; None: the oldest record of each shard
    words: str  # as it was asked for


@dataclass(frozen=True, slots=True)
class After:
    """One shard, behind a record."""

    shard: Partition
    sequence: int


def chosen(configuration: Configuration, mapping: str) -> MappingConfig:
    """The mapping of this identity. Raises `ConfigurationError` for what has no positions, or is none."""
    for one in configuration.mappings:
        if one.identity == mapping:
            if one.kind == SQS:
                message = f"{mapping} reads a queue, and queues keep no positions."
                raise ConfigurationError([Problem("MAPPING", message, "Only mappings of streams can seek.")])
            return one
    known = ", ".join(one.identity for one in configuration.mappings)
    raise ConfigurationError([Problem("MAPPING", f"there is no mapping {mapping}.", f"There are: {known}.")])


def moment(text: str) -> To:
    """TRIM_HORIZON, LATEST, or a moment that has passed. Raises `ConfigurationError`."""
    now = time.time()
    if text in WORDS:
        return To(now if text == "LATEST" else None, text)
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        remedy = "Write TRIM_HORIZON, LATEST, or a moment such as 2026-01-31T12:00:00Z."
        raise ConfigurationError([Problem("--to", f"{text} is no position.", remedy)]) from None
    start = (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    if start > now:
        raise ConfigurationError([Problem("--to", f"{text} is in the future.", "Give a moment that has passed.")])
    return To(start, text)


def seek(configuration: Configuration, mapping: MappingConfig, where: To | After, *, dry_run: bool) -> None:
    """Move the positions, or with `dry_run` only say what would be moved. Raises `PollersError`."""
    if isinstance(mapping.terms, KafkaTerms):
        _seek_topic(mapping, mapping.terms, where, dry_run=dry_run)
        return
    _check_moment(mapping, where)
    if configuration.store.url == MEMORY:
        message = "positions are kept in memory, and end with the process."
        raise ConfigurationError([Problem("store.url", message, "Name a file, sqlite:///path, or a table.")])
    # Opening would make the file: a dry run leaves even that alone. A table is made when there is something to keep.
    path = store_path(configuration)
    nothing_kept = dry_run and path is not None and not path.exists()
    asyncio.run(_seek(build_store(configuration), mapping, where, dry_run=dry_run, nothing_kept=nothing_kept))


def _seek_topic(mapping: MappingConfig, terms: KafkaTerms, where: To | After, *, dry_run: bool) -> None:
    # Imported here: Kafka's client is an extra of its own.
    from pollers.service.seek_topic import seek_partition, seek_topic

    if isinstance(where, After):
        asyncio.run(seek_partition(mapping, terms, where.shard, where.sequence, dry_run=dry_run))
    else:
        start: Literal["TRIM_HORIZON", "LATEST"] | float = "TRIM_HORIZON" if where.start is None else where.start
        if where.words == "LATEST":
            start = "LATEST"
        asyncio.run(seek_topic(mapping, terms, start, where.words, dry_run=dry_run))
    _say_done(mapping, dry_run, "Moved. The mapping goes on there when it is started.")


def _say_done(mapping: MappingConfig, dry_run: bool, moved: str) -> None:
    if dry_run:
        say({"dry_run": True}, "Nothing was changed: this was a dry run.")
    else:
        say({"moved": mapping.identity}, moved)


def _check_moment(mapping: MappingConfig, where: To | After) -> None:
    """AWS: streams of DynamoDB cannot be begun at a moment of one's choice (8-2)."""
    if mapping.kind == DYNAMODB and isinstance(where, To) and where.words not in WORDS:
        message = f"{mapping.identity} reads a DynamoDB stream, which cannot begin at a moment."
        raise ConfigurationError([Problem("--to", message, "Write TRIM_HORIZON or LATEST.")])


async def _seek(store: Store, mapping: MappingConfig, where: To | After, *, dry_run: bool, nothing_kept: bool) -> None:
    if not nothing_kept:
        await store.open()
    try:
        rows = () if nothing_kept else await store.load(mapping.identity)
        if isinstance(where, To):
            _show(store, mapping, rows, where)
            if not dry_run:
                await _restart(store, mapping.identity, rows, where)
        else:
            row = _known(rows, where.shard)
            _say_moved(row, f"after {where.sequence}")
            if not dry_run:
                await _move(store, mapping.identity, row, where)
    finally:
        await store.close()
    _say_done(mapping, dry_run, "Moved. A mapping that runs loses these shards now, and reads on from there.")


async def _restart(store: Store, mapping: str, rows: Sequence[Row], to: To) -> None:
    """Forget every shard, and say where the next discovery begins.

    In this order: the mapping's own row counts only where no shard is known. A crash before the shards are forgotten
    leaves every position as it was; they are forgotten all at once.
    """
    await store.remove(mapping, [OWN])
    await store.create(mapping, [Row(OWN, start=to.start)])
    await store.remove(mapping, [row.partition for row in rows if row.partition != OWN])


async def _move(store: Store, mapping: str, row: Row, after: After) -> None:
    """Take the shard from whoever reads it, write the position, and let it have it again."""
    while not (taken := await store.take(mapping, [row], "seek")):
        row = _known(await store.load(mapping), row.partition)  # its owner has renewed it since it was seen
    await store.save(mapping, replace(taken[0], safe=(after.sequence, 0), above=(), state=None, finished=False))
    await store.leave(mapping, taken)


def _known(rows: Sequence[Row], shard: Partition) -> Row:
    for row in rows:
        if row.partition == shard and shard != OWN:
            return row
    known = ", ".join(row.partition for row in rows if row.partition != OWN) or "none yet"
    raise ConfigurationError([Problem("--shard", f"no position of {shard} is kept.", f"Known shards: {known}.")])


# What is said


def _show(store: Store, mapping: MappingConfig, rows: Sequence[Row], to: To) -> None:
    say(
        {"mapping": mapping.identity, "source": mapping.event_source_arn, "store": store.url, "to": to.words},
        f"{mapping.identity}  {mapping.event_source_arn}  (positions in {store.url})",
    )
    shards = [row for row in rows if row.partition != OWN]
    for row in shards:
        _say_moved(row, to.words)
    if not shards:
        say({"shards": 0}, f"No shard has been read yet; the first start will begin at {to.words}.")


def _say_moved(row: Row, where: str) -> None:
    before = _position(row)
    say({"shard": row.partition, "before": before, "after": where}, f"  {row.partition}: {before} -> {where}")


def _position(row: Row) -> str:
    if row.finished:
        return "finished"
    if row.safe is not None:
        above = f", and {len(row.above)} ranges above" if row.above else ""
        return f"after {row.safe[0]}{above}"
    return "TRIM_HORIZON" if row.start is None else datetime.fromtimestamp(row.start, UTC).isoformat()
