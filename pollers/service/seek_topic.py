"""`pollers seek` of a mapping that reads a Kafka topic: its group's committed offsets are moved, on the cluster."""

from __future__ import annotations

from collections.abc import Mapping

from pollers.aws.client import Clients
from pollers.config.model import KafkaTerms, MappingConfig
from pollers.errors import ConfigurationError, Problem
from pollers.service.output import say
from pollers.sources.kafka.finished import decode
from pollers.sources.kafka.offsets import GroupOffsets, To
from pollers.sources.kafka.port import Committed, ConsumerTerms

__all__ = ["seek_partition", "seek_topic"]


async def seek_topic(mapping: MappingConfig, terms: KafkaTerms, to: To, words: str, *, dry_run: bool) -> None:
    """Move every partition. Raises `PollersError`."""
    async with GroupOffsets(await _terms(mapping, terms)) as group:
        _say_group(mapping, terms, words)
        await _move(group, terms, await group.found(to), dry_run=dry_run)


async def seek_partition(
    mapping: MappingConfig, terms: KafkaTerms, partition: str, after: int, *, dry_run: bool
) -> None:
    """Move one partition behind an offset. Raises `PollersError`."""
    async with GroupOffsets(await _terms(mapping, terms)) as group:
        bounds = {f"{terms.topic}-{number}": (number, *found) for number, found in (await group.bounds()).items()}
        if partition not in bounds:
            problem = Problem("--shard", f"there is no partition {partition}.", f"There are: {', '.join(bounds)}.")
            raise ConfigurationError([problem])
        number, oldest, newest = bounds[partition]
        if not oldest <= after + 1 <= newest:
            message = f"{partition} has the offsets {oldest} to {newest - 1}."
            raise ConfigurationError([Problem("--after", message, "Give one of these, or the one before the first.")])
        await _move(group, terms, {number: after + 1}, dry_run=dry_run)


async def _terms(mapping: MappingConfig, terms: KafkaTerms) -> ConsumerTerms:
    from pollers.config.access import connect

    async with Clients() as clients:
        connection = await connect(terms, clients)
    return ConsumerTerms(connection, terms.topic, terms.group or mapping.identity, None, 0.0)


async def _move(group: GroupOffsets, terms: KafkaTerms, offsets: Mapping[int, int], *, dry_run: bool) -> None:
    before = await group.committed()
    if not dry_run:
        await group.move(offsets)
    for number, offset in offsets.items():
        was = _position(before[number])
        partition = f"{terms.topic}-{number}"
        say({"partition": partition, "before": was, "after": offset}, f"  {partition}: {was} -> {offset}")


def _position(kept: Committed | None) -> str:
    if kept is None:
        return "nothing committed"
    above = len(decode(kept.offset, kept.metadata))
    return f"{kept.offset}, and {above} ranges above" if above else str(kept.offset)


def _say_group(mapping: MappingConfig, terms: KafkaTerms, words: str) -> None:
    group = terms.group or mapping.identity
    say(
        {"mapping": mapping.identity, "source": mapping.event_source_arn, "group": group, "to": words},
        f"{mapping.identity}  {mapping.event_source_arn}  (consumer group {group})",
    )
