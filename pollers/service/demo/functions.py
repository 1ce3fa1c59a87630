"""The demo's functions as its configuration names them: each call is written down in the folder of the run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pollers.service.demo import scenario
from pollers.service.demo.witness import FOLDER, LEDGER, WINDOWS, Handler, Ledger, witnessed

__all__ = ["changes", "clicks", "events", "orders", "payments", "readings", "reports"]


@cache
def _handlers() -> Mapping[str, Handler]:
    """Made once in a process, at the first call: as in Lambda, all calls share what was made then."""
    folder = Path(os.environ[FOLDER])
    ledger = Ledger(folder / LEDGER)
    return {
        "orders": witnessed(ledger, "orders", scenario.name_of_message, scenario.orders),
        "payments": witnessed(ledger, "payments", scenario.name_of_message, scenario.payments),
        "events": witnessed(ledger, "events", scenario.name_of_message, scenario.events),
        "reports": witnessed(ledger, "reports", scenario.name_of_message, scenario.reports),
        "clicks": witnessed(ledger, "clicks", scenario.name_of_record, scenario.clicks),
        "changes": witnessed(ledger, "changes", scenario.name_of_change, scenario.Changes(folder / WINDOWS).handle),
        "readings": witnessed(ledger, "readings", scenario.name_of_reading, scenario.Readings().handle),
    }


async def orders(event: dict[str, Any], context: Any) -> Any:
    return await _handlers()["orders"](event, context)


async def payments(event: dict[str, Any], context: Any) -> Any:
    return await _handlers()["payments"](event, context)


async def events(event: dict[str, Any], context: Any) -> Any:
    return await _handlers()["events"](event, context)


async def reports(event: dict[str, Any], context: Any) -> Any:
    return await _handlers()["reports"](event, context)


async def clicks(event: dict[str, Any], context: Any) -> Any:
    return await _handlers()["clicks"](event, context)


async def changes(event: dict[str, Any], context: Any) -> Any:
    return await _handlers()["changes"](event, context)


async def readings(event: dict[str, Any], context: Any) -> Any:
    return await _handlers()["readings"](event, context)
