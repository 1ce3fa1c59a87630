"""The process that runs one function, one call at a time, as Lambda's execution environment does.

Run by path, with nothing but the standard library, so that a worker starts quickly and sees none of its parent's
packages by accident. Frames are a length of four bytes and JSON; nothing is unpickled. It ends when its parent does.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any


class Context:
    """Lambda's context object, made of what the parent says."""

    def __init__(self, call: dict[str, Any]) -> None:
        environment = os.environ
        self.aws_request_id = call["request_id"]
        self.function_name = environment["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = environment["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = environment["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = environment["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.invoked_function_arn = call["function_arn"]
        self.identity = None
        self.client_context = None
        self._deadline = call["deadline"]

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._deadline - time.time()) * 1000))

    def log(self, message: object) -> None:
        print(message)


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """The next frame; None when the parent is gone."""
    head = read(connection, 4)
    body = None if head is None else read(connection, int.from_bytes(head, "big"))
    if body is None:
        return None
    frame: dict[str, Any] = json.loads(body)
    return frame


def read(connection: socket.socket, count: int) -> bytes | None:
    chunks = bytearray()
    while len(chunks) < count:
        chunk = connection.recv(min(count - len(chunks), 1 << 20))
        if not chunk:
            return None
        chunks += chunk
    return bytes(chunks)


def send(connection: socket.socket, data: bytes) -> None:
    connection.sendall(len(data).to_bytes(4, "big") + data)


def failure(kind: str, message: str) -> bytes:
    return json.dumps({"error": kind, "message": message}).encode()


def load(module: str, attribute: str, app_dir: str | None) -> tuple[Callable[..., Any] | None, bytes]:
    """The handler, or none and what is wrong."""
    if app_dir:
        sys.path.insert(0, app_dir)
    try:
        found: Any = importlib.import_module(module)
        for name in attribute.split("."):
            found = getattr(found, name)
        return found, b'{"ready":true}'
    except BaseException as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
        place = (
            "" if not frames or frames[-1].filename == __file__ else f" at {frames[-1].filename}:{frames[-1].lineno}"
        )
        return None, failure(type(error).__name__, f"{error}{place}")


def answer(handler: Callable[..., Any], loop: asyncio.AbstractEventLoop, call: dict[str, Any]) -> bytes:
    """One call; the frame that says what came of it."""
    try:
        context = Context(call)
        result = handler(call["event"], context)
        if inspect.isawaitable(result):
            result = loop.run_until_complete(result)
    except BaseException as error:  # SystemExit too: Lambda counts it as a failed call, and the worker stays
        traceback.print_exc()
        return failure(type(error).__name__, str(error))
    try:
        return b'{"result":' + json.dumps(result, allow_nan=False).encode() + b"}"
    except (TypeError, ValueError, RecursionError) as error:
        return failure("Runtime.MarshalError", f"the answer cannot be written as JSON: {error}")


def watch_parent(parent: int) -> None:
    """End at once when the parent is gone, also in the middle of a call."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to hear; a drain lets calls end
    connection = socket.socket(fileno=int(sys.argv[1]))
    threading.Thread(target=watch_parent, args=(os.getppid(),), daemon=True).start()
    start = receive(connection)
    if start is None:
        return
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger().setLevel(os.environ.get("AWS_LAMBDA_LOG_LEVEL", "INFO"))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    handler, ready = load(start["module"], start["attribute"], start["app_dir"])
    send(connection, ready)
    while handler is not None and (call := receive(connection)) is not None:
        frame = answer(handler, loop, call)
        sys.stdout.flush()
        sys.stderr.flush()
        send(connection, frame)


if __name__ == "__main__":
    main()
