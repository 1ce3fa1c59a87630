"""Whatever is written while shards roll and split: parents before children gives each key's changes in order."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from pollers.testing.dynamodb import DynamoDbModel

KEYS = st.integers(0, 7)
STEPS = st.one_of(
    st.tuples(st.just("put"), KEYS),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("roll"), st.just(0)),
    st.tuples(st.just("split"), st.integers(0, 9)),
    st.tuples(st.just("pass"), st.integers(1, 9_000)),  # seconds; shards roll after 14,400
)


class Writer:
    """Applies steps to a table and keeps what its stream must tell."""

    def __init__(self, shards):
        self.time = 1_700_000_000.0
        self.model = DynamoDbModel(lambda: self.time)
        self.table = self.model.create_table("orders", shards=shards, view="NEW_IMAGE")
        self.expected = defaultdict(list)  # key to its versions; None: deleted
        self._version = 0

    def apply(self, step, value):
        if step == "put":
            self._version += 1
            self.table.put({"id": {"S": str(value)}, "version": {"N": str(self._version)}})
            self.expected[str(value)].append(str(self._version))
        elif step == "delete":
            if self.table.delete({"id": {"S": str(value)}}) is not None:
                self.expected[str(value)].append(None)
        elif step == "roll":
            self.table.roll()
        elif step == "split":
            opened = [shard.id for shard in self.table.shards if shard.open]
            self.table.split(opened[value % len(opened)])
        else:
            self.time += value


def _read(model, arn, shard, limit):
    """Everything in the shard, and whether it ended."""
    members = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    iterator = model.streams.call("GetShardIterator", members)["ShardIterator"]
    found = []
    while iterator is not None:
        answer = model.streams.call("GetRecords", {"ShardIterator": iterator, "Limit": limit})
        found += answer["Records"]
        iterator = answer.get("NextShardIterator")
        if iterator is not None and not answer["Records"]:
            return found, False
    return found, True


def _parents_first(shards):
    left = {shard["ShardId"]: shard for shard in shards}
    while left:
        ready = [id for id, shard in left.items() if shard.get("ParentShardId") not in left]
        for id in ready:
            yield left.pop(id)


@settings(max_examples=150, deadline=None)
@given(shards=st.integers(1, 3), steps=st.lists(STEPS, max_size=40), limit=st.integers(1, 4))
def test_parents_before_children_gives_each_keys_changes_in_order_and_nothing_twice(shards, steps, limit):
    writer = Writer(shards)
    for step, value in steps[:9] + [step for step in steps[9:] if step[0] != "pass"]:  # in all less than 24 hours
        writer.apply(step, value)
    arn = writer.table.stream_arn
    described = writer.model.streams.call("DescribeStream", {"StreamArn": arn})["StreamDescription"]["Shards"]
    told, numbers = defaultdict(list), []
    for shard in _parents_first(described):
        records, ended = _read(writer.model, arn, shard["ShardId"], limit)
        assert ended is ("EndingSequenceNumber" in shard["SequenceNumberRange"])
        for record in records:
            change = record["dynamodb"]
            numbers.append(change["SequenceNumber"])
            told[change["Keys"]["id"]["S"]].append(change.get("NewImage", {}).get("version", {}).get("N"))
    assert told == writer.expected
    assert len(set(numbers)) == len(numbers)
