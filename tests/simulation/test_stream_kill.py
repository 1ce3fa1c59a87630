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
from pollers.spi import Row
from pollers.stores.sqlite import SqliteStore
from pollers.testing.audit import History, Report, Sent, check
from pollers.testing.front import EmbeddedAws
from pollers.testing.kinesis import KinesisLimits, Stream

KILLS = 20
SHARDS = 4
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
        self._places: dict[str, tuple[str, int]] = {}  # of a record: shard, sequence number
        self._log = log
        self._stream: Stream = aws.run(self._create)

    def _create(self) -> Stream:
        self.aws.kinesis.call("CreateStream", {"StreamName": "stream", "ShardCount": SHARDS})
        return self.aws.kinesis.stream("stream")

    def put(self, count: int) -> None:
        def put() -> None:
            for _ in range(count):
                name, key = f"record-{len(self.sent)}", f"key-{len(self.sent) % 23}"
                shard, sequence = self._stream.put(key, json.dumps({"id": name}).encode())
                self.sent.append(Sent("stream", name, key))
                self._places[name] = (shard, int(sequence))

        self.aws.run(put)

    def start(self) -> subprocess.Popen[str]:
        """A service, once it runs."""
        child = subprocess.Popen(
            [sys.executable, str(CHILD), self._stream.arn, str(self.ledger), str(self.positions)],
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
            shard, sequence = self._places[one.record]
            row = rows.get(shard)  # type: ignore[call-overload]
            if row is not None and covers(row, sequence):
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


def covers(row: Row, sequence: int) -> bool:
    """Whether a row says that the record is finished."""
    safe = row.safe is not None and sequence <= row.safe[0]
    return safe or any(first[0] <= sequence <= last[0] for first, last in row.above)


def test_a_killed_service_loses_nothing_keeps_order_and_repeats_only_what_was_in_flight(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    limits = KinesisLimits(reads_per_second=None)
    with EmbeddedAws.in_thread(kinesis_limits=limits) as aws, (tmp_path / "log").open("w") as log:
        theatre = Theatre(aws, tmp_path, log)
        for _ in range(KILLS):
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
    limits = KinesisLimits(reads_per_second=None)
    with EmbeddedAws.in_thread(kinesis_limits=limits) as aws, (tmp_path / "log").open("w") as log:
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
