"""What a worker prints, line by line, into the function's logger."""

from __future__ import annotations

import asyncio
import logging

__all__ = ["pass_on"]

LONGEST = 8_192  # bytes of a line; the rest goes on a line of its own
CHUNK = 65_536


async def pass_on(stream: asyncio.StreamReader, logger: logging.Logger, name: str) -> None:
    """Log every line, headed by the function's name, until the worker closes the stream.

    It is always read, so that printing never blocks a worker.
    """
    pending = b""
    while chunk := await stream.read(CHUNK):
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            _log(logger, name, line)
        while len(pending) > LONGEST:
            _log(logger, name, pending[:LONGEST])
            pending = pending[LONGEST:]
    if pending:
        _log(logger, name, pending)


def _log(logger: logging.Logger, name: str, line: bytes) -> None:
    for start in range(0, max(1, len(line)), LONGEST):
        if text := line[start : start + LONGEST].decode(errors="backslashreplace").rstrip():
            logger.info("%s: %s", name, text)
