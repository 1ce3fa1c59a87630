"""Positions moved by hand: what is said, what is changed, and what a restart makes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pollers.service.cli import cli
from pollers.spi import Row
from pollers.stores.dynamodb import DynamoDbStore
from pollers.stores.sqlite import SqliteStore

FILE = """
[functions.count]
url = "http://127.0.0.1:8080/count"
[[event_source_mappings]]
name = "clicks"
function_name = "count"
event_source_arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks"
starting_position = "TRIM_HORIZON"
[[event_source_mappings]]
name = "orders"
function_name = "count"
event_source_arn = "arn:aws:sqs:eu-west-1:123456789012:orders"
[[event_source_mappings]]
name = "carts"
function_name = "count"
event_source_arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/carts/stream/2026-01-01T00:00:00.000"
starting_position = "TRIM_HORIZON"
"""
A, B, OWN = "shardId-000000000000", "shardId-000000000001", ""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mappings.toml"
    path.write_text(FILE)
    return path


def store_of(file: Path) -> SqliteStore:
    return SqliteStore(file.with_suffix(".toml.state.db"))


def positions(file: Path) -> dict[str, Row]:
    async def look() -> Sequence[Row]:
        store = store_of(file)
        await store.open()
        try:
            return await store.load("clicks")
        finally:
            await store.close()

    return {row.partition: row for row in asyncio.run(look())}


@pytest.fixture
def used(file: Path) -> Path:
    """A mapping that has read two shards."""

    async def fill() -> None:
        store = store_of(file)
        await store.open()
        rows = [Row(OWN, origin="first"), Row(A, origin="first"), Row(B, origin="first")]  # type: ignore[arg-type]
        await store.create("clicks", rows)
        for row in await store.take("clicks", await store.load("clicks"), "somebody"):
            finished = row.partition == B
            above = (((9, 0), (9, 0)),)
            await store.save(
                "clicks", Row(row.partition, safe=(7, 0), above=above, finished=finished, tenure=row.tenure)
            )
        await store.close()

    asyncio.run(fill())
    return file


def seek(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["seek", *map(str, arguments)], standalone_mode=False)


def lines(result: Result) -> list[dict[str, object]]:
    assert result.exception is None, result.exception
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("where", ["TRIM_HORIZON", "LATEST", "2026-01-31T12:00:00Z"])
def test_the_whole_stream_is_forgotten_but_for_where_it_begins(used: Path, where: str) -> None:
    said = lines(seek(used, "clicks", "--to", where))
    assert {line["shard"]: line["before"] for line in said if "shard" in line} == {
        A: "after 7, and 1 ranges above",
        B: "finished",
    }
    (own,) = positions(used).values()
    assert (own.partition, own.origin) == (OWN, "")
    assert (own.start is None) is (where == "TRIM_HORIZON")
    if where.startswith("2026"):
        assert own.start == 1_769_860_800.0


def test_a_dry_run_says_the_same_and_changes_nothing(used: Path) -> None:
    before = positions(used)
    said = lines(seek(used, "clicks", "--to", "LATEST", "--dry-run"))
    assert said[-1] == {"dry_run": True}
    assert positions(used) == before


def test_a_dry_run_makes_no_file(file: Path) -> None:
    assert {"shards": 0} in lines(seek(file, "clicks", "--to", "LATEST", "--dry-run"))
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.rule("8-2")
def test_a_stream_of_dynamodb_cannot_begin_at_a_moment(file: Path) -> None:
    lines(seek(file, "carts", "--to", "LATEST"))
    refused = seek(file, "carts", "--to", "2026-01-31T12:00:00Z")
    assert "cannot begin at a moment" in f"{refused.output}{refused.exception!s}{refused.stderr}"
    assert refused.return_value == 78


@pytest.mark.usefixtures("dynamodb")
def test_a_lease_table_is_moved_like_a_file(file: Path) -> None:
    table = "seek-{mapping}"
    file.write_text(f'{FILE}[store]\nurl = "dynamodb://{table}"\n')
    assert {"shards": 0} in lines(seek(file, "clicks", "--to", "LATEST", "--dry-run"))

    async def fill() -> None:
        store = DynamoDbStore(table)
        await store.create("clicks", [Row(OWN, origin="first"), Row(A), Row(B)])  # type: ignore[arg-type]
        await store.close()

    async def look() -> Sequence[Row]:
        store = DynamoDbStore(table)
        rows = await store.load("clicks")
        await store.close()
        return rows

    asyncio.run(fill())
    lines(seek(file, "clicks", "--shard", B, "--after", 3))
    assert [(row.partition, row.safe, row.owner) for row in asyncio.run(look())] == [
        (OWN, None, ""),
        (A, None, ""),
        (B, (3, 0), ""),
    ]
    said = lines(seek(file, "clicks", "--to", "2026-01-31T12:00:00Z"))
    assert [line.get("before") for line in said] == [None, "TRIM_HORIZON", "after 3", None]
    assert [(row.partition, row.start) for row in asyncio.run(look())] == [(OWN, 1_769_860_800.0)]


def test_one_shard_is_moved_behind_a_record(used: Path) -> None:
    lines(seek(used, "clicks", "--shard", B, "--after", 3))
    moved = positions(used)
    assert (moved[B].safe, moved[B].above, moved[B].finished) == ((3, 0), (), False)
    assert moved[A].safe == (7, 0)


def test_whoever_still_runs_has_no_say_after_it(used: Path) -> None:
    before = positions(used)[A].tenure
    lines(seek(used, "clicks", "--shard", A, "--after", 3))
    assert positions(used)[A].tenure > before


def test_a_mapping_that_never_ran_gets_its_beginning(file: Path) -> None:
    said = lines(seek(file, "clicks", "--to", "LATEST"))
    assert {"shards": 0} in said
    assert list(positions(file)) == [OWN]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "--to", "LATEST"], "There are: clicks, orders, carts"),
        (["orders", "--to", "LATEST"], "queues keep no positions"),
        (["clicks", "--to", "yesterday"], "is no position"),
        (["clicks", "--to", "2999-01-01T00:00:00Z"], "in the future"),
        (["clicks", "--shard", "shardId-9", "--after", "1"], f"Known shards: {A}, {B}"),
        (["clicks"], "Give --to, or --shard with --after"),
        (["clicks", "--to", "LATEST", "--shard", A, "--after", "1"], "Give --to, or --shard with --after"),
        (["clicks", "--shard", A], "Give --to, or --shard with --after"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(used: Path, arguments: list[str], message: str) -> None:
    before = positions(used)
    result = seek(used, *arguments)
    said = f"{result.output}{result.exception!s}{getattr(result, 'stderr', '')}"
    assert message in said
    assert positions(used) == before
