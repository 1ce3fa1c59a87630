"""`pollers run --workers N`: several processes, one parent; looked at from outside."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from service_process import ended, line_with, spawn, until

from pollers.config.model import KafkaTerms
from pollers.config.parse import parse
from pollers.config.share import check_shared, share_of
from pollers.errors import ConfigurationError
from pollers.stores.sqlite import SqliteStore
from pollers.testing.front import EmbeddedAws
from pollers.testing.kinesis import KinesisLimits

WORK = """
import json, os, base64
async def handle(event, context):
    with open("seen.jsonl", "a") as seen:
        for record in event["Records"]:
            seen.write(json.dumps([os.getpid(), base64.b64decode(record["kinesis"]["data"]).decode()]) + "\\n")
"""


def document(**more: object) -> dict[str, object]:
    return {
        "functions": {"work": {"handler": "work.handle", "reserved_concurrent_executions": 5}},
        "event_source_mappings": [
            {
                "function_name": "work",
                "event_source_arn": "arn:aws:sqs:us-east-1:000000000000:orders",
                "scaling_config": {"maximum_concurrency": 2},
            }
        ],
        "service": {"concurrency": 10, "metrics_port": 9_000},
        **more,
    }


def test_limits_of_workers_add_up_to_those_of_the_file() -> None:
    whole = parse(document())
    parts = [share_of(whole, number, 3) for number in (1, 2, 3)]
    assert [one.service.concurrency for one in parts] == [4, 3, 3]
    assert [one.functions["work"].reserved_concurrent_executions for one in parts] == [2, 2, 1]
    assert [len(one.mappings) for one in parts] == [1, 1, 0], "two invocations at once are for two workers"
    assert [one.service.metrics_port for one in parts] == [9_000, 9_001, 9_002]


def test_processes_of_functions_are_divided_as_well() -> None:
    whole = parse(document(functions={"work": {"handler": "work.handle"}}))
    cores = 2 * (os.cpu_count() or 1)
    assert share_of(whole, 1, 2).functions["work"].processes == max(1, cores // 2)
    assert share_of(whole, 1, 1_000).functions["work"].processes == 1


def test_each_worker_is_a_static_member_of_its_own() -> None:
    topic = {
        "function_name": "work",
        "topics": ["orders"],
        "self_managed_event_source": {"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["127.0.0.1:9092"]}},
        "starting_position": "LATEST",
        "pollers": {"instance": "node-7"},
    }
    whole = parse(document(event_source_mappings=[topic]))
    terms = [share_of(whole, number, 2).mappings[0].terms for number in (1, 2)]
    assert [one.instance for one in terms if isinstance(one, KafkaTerms)] == ["node-7-1", "node-7-2"]


def test_streams_with_positions_in_memory_are_refused() -> None:
    stream = {
        "function_name": "work",
        "event_source_arn": "arn:aws:kinesis:us-east-1:000000000000:stream/clicks",
        "starting_position": "LATEST",
        "name": "clicks",
    }
    with pytest.raises(ConfigurationError, match="clicks would be read by each of them"):
        check_shared(parse(document(event_source_mappings=[stream], store={"url": "memory:"})))
    check_shared(parse(document(event_source_mappings=[stream])))


class Scene:
    """A stream of four shards and a service of several processes that reads it."""

    def __init__(self, aws: EmbeddedAws, folder: Path) -> None:
        self.aws, self.folder, self.sent = aws, folder, 0
        aws.run(lambda: aws.kinesis.call("CreateStream", {"StreamName": "clicks", "ShardCount": 4}))
        stream = aws.kinesis.stream("clicks")
        self.put = stream.put
        self.file = f"""
            [functions.work]
            handler = "work.handle"
            [[event_source_mappings]]
            name = "clicks"
            function_name = "work"
            event_source_arn = "{stream.arn}"
            starting_position = "TRIM_HORIZON"
            [store]
            lease = 3
            """

    def write(self, count: int) -> None:
        def put() -> None:
            for _ in range(count):
                self.put(f"key-{self.sent}", str(self.sent).encode())
                self.sent += 1

        self.aws.run(put)

    def seen(self) -> list[tuple[int, str]]:
        path = self.folder / "seen.jsonl"
        return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []

    def owners(self) -> Counter[str]:
        async def load() -> Counter[str]:
            store = SqliteStore(self.folder / "mappings.toml.state.db")
            await store.open()
            rows = await store.load("clicks")
            await store.close()
            return Counter(row.owner for row in rows if row.partition)

        return asyncio.run(load())


def test_workers_share_shards_come_back_when_killed_and_stop_together(tmp_path: Path) -> None:
    with EmbeddedAws.in_thread(kinesis_limits=KinesisLimits(reads_per_second=None)) as aws:
        scene = Scene(aws, tmp_path)
        process = spawn(tmp_path, aws, scene.file, WORK, "mappings.toml", "--workers", "2")
        with ended(process):
            line_with(process, "2 workers")
            until(lambda: sorted(scene.owners().values()) == [2, 2])
            scene.write(40)
            until(lambda: len({text for _, text in scene.seen()}) == 40)
            victim = scene.seen()[0][0]
            os.kill(victim, signal.SIGKILL)
            told = line_with(process, "it is started again")
            assert re.search(r"Worker [12]/2 ended \(signal SIGKILL\)", told)
            until(lambda: sorted(scene.owners().values()) == [2, 2])
            scene.write(40)
            until(lambda: len({text for _, text in scene.seen()}) == 80)
            pids = {pid for pid, _ in scene.seen()}
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=60)
            assert process.returncode == 0, output
    assert not any(alive(pid) for pid in pids)
    assert '"labels.worker":"1/2"' in output
    times = Counter(text for _, text in scene.seen())
    assert set(times) == set(map(str, range(80)))
    assert all(times[str(number)] == 1 for number in range(40, 80)), "an orderly stop repeats nothing"


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    with EmbeddedAws.in_thread() as aws:
        scene = Scene(aws, tmp_path)
        process = spawn(tmp_path, aws, scene.file, WORK, "mappings.toml", "--workers", "2")
        with ended(process):
            until(lambda: sorted(scene.owners().values()) == [2, 2])
            scene.write(20)
            until(lambda: len(scene.seen()) == 20)
            pids = {pid for pid, _ in scene.seen()}
            process.kill()
            until(lambda: not any(alive(pid) for pid in pids))
    assert scene.owners() == {"": 4}, "they have left their shards in order"


def test_a_fault_of_the_configuration_ends_all_with_its_exit_code(tmp_path: Path) -> None:
    with EmbeddedAws.in_thread() as aws:
        scene = Scene(aws, tmp_path)
        broken = scene.file.replace("work.handle", "work.missing")
        process = spawn(tmp_path, aws, broken, WORK, "mappings.toml", "--workers", "2")
        with ended(process):
            output, _ = process.communicate(timeout=60)
            assert process.returncode == 78, output
            assert "missing" in output


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def test_the_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    slow = (
        "import time\n"
        + WORK.replace("async def handle", "async def quick")
        + """
def handle(event, context):
    time.sleep(30)
"""
    )
    with EmbeddedAws.in_thread() as aws:
        scene = Scene(aws, tmp_path)
        process = spawn(
            tmp_path,
            aws,
            scene.file.replace('"work.handle"', '"work.handle"\ntimeout = 60'),
            slow,
            "mappings.toml",
            "--workers",
            "2",
        )
        with ended(process):
            until(lambda: sorted(scene.owners().values()) == [2, 2])
            scene.write(4)
            time.sleep(1.0)
            process.send_signal(signal.SIGINT)
            line_with(process, "stopping 2 workers")
            process.send_signal(signal.SIGINT)
            process.wait(30)
            assert process.returncode == 130
