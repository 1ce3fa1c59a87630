"""A real Apache Kafka for tests, as its start script runs it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

SCRIPT = Path(__file__).with_name("servers") / "kafka.sh"


def free_ports(count: int) -> int:
    """The first of so many ports in a row that are free."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first: int = probe.getsockname()[1]
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            continue
        return first


class KafkaBroker:
    """One broker at a port of 127.0.0.1."""

    PORTS = 10  # in a row that it takes: see its script

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.servers = f"127.0.0.1:{port}"

    def kill(self) -> None:
        """As a crash: SIGKILL."""
        self._run("kill")

    def start(self) -> None:
        """Once more, on the data that it has; returns when it is ready."""
        self._run("start")

    def stop(self) -> None:
        """In order; the data stay."""
        self._run("stop")

    def _run(self, action: str) -> None:
        command = [str(SCRIPT), action, str(self.folder), str(self.port)]
        subprocess.run(command, check=True, timeout=120, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    async def create_topic(self, name: str, partitions: int = 1, config: dict[str, str] | None = None) -> None:
        """Returns when every partition has a leader."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        try:
            answer = await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=config or {})])
            assert not any(error[1] for error in answer.topic_errors), answer
            while True:
                (described,) = await admin.describe_topics([name])
                if sum(one["leader"] >= 0 for one in described["partitions"]) == partitions:
                    return
                await asyncio.sleep(0.05)
        finally:
            await admin.close()
