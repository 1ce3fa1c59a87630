"""Events as logging records: one each, graded, without bodies, and not more often than one can read."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from pollers.observers.log import LogObserver
from pollers.telemetry import (
    DeliveryHeld,
    Drained,
    Draining,
    Event,
    InvocationFailed,
    InvocationLate,
    LaneStalled,
    LoopBlocked,
    MappingStarted,
    PartitionFinished,
    PartitionGranted,
    PartitionLost,
    PollerCrashed,
    RecordsDiscarded,
    RecordsMissed,
    ReportUnusable,
    SourceTroubled,
    TargetUnavailable,
    Warned,
)


class Log(logging.Handler):
    """What was logged, and a clock that stands still until it is moved."""

    def __init__(self, level: int = logging.DEBUG) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.now = 1_000.0
        self._logger = logging.Logger("pollers", level)
        self._logger.addHandler(self)
        self.observer = LogObserver(self._logger, lambda: self.now)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.records]

    def labels(self, index: int) -> dict[str, Any]:
        labels: dict[str, Any] = self.records[index].__dict__["labels"]
        return labels


@pytest.fixture
def log() -> Iterator[Log]:
    with_clock = Log()
    yield with_clock
    with_clock.close()


def discarded(destination: str | None) -> RecordsDiscarded:
    return RecordsDiscarded("orders", "RetryAttemptsExhausted", "id-1", "shard-1", 2, 3, destination)


SPOKEN: list[tuple[Event, int, str]] = [
    (
        MappingStarted("orders", "arn:q", "handle", "inline, timeout 3 s"),
        logging.INFO,
        "orders: reads arn:q for handle (inline, timeout 3 s)",
    ),
    (MappingStarted("orders", "arn:q", "handle", ""), logging.INFO, "orders: reads arn:q for handle"),
    (Warned("orders", "retries are unlimited"), logging.WARNING, "orders: retries are unlimited"),
    (PartitionGranted("orders", "shard-1"), logging.INFO, "orders: shard-1 is ours"),
    (
        PartitionGranted("orders", "shard-2", "its parent is gone"),
        logging.INFO,
        "orders: shard-2 is ours: its parent is gone",
    ),
    (
        PartitionFinished("orders", "shard-1"),
        logging.INFO,
        "orders: shard-1 is closed, and everything in it is finished",
    ),
    (
        RecordsMissed("orders", "shard-1", "trimmed up to 17"),
        logging.ERROR,
        "orders: records of shard-1 are missing: trimmed up to 17",
    ),
    (PartitionLost("orders", "shard-1", "revoked"), logging.INFO, "orders: shard-1 is no longer ours: revoked"),
    (
        InvocationFailed("orders", "id-1", 1, 2, "ValueError", "no such order"),
        logging.WARNING,
        "orders: attempt 2 at 1 record failed (id-1): ValueError: no such order",
    ),
    (InvocationLate("orders", "id-1", 1.25), logging.WARNING, "orders: still running 1.2 s after its timeout (id-1)"),
    (
        ReportUnusable("orders", "id-1", "unknown identifier"),
        logging.WARNING,
        "orders: unusable batch response, the whole batch fails (id-1): unknown identifier",
    ),
    (
        TargetUnavailable("orders", "throttled"),
        logging.WARNING,
        "orders: the function takes no records, no attempt is spent: throttled",
    ),
    (TargetUnavailable("orders", "reached again", over=True), logging.INFO, "orders: the function takes records again"),
    (
        discarded("arn:dlq"),
        logging.WARNING,
        "orders: 2 records of shard-1 given up after 3 attempts, kept at arn:dlq: RetryAttemptsExhausted (id-1)",
    ),
    (
        discarded(None),
        logging.ERROR,
        "orders: 2 records of shard-1 given up after 3 attempts, dropped: RetryAttemptsExhausted (id-1)",
    ),
    (
        DeliveryHeld("orders", "arn:dlq", "access denied", 2.0),
        logging.ERROR,
        "orders: arn:dlq does not take failed records, their lanes wait: access denied; again in 2.0 s",
    ),
    (
        LaneStalled("orders", "shard-1", "shard-1/3", "retries", 77.0),
        logging.ERROR,
        "orders: shard-1 stopped reading, lane shard-1/3 does not get on: retries",
    ),
    (
        SourceTroubled("orders", "read", "connection reset", 0.25),
        logging.WARNING,
        "orders: read failed: connection reset; again in 0.2 s",
    ),
    (
        PollerCrashed("orders", "KeyError: 'x'", 1.0),
        logging.ERROR,
        "orders: crashed, starts again in 1.0 s: KeyError: 'x'",
    ),
    (LoopBlocked(0.5), logging.WARNING, "the event loop stood still for 0.5 s: does a function not await?"),
    (Draining("orders", 1, 2), logging.INFO, "orders: drains; waits for 1 invocation, 2 records handed back"),
    (Drained("orders", 0, 0), logging.INFO, "orders: drained, nothing is left"),
    (
        Drained("orders", 0, 1),
        logging.WARNING,
        "orders: drained; 0 invocations cut off at the deadline, 1 finished record not settled",
    ),
]


@pytest.mark.parametrize(("event", "level", "text"), SPOKEN, ids=[type(event).__name__ for event, _, _ in SPOKEN])
def test_each_event_is_one_record_in_plain_words(log: Log, event: Event, level: int, text: str) -> None:
    log.observer.notice(event)
    [record] = log.records
    assert (record.levelno, record.getMessage()) == (level, text)
    assert record.__dict__["event"] == type(event).__name__
    assert "suppressed" not in log.labels(0)


def test_every_kind_of_event_has_its_words() -> None:
    assert {type(event) for event, _, _ in SPOKEN} == set(get_args(Event))


def test_labels_hold_names_ids_and_numbers_and_leave_none_out(log: Log) -> None:
    log.observer.notice(discarded(None))
    assert log.labels(0) == {
        "mapping": "orders",
        "condition": "RetryAttemptsExhausted",
        "request_id": "id-1",
        "partition": "shard-1",
        "records": 2,
        "attempts": 3,
    }


def test_time_of_a_loop_is_no_label(log: Log) -> None:
    log.observer.notice(LaneStalled("orders", "shard-1", "shard-1/3", "retries", 77.0))
    assert log.labels(0) == {"mapping": "orders", "partition": "shard-1", "lane": "shard-1/3", "reason": "retries"}


def test_what_a_function_said_is_no_label_and_is_cut(log: Log) -> None:
    log.observer.notice(InvocationFailed("orders", "id-1", 1, 1, "ValueError", "secret " * 1_000))
    assert "message" not in log.labels(0)
    assert len(log.messages[0]) < 400
    assert log.messages[0].endswith("…")


def test_text_with_placeholders_is_taken_as_it_is(log: Log) -> None:
    log.observer.notice(Warned("orders", "100%s of %d"))
    assert log.messages == ["orders: 100%s of %d"]


def test_repeated_event_is_said_once_a_second_and_then_says_how_many_were_left_out(log: Log) -> None:
    trouble = SourceTroubled("orders", "read", "connection reset", 0.1)
    for _ in range(5):
        log.observer.notice(trouble)
    log.now += 0.999
    log.observer.notice(trouble)
    assert len(log.records) == 1
    log.now += 0.001
    log.observer.notice(trouble)
    assert len(log.records) == 2
    assert log.labels(1)["suppressed"] == 5
    log.now += 1
    log.observer.notice(trouble)
    assert "suppressed" not in log.labels(2)


def test_kinds_and_mappings_do_not_silence_each_other(log: Log) -> None:
    log.observer.notice(PartitionGranted("orders", "shard-1"))
    log.observer.notice(PartitionGranted("bills", "shard-1"))
    log.observer.notice(PartitionLost("orders", "shard-1", "lost"))
    assert len(log.records) == 3


def test_end_of_a_trouble_is_said_even_right_after_its_beginning(log: Log) -> None:
    log.observer.notice(TargetUnavailable("orders", "throttled"))
    log.observer.notice(TargetUnavailable("orders", "reached again", over=True))
    assert [record.levelno for record in log.records] == [logging.WARNING, logging.INFO]


def test_warnings_at_start_are_all_said(log: Log) -> None:
    log.observer.notice(Warned("orders", "one"))
    log.observer.notice(Warned("orders", "two"))
    assert log.messages == ["orders: one", "orders: two"]


def test_what_nothing_followed_is_told_when_the_mapping_has_drained(log: Log) -> None:
    for _ in range(3):
        log.observer.notice(discarded(None))
        log.observer.notice(PartitionGranted("orders", "shard-1"))
        log.observer.notice(PartitionGranted("bills", "shard-1"))
    log.observer.notice(Drained("orders", 0, 0))
    assert log.labels(-1)["suppressed"] == 4
    log.observer.notice(Drained("orders", 0, 0))
    assert "suppressed" not in log.labels(-1)


def test_what_the_logger_does_not_want_is_not_logged() -> None:
    log = Log(logging.WARNING)
    log.observer.notice(PartitionGranted("orders", "shard-1"))
    log.observer.notice(Warned("orders", "one"))
    assert log.messages == ["orders: one"]
    log.close()


def test_records_go_to_the_logger_named_after_the_package(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pollers"):
        LogObserver().notice(PartitionGranted("orders", "shard-1"))
    [record] = caplog.records
    assert record.name == "pollers"
