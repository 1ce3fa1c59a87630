"""How the demo looks: a live table on a terminal, JSON lines elsewhere."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table as RichTable

from pollers.service.demo.judge import Verdict
from pollers.testing.audit import Report

__all__ = ["Line", "Table", "show"]

SHOWS = {
    "orders": "standard queue, partial responses, redrive",
    "payments": "FIFO queue, 8 groups, one of them fails",
    "events": "standard queue, filtered",
    "reports": "work longer than the visibility timeout",
    "clicks": "Kinesis, 3 lanes a shard, a poison record under bisect, a split",
    "changes": "DynamoDB stream, counted in tumbling windows",
    "readings": "Kafka, 3 partitions, a lane for each key, one batch of ten fails",
}


TITLES = {"dead_lettered": "dead", "order_violations": "disordered", "duplicates": "doubled"}  # shorter than the names


@dataclass(frozen=True, slots=True)
class Line:
    """One mapping, now."""

    mapping: str
    numbers: Mapping[str, int]  # by the titles of their columns


class Table:
    """The live table. Where nobody watches, one JSON line a second."""

    def __init__(self) -> None:
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._printed = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            for mapping, what in SHOWS.items():
                self._console.print(f"[bold]{mapping:9}[/bold] [dim]{what}")
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
                print(json.dumps({"mapping": line.mapping, **line.numbers}), flush=True)


def _live_table(lines: Iterable[Line]) -> RichTable:
    table = _table("As it runs")
    for line in lines:
        if len(table.columns) == 1:
            for title in line.numbers:
                table.add_column(title, justify="right")
        table.add_row(line.mapping, *map(str, line.numbers.values()))
    return table


def _table(title: str) -> RichTable:
    """An empty one, whose rows begin with a mapping. As narrow as it can be: terminals have 80 columns."""
    table = RichTable(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1))
    table.add_column("mapping")
    return table


def show(verdict: Verdict, seconds: float) -> None:
    """Print what the ledger says."""
    if sys.stdout.isatty():
        _show(verdict, seconds)
    else:
        print(json.dumps(_as_json(verdict, seconds)), flush=True)


def _show(verdict: Verdict, seconds: float) -> None:
    console = Console()
    console.print(_results(verdict))
    for problem in _problems(verdict.report):
        console.print(f"[red]{problem}")
    changes = verdict.parts["changes"].sent
    console.print(f"{len(verdict.windows)} tumbling windows counted {sum(verdict.windows)} changes of {changes}.")
    if verdict.kills:
        repeated = verdict.report.explained
        console.print(f"A process was killed; {repeated} deliveries repeat what it had not yet told a source.")
    for name, yes in verdict.rejected.items():
        console.print(f"The checker {'rejects' if yes else '[red]accepts[/red]'} a ledger with {name}.")
    console.print(f"{'Sound' if verdict.sound else '[red]Not sound[/red]'}, after {seconds:.0f} s.")


def _results(verdict: Verdict) -> RichTable:
    table = _table("What the functions wrote down")
    for name in _numbers(verdict.report):
        table.add_column(TITLES.get(name, name), justify="right")
    for mapping, part in verdict.parts.items():
        table.add_row(mapping, *map(str, _numbers(part).values()))
    table.add_section()
    table.add_row("all", *map(str, _numbers(verdict.report).values()))
    return table


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


def _problems(report: Report) -> list[str]:
    return [*report.lost, *report.disordered, *report.duplicates, *report.strange][:10]


def _as_json(verdict: Verdict, seconds: float) -> dict[str, object]:
    return {
        **_numbers(verdict.report),
        "sound": verdict.sound,
        "problems": _problems(verdict.report),
        "spoilt_ledgers_rejected": dict(verdict.rejected),
        "windows": {"closed": len(verdict.windows), "counted": sum(verdict.windows)},
        "kills": {"processes": verdict.kills, "explained_duplicates": verdict.report.explained},
        "seconds": round(seconds, 1),
        "mappings": {mapping: _numbers(part) for mapping, part in verdict.parts.items()},
    }
