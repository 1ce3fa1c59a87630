"""Three processes share a stream; one after another is killed, others are started, shards split and merge meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol
from uuid import uuid4

import pytest
from test_stream_kill import covers

from pollers.service.demo.witness import Ledger
from pollers.spi import Row, Store
from pollers.stores.dynamodb import DynamoDbStore
from pollers.stores.sqlite import SqliteStore
from pollers.testing.audit import History, Report, Sent, check
from pollers.testing.front import EmbeddedAws
from pollers.testing.kinesis import KinesisLimits

ROUNDS = 20
FEW_ROUNDS = 6  # where each look at the leases costs more
WORKERS = 3
CHILD = Path(__file__).with_name("worker_kill_child.py")

Place = tuple[str, int]  # of a record: its shard, its sequence number


class Stream(Protocol):
    """What is written to. All of it is called in the servers' own thread."""

    arn: str

    def put(self, name: str, key: str) -> None: ...
    def reshape(self, chance: random.Random) -> None: ...
    def places(self) -> dict[str, Place]: ...


class Clicks:
    """A Kinesis stream."""

    def __init__(self, aws: EmbeddedAws) -> None:
        aws.kinesis.call("CreateStream", {"StreamName": "stream", "ShardCount": 4})
        self._stream = aws.kinesis.stream("stream")
        self._places: dict[str, Place] = {}
        self.arn = self._stream.arn

    def put(self, name: str, key: str) -> None:
        shard, sequence = self._stream.put(key, json.dumps({"id": name}).encode())
        self._places[name] = shard, int(sequence)

    def reshape(self, chance: random.Random) -> None:
        """Split while there are few shards, and merge while there are many."""
        shards = sorted(self._stream.open_shards(), key=lambda shard: shard.first_hash)
        number = chance.randrange(len(shards) - 1)
        if len(shards) < 6:
            self._stream.split(shards[number].id)
        else:
            self._stream.merge(shards[number].id, shards[number + 1].id)

    def places(self) -> dict[str, Place]:
        return self._places


class Changes:
    """The stream of a DynamoDB table."""

    def __init__(self, aws: EmbeddedAws) -> None:
        aws.dynamodb.create_table("items", shards=4)
        self._table = aws.dynamodb.table("items")
        self.arn = self._table.stream_arn

    def put(self, name: str, key: str) -> None:
        self._table.put({"id": {"S": key}, "change": {"S": name}})

    def reshape(self, chance: random.Random) -> None:
        """As the service does every few hours: every shard is closed, and a new one follows it."""
        self._table.roll()

    def places(self) -> dict[str, Place]:
        found: dict[str, Place] = {}
        for shard in self._table.shards:
            for record in shard.records:
                change = record["dynamodb"]
                found[change["NewImage"]["change"]["S"]] = shard.id, int(change["SequenceNumber"])
        return found


class Shared:
    """The store that the processes share, as somebody sees it who takes no part."""

    def __init__(self, store: Store, place: str, lease: float, environment: Mapping[str, str]) -> None:
        """`place`: what a process is told; `environment`: what leads it there."""
        self.lease = lease
        self.take_over = 1.5 * lease + 2.0
        self.place = place
        self.environment = environment
        self._store = store
        self._runner = asyncio.Runner()

    def rows(self) -> Sequence[Row]:
        return [row for row in self._runner.run(self._store.load("stream")) if row.partition]

    def __enter__(self) -> Shared:
        self._runner.run(self._store.open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._store.close())
        self._runner.close()


