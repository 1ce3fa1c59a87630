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

__all__ = ["STORE_CHECKS", "StoreCheck", "check_store", "take_rows"]

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


async def take_rows(store: Store, owner: str, *partitions: Partition, mapping: str = "mapping") -> Sequence[Row]:
    """Take these rows as they are now, which must succeed."""
    rows = {row.partition: row for row in await store.load(mapping)}
    took = await store.take(mapping, [rows[partition] for partition in partitions], owner)
    _must(len(took) == len(partitions), f"Rows that nobody changed are taken; these were: {took}.")
    return took


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
        Row(B, parents=(Partition("gone"), A), origin="2026-11-24", owner="host", tenure=4),
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
    a, _, c = await store.load("mapping")
    first = await store.take("mapping", [c, Row(Partition("missing")), a], "first")
    _must([row.partition for row in first] == [C, A], "Rows come in the order asked for, without those that are not.")
    _must(first[1].safe == (1, 0), "Taking changes no position.")
    second = await store.take("mapping", first[1:], "second")
    _must(second[0].tenure > first[1].tenure, "Each taking has a higher tenure.")
    owners = {row.partition: row.owner for row in await store.load("mapping")}
    _must(owners == {A: "second", B: "", C: "first"}, f"Owners are kept; these were: {owners}.")


async def saving_writes_progress_and_nothing_else(store: Store) -> None:
    await store.open()
    await store.create("mapping", [Row(A, start=5.0, parents=(B,), origin="one"), Row(B)])
    (row,) = await take_rows(store, "owner", A)
    progress = Row(A, safe=(FAR * 10, 2), above=(((FAR * 11, 0), (FAR * 12, 0)),), state={"n": 1}, finished=True)
    await store.save("mapping", replace(progress, tenure=row.tenure))
    kept, other = await store.load("mapping")
    expected = replace(progress, start=5.0, parents=(B,), origin="one", owner="owner", tenure=row.tenure)
    _must(replace(kept, saved=0.0, counter=0) == expected, f"The row is {kept}.")
    _must(kept.saved > 0, "saved is when it was written, in seconds since the epoch.")
    _must(other.safe is None, "Other rows stay as they are.")
    await store.save("mapping", Row(A, tenure=row.tenure))
    kept = (await store.load("mapping"))[0]
    _must((kept.safe, kept.above, kept.state, kept.finished) == (None, (), None, False), "A position can be set back.")


async def an_earlier_owner_is_refused(store: Store) -> None:
    await store.open()
    await store.create("mapping", [Row(A)])
    (first,) = await take_rows(store, "first", A)
    (second,) = await take_rows(store, "second", A)
    await store.save("mapping", replace(second, safe=(7, 0)))
    await _refused(store, replace(first, safe=(9, 0)))
    _must((await store.load("mapping"))[0].safe == (7, 0), "A save that was refused has changed nothing.")


async def a_row_that_is_gone_is_refused_even_when_it_is_made_again(store: Store) -> None:
    await store.open()
    await store.create("mapping", [Row(A), Row(B)])
    (first,) = await take_rows(store, "first", A)
    await store.remove("mapping", [A, Partition("missing")])
    await _refused(store, replace(first, safe=(9, 0)))
    _must([row.partition for row in await store.load("mapping")] == [B], "Only the named rows are removed.")
    await store.create("mapping", [Row(A)])
    (second,) = await take_rows(store, "second", A)
    await _refused(store, replace(first, safe=(9, 0)))
    await store.save("mapping", replace(second, safe=(1, 0)))


async def one_refusal_among_saves_at_once_is_its_own(store: Store) -> None:
    await store.open()
    partitions = [Partition(f"shard-{number:02}") for number in range(20)]
    await store.create("mapping", [Row(partition) for partition in partitions])
    rows = await take_rows(store, "owner", *partitions)
    await take_rows(store, "thief", *partitions[7:8])
    saves = (store.save("mapping", replace(row, safe=(5, 0))) for row in rows)
    results = await asyncio.gather(*saves, return_exceptions=True)
    refused = [number for number, result in enumerate(results) if isinstance(result, LostGrant)]
    _must(refused == [7], f"One row had been taken, number 7; refused were {refused}.")
    _must([one for one in results if one is not None] == [results[7]], f"The others are saved; these came: {results}.")
    kept: Sequence[Row] = await store.load("mapping")
    _must([row.safe for row in kept].count((5, 0)) == 19, "What was answered without an error is kept.")


