"""Positions in a file: what survives, what is fenced, what is said of a file that cannot be used."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pollers.errors import LostGrant, SourceError
from pollers.flow.records import Partition
from pollers.spi import Row
from pollers.stores.sqlite import SqliteStore
from pollers.testing.stores import take_rows

A, B = Partition("a"), Partition("b")
LARGE = 49590338271490256608559692538361571095921575989136588898  # 56 digits: more than SQLite's integers


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    await store.open()
    return store


async def test_rows_are_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    store = await opened(tmp_path / "state.db")
    await store.create("mapping", [Row(A, parents=(B,), origin="first")])
    (row,) = await take_rows(store, "me", A)
    written = Row(A, safe=(LARGE, 3), above=(((LARGE + 2, 0), (LARGE + 5, 0)),), state={"n": [1]}, tenure=row.tenure)
    await store.save("mapping", written)
    await store.close()
    again = await opened(tmp_path / "state.db")
    (kept,) = await again.load("mapping")
    await again.close()
    assert (kept.safe, kept.above, kept.state) == (written.safe, written.above, written.state)
    assert (kept.parents, kept.origin, kept.owner, kept.tenure) == ((B,), "first", "me", row.tenure)


async def test_two_processes_worth_of_stores_see_and_fence_each_other(tmp_path: Path) -> None:
    one, other = await opened(tmp_path / "state.db"), await opened(tmp_path / "state.db")
    await one.create("mapping", [Row(A)])
    (first,) = await take_rows(one, "one", A)
    (second,) = await take_rows(other, "other", A)
    with pytest.raises(LostGrant, match="other has taken it"):
        await one.save("mapping", first)
    await other.save("mapping", second)
    await one.close()
    await other.close()


async def test_saves_made_at_once_are_all_kept_though_one_is_refused(tmp_path: Path) -> None:
    store = await opened(tmp_path / "state.db")
    partitions = [Partition(f"shard-{number:04}") for number in range(1_000)]
    await store.create("mapping", [Row(partition) for partition in partitions])
    rows = await take_rows(store, "me", *partitions)
    await take_rows(store, "thief", *partitions[:1])
    results = await asyncio.gather(*(store.save("mapping", row) for row in rows), return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [LostGrant]
    await store.close()


def test_the_file_is_readable_by_its_user_only(tmp_path: Path) -> None:
    async def make() -> None:
        await (await opened(tmp_path / "state.db")).close()

    asyncio.run(make())
    assert stat.S_IMODE((tmp_path / "state.db").stat().st_mode) == 0o600


def no_database(path: Path) -> None:
    path.write_bytes(b"this is a text, and no database at all" * 40)


def newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE somebody_elses (id INTEGER)")
    connection.close()


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("spoil", [no_database, newer, foreign, a_folder])
async def test_a_file_that_cannot_be_used_is_said_and_left_alone(tmp_path: Path, spoil: object) -> None:
    path = tmp_path / "state.db"
    spoil(path)  # type: ignore[operator]
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(SourceError, match=r"state\.db"):
        await opened(path)
    assert (path.read_bytes() if path.is_file() else b"") == before


async def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        await opened(tmp_path / "nowhere" / "state.db")


CHILD = """
import asyncio, sys
from pollers.flow.records import Partition
from pollers.spi import Row
from pollers.stores.sqlite import SqliteStore
from pollers.testing.stores import take_rows

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    await store.create("mapping", [Row(Partition("a"))])
    (row,) = await take_rows(store, "child", Partition("a"))
    number = 0
    while True:
        number += 1
        await store.save("mapping", Row(Partition("a"), safe=(number, 0), tenure=row.tenure))
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("after", [1, 40, 200])
def test_a_killed_process_leaves_what_it_was_told_was_saved(tmp_path: Path, after: int) -> None:
    path = tmp_path / "state.db"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    told = 0
    while told < after:
        told = int(child.stdout.readline())
    os.kill(child.pid, signal.SIGKILL)
    told = max([told, *map(int, child.stdout.read().split())])
    child.stdout.close()
    child.wait()

    async def look() -> Row:
        store = await opened(path)
        (row,) = await store.load("mapping")
        await store.close()
        return row

    kept = asyncio.run(look())
    assert kept.safe is not None
    assert told <= kept.safe[0] <= told + 1
