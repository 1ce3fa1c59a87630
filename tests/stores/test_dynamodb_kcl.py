"""Tables of the Kinesis Client Library: a fleet is stopped, a mapping goes on at its checkpoints, and back."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from kcl_tables import REGION, Item, LeaseTable, Moment, kcl_reads, moments

from pollers.aws.client import Clients
from pollers.config.library import EventSourceMapping
from pollers.engine.supervisor import Pollers
from pollers.errors import LostGrant, SourceError
from pollers.sources.kinesis import KinesisSource
from pollers.spi import Partition, Row
from pollers.stores.dynamodb import DynamoDbStore
from pollers.testing.front import EmbeddedAws
from pollers.testing.functions import ScriptedFunction
from pollers.testing.kinesis import KinesisModel
from pollers.testing.stores import take_rows

pytestmark = [pytest.mark.usefixtures("dynamodb"), pytest.mark.asyncio(loop_scope="module")]
_names = itertools.count(1)

SHARD = Partition("shardId-000000000000")
FAR = 49680422732814007141932245175536729218515359282937987074
NOW = 1_800_000_000.0
# What may differ once a lease was ours: what every owner writes, and what bears our name.
WRITTEN = {
    "leaseOwner",
    "leaseCounter",
    "checkpoint",
    "checkpointSubSequenceNumber",
    "ownerSwitchesSinceCheckpoint",
    "checkpointOwner",
    "pendingCheckpoint",
    "pendingCheckpointSubSequenceNumber",
    "pendingCheckpointState",
}


class Stage:
    """A table of the library's, and a store on it."""

    def __init__(self, clients: Clients) -> None:
        self.table = LeaseTable(clients, f"kcl-{next(_names)}")
        self.store = DynamoDbStore(self.table.name, region=REGION, clients=clients, wall=lambda: NOW)
        self.clients = clients

    async def row(self, partition: Partition = SHARD) -> Row:
        return {row.partition: row for row in await self.store.load("clicks")}[partition]

    async def take(self) -> Row:
        (row,) = await take_rows(self.store, "here", SHARD, mapping="clicks")
        return row


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clients() -> AsyncIterator[Clients]:
    """One for all: building a client of botocore's takes longer than the rest of a test."""
    async with Clients() as clients:
        yield clients


@pytest.fixture
def stage(clients: Clients) -> Stage:
    return Stage(clients)


def lease(checkpoint: str = str(FAR), **attributes: object) -> Item:
    return {
        "leaseKey": {"S": SHARD},
        "leaseOwner": {"S": "w1"},
        "leaseCounter": {"N": "7"},
        "checkpoint": {"S": checkpoint},
        "checkpointSubSequenceNumber": {"N": "0"},
        "ownerSwitchesSinceCheckpoint": {"N": "0"},
        **attributes,
    }


def foreign(item: Item) -> Item:
    """What of a lease must be as it was."""
    return {name: value for name, value in item.items() if name not in WRITTEN and not name.startswith("pollers_")}


@pytest.mark.parametrize("moment", list(moments()), ids=lambda moment: moment.name)
async def test_a_table_of_the_library_is_read_gone_on_with_and_given_back(stage: Stage, moment: Moment) -> None:
    await stage.table.make(moment.items)
    before = await stage.table.items()
    found = {key: kcl_reads(before[key]) for key in (item["leaseKey"]["S"] for item in moment.leases)}

    rows = await stage.store.load("clicks")

    assert [row.partition for row in rows] == sorted(found)
    for row in rows:
        theirs = found[row.partition]
        text, within = theirs.checkpoint
        assert row.finished is (text == "SHARD_END")
        assert row.safe == ((int(text), within) if text.isdigit() else None)
        assert (row.owner, row.counter, row.tenure) == (theirs.owner or "", theirs.counter, 0)
        assert (set(row.parents), row.start, row.above, row.state) == (theirs.parents, None, (), None)

    taken = await stage.store.take("clicks", [row for row in rows if not row.finished], "here")

    after = await stage.table.items()
    for row in taken:
        now, theirs = kcl_reads(after[row.partition]), found[row.partition]
        switches = theirs.switches + (theirs.owner is not None)
        assert now == replace(
            theirs, owner="here", counter=theirs.counter + 1, switches=switches, checkpoint_owner=None
        )

    saved = [replace(row, safe=(FAR + number, 0)) for number, row in enumerate(taken)]
    for row in saved:
        await stage.store.save("clicks", row)
    await stage.store.leave("clicks", taken)

    after = await stage.table.items()
    assert after.keys() == before.keys()
    for key, item in after.items():
        if key in found:
            assert foreign(item) == foreign(before[key])
        else:
            assert item == before[key]
    for row in saved:
        theirs = found[row.partition]
        assert row.safe is not None
        assert kcl_reads(after[row.partition]) == replace(
            theirs,
            owner=None,
            counter=theirs.counter + 3,  # taken, saved, left
            switches=0,
            checkpoint=(str(row.safe[0]), 0),
            pending=None,
            checkpoint_owner=None,
        )
        assert "pendingCheckpointState" not in after[row.partition]
    for key in found.keys() - {row.partition for row in saved}:
        assert after[key] == before[key], "a shard that had ended is let alone"


