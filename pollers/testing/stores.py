"""What every store must keep, checked from outside: run it on yours before a source relies on it.

    async def test_my_store():
        await check_store(lambda: MyStore(a_new_place()))

Each check is an async function that is given a new store without rows and raises AssertionError with a sentence.
`STORE_CHECKS` has them one by one, for a test's parameters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from pollers.errors import LostGrant
from pollers.spi import Partition, Row, Store

__all__ = ["STORE_CHECKS", "StoreCheck", "check_store"]

StoreCheck: TypeAlias = Callable[[Store], Awaitable[None]]

FAR: Final = 10**56  # sequence numbers of Kinesis are as long
A, B, C = Partition("shard-a"), Partition("shard-b"), Partition("shard-c")


async def check_store(make: Callable[[], Store]) -> None:
    """Run every check, each on a store of its own. Raises AssertionError at the first that fails."""
    for check in STORE_CHECKS:
        store = make()
        try:
            await check(store)
        finally:
            await store.close()


async def close_needs_no_open_and_may_come_twice(store: Store) -> None:
    await store.close()
    await store.open()
    await store.open()
    await store.close()
    await store.close()
    _must(bool(store.url), "url says where positions are kept.")


async def rows_come_back_as_they_were_created(store: Store) -> None:
    await store.open()
    made = [
        Row(Partition(""), start=1_700_000_000.25, origin="2026-11-24"),
        Row(A, safe=(FAR, 3), above=(((FAR + 2, 0), (FAR + 4, 1)),), state={"sum": [1.5, {"é": None}]}, finished=True),
        Row(B, parents=(A, Partition("gone")), origin="2026-11-24", owner="host", tenure=4),
    ]
    await store.create("mapping", list(reversed(made)))
    await store.create("another", [Row(C)])
    kept = await store.load("mapping")
    _must([row.partition for row in kept] == ["", A, B], "Rows of one mapping are loaded, ordered by partition.")
    _must([replace(row, saved=0.0) for row in kept] == made, f"What was created is loaded; this was: {kept}.")
    _must(await store.load("unknown") == [], "A mapping without rows has none.")


async def a_partition_that_has_a_row_keeps_it(store: Store) -> None:
    await store.open()
    await store.create("mapping", [Row(A, safe=(1, 0))])
    await store.create("mapping", [Row(A, safe=(2, 0)), Row(B)])
    rows = await store.load("mapping")
    _must([(row.partition, row.safe) for row in rows] == [(A, (1, 0)), (B, None)], f"The first row stays; now {rows}.")


async def taking_gives_rows_a_new_tenure_in_order(store: Store) -> None:
    await store.open()
    await store.create("mapping", [Row(A, safe=(1, 0)), Row(B), Row(C)])
    first = await store.take("mapping", [C, Partition("missing"), A], "first")
    _must([row.partition for row in first] == [C, A], "Rows come in the order asked for, without those that are not.")
    _must(first[1].safe == (1, 0), "Taking changes no position.")
    second = await store.take("mapping", [A], "second")
    _must(second[0].tenure > first[1].tenure, "Each taking has a higher tenure.")
    owners = {row.partition: row.owner for row in await store.load("mapping")}
    _must(owners == {A: "second", B: "", C: "first"}, f"Owners are kept; these were: {owners}.")


async def saving_writes_progress_and_nothing_else(store: Store) -> None:
    await store.open()
    await store.create("mapping", [Row(A, start=5.0, parents=(B,), origin="one"), Row(B)])
    (row,) = await store.take("mapping", [A], "owner")
    progress = Row(A, safe=(FAR * 10, 2), above=(((FAR * 11, 0), (FAR * 12, 0)),), state={"n": 1}, finished=True)
    await store.save("mapping", replace(progress, tenure=row.tenure))
    kept, other = await store.load("mapping")
    expected = replace(progress, start=5.0, parents=(B,), origin="one", owner="owner", tenure=row.tenure)
    _must(replace(kept, saved=0.0) == expected, f"The row is {kept}.")
    _must(kept.saved > 0, "saved is when it was written, in seconds since the epoch.")
    _must(other.safe is None, "Other rows stay as they are.")
    await store.save("mapping", Row(A, tenure=row.tenure))
    kept = (await store.load("mapping"))[0]
    _must((kept.safe, kept.above, kept.state, kept.finished) == (None, (), None, False), "A position can be set back.")


async def an_earlier_owner_is_refused(store: Store) -> None:
    await store.open()
    await store.create("mapping", [Row(A)])
    (first,) = await store.take("mapping", [A], "first")
    (second,) = await store.take("mapping", [A], "second")
    await store.save("mapping", replace(second, safe=(7, 0)))
    await _refused(store, replace(first, safe=(9, 0)))
    _must((await store.load("mapping"))[0].safe == (7, 0), "A save that was refused has changed nothing.")


async def a_row_that_is_gone_is_refused_even_when_it_is_made_again(store: Store) -> None:
    await store.open()
    await store.create("mapping", [Row(A), Row(B)])
    (first,) = await store.take("mapping", [A], "first")
    await store.remove("mapping", [A, Partition("missing")])
    await _refused(store, replace(first, safe=(9, 0)))
    _must([row.partition for row in await store.load("mapping")] == [B], "Only the named rows are removed.")
    await store.create("mapping", [Row(A)])
    (second,) = await store.take("mapping", [A], "second")
    await _refused(store, replace(first, safe=(9, 0)))
    await store.save("mapping", replace(second, safe=(1, 0)))


async def one_refusal_among_saves_at_once_is_its_own(store: Store) -> None:
    await store.open()
    partitions = [Partition(f"shard-{number:02}") for number in range(20)]
    await store.create("mapping", [Row(partition) for partition in partitions])
    rows = await store.take("mapping", partitions, "owner")
    await store.take("mapping", partitions[7:8], "thief")
    saves = (store.save("mapping", replace(row, safe=(5, 0))) for row in rows)
    results = await asyncio.gather(*saves, return_exceptions=True)
    refused = [number for number, result in enumerate(results) if isinstance(result, LostGrant)]
    _must(refused == [7], f"One row had been taken, number 7; refused were {refused}.")
    _must([one for one in results if one is not None] == [results[7]], f"The others are saved; these came: {results}.")
    kept: Sequence[Row] = await store.load("mapping")
    _must([row.safe for row in kept].count((5, 0)) == 19, "What was answered without an error is kept.")


STORE_CHECKS: Final[tuple[StoreCheck, ...]] = (
    close_needs_no_open_and_may_come_twice,
    rows_come_back_as_they_were_created,
    a_partition_that_has_a_row_keeps_it,
    taking_gives_rows_a_new_tenure_in_order,
    saving_writes_progress_and_nothing_else,
    an_earlier_owner_is_refused,
    a_row_that_is_gone_is_refused_even_when_it_is_made_again,
    one_refusal_among_saves_at_once_is_its_own,
)


async def _refused(store: Store, row: Row) -> None:
    try:
        await store.save("mapping", row)
    except LostGrant:
        return
    raise AssertionError(f"{row.partition} was taken or removed since: saving must raise LostGrant.")


def _must(holds: bool, sentence: str) -> None:
    if not holds:
        raise AssertionError(sentence)
