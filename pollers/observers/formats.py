"""Logging records as lines: JSON for machines, text for people. They never raise, whatever a record holds."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

__all__ = ["Console", "JsonLines"]

DATASET: Final = "pollers"


class JsonLines(logging.Formatter):
    """One line of ASCII JSON per record, named as the Elastic Common Schema does.

    `event` and `labels` come from the record's extra fields, where there are any; labels are flat: `labels.mapping`.
    """

    def __init__(self, worker: str = "") -> None:
        """`worker`: which of several processes writes, for `labels.worker`."""
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "@timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z",
            "log.level": record.levelname.lower(),
            "message": _message(record),
            "event.dataset": DATASET,
            "log.logger": record.name,
            "process.pid": record.process,
        }
        if (event := getattr(record, "event", None)) is not None:
            line["event.action"] = _plain(event)
        line.update((f"labels.{_text(name)}", _plain(value)) for name, value in _labels(record).items())
        if self._worker:
            line["labels.worker"] = self._worker
        line.update(_error(record))
        return json.dumps(line, separators=(",", ":"))


class Console(logging.Formatter):
    """`12:00:05.123 WARNING orders: ...`, in local time unless a zone is given; a traceback follows on its own lines.

    Control characters, line ends within a message among them, are escaped: nothing that a function or a server says
    can move the cursor or pass for a line of ours.
    """

    def __init__(self, zone: tzinfo | None = None, worker: str = "") -> None:
        """`worker`: which of several processes writes, in front of each message."""
        super().__init__()
        self._zone = zone
        self._worker = f"[{worker}] " if worker else ""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, self._zone)
        stamp = moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"
        line = f"{stamp} {record.levelname:<7} {self._worker}{_escaped(_message(record))}"
        if suppressed := _labels(record).get("suppressed"):
            line += f" ({_escaped(_text(suppressed))} more like this were left out)"
        trace = _error(record).get("error.stack_trace", "")
        return "\n".join([line, *map(_escaped, trace.splitlines())])


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # placeholders that do not fit their arguments, a __str__ that raises: say what can be said
        return f"{_text(record.msg)} {_text(record.args)}"


def _labels(record: logging.LogRecord) -> Mapping[Any, Any]:
    labels = getattr(record, "labels", None)
    return labels if isinstance(labels, dict) else {}


def _error(record: logging.LogRecord) -> dict[str, str]:
    if not record.exc_info or record.exc_info[0] is None:
        return {"error.stack_trace": _text(record.stack_info)} if record.stack_info else {}
    kind, error, _ = record.exc_info
    return {
        "error.type": kind.__qualname__,
        "error.message": _text(error),
        "error.stack_trace": logging.Formatter().formatException(record.exc_info),
    }


def _plain(value: object) -> str | int | float | bool | None:
    """The value as JSON can hold it: numbers that JSON has no text for, and whatever else there is, as text."""
    if value is None or isinstance(value, bool):
        return value
    # Exact types: a subclass may bring a text of its own. Beyond 64 bits readers of JSON disagree.
    if type(value) is int and abs(value) < 2**63:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    return _text(value)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # a __str__ that raises, an integer too long to write
        return f"<{type(value).__name__}>"


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)