@pytest.fixture(params=["sqlite", "dynamodb"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shared]:
    if request.param == "sqlite":
        path = tmp_path / "state.db"
        store: Store = SqliteStore(path)
        place, lease, environment = str(path), 2.0, {}
    else:
        url = request.getfixturevalue("dynamodb")
        table = f"workers-{uuid4()}"
        store = DynamoDbStore(table, region="us-east-1")  # the processes' region is the stream's
        place, lease, environment = f"dynamodb://{table}", 4.0, {"AWS_ENDPOINT_URL_DYNAMODB": url}
    with Shared(store, place, lease, environment) as shared:
        yield shared


class Theatre:
    """A stream, the processes that read it, and everything that is known of both."""

    def __init__(
        self, aws: EmbeddedAws, make: Callable[[EmbeddedAws], Stream], shared: Shared, folder: Path, log: IO[str]
    ) -> None:
        self.aws = aws
        self.sent: list[Sent] = []
        self.kills: list[float] = []
        self.children: list[subprocess.Popen[str]] = []
        self._durable: dict[tuple[str, str], float] = {}  # when the store was known to hold it as finished
        self._shared = shared
        self._folder = folder
        self._log = log
        self._stream: Stream = aws.run(lambda: make(aws))

    # What happens

    def write(self, count: int) -> None:
        def put() -> None:
            for _ in range(count):
                name, key = f"record-{len(self.sent)}", f"key-{len(self.sent) % 23}"
                self._stream.put(name, key)
                self.sent.append(Sent("stream", name, key))

        self.aws.run(put)

    def reshape(self, chance: random.Random) -> None:
        self.aws.run(lambda: self._stream.reshape(chance))

    def start(self) -> None:
        child = subprocess.Popen(
            [
                sys.executable,
                str(CHILD),
                self._stream.arn,
                *map(str, (self.ledger, self._shared.place, self._shared.lease)),
            ],
            env={**os.environ, **self.aws.environment, **self._shared.environment},
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert child.stdout is not None
        self.children.append(child)
        if child.stdout.readline() != "started\n":
            pytest.fail(f"a process did not start: {Path(self._log.name).read_text()}")

    def kill(self, child: subprocess.Popen[str]) -> None:
        self.children.remove(child)
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
        self.kills.append(time.monotonic())
        self.look()

    def stop(self, child: subprocess.Popen[str]) -> None:
        self.children.remove(child)
        child.terminate()
        assert child.wait(30) == 0
        assert child.stdout is not None
        child.stdout.close()

    def end(self) -> None:
        for child in list(self.children):
            self.kill(child)

    # What is seen

    @property
    def ledger(self) -> Path:
        return self._folder / "ledger.jsonl"

    def look(self) -> int:
        """Note which records the store holds as finished; how many there are."""
        rows = {row.partition: row for row in self._shared.rows()}
        for name, (shard, sequence) in self.aws.run(self._stream.places).items():
            row = rows.get(shard)  # type: ignore[call-overload]
            if row is not None and covers(row, (sequence, 0)):
                self._durable.setdefault(("stream", name), time.monotonic() - 0.001)
        return len(self._durable)

    def taken_over(self) -> float:
        """Seconds from the last kill until every shard that may be read is held by a process that lives."""
        deadline = self.kills[-1] + 60.0
        while True:
            before = self._shared.rows()
            time.sleep(self._shared.lease / 2)
            after = {row.partition: row for row in self._shared.rows()}
            finished = {one for one, row in after.items() if row.finished}
            ready = [row for row in before if not row.finished and finished.issuperset(set(row.parents) & set(after))]
            if all(after[row.partition].counter != row.counter for row in ready if row.partition in after):
                return time.monotonic() - self._shared.lease / 2 - self.kills[-1]
            assert time.monotonic() < deadline, f"nobody holds some of {before}"

    def wait_until_all_is_finished(self) -> None:
        deadline = time.monotonic() + 120
        while self.look() < len(self.sent):
            assert time.monotonic() < deadline, f"{len(self._durable)} of {len(self.sent)} records are finished"
            time.sleep(0.2)

    def judge(self) -> Report:
        calls = Ledger.read(self.ledger)
        return check(History(self.sent, calls, logs=frozenset({"stream"}), kills=self.kills, deleted=self._durable))


@pytest.mark.parametrize(
    ("make", "shared", "rounds"),
    [(Clicks, "sqlite", ROUNDS), (Changes, "sqlite", ROUNDS), (Clicks, "dynamodb", FEW_ROUNDS)],
    indirect=["shared"],
)
def test_killed_workers_lose_nothing_keep_order_and_are_replaced_in_time(
    make: Callable[[EmbeddedAws], Stream], shared: Shared, rounds: int, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    times: list[float] = []
    limits = KinesisLimits(reads_per_second=None)
    with EmbeddedAws.in_thread(kinesis_limits=limits) as aws, (tmp_path / "log").open("w") as log:
        theatre = Theatre(aws, make, shared, tmp_path, log)
        try:
            for _ in range(WORKERS):
                theatre.start()
            for number in range(rounds):
                for _ in range(3):
                    theatre.write(20)
                    time.sleep(chance.random() * 0.3)
                if number % 3 == 1:
                    theatre.reshape(chance)
                theatre.kill(chance.choice(theatre.children))
                if number % 4 == 3:  # nobody comes in its place: the others take its shards when its leases end
                    times.append(theatre.taken_over())
                theatre.start()
            theatre.wait_until_all_is_finished()
        finally:
            theatre.end()
    report = theatre.judge()
    print(f"{report.delivered} delivered, {report.explained} repeated by {len(theatre.kills)} kills, {times}")
    assert report.lost == ()
    assert report.disordered == ()
    assert report.duplicates == (), "each one is explained by a kill between its good answer and its saved position"
    assert report.strange == ()
    assert report.delivered == len(theatre.sent)
    assert max(times) <= shared.take_over


def test_workers_that_come_and_go_in_order_repeat_nothing(shared: Shared, tmp_path: Path) -> None:
    limits = KinesisLimits(reads_per_second=None)
    chance = random.Random(7)
    with EmbeddedAws.in_thread(kinesis_limits=limits) as aws, (tmp_path / "log").open("w") as log:
        theatre = Theatre(aws, Clicks, shared, tmp_path, log)
        try:
            theatre.start()
            for number in range(6):
                theatre.write(40)
                if number % 2 == 0:
                    theatre.start()
                    theatre.start()
                else:
                    theatre.reshape(chance)
                    theatre.stop(chance.choice(theatre.children))
                    theatre.stop(chance.choice(theatre.children))
                time.sleep(1.0)
            theatre.wait_until_all_is_finished()
            for child in list(theatre.children):
                theatre.stop(child)
        finally:
            theatre.end()
    report = theatre.judge()
    assert report.sound
    assert report.explained == 0
