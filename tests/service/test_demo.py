"""`pollers demo`, looked at from outside: what it comes to, in one process and in several, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service_process import ended, line_with

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


def test_nothing_is_lost_doubled_or_disordered(tmp_path: Path) -> None:
    with ended(spawn(tmp_path)) as process:
        found = verdict(process)
    assert list(found["mappings"]) == MAPPINGS
    assert all(found["spoilt_ledgers_rejected"].values())
    assert (found["lost"], found["order_violations"], found["duplicates"]) == (0, 0, 0)
    assert found["windows"]["counted"] == found["mappings"]["changes"]["sent"]
    assert found["mappings"]["readings"]["delivered"] == found["mappings"]["readings"]["sent"]
    assert found["mappings"]["readings"]["retried"] > 0, "one batch of ten fails"


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
