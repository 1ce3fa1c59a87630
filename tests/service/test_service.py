"""`pollers run` as an operator sees it: metrics, one signal, two signals, work that does not end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from service_process import ended, line_with, spawn, until

from pollers.testing.front import EmbeddedAws
from pollers.testing.queues import EmbeddedQueue

FILE = """\
[functions.work]
handler = "work.handle"
timeout = 60

[[event_source_mappings]]
function_name = "work"
name = "orders"
event_source_arn = "arn:aws:sqs:us-east-1:123456789012:orders"
KMSKeyArn = "arn:aws:kms:us-east-1:123456789012:key/k"

[service]
grace = {grace}
"""
QUICK = "def handle(event, context):\n    print('handled', len(event['Records']))\n"
SLOW = "import time\ndef handle(event, context):\n    open('begun', 'w').close()\n    time.sleep({seconds})\n"
NOT_HEARD = """\
import asyncio
async def handle(event, context):
    open('begun', 'w').close()
    while True:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            pass
"""


@contextmanager
def service(
    folder: Path, aws: EmbeddedAws, work: str, *options: str, grace: float = 30
) -> Iterator[subprocess.Popen[str]]:
    with ended(spawn(folder, aws, FILE.format(grace=grace), work, "mappings.toml", *options)) as process:
        yield process


def test_a_mapping_is_counted_logged_and_drained(tmp_path: Path, aws: EmbeddedAws, queue: EmbeddedQueue) -> None:
    for number in range(25):
        queue.send(f"order {number}")
    with service(tmp_path, aws, QUICK, "--metrics-port", "0") as process:
        notice = json.loads(line_with(process, "KMSKeyArn"))
        assert "orders" in notice["message"] or "event_source_mappings" in notice["message"]
        found = re.search(r"http://[\d.:]+/metrics", line_with(process, "/metrics"))
        assert found is not None
        assert "work: handled" in json.loads(line_with(process, "handled"))["message"]
        until(lambda: not queue.bodies())
        with urllib.request.urlopen(found[0], timeout=30) as answer:
            metrics = answer.read().decode()
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert 'pollers_records_received_total{mapping="orders",source="sqs"} 25.0' in metrics
    assert 'pollers_records_processed_total{mapping="orders",source="sqs"} 25.0' in metrics
    for line in rest.splitlines():
        json.loads(line)


def test_the_first_signal_waits_for_what_runs(tmp_path: Path, aws: EmbeddedAws, queue: EmbeddedQueue) -> None:
    queue.send("one")
    with service(tmp_path, aws, SLOW.format(seconds=3)) as process:
        until((tmp_path / "begun").exists)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0, printed
    assert "waiting for 1 invocation" in printed
    assert queue.bodies() == []


def test_the_second_signal_stops_at_once_and_nothing_is_settled(
    tmp_path: Path, aws: EmbeddedAws, queue: EmbeddedQueue
) -> None:
    queue.send("one")
    with service(tmp_path, aws, SLOW.format(seconds=1_000)) as process:
        until((tmp_path / "begun").exists)
        process.send_signal(signal.SIGINT)
        line_with(process, "draining")
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130, printed
    assert queue.bodies() == ["one"]


@pytest.mark.rule("13-4")
@pytest.mark.parametrize("work", [SLOW.format(seconds=1_000), NOT_HEARD], ids=["killed", "not heard"])
def test_work_left_at_the_deadline_is_said_and_given_back(
    tmp_path: Path, aws: EmbeddedAws, queue: EmbeddedQueue, work: str
) -> None:
    queue.send("one")
    with service(tmp_path, aws, work, grace=1) as process:
        until((tmp_path / "begun").exists)
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 3, printed
    assert queue.bodies() == ["one"]
