"""Both stores are stores, and keep the same rows."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pollers.errors import LostGrant
from pollers.spi import Partition, Row, Store
from pollers.stores.memory import MemoryStore
from pollers.stores.sqlite import SqliteStore
from pollers.testing.stores import STORE_CHECKS, StoreCheck, check_store, take_rows


def make(kind: str, folder: Path) -> Store:
    return MemoryStore() if kind == "memory" else SqliteStore(folder / "state.db")


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_it_is_a_store(kind: str, check: StoreCheck, tmp_path: Path) -> None:
    store = make(kind, tmp_path)
    try:
        await check(store)
    finally:
        await store.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_refusal_names_the_row_and_who_has_it(kind: str, tmp_path: Path) -> None:
    store = make(kind, tmp_path)
    await store.open()
    await store.create("orders", [Row(Partition("shard-1"))])
    (row,) = await take_rows(store, "first", Partition("shard-1"), mapping="orders")
    await take_rows(store, "host-2:77", Partition("shard-1"), mapping="orders")
    with pytest.raises(LostGrant, match="shard-1 in orders was not saved: host-2:77 has taken it"):
        await store.save("orders", row)
    await store.remove("orders", [Partition("shard-1")])
    with pytest.raises(LostGrant, match="shard-1 in orders was not saved: it was removed"):
        await store.save("orders", row)
    await store.close()


# Checks that find flaws


class Steals(MemoryStore):
    """Lets earlier owners write."""

    async def save(self, mapping: str, row: Row) -> None:
        known = {one.partition: one for one in await self.load(mapping)}
        await super().save(mapping, replace(row, tenure=known[row.partition].tenure))


class Overwrites(MemoryStore):
    async def create(self, mapping: str, rows: Sequence[Row]) -> None:
        await self.remove(mapping, [row.partition for row in rows])
        await super().create(mapping, rows)


class Forgetful(MemoryStore):
    """Begins tenures anew for rows that are made again."""

    async def remove(self, mapping: str, partitions: Sequence[Partition]) -> None:
        await super().remove(mapping, partitions)
        self._of(mapping).floor = 0


class Rereads(MemoryStore):
    """Takes rows as they are, whatever was seen of them."""

    async def take(self, mapping: str, rows: Sequence[Row], owner: str) -> Sequence[Row]:
        now = {row.partition: row for row in await self.load(mapping)}
        return await super().take(mapping, [now[row.partition] for row in rows if row.partition in now], owner)


class Frees(MemoryStore):
    """What is left is free, whoever asked for it."""

    async def leave(self, mapping: str, rows: Sequence[Row]) -> None:
        await super().leave(mapping, rows)
        kept = self._of(mapping).rows
        kept.update({one: replace(row, owner="") for one, row in kept.items() if row.owner == "second"})


class Unsorted(MemoryStore):
    async def load(self, mapping: str) -> Sequence[Row]:
        return [*reversed(await super().load(mapping))]


class Rounds(MemoryStore):
    """Keeps sequence numbers as floats."""

    async def save(self, mapping: str, row: Row) -> None:
        safe = row.safe and (int(float(row.safe[0])), row.safe[1])
        await super().save(mapping, replace(row, safe=safe))


class FailsTogether(MemoryStore):
    """A refusal takes those with it that are saved at the same time."""

    broken = False

    async def save(self, mapping: str, row: Row) -> None:
        together = row.safe == (5, 0)  # what the check of saves at once writes
        if together and self.broken:
            raise LostGrant("another one's")
        try:
            await super().save(mapping, row)
        except LostGrant:
            self.broken = together
            raise


@pytest.mark.parametrize(
    ("flawed", "sentence"),
    [
        (Steals, "must raise LostGrant"),
        (Overwrites, "The first row stays"),
        (Forgetful, "must raise LostGrant"),
        (Rereads, "so only B is taken"),
        (Frees, "belongs to its heir"),
        (Unsorted, "ordered by partition"),
        (Rounds, "The row is"),
        (FailsTogether, "refused were"),
    ],
)
async def test_flaw_of_a_store_is_found(flawed: type[MemoryStore], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        await check_store(flawed)


# The same rows in both

PARTITIONS = st.sampled_from([Partition(name) for name in ("", "a", "B", "b", "é", "\U0001f600", "￿", "a\0b")])
POSITIONS = st.tuples(st.integers(0, 10**60), st.integers(0, 10_000))
RANGES = st.lists(st.tuples(POSITIONS, POSITIONS), max_size=3).map(tuple)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
OWNERS = st.sampled_from(["", "me", "you"])
ROWS = st.builds(
    Row,
    PARTITIONS,
    safe=st.none() | POSITIONS,
    above=RANGES,
    state=st.none() | st.dictionaries(st.text(max_size=5), JSON, max_size=2),
    start=st.none() | st.floats(0, 1e10),
    finished=st.booleans(),
    parents=st.lists(PARTITIONS, max_size=2).map(tuple),
    origin=st.text("xyz", max_size=3),
    owner=OWNERS,
    heir=OWNERS,
    tenure=st.integers(0, 3),
    counter=st.integers(0, 3),
)
MAPPINGS = st.sampled_from(["orders", "carts"])
LISTS = st.lists(PARTITIONS, max_size=4)
LISTED = st.lists(ROWS, max_size=4)
CALLS = st.one_of(
    st.tuples(st.just("create"), MAPPINGS, st.lists(ROWS, max_size=3)),
    st.tuples(st.just("take"), MAPPINGS, LISTED, OWNERS),
    st.tuples(st.just("renew"), MAPPINGS, LISTED),
    st.tuples(st.just("ask"), MAPPINGS, LISTED, OWNERS),
    st.tuples(st.just("leave"), MAPPINGS, LISTED),
    st.tuples(st.just("save"), MAPPINGS, ROWS),
    st.tuples(st.just("remove"), MAPPINGS, LISTS),
)


async def answers(store: Store, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    """What each call returns or raises, and all rows at the end."""
    await store.open()
    found: list[Any] = []
    for name, *arguments in calls:
        try:
            found.append(await getattr(store, name)(*arguments))
        except LostGrant as error:
            found.append(str(error))
    found += [await store.load(mapping) for mapping in ("orders", "carts")]
    await store.close()
    return found


@given(calls=st.lists(CALLS, max_size=15))
@settings(max_examples=40)
def test_any_sequence_of_calls_gives_the_same_rows_in_both_stores(calls: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ticks = [iter(range(1, 1_000)) for _ in range(2)]
        memory = MemoryStore(wall=lambda: float(next(ticks[0])))
        sqlite = SqliteStore(Path(folder) / "state.db", wall=lambda: float(next(ticks[1])))

        assert asyncio.run(answers(sqlite, calls)) == asyncio.run(answers(memory, calls))
