"""The tables of one account in one region, and their streams, which outlive them."""

from __future__ import annotations

from collections.abc import Callable

from pollers.testing.dynamodb.errors import NAMESPACE, fault, invalid, no_such
from pollers.testing.dynamodb.limits import StreamLimits
from pollers.testing.dynamodb.numbers import Numbers, label
from pollers.testing.dynamodb.schema import Schema
from pollers.testing.dynamodb.stream import Sharding, Stream
from pollers.testing.dynamodb.table import Table
from pollers.testing.trouble import Trouble

__all__ = ["Account"]


class Account:
    """Owns tables and streams. `ids` returns a new UUID on each call."""

    def __init__(
        self, region: str, number: str, clock: Callable[[], float], ids: Callable[[], str], limits: StreamLimits
    ) -> None:
        self.region = region
        self.limits = limits
        self.trouble = Trouble(NAMESPACE)  # with calls on tables
        self._prefix = f"arn:aws:dynamodb:{region}:{number}:table/"
        self._now = clock
        self._ids = ids
        self._numbers = Numbers()
        self._tables: dict[str, Table] = {}  # by name
        self._streams: dict[str, Stream] = {}  # by ARN

    def tables(self) -> list[str]:
        """Their names, in order."""
        return sorted(self._tables)

    def table(self, name: str) -> Table:
        """By name or ARN; raises ResourceNotFoundException."""
        table = self._tables.get(name.removeprefix(self._prefix))
        if table is None:
            raise no_such(f"Table: {name} not found")
        return table

    def create(self, name: str, schema: Schema, sharding: Sharding) -> Table:
        """A new table, without a stream."""
        if name in self._tables:
            raise fault("ResourceInUseException", f"Table already exists: {name}")
        table = Table(self._ids(), self._prefix + name, schema, sharding, self._now)
        self._tables[name] = table
        return table

    def remove(self, table: Table) -> None:
        """Delete the table. Its stream stays readable, as a disabled one does."""
        now = table.advance()
        if table.stream is not None and table.stream.disabled is None:
            table.stream.disable(now)
        del self._tables[table.name]

    def enable_stream(self, table: Table, view: str) -> None:
        """Begin a new stream; an older one stays readable for its time."""
        now = table.advance()
        if table.stream is not None and table.stream.disabled is None:
            raise invalid(f"Table already has an enabled stream: TableName: {table.name}")
        created, arn = now, f"{table.arn}/stream/{label(now)}"
        while arn in self._streams:  # within one millisecond, on a clock that a test moves
            created += 0.001
            arn = f"{table.arn}/stream/{label(created)}"
        table.stream = Stream(table.name, arn, view, table.schema, table.sharding, self._numbers, now)
        self._streams[arn] = table.stream

    def disable_stream(self, table: Table) -> None:
        now = table.advance()
        if table.stream is None or table.stream.disabled is not None:
            raise invalid(f"Table has no stream to disable: TableName: {table.name}")
        table.stream.disable(now)

    def streams(self) -> list[Stream]:
        """Those that can be read, by ARN."""
        self._forget()
        return [self._streams[arn] for arn in sorted(self._streams)]

    def stream(self, arn: str) -> Stream:
        """The stream, as it is now; raises ResourceNotFoundException."""
        stream = self._streams.get(arn)
        if stream is None or stream.gone(self._now()):
            self._forget()
            raise no_such(f"Stream: {arn} not found")
        table = self._tables.get(stream.table)
        if table is not None and table.stream is stream:
            table.advance()
        else:
            stream.advance(self._now())
        return stream

    def _forget(self) -> None:
        now = self._now()
        for stream in [stream for stream in self._streams.values() if stream.gone(now)]:
            del self._streams[stream.arn]
