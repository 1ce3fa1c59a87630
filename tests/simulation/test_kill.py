"""Kill -9 of a service under load, again and again, and a judge who was not killed."""

from __future__ import annotations

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
from pollers.testing.audit import History, Sent, check
from pollers.testing.front import EmbeddedAws
from pollers.testing.queues import EmbeddedQueue

KILLS = 20
CHILD = Path(__file__).with_name("kill_child.py")


def start(aws: EmbeddedAws, url: str, ledger: Path, log: IO[str]) -> subprocess.Popen[str]:
    """A service, once it runs."""
    child = subprocess.Popen(
        [sys.executable, str(CHILD), url, str(ledger)],
        env={**os.environ, **aws.environment},
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    assert child.stdout is not None
    if child.stdout.readline() != "started\n":
        child.wait()
        pytest.fail(f"the service did not start: {Path(log.name).read_text()}")
    return child


def kill(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.wait()
    assert child.stdout is not None
    child.stdout.close()


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
def test_a_killed_service_loses_nothing_and_repeats_only_what_was_in_flight(tmp_path: Path, fifo: bool) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    ledger = tmp_path / "ledger.jsonl"
    sent: list[Sent] = []
    kills: list[float] = []
    deleted: dict[tuple[str, str], float] = {}
    with EmbeddedAws.in_thread() as aws, (tmp_path / "log").open("w") as log:
        queue = make_queue(aws, fifo)
        for _ in range(KILLS // 2):
            child = start(aws, queue.url, ledger, log)
            try:
                for _ in range(60):
                    send(queue, sent, fifo)
                time.sleep(chance.random() * 0.4)
            finally:
                kill(child)
            kills.append(time.monotonic())
            left = {json.loads(body)["id"] for body in queue.bodies()}
            for one in sent:
                if one.record not in left:
                    deleted.setdefault((one.mapping, one.record), kills[-1] - 0.001)
        child = start(aws, queue.url, ledger, log)
        try:
            wait_until_empty(queue)
        finally:
            kill(child)
    report = check(History(sent, Ledger.read(ledger), kills=kills, deleted=deleted))
    assert report.lost == ()
    assert report.duplicates == (), "each one is explained by a kill between its good answer and its delete"
    assert report.disordered == ()
    assert report.strange == ()
    assert report.delivered == len(sent)


def make_queue(aws: EmbeddedAws, fifo: bool) -> EmbeddedQueue:
    attributes = {"VisibilityTimeout": "1"}
    if fifo:
        attributes |= {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    name = "queue.fifo" if fifo else "queue"
    answer = aws.run(lambda: aws.sqs.call("CreateQueue", {"QueueName": name, "Attributes": attributes}))
    assert isinstance(answer, dict)
    return EmbeddedQueue(aws, str(answer["QueueUrl"]))


def send(queue: EmbeddedQueue, sent: list[Sent], fifo: bool) -> None:
    number = len(sent)
    key = f"group-{number % 5}" if fifo else None
    sent.append(Sent("queue", f"message-{number}", key))
    queue.send(json.dumps({"id": f"message-{number}"}), **({"MessageGroupId": key} if key else {}))


def wait_until_empty(queue: EmbeddedQueue) -> None:
    deadline = time.monotonic() + 120
    while any(queue.counts()):
        assert time.monotonic() < deadline, f"messages are left: {queue.counts()}"
        time.sleep(0.1)
