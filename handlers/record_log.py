"""Log every record of any source: what to start with when you want to see what arrives.

Works with the events of SQS, Kinesis and DynamoDB Streams. Bodies are cut to 200 characters.

Try it: `pollers invoke handlers.record_log.handle --app-dir . --event handlers/events/record_log.json`
"""

from __future__ import annotations

import base64
import json
import logging
from typing import Any

log = logging.getLogger(__name__)
log.setLevel(logging.INFO)

LONGEST = 200  # characters


def handle(event: dict[str, Any], context: Any) -> None:
    """One line for each record, with its identity and the beginning of its content."""
    for record in event["Records"]:
        identity, content = read(record)
        log.info("%s %s: %s", record["eventSource"], identity, content[:LONGEST])


def read(record: dict[str, Any]) -> tuple[str, str]:
    """(identity, content as text) of a record of any source."""
    if "kinesis" in record:
        data = base64.b64decode(record["kinesis"]["data"])
        return record["kinesis"]["sequenceNumber"], data.decode(errors="backslashreplace")
    if "dynamodb" in record:
        return record["eventID"], json.dumps(record["dynamodb"])
    return record["messageId"], record["body"]
