"""How rows lie in the table: every request of the store as statements, within its caller's transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

from pollers.errors import SourceError
from pollers.flow.records import Partition, Position, Range
from pollers.spi import Row
from pollers.stores.fence import lost

__all__ = ["Cells", "cells", "create", "load", "progress", "remove", "save", "take"]

Cells: TypeAlias = tuple[Any, ...]  # of one row, as SQLite keeps them

_COLUMNS: Final = (
    "partition, safe, safe_within, above, state, start, finished, parents, origin, owner, tenure, saved"  # as in Row
)
_LOAD: Final = f"SELECT {_COLUMNS} FROM positions WHERE mapping = ?"
_CREATE: Final = f"""
    INSERT INTO positions (mapping, {_COLUMNS})
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
            max(?, coalesce((SELECT tenure FROM removed WHERE removed.mapping = ?), 0)), ?)
    ON CONFLICT (mapping, partition) DO NOTHING"""
_TAKE: Final = "UPDATE positions SET owner = ?, tenure = tenure + 1 WHERE mapping = ? AND partition = ?"
_SAVE: Final = """
    UPDATE positions SET safe = ?, safe_within = ?, above = ?, state = ?, finished = ?, saved = ?
    WHERE mapping = ? AND partition = ? AND tenure = ?"""
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
    for *head, tenure, saved in rows:
        connection.execute(_CREATE, (mapping, *head, tenure, mapping, saved))


def take(
    connection: sqlite3.Connection, url: str, mapping: str, partitions: Sequence[Partition], owner: str
) -> list[Row]:
    """Give each a new tenure and owner."""
    taken = []
    for partition in partitions:
        if connection.execute(_TAKE, (owner, mapping, partition)).rowcount:
            found = connection.execute(f"{_LOAD} AND partition = ?", (mapping, partition)).fetchone()
            taken.append(_row(url, mapping, found))
    return taken


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
    return (row.partition, *position, row.start, finished, parents, row.origin, row.owner, row.tenure, saved)


def progress(row: Row) -> Cells:
    """What `save` writes of a row: safe, safe_within, above, state, finished."""
    safe, within = (None, None) if row.safe is None else (str(row.safe[0]), row.safe[1])
    above = json.dumps([[str(first[0]), first[1], str(last[0]), last[1]] for first, last in row.above])
    # json, not msgspec: a state is whatever a function answered, integers beyond 64 bits and NaN included.
    state = None if row.state is None else json.dumps(row.state)
    return safe, within, above, state, row.finished


def _row(url: str, mapping: str, found: Cells) -> Row:
    partition, safe, within, above, state, start, finished, parents, origin, owner, tenure, saved = found
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
            tenure=tenure,
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
