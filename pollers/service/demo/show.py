"""How the demo looks: a live table on a terminal, JSON lines elsewhere."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table as RichTable

from pollers.testing.audit import Report

__all__ = ["Line", "Table", "verdict"]

SHOWS = {
    "orders": "standard queue, partial responses, redrive",
    "payments": "FIFO queue, 8 groups, one of them fails",
    "events": "standard queue, filtered",
    "reports": "work longer than the visibility timeout",
    "clicks": "Kinesis, 3 lanes a shard, a poison record under bisect, a split",
    "changes": "DynamoDB stream, counted in tumbling windows",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One mapping, now."""

    mapping: str
    waiting: int  # in the queue
    held: int  # read and not finished
    processed: int
    filtered: int
    failed: int  # records in failed invocations, each time
    discarded: int
    calls: int


class Table:
    """The live table. Where nobody watches, one JSON line a second."""

    def __init__(self) -> None:
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._printed = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, lines: Iterable[Line]) -> None:
        if self._live is not None:
            self._live.update(_live_table(lines), refresh=True)
        elif time.monotonic() - self._printed >= 1.0:
            self._printed = time.monotonic()
            for line in lines:
                print(json.dumps(asdict(line)), flush=True)


def _live_table(lines: Iterable[Line]) -> RichTable:
    table = RichTable(title="pollers demo", title_justify="left")
    table.add_column("mapping")
    table.add_column("shows", style="dim")
    for name in ("waiting", "held", "processed", "filtered", "failed", "discarded", "calls"):
        table.add_column(name, justify="right")
    for line in lines:
        numbers = (line.waiting, line.held, line.processed, line.filtered, line.failed, line.discarded, line.calls)
        table.add_row(line.mapping, SHOWS[line.mapping], *map(str, numbers))
    return table


def verdict(
    report: Report,
    rejected: Mapping[str, bool],
    seconds: float,
    parts: Mapping[str, Report],
    windows: tuple[int, int],
) -> None:
    """Print what the ledger says. `windows`: tumbling windows that were closed, and changes that they counted."""
    if not sys.stdout.isatty():
        print(json.dumps(_as_json(report, rejected, seconds, parts, windows)), flush=True)
        return
    table = RichTable(title="What the functions wrote down", title_justify="left")
    table.add_column("mapping")
    names = ("sent", "delivered", "filtered", "retried", "dead-lettered", "lost", "order violations", "duplicates")
    for name in names:
        table.add_column(name, justify="right")
    for mapping, part in [*parts.items(), ("all", report)]:
        if mapping == "all":
            table.add_section()
        table.add_row(mapping, *map(str, _numbers(part).values()))
    console = Console()
    console.print(table)
    for problem in (*report.lost, *report.disordered, *report.duplicates, *report.strange)[:10]:
        console.print(f"[red]{problem}")
    console.print(f"{windows[0]} tumbling windows counted {windows[1]} changes of {parts['changes'].sent}.")
    for name, yes in rejected.items():
        console.print(f"The checker {'rejects' if yes else '[red]accepts[/red]'} a ledger with {name}.")
    console.print(f"{'Sound' if report.sound else '[red]Not sound[/red]'}, after {seconds:.0f} s.")


def _numbers(report: Report) -> dict[str, int]:
    return {
        "sent": report.sent,
        "delivered": report.delivered,
        "filtered": report.filtered,
        "retried": report.retried,
        "dead_lettered": report.dead_lettered,
        "lost": len(report.lost),
        "order_violations": len(report.disordered),
        "duplicates": len(report.duplicates),
    }


def _as_json(
    report: Report,
    rejected: Mapping[str, bool],
    seconds: float,
    parts: Mapping[str, Report],
    windows: tuple[int, int],
) -> dict[str, object]:
    return {
        **_numbers(report),
        "sound": report.sound,
        "problems": [*report.lost, *report.disordered, *report.duplicates, *report.strange][:10],
        "spoilt_ledgers_rejected": dict(rejected),
        "windows": {"closed": windows[0], "counted": windows[1]},
        "seconds": round(seconds, 1),
        "mappings": {mapping: _numbers(part) for mapping, part in parts.items()},
    }
