"""`pollers demo`, looked at from outside: what it comes to, in one process and in several, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from service_process import ended, line_with, until

from pollers.service.demo.scenario import counted

MAPPINGS = ["orders", "payments", "events", "reports", "clicks", "changes", "readings"]


def spawn(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """A demo whose temporary files are in a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "pollers", "demo", *arguments],
        env={**os.environ, "TMPDIR": str(folder), **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def verdict(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = process.communicate(timeout=120)
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    assert process.returncode == 0, output
    return found


def children(process: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(("arguments", "kills"), [((), 0), (("--workers", "3"), 1)], ids=["alone", "three"])
def test_nothing_is_lost_doubled_or_disordered(arguments: tuple[str, ...], kills: int, tmp_path: Path) -> None:
    with ended(spawn(tmp_path, *arguments)) as process:
        found = verdict(process)
    assert list(found["mappings"]) == MAPPINGS
    assert all(found["spoilt_ledgers_rejected"].values())
    assert (found["lost"], found["order_violations"], found["duplicates"]) == (0, 0, 0)
    assert found["windows"]["counted"] == found["mappings"]["changes"]["sent"]
    assert found["kills"]["processes"] == kills
    assert found["mappings"]["readings"]["delivered"] == found["mappings"]["readings"]["sent"]
    assert found["mappings"]["readings"]["retried"] > 0, "one batch of ten fails"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_an_interrupt_leaves_no_process_and_no_file_behind(tmp_path: Path) -> None:
    with ended(spawn(tmp_path, "--workers", "3")) as process:
        until(lambda: len(children(process.pid)) == 3)
        workers = children(process.pid)
        line_with(process, '"mapping": "orders"')
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 130, output
    assert not any(lives(worker) for worker in workers)
    assert list(tmp_path.iterdir()) == []


def test_without_the_embedded_kafka_it_says_so_and_runs_the_others(tmp_path: Path) -> None:
    (tmp_path / "confluent_kafka.py").write_text("raise ModuleNotFoundError('none', name='confluent_kafka')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with ended(spawn(tmp_path, environment={"PYTHONPATH": path})) as process:
        assert 'pip install "pollers[kafka,demo]"' in line_with(process, "Without its Kafka topic")
        line_with(process, '"mapping": "changes"')
        assert '"mapping": "orders"' in line_with(process, "mapping"), "no line of a Kafka topic comes between"


def test_a_window_that_is_brought_home_twice_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "windows.jsonl"
    assert counted(path) == []
    path.write_text('["shard-1", "10:00", 3]\n["shard-2", "10:00", 4]\n["shard-1", "10:00", 3]\n')
    assert counted(path) == [3, 4]
