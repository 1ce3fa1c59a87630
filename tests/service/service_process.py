"""`pollers run` as a process of its own, on an embedded SQS, for tests that look at it from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pollers.testing.front import EmbeddedAws


def spawn(
    folder: Path, aws: EmbeddedAws, file: str, work: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """`pollers run ARGUMENTS` in a folder with `mappings.toml` and `work.py`; variables set to "" are left out."""
    (folder / "mappings.toml").write_text(file)
    (folder / "work.py").write_text(work)
    variables = {**os.environ, **aws.environment, **(environment or {})}
    return subprocess.Popen(
        [sys.executable, "-m", "pollers", "run", *arguments],
        cwd=folder,
        env={name: value for name, value in variables.items() if value},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """The process, which is gone when the context is left."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def until(condition: Callable[[], object]) -> None:
    """Wait for something that another process brings about."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.02)


def line_with(process: subprocess.Popen[str], words: str) -> str:
    """The next line of what it prints that has these words."""
    assert process.stdout is not None
    return next(line for line in iter(process.stdout.readline, "") if words in line)
