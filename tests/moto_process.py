"""moto's DynamoDB as a process of its own, on loopback and a free port."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVER = Path(__file__).parent / "integration" / "servers" / "moto_server.py"


@contextmanager
def moto_process(folder: Path) -> Iterator[str]:
    """Its URL while it runs. It forgets everything at its end; `folder` is for its log."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    with (folder / "moto.log").open("w") as log:
        command = [sys.executable, str(SERVER), port]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "started\n"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.stdin.close()
            process.wait(30)
            process.stdout.close()
