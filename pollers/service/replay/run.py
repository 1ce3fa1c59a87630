"""`pollers replay`: finds the documents, and replays them one at a time in the order of their records.

The order of sequence numbers is that of every key, from a shard to those that it was split or merged into as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pollers.aws.client import Clients
from pollers.aws.errors import CallFailed
from pollers.clock import Clock
from pollers.config.build import build_target, kafka_extra
from pollers.config.kinds import KAFKA, SQS
from pollers.config.model import Configuration, MappingConfig
from pollers.errors import ConfigurationError, PollersError, Problem
from pollers.flow.records import Partition
from pollers.service.output import logs_on_stderr
from pollers.service.replay.calling import Caller
from pollers.service.replay.documents import Document, Malformed, Range, Wanted, read, read_event
from pollers.service.replay.locations import origin_of
from pollers.service.replay.origins import Origin
from pollers.service.replay.rebuilding import Impossible, Rebuilder, StreamRebuilder
from pollers.service.replay.show import SUCCESSES, Outcome, Result, Tally
from pollers.spi import Target

__all__ = ["Options", "replay"]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    documents: str  # where they are
    wanted: Wanted
    dry_run: bool
    delete: bool  # replayed objects of a bucket
    whole_range: bool
    app_dir: str | None  # where functions are imported from; None: the file's folder


def replay(configuration: Configuration, mapping: str, options: Options) -> bool:
    """Replay the documents of a mapping; whether all that was asked for succeeded. Raises `PollersError`."""
    return asyncio.run(_replay(configuration, _stream(configuration, mapping), options))


def _stream(configuration: Configuration, mapping: str) -> MappingConfig:
    """The mapping of this identity, which reads a log."""
    known = {one.identity: one for one in configuration.mappings}
    if mapping not in known:
        message = f"there is no mapping {mapping}."
        raise ConfigurationError([Problem("MAPPING", message, f"There are: {', '.join(known)}.")])
    if known[mapping].kind == SQS:
        message = f"{mapping} reads a queue, which has no failure documents."
        raise ConfigurationError([Problem("MAPPING", message, "A dead-letter queue is redriven by SQS itself.")])
    return known[mapping]


async def _replay(configuration: Configuration, mapping: MappingConfig, options: Options) -> bool:
    async with Clients() as clients:
        origin = origin_of(options.documents, clients, delete=options.delete)
        target = _target(configuration, mapping, clients, options)
        rebuilder = _rebuilder(mapping, clients, whole_range=options.whole_range)
        command = _Command(mapping, options, origin, rebuilder, target)
        try:
            await _kept(origin, command.run)
        finally:
            await origin.close()
            await target.close()
    return command.tally.succeeded


def _target(configuration: Configuration, mapping: MappingConfig, clients: Clients, options: Options) -> Target:
    folder = configuration.folder
    app_dir = options.app_dir or (None if folder is None else str(folder))
    return build_target(configuration.functions[mapping.function], mapping.event_source_arn, clients, app_dir)


def _rebuilder(mapping: MappingConfig, clients: Clients, *, whole_range: bool) -> Rebuilder:
    if mapping.kind != KAFKA:
        return StreamRebuilder(mapping, clients, whole_range=whole_range)
    with kafka_extra():
        from pollers.service.replay.topics import TopicRebuilder
    return TopicRebuilder(mapping, clients, whole_range=whole_range)


async def _kept(origin: Origin, work: Callable[[], Awaitable[None]]) -> None:
    """Do the work while what was found is held. Its own errors come as they are, not in a group."""
    failure: PollersError | None = None
    async with asyncio.TaskGroup() as group:
        keeper = group.create_task(origin.keep())
        try:
            await work()
        except PollersError as error:
            failure = error
        finally:
            keeper.cancel()
    if failure is not None:
        raise failure


class _Command:
    """One run of the command."""

    def __init__(
        self, mapping: MappingConfig, options: Options, origin: Origin, rebuilder: Rebuilder, target: Target
    ) -> None:
        self.tally = Tally()
        self._arn = mapping.event_source_arn
        self._options = options
        self._origin = origin
        self._rebuilder = rebuilder
        self._target = target
        self._caller = Caller(target, Clock(), reports=mapping.reports)
        self._replayed: set[tuple[str, Partition, Range | None]] = set()  # batches

    async def run(self) -> None:
        documents = await self._find()
        if documents and not self._options.dry_run:
            with logs_on_stderr():
                await self._target.open()
        for document in documents:
            self.tally.result(await self._replay(document))
        self.tally.summary(dry_run=self._options.dry_run)

    # Finding

    async def _find(self) -> list[Document]:
        """What is to be replayed, in order. Everything else can be found by others at once."""
        documents: list[Document] = []
        others: list[str] = []
        async for found in self._origin.look():
            one = read(found)
            if isinstance(one, Document) and self._concerned(one):
                documents.append(one)
            else:
                others.append(one.handle)
                self._count(one)
        await self._origin.leave(others)
        return sorted(documents, key=lambda document: document.order)

    def _concerned(self, document: Document) -> bool:
        return self._ours(document) and self._options.wanted.includes(document)

    def _ours(self, document: Document) -> bool:
        """Whether it is of the mapping's stream: by itself, or by the consumer that read it on AWS (5.9-6)."""
        return document.stream == self._arn or document.stream.startswith(f"{self._arn}/consumer/")

    def _count(self, one: Document | Malformed) -> None:
        match one:
            case Malformed():
                self.tally.malformed(one)
            case Document() if self._ours(one):
                self.tally.unwanted += 1
            case _:
                self.tally.foreign += 1

    # Replaying

    async def _replay(self, document: Document) -> Result:
        result = await self._tried(document)
        if result.outcome in SUCCESSES:
            self._replayed.add(document.batch)
        if result.outcome not in SUCCESSES or self._options.dry_run:
            await self._origin.leave([document.handle])
            return result
        try:
            await self._origin.done(document.handle)
        except CallFailed as failure:
            return Result(document, "unacknowledged", result.records, result.origin, failure.diagnosis.cause)
        return result

    async def _tried(self, document: Document) -> Result:
        size = 0 if document.range is None else document.range.size
        if document.batch in self._replayed:
            return Result(document, "repeated", size)
        try:
            event = await self._event(document)
        except ValueError as error:
            return Result(document, "malformed", size, reason=str(error))
        rebuilt = await self._rebuilder.rebuild(document, event)
        if isinstance(rebuilt, Impossible):
            return Result(document, rebuilt.outcome, size, reason=rebuilt.reason)
        outcome: Outcome = "would be replayed"
        reason = ""
        if not self._options.dry_run:
            reason = await self._caller.call(rebuilt)
            outcome = "failed" if reason else "replayed"
        return Result(document, outcome, len(rebuilt.identifiers), rebuilt.origin, reason)

    async def _event(self, document: Document) -> dict[str, Any] | None:
        """The event that the document holds."""
        return read_event(await self._origin.fetch(document.handle)) if document.holds_event else None