async def test_what_was_finished_here_the_library_has_not_to_read(stage: Stage) -> None:
    await stage.table.make([lease()])
    row = await stage.take()
    await stage.store.save("clicks", replace(row, safe=(FAR + 5, 0), finished=True))
    assert kcl_reads((await stage.table.items())[SHARD]).checkpoint == ("SHARD_END", 0)
    kept = await stage.row()
    assert (kept.finished, kept.safe) == (True, (FAR + 5, 0))


@pytest.mark.parametrize("typed", [False, True])
async def test_children_are_what_the_library_would_make_of_them(stage: Stage, typed: bool) -> None:
    await stage.table.make([lease(**({"entityType": {"S": "LEASE"}} if typed else {}))])
    child = Partition("shardId-000000000001")
    await stage.store.create("clicks", [Row(child, parents=(SHARD,))])
    item = (await stage.table.items())[child]
    assert item.pop("pollers_progress")
    assert item == {
        "leaseKey": {"S": child},
        "leaseCounter": {"N": "0"},
        "checkpoint": {"S": "TRIM_HORIZON"},
        "checkpointSubSequenceNumber": {"N": "0"},
        "ownerSwitchesSinceCheckpoint": {"N": "0"},
        "parentShardId": {"SS": [SHARD]},
        **({"entityType": {"S": "LEASE"}} if typed else {}),
    }


async def test_a_table_of_ours_holds_nothing_but_leases(stage: Stage) -> None:
    await stage.store.create("clicks", [Row(Partition(""), start=NOW, origin="1"), Row(SHARD, start=NOW, origin="1")])
    await stage.store.remove("clicks", [Partition("shardId-000000000009")])
    items = await stage.table.items()
    assert list(items) == [SHARD]
    assert kcl_reads(items[SHARD]).checkpoint == ("AT_TIMESTAMP", 0)
    assert items[SHARD]["entityType"] == {"S": "LEASE"}
    await stage.store.remove("clicks", [SHARD])
    assert await stage.table.items() == {}


# Where the library begins


@pytest.mark.parametrize(("checkpoint", "start"), [("TRIM_HORIZON", None), ("LATEST", NOW), ("AT_TIMESTAMP", None)])
async def test_a_shard_without_a_position_begins_where_the_library_would(
    stage: Stage, checkpoint: str, start: float | None
) -> None:
    await stage.table.make([lease(checkpoint)])
    row = await stage.take()
    assert (row.safe, row.start) == (None, start)


@pytest.mark.rule("12-19")
async def test_latest_is_the_moment_of_the_first_start_from_then_on(stage: Stage) -> None:
    await stage.table.make([lease("LATEST")])
    await stage.take()
    later = DynamoDbStore(stage.table.name, region=REGION, clients=stage.clients, wall=lambda: NOW + 60.0)
    (row,) = await later.load("clicks")
    assert row.start == NOW


# What the library wrote since


@pytest.mark.parametrize(
    ("checkpoint", "within", "believed"),
    [(str(FAR), 0, True), (str(FAR + 40), 0, False), (str(FAR), 1, False), ("TRIM_HORIZON", 0, False)],
)
async def test_what_stands_beside_a_checkpoint_counts_with_that_checkpoint_only(
    stage: Stage, checkpoint: str, within: int, believed: bool
) -> None:
    await stage.table.make([lease()])
    row = await stage.take()
    above = (((FAR + 3, 0), (FAR + 9, 0)),)
    await stage.store.save("clicks", replace(row, safe=(FAR, 0), above=above, state={"sum": 1}))
    counter = (await stage.row()).counter
    await stage.table.write(
        SHARD,
        counter,
        leaseOwner={"S": "w2"},
        checkpoint={"S": checkpoint},
        checkpointSubSequenceNumber={"N": str(within)},
    )
    kept = await stage.row()
    assert (kept.above, kept.state) == ((above, {"sum": 1}) if believed else ((), None))
    assert (kept.saved > 0) is believed
    assert kept.safe == ((int(checkpoint), within) if checkpoint.isdigit() else None)


async def test_a_lease_that_the_library_takes_is_lost(stage: Stage) -> None:
    await stage.table.make([lease()])
    row = await stage.take()
    await stage.table.write(SHARD, row.counter, leaseOwner={"S": "w2"})
    assert await stage.store.renew("clicks", [row]) == []
    with pytest.raises(LostGrant, match="w2 has taken it"):
        await stage.store.save("clicks", replace(row, safe=(FAR + 1, 0)))
    await stage.store.leave("clicks", [row])
    assert kcl_reads((await stage.table.items())[SHARD]).owner == "w2"


