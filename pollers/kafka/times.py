"""Timestamps of records: whatever a producer wrote, documents can print it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["printed"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FIRST: Final = -62_135_596_800_000  # milliseconds since the epoch: the year 1 begins
LAST: Final = 253_402_300_799_999  # and the year 9999 ends


def printed(milliseconds: int) -> str:
    """As failure documents have it: milliseconds, UTC, "Z"; what is no date, as the nearest one."""
    moment = EPOCH + timedelta(milliseconds=min(max(milliseconds, FIRST), LAST))
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
