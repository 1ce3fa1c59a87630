"""A file of positions in trouble: locked, full, damaged, read-only, gone; and how few transactions saves take."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pollers.errors import SourceError
from pollers.flow.records import Partition
from pollers.spi import Row
from pollers.stores.sqlite import SqliteStore
from pollers.testing.stores import take_rows

A = Partition("a")


async def taken(store: SqliteStore, partition: Partition = A) -> Row:
    """A row of ours in an opened store."""
    await store.open()
    await store.create("mapping", [Row(partition)])
    (row,) = await take_rows(store, "me", partition)
    return row


def raw(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(path, isolation_level=None))


@pytest.fixture
def commoner() -> Iterator[Path]:
    """A folder of a user who is not root, as whom the test runs: root may write everywhere."""
    with tempfile.TemporaryDirectory() as folder:
        if os.geteuid() != 0:
            yield Path(folder)
            return
        os.chown(folder, 65_534, 65_534)
        os.seteuid(65_534)
        try:
            yield Path(folder)
        finally:
            os.seteuid(0)


async def test_saves_that_wait_for_a_commit_share_the_next_one(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    await store.open()
    partitions = [Partition(f"shard-{number}") for number in range(100)]
    await store.create("mapping", [Row(partition) for partition in partitions])
    rows = await take_rows(store, "me", *partitions)
    statements: list[str] = []
    assert store._desk is not None
    await store._desk.ask(lambda connection: connection.set_trace_callback(statements.append), writes=False)
    with raw(store.path) as other:
        other.execute("BEGIN IMMEDIATE")  # the first save waits for it, the others for the first
        saves = [asyncio.create_task(store.save("mapping", replace(row, safe=(5, 0)))) for row in rows]
        while not any(statement.startswith("BEGIN") for statement in statements):
            await asyncio.sleep(0)
        other.execute("ROLLBACK")
    await asyncio.gather(*saves)

    assert statements.count("BEGIN IMMEDIATE") <= 2
    assert statements.count("COMMIT") - 1 <= 2  # one was under way when tracing began
    assert [row.safe for row in await store.load("mapping")] == [(5, 0)] * 100
    await store.close()


async def test_locked_file_is_said_and_saved_to_once_it_is_free(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db", patience=0.01)
    row = await taken(store)
    with raw(store.path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SourceError, match="another process keeps it locked") as caught:
            await store.save("mapping", replace(row, safe=(5, 0)))
        other.execute("ROLLBACK")
    assert not caught.value.missing
    assert (await store.load("mapping"))[0].safe is None

    await store.save("mapping", replace(row, safe=(5, 0)))

    assert (await store.load("mapping"))[0].safe == (5, 0)
    await store.close()


async def test_file_that_is_locked_at_the_start_can_be_opened_later(tmp_path: Path) -> None:
    first = SqliteStore(tmp_path / "state.db")
    await taken(first)
    second = SqliteStore(first.path, patience=0.01)
    with raw(first.path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SourceError, match="another process keeps it locked"):
            await second.open()
        other.execute("ROLLBACK")
    await second.open()

    assert len(await second.load("mapping")) == 1
    await second.close()
    await first.close()


async def test_full_disk_is_said_and_nothing_kept_is_lost(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    row = await taken(store)
    await store.save("mapping", replace(row, safe=(1, 0)))

    async def limit(pages: int) -> None:
        assert store._desk is not None
        await store._desk.ask(lambda file: file.execute(f"PRAGMA max_page_count = {pages}"), writes=False)

    await limit(1)  # SQLite takes the pages in use when that is more: none is left
    large = replace(row, safe=(2, 0), state={"text": "x" * 100_000})
    with pytest.raises(SourceError, match=r"the disk is full .*Make room"):
        await store.save("mapping", large)
    kept = (await store.load("mapping"))[0]
    assert (kept.safe, kept.state) == ((1, 0), None)

    await limit(1_000_000)
    await store.save("mapping", large)

    kept = (await store.load("mapping"))[0]
    assert (kept.safe, kept.state) == (large.safe, large.state)
    await store.close()
    with raw(store.path) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_damaged_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    row = await taken(store)
    await store.save("mapping", replace(row, state={"text": "x" * 50_000}))
    await store.close()
    content = bytearray(store.path.read_bytes())
    content[4_096:] = b"\xa5" * (len(content) - 4_096)  # everything behind the first page
    store.path.write_bytes(content)
    with pytest.raises(SourceError, match="it is damaged"):
        await store.open()
    await store.close()
    assert store.path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0"], ids=["empty", "cut off"])
async def test_file_that_was_cut_off_is_not_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(content)
    store = SqliteStore(path)
    with pytest.raises(SourceError, match=r"state\.db"):
        await store.open()
    await store.close()
    assert path.read_bytes() == content


async def test_row_that_cannot_be_understood_is_named(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    await taken(store)
    with raw(store.path) as file:
        file.execute("UPDATE positions SET above = '[[1]]'")
    with pytest.raises(SourceError, match="the row of a in mapping cannot be understood"):
        await store.load("mapping")
    await store.close()


async def test_file_that_may_only_be_read_is_refused(commoner: Path) -> None:
    store = SqliteStore(commoner / "state.db")
    await taken(store)
    await store.close()
    store.path.chmod(0o400)
    with pytest.raises(SourceError, match="read and not written") as caught:
        await store.open()
    await store.close()
    assert caught.value.missing


async def test_folder_that_may_not_be_written_is_refused(commoner: Path) -> None:
    commoner.chmod(0o500)
    store = SqliteStore(commoner / "state.db")
    with pytest.raises(SourceError, match="may not write in the folder"):
        await store.open()
    await store.close()
    commoner.chmod(0o700)
    assert list(commoner.iterdir()) == []


async def test_file_that_is_removed_while_in_use_takes_no_saves(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    row = await taken(store)
    store.path.unlink()
    with pytest.raises(SourceError, match="removed or replaced while it was in use"):
        await store.save("mapping", row)
    await store.close()
    assert not store.path.exists()


async def test_store_that_is_not_open_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    with pytest.raises(SourceError, match="it is not open"):
        await store.load("mapping")
    assert list(tmp_path.iterdir()) == []


async def test_close_finishes_what_was_asked_before(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    row = await taken(store)
    saves = [asyncio.create_task(store.save("mapping", replace(row, safe=(n, 0)))) for n in range(50)]
    await asyncio.sleep(0)  # each has asked, none is answered
    await store.close()
    await asyncio.gather(*saves)
    await store.open()
    assert (await store.load("mapping"))[0].safe == (49, 0)
    await store.close()


async def test_caller_that_is_called_off_disturbs_nobody(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    row = await taken(store)
    first = asyncio.create_task(store.save("mapping", replace(row, safe=(1, 0))))
    second = asyncio.create_task(store.save("mapping", replace(row, safe=(2, 0))))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert (await store.load("mapping"))[0].safe == (2, 0)
    await store.close()


async def test_many_that_open_a_new_file_at_once_have_one_file(tmp_path: Path) -> None:
    stores = [SqliteStore(tmp_path / "state.db") for _ in range(8)]
    await asyncio.gather(*(store.open() for store in stores))
    await asyncio.gather(*(s.create("mapping", [Row(Partition(f"{n}"))]) for n, s in enumerate(stores)))
    assert len(await stores[0].load("mapping")) == 8
    for store in stores:  # of several that close at once none may be the last, which takes the log away
        await store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["state.db"]


async def test_rows_that_cannot_be_written_are_written_not_even_in_part(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    row = await taken(store)
    unwritable = [Row(Partition("b")), Row(Partition("\udcff"))]  # half a surrogate pair: no UTF-8 for it
    wrong, sound = await asyncio.gather(
        store.create("mapping", unwritable), store.save("mapping", replace(row, safe=(5, 0))), return_exceptions=True
    )
    assert isinstance(wrong, UnicodeEncodeError)
    assert sound is None
    assert [(one.partition, one.safe) for one in await store.load("mapping")] == [(A, (5, 0))]
    await store.close()
