"""Kill -9 of a service that reads a stream, again and again, and a judge who was not killed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from pollers.service.demo.witness import Ledger
from pollers.spi import Position, Row
from pollers.stores.sqlite import SqliteStore
from pollers.testing.audit import History, Report, Sent, check
from pollers.testing.front import EmbeddedAws
from pollers.testing.kinesis import KinesisLimits, Stream
from pollers.testing.kinesis.aggregates import aggregate

KILLS = 20
SHARDS = 4
LIMITS = KinesisLimits(reads_per_second=None, subscription_calls=None, subscription_guard=0.5)
CHILD = Path(__file__).with_name("stream_kill_child.py")


class Theatre:
    """A stream, a service that reads it, and everything that is known of both."""

    def __init__(self, aws: EmbeddedAws, folder: Path, log: IO[str]) -> None:
        self.aws = aws
        self.ledger = folder / "ledger.jsonl"
        self.positions = folder / "state.db"
        self.sent: list[Sent] = []
        self.kills: list[float] = []
        self.durable: dict[tuple[str, str], float] = {}  # when the store was known to hold it as finished
        self._places: dict[str, tuple[str, Position]] = {}  # of a record
        self._log = log
        self._stream: Stream = aws.run(self._create)

    def _create(self) -> Stream:
        self.aws.kinesis.call("CreateStream", {"StreamName": "stream", "ShardCount": SHARDS})
        return self.aws.kinesis.stream("stream")

    @property
    def source(self) -> str:
        """What the service's mapping names."""
        return self._stream.arn

    def put(self, count: int) -> None:
        def put() -> None:
            for _ in range(count):
                self._write(1)

        self.aws.run(put)

    def _write(self, count: int) -> None:
        """One record; of several it is an aggregate."""
        names = [f"record-{len(self.sent) + number}" for number in range(count)]
        key, texts = f"key-{len(self.sent) % 23}", [json.dumps({"id": name}).encode() for name in names]
        data = texts[0] if count == 1 else aggregate((key, text) for text in texts)
        shard, sequence = self._stream.put(key, data)
        for number, name in enumerate(names):
            self.sent.append(Sent("stream", name, key))
            self._places[name] = (shard, (int(sequence), number))

    def start(self) -> subprocess.Popen[str]:
        """A service, once it runs."""
        child = subprocess.Popen(
            [sys.executable, str(CHILD), self.source, str(self.ledger), str(self.positions)],
            env={**os.environ, **self.aws.environment},
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert child.stdout is not None
        if child.stdout.readline() != "started\n":
            child.wait()
            pytest.fail(f"the service did not start: {Path(self._log.name).read_text()}")
        return child

    def kill(self, child: subprocess.Popen[str]) -> None:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
        self.kills.append(time.monotonic())
        self.look()

    def stop(self, child: subprocess.Popen[str]) -> None:
        """An orderly stop."""
        child.terminate()
        assert child.wait(30) == 0
        assert child.stdout is not None
        child.stdout.close()

    def look(self) -> int:
        """Note which records the store holds as finished; how many there are."""
        rows = {row.partition: row for row in asyncio.run(self._rows())}
        for one in self.sent:
            shard, position = self._places[one.record]
            row = rows.get(shard)  # type: ignore[call-overload]
            if row is not None and covers(row, position):
                self.durable.setdefault((one.mapping, one.record), time.monotonic() - 0.001)
        return len(self.durable)

    async def _rows(self) -> list[Row]:
        store = SqliteStore(self.positions)
        await store.open()
        try:
            return list(await store.load("stream"))
        finally:
            await store.close()

    def wait_until_all_is_finished(self) -> None:
        deadline = time.monotonic() + 120
        while self.look() < len(self.sent):
            assert time.monotonic() < deadline, f"{len(self.durable)} of {len(self.sent)} records are finished"
            time.sleep(0.2)

    def judge(self) -> Report:
        history = History(
            self.sent,
            Ledger.read(self.ledger),
            logs=frozenset({"stream"}),
            kills=self.kills,
            deleted=self.durable,
        )
        return check(history)


class PushedTheatre(Theatre):
    """The service reads as a consumer, and what is written are aggregates, so that kills come in their midst."""

    def _create(self) -> Stream:
        stream = super()._create()
        request = {"StreamARN": stream.arn, "ConsumerName": "mine"}
        self._consumer = str(self.aws.kinesis.call("RegisterStreamConsumer", request)["Consumer"]["ConsumerARN"])
        return stream

    @property
    def source(self) -> str:
        return self._consumer

    def put(self, count: int) -> None:
        self.aws.run(lambda: self._write(count))


def covers(row: Row, position: Position) -> bool:
    """Whether a row says that the record is finished."""
    safe = row.safe is not None and position <= row.safe
    return safe or any(first <= position <= last for first, last in row.above)


@pytest.mark.parametrize(("kind", "kills"), [(Theatre, KILLS), (PushedTheatre, KILLS // 2)])
def test_a_killed_service_loses_nothing_keeps_order_and_repeats_only_what_was_in_flight(
    tmp_path: Path, kind: type[Theatre], kills: int
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with EmbeddedAws.in_thread(kinesis_limits=LIMITS) as aws, (tmp_path / "log").open("w") as log:
        theatre = kind(aws, tmp_path, log)
        for _ in range(kills):
            child = theatre.start()
            try:
                for _ in range(4):
                    theatre.put(25)
                    time.sleep(chance.random() * 0.4)
            finally:
                theatre.kill(child)
        child = theatre.start()
        try:
            theatre.wait_until_all_is_finished()
        finally:
            theatre.kill(child)
    report = theatre.judge()
    assert report.lost == ()
    assert report.disordered == ()
    assert report.duplicates == (), "each one is explained by a kill between its good answer and its saved position"
    assert report.strange == ()
    assert report.delivered == len(theatre.sent)


def test_after_orderly_stops_nothing_is_delivered_twice(tmp_path: Path) -> None:
    with EmbeddedAws.in_thread(kinesis_limits=LIMITS) as aws, (tmp_path / "log").open("w") as log:
        theatre = Theatre(aws, tmp_path, log)
        for _ in range(4):
            child = theatre.start()
            try:
                for _ in range(3):
                    theatre.put(40)
                    time.sleep(0.2)
            finally:
                theatre.stop(child)
        child = theatre.start()
        try:
            theatre.wait_until_all_is_finished()
        finally:
            theatre.stop(child)
    report = theatre.judge()
    assert report.sound
    assert report.explained == 0