async def test_a_hand_over_that_a_leader_begins_ends_our_lease(stage: Stage) -> None:
    """It sets the owner and leaves the counter alone, so that the old owner may go on: we do not."""
    await stage.table.make([lease()])
    row = await stage.take()
    await stage.table.write(SHARD, row.counter, leaseOwner={"S": "w2"}, checkpointOwner={"S": "here"})
    assert await stage.store.renew("clicks", [row]) == []


async def test_a_lease_of_the_library_is_taken_above_every_tenure_of_ours(stage: Stage) -> None:
    await stage.table.make([lease()])
    first = await stage.take()
    await stage.table.write(SHARD, first.counter, leaseOwner={"S": "w2"})
    second = await stage.take()
    assert second.tenure > first.tenure
    with pytest.raises(LostGrant):
        await stage.store.save("clicks", first)


# The whole way


async def test_a_mapping_goes_on_where_a_fleet_stopped_and_a_fleet_where_the_mapping_did(
    stage: Stage, pollers_aws: EmbeddedAws, dynamodb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library has forgotten the parent, has begun one of its children, and never took its name off the leases."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb)  # the embedded services have taken this one, too
    shards, sequences = pollers_aws.run(lambda: family(pollers_aws.kinesis))
    parents = {"parentShardId": {"SS": [shards[0]]}}
    begun = lease(sequences["second"], **parents) | {"leaseKey": {"S": shards[1]}}
    waiting = lease("TRIM_HORIZON", **parents) | {"leaseKey": {"S": shards[2]}}
    await stage.table.make([begun, waiting])
    store = DynamoDbStore(stage.table.name, region=REGION, lease=2.0)
    function = ScriptedFunction()
    mapping = EventSourceMapping(KinesisSource("clicks", store=store), function, name="clicks")

    async with Pollers([mapping]), asyncio.timeout(60):
        while len(delivered(function)) < 2:
            await asyncio.sleep(0.1)
    await store.close()

    assert sorted(delivered(function)) == ["other", "third"]
    items = await stage.table.items()
    assert items.keys() == {shards[1], shards[2]}
    left = {key: kcl_reads(item) for key, item in items.items()}
    assert left[shards[1]].checkpoint == (sequences["third"], 0)
    assert left[shards[2]].checkpoint == (sequences["other"], 0)
    assert {one.owner for one in left.values()} == {None}, "the next owner need not wait"
    assert {one.parents for one in left.values()} == {frozenset({shards[0]})}


def delivered(function: ScriptedFunction) -> list[str]:
    records = [record for call in function.calls for record in call.event["Records"]]
    return [base64.b64decode(record["kinesis"]["data"]).decode() for record in records]


def family(kinesis: KinesisModel) -> tuple[list[str], dict[str, str]]:
    """A shard that was split, and records in all three: the shards, and the sequence number of each record."""
    kinesis.call("CreateStream", {"StreamName": "clicks", "ShardCount": 1})
    stream = kinesis.stream("clicks")
    (parent,) = stream.open_shards()
    stream.put("key", b"first")
    low, high = stream.split(parent.id)
    texts = {"second": 0, "third": 0, "other": 2**128 - 1}
    sequences = {text: stream.put("key", text.encode(), place)[1] for text, place in texts.items()}
    return [parent.id, low, high], sequences


# What is refused


async def test_leases_of_several_streams_are_refused(stage: Stage) -> None:
    name = f"123456789012:clicks:1700000000:{SHARD}"
    await stage.table.make([lease(leaseKey={"S": name}, streamName={"S": "x"}, shardId={"S": SHARD})])
    with pytest.raises(SourceError, match="are of several streams") as caught:
        await stage.store.load("clicks")
    assert caught.value.missing


async def test_a_table_of_something_else_is_refused(stage: Stage) -> None:
    await stage.table.make([{"id": {"S": "order-1"}}], key="id")
    with pytest.raises(SourceError, match="are no leases: they have no leaseKey"):
        await stage.store.load("clicks")


@pytest.mark.parametrize(
    "broken",
    [
        {"checkpoint": {"S": "soon"}},
        {"checkpoint": {"N": "1"}},
        {"leaseCounter": {"S": "x"}},
        {"pollers_progress": {"S": "{"}},
    ],
)
async def test_a_lease_that_cannot_be_understood_is_named(stage: Stage, broken: Item) -> None:
    await stage.table.make([lease() | broken])
    with pytest.raises(SourceError, match=f"the lease of {SHARD} of clicks cannot be understood"):
        await stage.store.load("clicks")


async def test_one_table_is_one_mapping(stage: Stage) -> None:
    await stage.store.create("clicks", [Row(Partition("")), Row(SHARD)])
    with pytest.raises(SourceError, match="it has the leases of clicks, and carts would read on from there"):
        await stage.store.load("carts")
    other = DynamoDbStore(stage.table.name, region=REGION, clients=stage.clients)
    with pytest.raises(SourceError, match="says that these are the leases of clicks, not of carts"):
        await other.load("carts")
