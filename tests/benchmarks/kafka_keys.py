"""One partition, 10,000 keys in order each, 5 ms of asynchronous work a record, a hundred at once: against the ideal.

The ideal is the work divided by a hundred. Where there is a JDK Confluent's parallel-consumer does the same,
on the same broker. Figures are records per second of the clock, from the first record to the last.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from measure import compare, report
from topics import broker, fill, group, lacks

from pollers.config.library import EventSourceMapping
from pollers.engine.supervisor import Pollers
from pollers.kafka.connection import KafkaConnection
from pollers.sources.kafka.source import KafkaSource

__all__ = ["run"]

KEYS = 10_000
WORK = 0.005  # seconds
AT_ONCE = 100
PEERS = Path(__file__).with_name("peers")
PEER = "parallel-consumer"


async def run(*, quick: bool) -> int:
    if reason := lacks():
        print(f"\nkafka_keys: {reason}")
        return 0
    records = 20_000 if quick else 100_000
    async with broker() as running:
        topic = await fill(running, records, 100, partitions=1, keys=KEYS)
        variants: dict[str, Callable[[], Awaitable[float]]] = {
            "ideal": _ideal,
            "pollers": lambda: _ours(running.servers, topic, records),
        }
        if not quick and (command := await asyncio.to_thread(_peer)):
            variants[PEER] = lambda: _theirs([*command, running.servers, topic, str(records)])
        rows = await compare(variants, "ideal", 2 if quick else 3, {})
    theirs = next((row for row in rows if row.name == PEER), None)
    bars = [row for row in rows if row.name == "pollers"]
    code = report("kafka_keys", "records per second", rows)
    if theirs is not None:
        print(f"  pollers to {PEER}: {bars[0].ratio / theirs.ratio:.2f}x")
    return code


async def _ideal() -> float:
    return AT_ONCE / WORK


async def _ours(servers: str, topic: str, records: int) -> float:
    left, begun, ended = records, 0.0, asyncio.Event()

    async def handle(event: dict[str, Any], context: Any) -> None:
        nonlocal left, begun
        begun = begun or time.monotonic()
        await asyncio.sleep(WORK)
        left -= 1
        if not left:
            ended.set()

    source = KafkaSource(topic, KafkaConnection((servers,)), group=group(), lanes="key")
    mapping = EventSourceMapping(source, handle, batch_size=1, maximum_batching_window_in_seconds=0)
    async with Pollers([mapping], concurrency=AT_ONCE):
        await ended.wait()
        return records / (time.monotonic() - begun)


async def _theirs(command: list[str]) -> float:
    process = await asyncio.create_subprocess_exec(
        *command,
        str(int(WORK * 1_000)),
        str(AT_ONCE),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(300):
            answer, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return float(answer)


def _peer() -> list[str]:
    """The command that runs it, compiled; empty, having said why, where that cannot be."""
    if shutil.which("javac") is None:
        print(f"\nkafka_keys: {PEER} needs a JDK, and is left out")
        return []
    jars = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "pollers-servers", PEER)
    if not (jars / "ParallelKeys.class").exists():
        jars.mkdir(parents=True, exist_ok=True)
        copy = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
        pom = ["-f", str(PEERS / "parallel-consumer-pom.xml"), "-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
        subprocess.run(["mvn", "-B", "-q", *pom, copy], check=True, timeout=300)
        source = ["-d", str(jars), str(PEERS / "ParallelKeys.java")]
        subprocess.run(["javac", "-cp", f"{jars}/*", *source], check=True, timeout=120)
    return ["java", "-cp", f"{jars}/*:{jars}", "ParallelKeys"]
