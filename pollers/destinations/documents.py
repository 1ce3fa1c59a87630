"""A failure document as JSON text: the forms that destinations keep."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from pollers.kafka.times import printed
from pollers.spi import Failure

__all__ = ["of_each_record", "with_payload", "without_payload"]

_encode = msgspec.json.Encoder().encode


def without_payload(failure: Failure) -> bytes:
    """The document alone: records are read again at their source. AWS: to SQS and SNS (5.9-3)."""
    return _json(failure.document)


def with_payload(failure: Failure) -> bytes:
    """The document and, as a JSON string under "payload", the event. AWS: to S3 (5.9-7); ours: its form (12-4)."""
    return _json({**failure.document, "payload": _json(failure.payload).decode()})


def of_each_record(failure: Failure) -> Iterator[bytes]:
    """A document for each record of a batch of Kafka, with the event as if it were alone. AWS: to topics (5.9-9)."""
    batch = {name: value for name, value in failure.document["KafkaBatchInfo"].items() if name != "recordsInfo"}
    for partition, records in failure.payload["records"].items():
        for record in records:
            about = {"offset": str(record["offset"]), "timestamp": printed(record["timestamp"])}
            document = {**failure.document, "KafkaBatchInfo": {**batch, "recordInfo": about}}
            event = {**failure.payload, "records": {partition: [record]}}
            yield with_payload(replace(failure, document=document, payload=event))


def _json(value: Mapping[str, Any]) -> bytes:
    try:
        return _encode(value)
    except UnicodeEncodeError:
        # Half a surrogate pair, from a record that nobody can encode as UTF-8: escaped, it is JSON all the same.
        return json.dumps(value, separators=(",", ":")).encode("ascii")
