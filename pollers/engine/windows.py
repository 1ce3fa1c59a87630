"""What an event and a failure document say of a tumbling window. AWS: semantics 7-1, 5.9-6."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from pollers.flow.windows import WindowCall

__all__ = ["window_info", "window_members"]


def window_members(call: WindowCall) -> dict[str, Any]:
    """As `Shape.event` wants them, new at each call: the event, state included, is the function's own."""
    return {"state": msgspec.json.decode(call.state), **window_info(call)}


def window_info(call: WindowCall) -> dict[str, Any]:
    """The same without the state."""
    return {
        "window": {"start": _timestamp(call.start), "end": _timestamp(call.end)},
        "isFinalInvokeForWindow": call.final,
        "isWindowTerminatedEarly": call.early,
    }


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
