"""Leases in DynamoDB: a store like the others, several of them on one table, and a line that is not to be trusted."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from dynamodb_doubles import Line

from pollers.aws.client import Clients
from pollers.errors import ConfigurationError, LostGrant, PollersError, SourceError
from pollers.spi import Partition, Row
from pollers.stores.dynamodb import DynamoDbStore
from pollers.testing.stores import STORE_CHECKS, StoreCheck, take_rows

pytestmark = [pytest.mark.usefixtures("dynamodb"), pytest.mark.asyncio(loop_scope="module")]
_names = itertools.count(1)

OWN, A, B = Partition(""), Partition("shard-a"), Partition("shard-b")
SHARDS = [Partition(f"shard-{number:03}") for number in range(12)]
WRITES = ("UpdateItem", "TransactWriteItems")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clients() -> AsyncIterator[Clients]:
    async with Clients() as clients:
        yield clients


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def line() -> AsyncIterator[Line]:
    async with Line(lambda operation, parameters: "") as line:
        yield line


@pytest.fixture
def trouble(line: Line) -> Line:
    """The line, without trouble as yet."""
    line.trouble = lambda operation, parameters: ""
    return line


def new_table() -> str:
    return f"leases-{next(_names)}"


async def taken(store: DynamoDbStore, *partitions: Partition) -> list[Row]:
    await store.create("clicks", [Row(partition) for partition in partitions])
    return list(await take_rows(store, "me", *partitions, mapping="clicks"))


@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_it_is_a_store(check: StoreCheck, clients: Clients) -> None:
    await check(DynamoDbStore(new_table() + "-{mapping}", clients=clients))


async def test_it_closes_what_is_its_own_and_goes_on_when_it_is_opened_again() -> None:
    store = DynamoDbStore(new_table())
    await taken(store, A)
    await store.close()
    await store.open()
    assert [row.partition for row in await store.load("clicks")] == [A]
    await store.close()


@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_it_is_one_when_every_answer_to_a_write_is_lost_and_the_write_repeated(
    check: StoreCheck, trouble: Line
) -> None:
    trouble.trouble = lambda operation, parameters: "repeat" if operation in WRITES else ""
    await check(DynamoDbStore(new_table() + "-{mapping}", clients=trouble))


# Several of them


async def test_of_two_that_reach_for_a_lease_one_has_it(clients: Clients) -> None:
    table = new_table()
    stores = [DynamoDbStore(table, clients=clients) for _ in range(3)]
    await stores[0].create("clicks", [Row(shard) for shard in SHARDS])
    seen = await stores[0].load("clicks")

    got = await asyncio.gather(*(store.take("clicks", seen, f"worker {number}") for number, store in enumerate(stores)))

    assert sorted(row.partition for rows in got for row in rows) == SHARDS
    owners = {row.partition: row.owner for rows in got for row in rows}
    assert {row.partition: row.owner for row in await stores[0].load("clicks")} == owners


async def test_whoever_was_slower_cannot_write(clients: Clients) -> None:
    table = new_table()
    first, second = DynamoDbStore(table, clients=clients), DynamoDbStore(table, clients=clients)
    (mine,) = await taken(first, A)
    await first.save("clicks", replace(mine, safe=(5, 0)))
    (theirs,) = await take_rows(second, "them", A, mapping="clicks")
    with pytest.raises(LostGrant, match="shard-a in clicks was not saved: them has taken it"):
        await first.save("clicks", replace(mine, safe=(9, 0)))
    assert await first.renew("clicks", [mine]) == []
    await second.save("clicks", replace(theirs, safe=(6, 0)))
    await first.leave("clicks", [mine])
    (row,) = await first.load("clicks")
    assert (row.safe, row.owner) == ((6, 0), "them")


async def test_a_lease_is_handed_over_to_who_asked(clients: Clients) -> None:
    table = new_table()
    first, second = DynamoDbStore(table, clients=clients), DynamoDbStore(table, clients=clients)
    (mine,) = await taken(first, A)
    await second.ask("clicks", await second.load("clicks"), "them")
    (renewed,) = await first.renew("clicks", [mine])
    assert renewed.heir == "them"
    await first.save("clicks", replace(mine, safe=(5, 0)))
    await first.leave("clicks", [mine])
    (row,) = await second.load("clicks")
    assert (row.owner, row.heir, row.safe) == ("them", "", (5, 0))
    assert len(await second.take("clicks", [row], "them")) == 1


async def test_who_asks_at_the_last_moment_has_it_too(clients: Clients) -> None:
    table = new_table()
    first, second = DynamoDbStore(table, clients=clients), DynamoDbStore(table, clients=clients)
    (mine,) = await taken(first, A)
    await second.ask("clicks", await second.load("clicks"), "them")  # after the last renewal
    await first.leave("clicks", [mine])
    assert [row.owner for row in await second.load("clicks")] == ["them"]


async def test_saves_and_renewals_of_one_lease_do_not_disturb_each_other(clients: Clients) -> None:
    store = DynamoDbStore(new_table(), clients=clients)
    (mine,) = await taken(store, A)
    saves = [store.save("clicks", replace(mine, safe=(number, 0))) for number in range(20)]
    renewals = [store.renew("clicks", [mine]) for _ in range(20)]
    results = await asyncio.gather(*saves, *renewals)
    assert all(len(rows) == 1 for rows in results[20:])
    (row,) = await store.load("clicks")
    assert row.counter == mine.counter + 40


async def test_any_sequence_of_calls_by_several_is_like_that_of_one(clients: Clients, trouble: Line) -> None:
    """Each tenure writes as long as it is the last one, whoever wrote before and whatever is lost on the way."""
    chance = random.Random(11)
    trouble.trouble = lambda operation, parameters: chance.choice(["", "", "repeat"]) if operation in WRITES else ""
    table = new_table()
    stores = [DynamoDbStore(table, clients=trouble if number else clients) for number in range(3)]
    await stores[0].create("clicks", [Row(A)])
    held: list[tuple[DynamoDbStore, Row]] = []
    for step in range(80):
        store, name = chance.choice(stores), f"worker {step}"
        doing = chance.choice(["take", "save", "renew", "leave", "stale"])
        (seen,) = await store.load("clicks")
        if doing == "take":
            (row,) = await store.take("clicks", [seen], name)
            held = [*held, (store, row)]
        elif held and doing == "stale":
            old, row = chance.choice(held)
            if row.tenure != seen.tenure:
                with pytest.raises(LostGrant):
                    await old.save("clicks", replace(row, safe=(step, 1)))
        elif held and seen.owner == held[-1][1].owner:
            owner, row = held[-1]
            if doing == "save":
                await owner.save("clicks", replace(row, safe=(step, 0)))
                assert [one.safe for one in await store.load("clicks")] == [(step, 0)]
            elif doing == "renew":
                assert len(await owner.renew("clicks", [row])) == 1
            else:
                await owner.leave("clicks", [row])
                assert [one.owner for one in await store.load("clicks")] == [""]


# A line that is not to be trusted


def only(operation: str, word: str, times: int = 1) -> Any:
    left = [times]

    def trouble(called: str, parameters: dict[str, Any]) -> str:
        if called != operation or not left[0]:
            return ""
        left[0] -= 1
        return word

    return trouble


@pytest.mark.parametrize("word", ["lose", "cut", "hang", "throttle"])
async def test_a_save_that_was_not_answered_is_no_lost_lease(word: str, trouble: Line) -> None:
    store = DynamoDbStore(new_table(), clients=trouble, lease=6.0)
    (mine,) = await taken(store, A)
    trouble.trouble = only("UpdateItem", word)
    with pytest.raises(SourceError, match="t"):
        await store.save("clicks", replace(mine, safe=(5, 0)))
    assert len(await store.renew("clicks", [mine])) == 1
    await store.save("clicks", replace(mine, safe=(6, 0)))
    assert [row.safe for row in await store.load("clicks")] == [(6, 0)]


async def test_a_save_that_arrives_late_is_not_taken_for_the_next_one(trouble: Line) -> None:
    store = DynamoDbStore(new_table(), clients=trouble)
    (mine,) = await taken(store, A)
    trouble.trouble = only("UpdateItem", "late")
    with pytest.raises(SourceError):
        await store.save("clicks", replace(mine, safe=(5, 0)))
    await store.save("clicks", replace(mine, safe=(6, 0)))
    assert trouble.late == []
    assert [row.safe for row in await store.load("clicks")] == [(6, 0)]


async def test_a_lease_that_was_taken_without_an_answer_is_the_takers_by_name(trouble: Line) -> None:
    store = DynamoDbStore(new_table(), clients=trouble)
    await store.create("clicks", [Row(A)])
    trouble.trouble = only("UpdateItem", "lose")
    with pytest.raises(SourceError):
        await store.take("clicks", await store.load("clicks"), "me")
    (seen,) = await store.load("clicks")
    assert seen.owner == "me"
    (row,) = await store.take("clicks", [seen], "me")
    await store.save("clicks", replace(row, safe=(1, 0)))


async def test_what_can_be_taken_of_a_throttled_table_is_taken(trouble: Line) -> None:
    store = DynamoDbStore(new_table(), clients=trouble)
    await store.create("clicks", [Row(shard) for shard in SHARDS])
    seen = await store.load("clicks")
    trouble.trouble = only("UpdateItem", "throttle")
    taken = await store.take("clicks", seen, "me")
    assert len(taken) == len(SHARDS) - 1
    trouble.trouble = lambda operation, parameters: "throttle"
    with pytest.raises(SourceError, match="throttled"):
        await store.take("clicks", seen, "me")


async def test_renewals_do_not_wait_for_saves_and_looks(trouble: Line) -> None:
    """A table that answers neither saves nor looks still hears that its leases are in use."""
    store = DynamoDbStore(new_table(), clients=trouble, lease=9.0)
    rows = await taken(store, *SHARDS)
    trouble.trouble = lambda operation, parameters: (
        "hang" if operation == "Scan" or ":checkpoint" in parameters.get("ExpressionAttributeValues", {}) else ""
    )
    others = [Partition(f"other-{number}") for number in range(60)]
    looking = asyncio.ensure_future(store.load("clicks"))
    stuck = [asyncio.ensure_future(store.save("clicks", Row(other, tenure=1))) for other in others]
    stuck += [asyncio.ensure_future(store.save("clicks", replace(row, safe=(1, 0)))) for row in rows[6:]]
    await asyncio.sleep(0)
    renewed = await store.renew("clicks", rows[:6])
    assert [row.partition for row in renewed] == SHARDS[:6]
    assert not looking.done()
    assert not any(task.done() for task in stuck[60:])
    late = await store.renew("clicks", rows[6:])  # each behind its own save, which is given up in time
    assert [row.partition for row in late] == SHARDS[6:]
    results = await asyncio.gather(*stuck, return_exceptions=True)
    assert all(isinstance(result, PollersError) for result in results)
    looking.cancel()


async def test_a_throttled_table_costs_no_lease_while_one_renewal_in_three_passes(trouble: Line) -> None:
    store = DynamoDbStore(new_table(), clients=trouble)
    rows = await taken(store, *SHARDS)
    tries: Counter[str] = Counter()

    def throttled(operation: str, parameters: dict[str, Any]) -> str:
        key = parameters["Key"]["leaseKey"]["S"]
        tries[key] += 1
        return "throttle" if tries[key] % 3 else ""

    trouble.trouble = throttled
    assert [row.partition for row in await store.renew("clicks", rows)] == SHARDS


async def test_a_renewal_that_fails_is_said_and_the_others_are_made(trouble: Line) -> None:
    store = DynamoDbStore(new_table(), clients=trouble, lease=6.0)
    rows = await taken(store, *SHARDS)
    trouble.trouble = lambda operation, parameters: (
        "throttle" if parameters.get("Key", {}).get("leaseKey") == {"S": SHARDS[3]} else ""
    )
    with pytest.raises(SourceError, match="throttled"):
        await store.renew("clicks", rows)
    counters = {row.partition: row.counter for row in await store.load("clicks")}
    assert counters == {shard: 1 if shard == SHARDS[3] else 2 for shard in SHARDS}


# Tables


async def test_a_table_is_made_with_the_first_row_and_not_before(trouble: Line) -> None:
    store = DynamoDbStore(new_table(), clients=trouble)
    trouble.calls.clear()
    assert await store.load("clicks") == []
    await store.remove("clicks", [A])
    assert "CreateTable" not in trouble.calls
    await store.create("clicks", [Row(A)])
    assert trouble.calls.count("CreateTable") == 1


async def test_several_may_make_the_first_rows_at_once(clients: Clients) -> None:
    table = new_table()
    stores = [DynamoDbStore(table, clients=clients) for _ in range(3)]
    await asyncio.gather(
        *(
            store.create(
                "clicks", [Row(OWN, start=float(number)), *(Row(shard, start=float(number)) for shard in SHARDS)]
            )
            for number, store in enumerate(stores)
        )
    )
    rows = await stores[0].load("clicks")
    assert [row.partition for row in rows] == [OWN, *SHARDS]
    assert len({row.start for row in rows}) == 1, "one of them wrote all"


async def test_a_table_that_is_gone_is_no_mapping_that_begins_anew(clients: Clients) -> None:
    store = DynamoDbStore(new_table(), clients=clients)
    await taken(store, A)
    await clients.get("dynamodb").call("DeleteTable", TableName=store.url.removeprefix("dynamodb://"))
    with pytest.raises(SourceError) as caught:
        await store.load("clicks")
    assert caught.value.missing


@pytest.mark.rule("12-19")
async def test_first_rows_that_were_written_by_half_are_written_again_from_the_same_moment(trouble: Line) -> None:
    """A stream with more shards than one transaction takes: without a mark, the rest would begin at the horizon."""
    table = new_table()
    first, second = DynamoDbStore(table, clients=trouble), DynamoDbStore(table, clients=trouble)
    many = [Row(Partition(f"shard-{number:03}"), start=7.0) for number in range(250)]
    written = itertools.count(1)
    trouble.trouble = lambda operation, parameters: (
        "cut" if operation == "TransactWriteItems" and next(written) == 3 else ""
    )
    with pytest.raises(SourceError):
        await first.create("clicks", [Row(OWN, start=7.0), *many])

    assert [(row.partition, row.start) for row in await second.load("clicks")] == [(OWN, 7.0)]

    await second.create("clicks", [Row(OWN, start=9.0), *many])
    rows = await second.load("clicks")
    assert [row.partition for row in rows] == [OWN, *(row.partition for row in many)]
    assert {row.start for row in rows} == {7.0}


async def test_names_that_no_table_has_are_refused(clients: Clients) -> None:
    with pytest.raises(ConfigurationError, match="no table can be called pollers-a:b"):
        await DynamoDbStore("pollers-{mapping}", clients=clients).load("a:b")


async def test_a_server_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
    store = DynamoDbStore("clicks", region="eu-north-1")
    assert store.url == "dynamodb://clicks?region=eu-north-1"
    with pytest.raises(SourceError, match=r"dynamodb://clicks\?region=eu-north-1: .*127\.0\.0\.1:1"):
        await store.load("clicks")
    await store.close()
