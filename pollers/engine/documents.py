"""The failure document of a discarded batch. AWS: semantics 5.9, key order as recorded."""

from __future__ import annotations

from datetime import UTC, datetime

from pollers.engine.windows import window_info, window_members
from pollers.flow.batches import Discard
from pollers.flow.records import Shape
from pollers.spi import Failure, Function

__all__ = ["failure"]


def failure(discard: Discard, function: Function, shape: Shape, mapping: str) -> Failure:
    """What the destination is given, the same for each try."""
    batch = discard.batch
    parts = batch.parts
    document: dict[str, object] = {
        "requestContext": {
            "requestId": batch.request_id,
            "functionArn": f"{function.arn}:{function.version}",
            "condition": discard.condition,
            "approximateInvokeCount": discard.count,
        }
    }
    # AWS: present after any completed invocation, absent for expired records and for oversized ones of streams (5.9-4).
    if batch.answered and discard.condition == "RetryAttemptsExhausted":
        document["responseContext"] = {
            "statusCode": 200,
            "executedVersion": function.version,
            "functionError": batch.error,
        }
    elif discard.condition == "MaximumPayloadSizeExceeded":
        document["responseContext"] = None  # AWS: of Kafka (3.3-2)
    document["version"] = "1.0"
    document["timestamp"] = datetime.fromtimestamp(discard.moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    document.update(shape.failure(parts))
    window = batch.window
    if window is not None:
        document["timeWindowInfo"] = window_info(window)
    return Failure(
        document=document,
        payload=shape.event(parts, None if window is None else window_members(window)),
        keys=[shape.key(raw) for _, records in parts for raw in records],
        mapping=mapping,
        partition=parts[0][0],
    )
