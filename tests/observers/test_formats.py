"""Lines for machines and for people: complete, one record each, and safe to print."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollers.observers.formats import Console, JsonLines

NOON = 1_767_614_405.1239  # 2026-01-05T12:00:05.1239Z


def record(message: object = "hello", *args: object, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("pollers", logging.WARNING, "file.py", 1, message, args, None)
    made.created = NOON
    made.process = 42
    made.__dict__.update(extra)
    return made


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    line = JsonLines().format(made)
    assert "\n" not in line
    assert line.isascii()
    parsed: dict[str, Any] = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    return parsed


def as_text(made: logging.LogRecord) -> str:
    return Console(UTC).format(made)


def failed(error: BaseException) -> Any:
    try:
        raise error
    except BaseException:
        return sys.exc_info()


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("not today")

    __repr__ = __str__


class UnprintableError(Exception):
    __str__ = Unprintable.__str__


def test_json_line_has_the_names_of_the_common_schema() -> None:
    made = record("%s stalled", "orders", event="LaneStalled", labels={"mapping": "orders", "records": 3})
    assert as_json(made) == {
        "@timestamp": "2026-01-05T12:00:05.123Z",
        "log.level": "warning",
        "message": "orders stalled",
        "event.dataset": "pollers",
        "log.logger": "pollers",
        "process.pid": 42,
        "event.action": "LaneStalled",
        "labels.mapping": "orders",
        "labels.records": 3,
    }


def test_json_line_of_anybody_elses_record_has_no_event_and_no_labels() -> None:
    assert [name for name in as_json(record()) if name.startswith(("labels", "event.action", "error"))] == []
    assert as_json(record(labels="not ours"))["message"] == "hello"


def test_json_line_carries_an_exception() -> None:
    line = as_json(record(exc_info=failed(ValueError("no\nsuch order"))))
    assert line["error.type"] == "ValueError"
    assert line["error.message"] == "no\nsuch order"
    assert line["error.stack_trace"].startswith("Traceback (most recent call last):")


def test_stack_that_was_asked_for_is_shown() -> None:
    assert as_json(record(stack_info="Stack:\n  here"))["error.stack_trace"] == "Stack:\n  here"
    assert as_text(record(stack_info="Stack:\n  here")).splitlines()[1:] == ["Stack:", "  here"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (2**63, "9223372036854775808"),
        pytest.param(10**5_000, "<int>", id="too long to write"),
        pytest.param(Unprintable(), "<Unprintable>", id="unprintable"),
        (b"\xff", "b'\\xff'"),
        (["a", 1], "['a', 1]"),
        ("\ud800", "\ud800"),
    ],
)
def test_label_that_json_cannot_hold_becomes_text(value: object, text: str) -> None:
    assert as_json(record(labels={"odd": value}))["labels.odd"] == text


@pytest.mark.parametrize("value", [None, True, 0, -1.5, "x"])
def test_label_that_json_can_hold_stays_what_it_is(value: object) -> None:
    kept = as_json(record(labels={"plain": value}))["labels.plain"]
    assert (kept, type(kept)) == (value, type(value))


@pytest.mark.parametrize(
    "made",
    [
        record("%d records", "many"),
        record("%s and %s", "one"),
        record("%s", Unprintable()),
        record(Unprintable()),
        record("x", labels={Unprintable(): Unprintable(), 1: 2}),
        record("x", event=Unprintable()),
        record("x", exc_info=failed(UnprintableError())),
        record("x", exc_info=failed(KeyboardInterrupt())),
        record("x", exc_info=(None, None, None)),
    ],
    ids=["type", "count", "argument", "message", "labels", "event", "exception", "base exception", "no exception"],
)
def test_odd_records_still_make_a_line(made: logging.LogRecord) -> None:
    assert as_json(made)["log.level"] == "warning"
    assert as_text(made).startswith("12:00:05.123 WARNING ")


def test_console_line_is_time_level_and_words() -> None:
    assert as_text(record("orders: %s is ours", "shard-1")) == "12:00:05.123 WARNING orders: shard-1 is ours"


def test_console_says_how_many_were_left_out() -> None:
    assert as_text(record("again", labels={"suppressed": 7})).endswith("again (7 more like this were left out)")


def test_console_shows_a_traceback_on_its_own_lines() -> None:
    lines = as_text(record("failed", exc_info=failed(ValueError("red \x1b[31m")))).splitlines()
    assert lines[0].endswith("failed")
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: red \\x1b[31m"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r", "a\\nb\\r"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u2028b", "a\\u2028b"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\ud800", "\\ud800"),
        ("größe ✓ 日本", "größe ✓ 日本"),
    ],
)
def test_console_escapes_what_moves_the_cursor(text: str, shown: str) -> None:
    assert as_text(record(text)) == f"12:00:05.123 WARNING {shown}"


@given(st.text())
def test_message_never_breaks_out_of_its_line(text: str) -> None:
    assert as_json(record(text))["message"] == text
    assert as_text(record(text)).removeprefix("12:00:05.123 WARNING ").isprintable()


def test_console_uses_local_time_unless_it_is_given_a_zone() -> None:
    assert len(Console().format(record())) == len(as_text(record()))
