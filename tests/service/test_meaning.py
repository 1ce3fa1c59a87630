"""What `pollers invoke` says an answer would mean to a mapping."""

from __future__ import annotations

from typing import Any

import pytest

from pollers.flow.records import Aborted, Failed, Outcome, Returned, Throttled, Unreachable
from pollers.service.invoke import meaning

SQS = {"Records": [{"messageId": one, "body": ""} for one in "abc"]}
ONE = {"Records": [{"messageId": "a", "body": ""}]}
KINESIS = {"Records": [{"kinesis": {"sequenceNumber": one}} for one in ("1", "2")]}
DYNAMODB = {"Records": [{"dynamodb": {"SequenceNumber": one}} for one in ("1", "2")]}
KAFKA = {"records": {"orders-0": [{"offset": 7}, {"offset": 8}], "orders-1": [{"offset": 7}]}}
OTHER = {"key": "value"}


def report(*identifiers: str) -> Returned:
    return Returned({"batchItemFailures": [{"itemIdentifier": one} for one in identifiers]})


@pytest.mark.parametrize(
    ("event", "outcome", "text"),
    [
        (SQS, Returned(None), "3 of 3 records processed."),
        (SQS, report(), "3 of 3 records processed."),
        (ONE, Returned({}), "1 of 1 record processed."),
        (
            SQS,
            report("a", "c"),
            "2 of 3 records reported as failed, under ReportBatchItemFailures. "
            "Without it nobody reads the answer, and all 3 records would be done.",
        ),
        (KINESIS, report("2"), "1 of 2 records reported as failed, under ReportBatchItemFailures."),
        (DYNAMODB, report("1"), "1 of 2 records reported as failed, under ReportBatchItemFailures."),
        (KAFKA, Returned(None), "3 of 3 records processed."),
        (
            KAFKA,
            Returned({"batchItemFailures": [{"itemIdentifier": {"partition": "orders-1", "offset": 7}}]}),
            "1 of 3 records reported as failed, under ReportBatchItemFailures.",
        ),
        (
            KAFKA,
            Returned({"batchItemFailures": [{"itemIdentifier": {"partition": "orders-1", "offset": 8}}]}),
            "All 3 records failed, under ReportBatchItemFailures: batchItemFailures names",
        ),
        (
            SQS,
            report("z"),
            "All 3 records failed, under ReportBatchItemFailures: batchItemFailures names z, which is not in "
            "the batch. "
            "Without it nobody reads the answer, and all 3 records would be done.",
        ),
        (ONE, Returned("done"), "The record failed, under ReportBatchItemFailures: the answer is a JSON string"),
        (
            SQS,
            Returned(unreadable="it is HTML"),
            "All 3 records failed, under ReportBatchItemFailures: the answer is not JSON (it is HTML).",
        ),
        (OTHER, Returned(unreadable="it is HTML"), "The answer is not JSON (it is HTML)."),
        (OTHER, Returned(5), "The function returned."),
        (SQS, Failed("KeyError", "'id'"), "The function failed: KeyError: 'id'. A mapping would try all 3 records"),
        (ONE, Failed("KeyError", ""), "The function failed: KeyError. A mapping would try the record again."),
        (OTHER, Failed("KeyError", "'id'"), "The function failed: KeyError: 'id'."),
        (SQS, Throttled(), "The function was not called: it is throttled."),
        (SQS, Unreachable("refused"), "The function was not reached: refused. A mapping would try again"),
        (SQS, Aborted(), "The call was ended before the function had answered."),
    ],
)
def test_answer_is_put_into_a_sentence(event: dict[str, Any], outcome: Outcome, text: str) -> None:
    assert meaning(event, outcome).startswith(text)


@pytest.mark.parametrize("records", [None, 5, "ab", {}, [1], [None]])
def test_event_without_records_is_an_event_too(records: object) -> None:
    assert meaning({"Records": records}, Returned(None)) == "The function returned."
