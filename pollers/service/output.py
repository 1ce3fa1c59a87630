"""What commands print: lines for people on a terminal, JSON lines elsewhere."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

import click

from pollers.config.spelling import escaped
from pollers.errors import ConfigurationError, PollersError

__all__ = ["logs_on_stderr", "say", "tell_error"]


def say(record: dict[str, Any], text: str, *, err: bool = False, style: str = "") -> None:
    """Print one thing to stdout or stderr: `text` for people, `record` for programs."""
    stream = sys.stderr if err else sys.stdout
    if not stream.isatty():
        click.echo(json.dumps(record, ensure_ascii=False), err=err)
        return
    from rich.console import Console  # costs more than all the rest of a short command

    safe = "\n".join(map(escaped, text.split("\n")))  # a file, an event or a function's answer may hold anything
    Console(stderr=err, highlight=False).print(safe, style=style, markup=False, soft_wrap=True)


def tell_error(error: PollersError) -> None:
    """Print what went wrong, and what to do, to stderr."""
    if isinstance(error, ConfigurationError):
        for one in error.problems:
            record = {"path": one.path, "message": one.message, "remedy": one.remedy}
            say({"error": "configuration", **record}, str(one), err=True, style="red")
    else:
        text = "\n".join((str(error), *getattr(error, "__notes__", ())))
        say({"error": type(error).__name__, "message": text}, text, err=True, style="red")


@contextlib.contextmanager
def logs_on_stderr() -> Iterator[None]:
    """Within it, what functions print and log goes to stderr, from worker processes, too: stdout is for the answer."""
    with contextlib.redirect_stdout(sys.stderr), _descriptor_on_stderr(), _logging_on_stderr():
        yield


@contextlib.contextmanager
def _descriptor_on_stderr() -> Iterator[None]:
    """The descriptor, which whatever is not Python writes to. A stdout or stderr that is closed stays so."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            kept = os.dup(1)
            stack.callback(os.close, kept)
            os.dup2(2, 1)
            stack.callback(os.dup2, kept, 1)
        yield


@contextlib.contextmanager
def _logging_on_stderr() -> Iterator[None]:
    """A handler, as Lambda's runtime has one, and what worker processes print, which arrives as INFO."""
    root, workers = logging.getLogger(), logging.getLogger("pollers.function")
    handler, level = logging.StreamHandler(sys.stderr), workers.level
    root.addHandler(handler)
    workers.setLevel(logging.INFO)
    try:
        yield
    finally:
        workers.setLevel(level)
        root.removeHandler(handler)
