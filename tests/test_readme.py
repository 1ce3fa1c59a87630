"""The README tells the truth: its examples run as they stand there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_library_example_runs_and_prints_its_order(tmp_path: Path) -> None:
    (example,) = (block for block in blocks("python") if "asyncio.run" in block)
    script = tmp_path / "example.py"
    script.write_text(example)
    ran = subprocess.run([sys.executable, "-W", "error", str(script)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "the first order\n"
    assert ran.stderr == ""


def test_the_configuration_example_is_valid(tmp_path: Path) -> None:
    (example,) = blocks("toml")
    (tmp_path / "mappings.toml").write_text(example)
    (tmp_path / "orders.py").write_text("def handle(event, context): ...\n")
    command = [sys.executable, "-m", "pollers", "validate", "mappings.toml"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_fixture_example_is_a_test_that_passes(pytester: pytest.Pytester) -> None:
    (example,) = (block for block in blocks("python") if "def test_" in block)
    aws, kafka = example.rstrip().split("\n\n\n")
    aws += "\n    import boto3\n    boto3.client('sqs').send_message(QueueUrl=queue.url, MessageBody='x')\n"
    kafka += "\n    topic.put('a payment', 'key')\n"
    pytester.makepyfile(f"{aws}\n\n{kafka}")
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_every_command_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    ran = subprocess.run([sys.executable, "-m", "pollers", "--help"], capture_output=True, text=True, timeout=60)
    for command in set(re.findall(r"^pollers (\w+)", README, re.MULTILINE)):
        assert command in ran.stdout, command


def test_the_schema_of_the_readme_is_json() -> None:
    ran = subprocess.run([sys.executable, "-m", "pollers", "schema"], capture_output=True, text=True, timeout=60)
    assert json.loads(ran.stdout)["$schema"].endswith("2020-12/schema")
