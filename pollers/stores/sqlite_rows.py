"""How rows lie in the table: every request of the store as statements, within its caller's transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from pollers.errors import SourceError
from pollers.flow.records import Partition, Position, Range
from pollers.spi import Row
from pollers.stores.fence import lost

__all__ = ["Cells", "ask", "cells", "create", "leave", "load", "progress", "remove", "renew", "save", "take"]

Cells: TypeAlias = tuple[Any, ...]  # of one row, as SQLite keeps them

_COLUMNS: Final = (
    "partition, safe, safe_within, above, state, start, finished, parents, origin, owner, heir, tenure, counter, saved"
)
_LOAD: Final = f"SELECT {_COLUMNS} FROM positions WHERE mapping = ?"
_CREATE: Final = f"""
    INSERT INTO positions (mapping, {_COLUMNS})
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
            max(?, coalesce((SELECT tenure FROM removed WHERE removed.mapping = ?), 0)), ?, ?)
    ON CONFLICT (mapping, partition) DO NOTHING"""
_MINE: Final = "WHERE mapping = ? AND partition = ? AND tenure = ?"  # while nobody has taken it since
_TAKE: Final = f"""
    UPDATE positions SET owner = ?, heir = '', tenure = tenure + 1, counter = counter + 1 {_MINE} AND counter = ?"""
_RENEW: Final = f"UPDATE positions SET counter = counter + 1 {_MINE}"
_ASK: Final = f"UPDATE positions SET heir = ? {_MINE} AND owner = ? AND heir = ''"
_LEAVE: Final = f"UPDATE positions SET owner = heir, heir = '', counter = counter + 1 {_MINE}"
_SAVE: Final = f"""
    UPDATE positions SET safe = ?, safe_within = ?, above = ?, state = ?, finished = ?, saved = ? {_MINE}"""
_OWNER: Final = "SELECT owner FROM positions WHERE mapping = ? AND partition = ?"
_RAISE_FLOOR: Final = """
    INSERT INTO removed (mapping, tenure)
    SELECT mapping, tenure FROM positions WHERE mapping = ? AND partition = ?
    ON CONFLICT (mapping) DO UPDATE SET tenure = max(tenure, excluded.tenure)"""
_REMOVE: Final = "DELETE FROM positions WHERE mapping = ? AND partition = ?"


# Requests. What each needs is turned into cells by its caller, so that a value that does not fit is the caller's error.


def load(connection: sqlite3.Connection, url: str, mapping: str) -> list[Row]:
    """Every row of a mapping, ordered by partition. Raises `SourceError` for a row that cannot be understood."""
    found = connection.execute(f"{_LOAD} ORDER BY partition", (mapping,))
    return [_row(url, mapping, one) for one in found.fetchall()]


def create(connection: sqlite3.Connection, mapping: str, rows: Sequence[Cells]) -> None:
    """Add rows; those that are there stay."""
    for *head, tenure, counter, saved in rows:
        connection.execute(_CREATE, (mapping, *head, tenure, mapping, counter, saved))


def take(connection: sqlite3.Connection, url: str, mapping: str, rows: Sequence[Row], owner: str) -> list[Row]:
    """Give each a new tenure and owner, if it is as it was seen."""
    taken = [
        row.partition
        for row in rows
        if connection.execute(_TAKE, (owner, mapping, row.partition, row.tenure, row.counter)).rowcount
    ]
    return _found(connection, url, mapping, taken)


def renew(connection: sqlite3.Connection, mapping: str, rows: Sequence[Row]) -> list[Row]:
    """Make the counters of these grow; returns those that are still of this tenure, with counter and heir."""
    renewed = []
    for row in rows:
        found = connection.execute(f"{_RENEW} RETURNING owner, heir, counter", (mapping, row.partition, row.tenure))
        for owner, heir, counter in found.fetchall():
            renewed.append(replace(row, owner=owner, heir=heir, counter=counter))
    return renewed


def ask(connection: sqlite3.Connection, mapping: str, rows: Sequence[Row], heir: str) -> None:
    """Name an heir, where there is none."""
    connection.executemany(_ASK, [(heir, mapping, row.partition, row.tenure, row.owner) for row in rows])


def leave(connection: sqlite3.Connection, mapping: str, rows: Sequence[Row]) -> None:
    """Pass these on to their heirs, or to nobody."""
    connection.executemany(_LEAVE, [(mapping, row.partition, row.tenure) for row in rows])


def save(
    connection: sqlite3.Connection, mapping: str, partition: Partition, tenure: int, written: Cells, saved: float
) -> None:
    """Write progress if the tenure is still that one. Raises `LostGrant`, having changed nothing."""
    if connection.execute(_SAVE, (*written, saved, mapping, partition, tenure)).rowcount:
        return
    found = connection.execute(_OWNER, (mapping, partition)).fetchone()
    raise lost(mapping, partition, None if found is None else str(found[0]))


def remove(connection: sqlite3.Connection, mapping: str, partitions: Iterable[Partition]) -> None:
    """Forget rows, but not how high their tenures were."""
    for partition in partitions:
        connection.execute(_RAISE_FLOOR, (mapping, partition))
        connection.execute(_REMOVE, (mapping, partition))


# Values


def cells(row: Row, saved: float) -> Cells:
    """A whole row, in the order of the columns."""
    *position, finished = progress(row)
    parents = json.dumps(row.parents)
    lease = row.owner, row.heir, row.tenure, row.counter
    return (row.partition, *position, row.start, finished, parents, row.origin, *lease, saved)


def progress(row: Row) -> Cells:
    """What `save` writes of a row: safe, safe_within, above, state, finished."""
    safe, within = (None, None) if row.safe is None else (str(row.safe[0]), row.safe[1])
    above = json.dumps([[str(first[0]), first[1], str(last[0]), last[1]] for first, last in row.above])
    # json, not msgspec: a state is whatever a function answered, integers beyond 64 bits and NaN included.
    state = None if row.state is None else json.dumps(row.state)
    return safe, within, above, state, row.finished


def _found(connection: sqlite3.Connection, url: str, mapping: str, partitions: Iterable[Partition]) -> list[Row]:
    """These rows, in order."""
    asked = (connection.execute(f"{_LOAD} AND partition = ?", (mapping, one)).fetchone() for one in partitions)
    return [_row(url, mapping, found) for found in asked]


def _row(url: str, mapping: str, found: Cells) -> Row:
    partition, safe, within, above, state, start, finished, parents, origin, owner, heir, tenure, counter, saved = found
    try:
        return Row(
            partition=Partition(partition),
            safe=None if safe is None else _position(safe, within),
            above=tuple(_range(*one) for one in json.loads(above)),
            state=None if state is None else json.loads(state),
            start=start,
            finished=bool(finished),
            parents=tuple(map(Partition, json.loads(parents))),
            origin=origin,
            owner=owner,
            heir=heir,
            tenure=tenure,
            counter=counter,
            saved=saved,
        )
    except (ValueError, TypeError, RecursionError) as error:
        reason = f"the row of {partition or 'the mapping itself'} in {mapping} cannot be understood ({error})"
        remedy = f"Restore a copy of the file, or use 'pollers seek FILE {mapping}' to say where to go on."
        raise SourceError(url, reason, remedy) from error


def _position(sequence: str, within: int) -> Position:
    return int(sequence), int(within)


def _range(first: str, first_within: int, last: str, last_within: int) -> Range:
    return _position(first, first_within), _position(last, last_within)
