"""Post every message to an HTTP service, side by side, and stop in time.

An `async def` runs on the poller's own event loop, so one process serves many batches at once. What has not been
answered shortly before the function's timeout is reported as failed and comes again, instead of the whole batch.
The service's URL is the environment variable FORWARD_URL. For mappings with `ReportBatchItemFailures`, of standard
queues: the messages of a batch are posted in no order.

AWS Lambda itself calls no `async def`: there, name `lambda_handler`.

Try it, with FORWARD_URL set: `pollers invoke handlers.forward.handle --app-dir . --event handlers/events/forward.json`
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import aiohttp

log = logging.getLogger(__name__)

MARGIN = 0.5  # seconds kept for the answer


async def handle(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """Returns the identifiers of the messages that the service did not take."""
    url = os.environ["FORWARD_URL"]
    left = max(0.0, context.get_remaining_time_in_millis() / 1_000 - MARGIN)
    async with aiohttp.ClientSession() as session:
        taken = await asyncio.gather(*(post(session, url, record, left) for record in event["Records"]))
    failed = [record for record, ok in zip(event["Records"], taken, strict=True) if not ok]
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in failed]}


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """`handle` for Lambda, on a loop of its own."""
    return asyncio.run(handle(event, context))


async def post(session: aiohttp.ClientSession, url: str, record: dict[str, Any], seconds: float) -> bool:
    """Whether the service answered 2xx in time. It may see a message twice: the header tells it which one."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": record["messageId"]}
    try:
        async with asyncio.timeout(seconds), session.post(url, data=record["body"], headers=headers) as response:
            response.raise_for_status()
    except (aiohttp.ClientError, TimeoutError) as error:
        log.warning("message %s was not taken: %s", record["messageId"], error or "no answer in time")
        return False
    return True
