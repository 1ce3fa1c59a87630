"""How a row lies in a lease of the Kinesis Client Library: items to rows, and requests as conditional updates.

What the library reads is written as it writes it; what it does not know stands in attributes that begin with
`pollers_`. Attributes and items that are not ours are never touched. Numbers are compared as integers, never as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from pollers.flow.records import Partition, Position, Range
from pollers.spi import Row

__all__ = [
    "KEY",
    "TENURE",
    "Change",
    "Item",
    "ask",
    "is_lease",
    "item_of",
    "leave",
    "renew",
    "row_of",
    "save",
    "take",
]

Item: TypeAlias = dict[str, Any]  # in DynamoDB's own JSON

KEY: Final = "leaseKey"
TENURE: Final = "pollers_tenure"
HORIZON, LATEST, MOMENT, END = "TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", "SHARD_END"

# While nobody has written since the row was read. A hand-over that a leader of KCL 3 begins leaves the counter alone
# and changes the owner.
_MINE: Final = "leaseCounter = :counter AND leaseOwner = :owner AND pollers_tenure = :tenure"


@dataclass(frozen=True, slots=True)
class Change:
    """One conditional update of one item."""

    condition: str
    update: str
    values: Mapping[str, Any]

    def parameters(self) -> dict[str, Any]:
        """As UpdateItem takes them."""
        return {
            "ConditionExpression": self.condition,
            "UpdateExpression": self.update,
            "ExpressionAttributeValues": dict(self.values),
        }


# Items


def is_lease(item: Item) -> bool:
    """Whether an item of a lease table is a lease. Until KCL 3.4 all are, and none says so; 3.5 keeps others too."""
    return bool(_text(item, "entityType") in ("", "LEASE"))


def item_of(row: Row, key: str, saved: float, *, typed: bool) -> Item:
    """A new lease. `typed`: say that it is one, as KCL 3.5 does in tables that it has begun itself."""
    checkpoint, within = _checkpoint(row)
    item: Item = {
        KEY: {"S": key},
        "leaseCounter": _number(row.counter),
        "ownerSwitchesSinceCheckpoint": _number(0),
        "checkpoint": {"S": checkpoint},
        "checkpointSubSequenceNumber": _number(within),
        "pollers_progress": {"S": _progress(row, checkpoint, within, saved)},
    }
    if typed:
        item["entityType"] = {"S": "LEASE"}
    if row.parents:
        item["parentShardId"] = {"SS": sorted(set(row.parents))}
    if row.start is not None:
        item["pollers_start"] = {"N": repr(row.start)}
    if row.tenure:
        item[TENURE] = _number(row.tenure)
    names = {"leaseOwner": row.owner, "pollers_heir": row.heir, "pollers_origin": row.origin}
    item.update({name: {"S": value} for name, value in names.items() if value})
    return item


def row_of(item: Item, partition: Partition, now: float) -> Row:
    """The row that a lease is. `now`: where one of the library's begins that says LATEST. Raises ValueError."""
    try:
        checkpoint, within = item["checkpoint"]["S"], int(_text(item, "checkpointSubSequenceNumber", "N") or 0)
        known = _believed(item, checkpoint, within)
        return Row(
            partition,
            safe=_safe(checkpoint, within, known),
            above=tuple(_range(*one) for one in known.get("above", ())),
            state=known.get("state"),
            start=_start(item, checkpoint, now),
            finished=checkpoint == END,
            parents=tuple(map(Partition, sorted(item.get("parentShardId", {}).get("SS", ())))),
            origin=_text(item, "pollers_origin"),
            owner=_text(item, "leaseOwner"),
            heir=_text(item, "pollers_heir"),
            tenure=int(_text(item, TENURE, "N") or 0),
            counter=int(item["leaseCounter"]["N"]),
            saved=known.get("saved", 0.0),
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _believed(item: Item, checkpoint: str, within: int) -> dict[str, Any]:
    """What we wrote beside this checkpoint; nothing where somebody else has written another since."""
    known: dict[str, Any] = json.loads(_text(item, "pollers_progress") or "{}")
    return known if known.get("at") == [checkpoint, within] else {}


def _safe(checkpoint: str, within: int, known: Mapping[str, Any]) -> Position | None:
    if checkpoint == END:
        written = known.get("safe")
        return None if written is None else _position(*written)
    return None if checkpoint in (HORIZON, LATEST, MOMENT) else (int(checkpoint), within)


def _start(item: Item, checkpoint: str, now: float) -> float | None:
    """The moment to begin at. One that the library was configured with is not in its table: everything is read."""
    written = _text(item, "pollers_start", "N")
    if checkpoint == HORIZON or not written:
        return now if checkpoint == LATEST else None
    return float(written)


def _checkpoint(row: Row) -> tuple[str, int]:
    """As the library reads it."""
    if row.finished:
        return END, 0
    if row.safe is not None:
        return str(row.safe[0]), row.safe[1]
    return (HORIZON if row.start is None else MOMENT), 0


def _progress(row: Row, checkpoint: str, within: int, saved: float) -> str:
    """What the library does not keep, with the checkpoint that it belongs to."""
    known: dict[str, Any] = {"at": [checkpoint, within], "saved": saved}
    if row.finished and row.safe is not None:
        known["safe"] = [str(row.safe[0]), row.safe[1]]
    if row.above:
        known["above"] = [[str(first[0]), first[1], str(last[0]), last[1]] for first, last in row.above]
    if row.state is not None:
        known["state"] = row.state
    return json.dumps(known, separators=(",", ":"))


# Requests. Each raises the counter, which is heartbeat and lock in one; asking alone does not.


def take(row: Row, owner: str) -> Change:
    """Own it, if it is as it was seen."""
    sets = "leaseOwner = :taker, leaseCounter = :next, pollers_tenure = :taken"
    values = {":taker": {"S": owner}, ":taken": _number(row.tenure + 1), **_counted(row)}
    if row.start is not None:
        sets += ", pollers_start = if_not_exists(pollers_start, :start)"
        values[":start"] = {"N": repr(row.start)}
    update = f"SET {sets} REMOVE checkpointOwner, pollers_heir"
    if row.owner not in ("", owner):
        update += " ADD ownerSwitchesSinceCheckpoint :one"
        values[":one"] = _number(1)
    if not row.tenure:
        return Change("leaseCounter = :counter AND attribute_not_exists(pollers_tenure)", update, values)
    values[":tenure"] = _number(row.tenure)
    return Change("leaseCounter = :counter AND pollers_tenure = :tenure", update, values)


def renew(row: Row) -> Change:
    """Show that it is in use."""
    return Change(_MINE, "SET leaseCounter = :next", _mine(row))


def ask(row: Row, heir: str) -> Change:
    """Name an heir, where there is none. The library's own way to hand over is its leader's to begin."""
    values = {":owner": {"S": row.owner}, ":heir": {"S": heir}, ":tenure": _number(row.tenure)}
    condition = "leaseOwner = :owner AND pollers_tenure = :tenure AND attribute_not_exists(pollers_heir)"
    return Change(condition, "SET pollers_heir = :heir", values)


def save(row: Row, progress: Row, saved: float) -> Change:
    """Write a checkpoint. `row`: as it is held; what the library had prepared there ends with it, as with its own."""
    written = replace(progress, start=row.start)
    checkpoint, within = _checkpoint(written)
    update = (
        "SET leaseCounter = :next, checkpoint = :checkpoint, checkpointSubSequenceNumber = :within, "
        "ownerSwitchesSinceCheckpoint = :zero, pollers_progress = :progress "
        "REMOVE pendingCheckpoint, pendingCheckpointSubSequenceNumber, pendingCheckpointState"
    )
    values = {
        ":checkpoint": {"S": checkpoint},
        ":within": _number(within),
        ":zero": _number(0),
        ":progress": {"S": _progress(written, checkpoint, within, saved)},
    }
    return Change(_MINE, update, values | _mine(row))


def leave(row: Row) -> Change:
    """Give it to its heir, or to nobody: the attribute goes, so that the next owner need not wait for it to expire."""
    values = _mine(row)
    if not row.heir:
        condition = f"{_MINE} AND attribute_not_exists(pollers_heir)"
        return Change(condition, "SET leaseCounter = :next REMOVE leaseOwner, checkpointOwner", values)
    values[":heir"] = {"S": row.heir}
    update = "SET leaseCounter = :next, leaseOwner = :heir REMOVE pollers_heir, checkpointOwner"
    return Change(f"{_MINE} AND pollers_heir = :heir", update, values)


def _mine(row: Row) -> dict[str, Any]:
    return {":owner": {"S": row.owner}, ":tenure": _number(row.tenure), **_counted(row)}


def _counted(row: Row) -> dict[str, Any]:
    return {":counter": _number(row.counter), ":next": _number(row.counter + 1)}


# Values


def _number(value: int) -> dict[str, str]:
    return {"N": str(value)}


def _text(item: Item, name: str, kind: str = "S") -> str:
    return str(item.get(name, {}).get(kind, ""))


def _position(sequence: str, within: int) -> Position:
    return int(sequence), int(within)


def _range(first: str, first_within: int, last: str, last_within: int) -> Range:
    return _position(first, first_within), _position(last, last_within)
