"""Process a batch of SQS messages one by one, and report the ones that failed.

For mappings with `function_response_types = ["ReportBatchItemFailures"]`: messages that are not reported are deleted,
reported ones come again. In a FIFO queue a message group stops at its first failure, and the rest of that group is
reported with it; otherwise later messages of the group would be deleted and overtake it. The groups of a standard queue
share it fairly and have no order: there nothing stops.

Try it: `pollers invoke handlers.partial.handle --app-dir . --event handlers/events/partial.json`
"""

from __future__ import annotations

import json
import logging
from typing import Any

log = logging.getLogger(__name__)


def handle(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """Returns the identifiers of the messages that failed."""
    failures: list[dict[str, str]] = []
    stopped: set[str] = set()  # message groups
    for record in event["Records"]:
        ordered = record["eventSourceARN"].endswith(".fifo")
        group = record["attributes"]["MessageGroupId"] if ordered else None
        try:
            if group in stopped:
                raise RuntimeError(f"an earlier message of group {group} failed")
            process(json.loads(record["body"]))
        except Exception:
            log.exception("message %s failed", record["messageId"])
            failures.append({"itemIdentifier": record["messageId"]})
            if group is not None:
                stopped.add(group)
    return {"batchItemFailures": failures}


def process(order: dict[str, Any]) -> None:
    """Your work with one message. Raising makes it come again."""
    if order["quantity"] <= 0:
        raise ValueError(f"order {order['id']} has no quantity")
    log.info("order %s: %s pieces", order["id"], order["quantity"])