async def a_row_that_was_renewed_since_it_was_seen_is_not_taken(store: Store) -> None:
    await store.open()
    await store.create("mapping", [Row(A), Row(B)])
    seen = await take_rows(store, "first", A, B)
    (renewed,) = await store.renew("mapping", seen[:1])
    _must((renewed.partition, renewed.owner) == (A, "first"), f"Renewing returns the rows as they are; not {renewed}.")
    _must(renewed.counter > seen[0].counter, "Each renewal makes the counter grow.")
    _must(renewed.tenure == seen[0].tenure, "A renewal is no new tenure.")
    taken = await store.take("mapping", seen, "second")
    _must([row.partition for row in taken] == [B], f"A was renewed after it was seen, so only B is taken; not {taken}.")


async def what_was_taken_is_not_renewed(store: Store) -> None:
    await store.open()
    await store.create("mapping", [Row(A), Row(B), Row(C)])
    mine = await take_rows(store, "first", A, B, C)
    await take_rows(store, "second", B)
    await store.remove("mapping", [C])
    renewed = await store.renew("mapping", mine)
    _must([row.partition for row in renewed] == [A], f"B was taken and C removed: only A is renewed, not {renewed}.")
    owners = {row.partition: row.owner for row in await store.load("mapping")}
    _must(owners == {A: "first", B: "second"}, f"A renewal changes no owner; these were: {owners}.")


async def an_owner_is_asked_and_passes_on(store: Store) -> None:
    await store.open()
    await store.create("mapping", [Row(A, safe=(1, 0))])
    (mine,) = await take_rows(store, "first", A)
    await store.ask("mapping", [mine], "second")
    await store.ask("mapping", [mine], "third")
    (renewed,) = await store.renew("mapping", [mine])
    _must((renewed.owner, renewed.heir) == ("first", "second"), f"Who asks first is the heir; the row is {renewed}.")
    await store.save("mapping", replace(mine, safe=(2, 0)))
    await store.leave("mapping", [mine])
    (row,) = await store.load("mapping")
    _must((row.owner, row.heir, row.safe) == ("second", "", (2, 0)), f"What is left belongs to its heir; now {row}.")
    _must(row.counter > renewed.counter, "Leaving makes the counter grow: nobody takes the row for one that was lost.")
    (second,) = await store.take("mapping", [row], "second")
    await _refused(store, replace(mine, safe=(9, 0)))
    await store.save("mapping", replace(second, safe=(3, 0)))


async def what_is_left_without_an_heir_is_free(store: Store) -> None:
    await store.open()
    await store.create("mapping", [Row(A), Row(B)])
    mine = await take_rows(store, "first", A, B)
    (second,) = await take_rows(store, "second", B)
    await store.leave("mapping", mine)
    owners = {row.partition: row.owner for row in await store.load("mapping")}
    _must(owners == {A: "", B: "second"}, f"A is free, and B was not the first one's to leave; owners were {owners}.")
    await store.save("mapping", second)
    await store.ask("mapping", [replace(second, owner="first")], "third")
    _must((await store.load("mapping"))[1].heir == "", "Who asks an owner that is none any more is not heard.")


async def taking_forgets_who_asked(store: Store) -> None:
    await store.open()
    await store.create("mapping", [Row(A)])
    (mine,) = await take_rows(store, "first", A)
    await store.ask("mapping", [mine], "second")
    (taken,) = await take_rows(store, "third", A)
    _must((taken.owner, taken.heir) == ("third", ""), f"A new owner was not asked yet; the row is {taken}.")


STORE_CHECKS: Final[tuple[StoreCheck, ...]] = (
    close_needs_no_open_and_may_come_twice,
    rows_come_back_as_they_were_created,
    a_partition_that_has_a_row_keeps_it,
    taking_gives_rows_a_new_tenure_in_order,
    saving_writes_progress_and_nothing_else,
    an_earlier_owner_is_refused,
    a_row_that_is_gone_is_refused_even_when_it_is_made_again,
    one_refusal_among_saves_at_once_is_its_own,
    a_row_that_was_renewed_since_it_was_seen_is_not_taken,
    what_was_taken_is_not_renewed,
    an_owner_is_asked_and_passes_on,
    what_is_left_without_an_heir_is_free,
    taking_forgets_who_asked,
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
