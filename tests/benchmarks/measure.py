"""Takes variants in turn within one run and compares their medians: absolute figures drift, ratios hold."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

__all__ = ["Row", "compare", "report"]

RELIABLE = (0.9, 1.1)  # the base against itself; outside, the machine was too noisy for the run to count


@dataclass(frozen=True, slots=True)
class Row:
    """One variant against the base. Ratios above 1 mean: better than the base."""

    name: str
    ratio: float  # median
    low: float  # first quartile
    high: float  # third quartile
    figure: float  # median, in the benchmark's unit
    bar: float | None = None  # what the ratio must reach

    @property
    def passed(self) -> bool:
        return self.bar is None or self.ratio >= self.bar


async def compare(
    variants: Mapping[str, Callable[[], Awaitable[float]]], base: str, rounds: int, bars: Mapping[str, float]
) -> list[Row]:
    """Run every variant once a round, the base twice; each returns its figure, more is better."""
    figures: dict[str, list[float]] = {name: [] for name in [*variants, f"{base} again"]}
    for number in range(rounds + 1):
        for name in figures:
            figure = await variants[name.removesuffix(" again")]()
            if number:  # the first round warms up
                figures[name].append(figure)
    rows = []
    for name, values in figures.items():
        ratios = [value / reference for value, reference in zip(values, figures[base], strict=True)]
        low, ratio, high = quartiles(ratios)
        rows.append(Row(name, ratio, low, high, statistics.median(values), bars.get(name)))
    return rows


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def report(benchmark: str, unit: str, rows: Sequence[Row]) -> int:
    """Print a table and one JSON line; 0 when every bar is reached, 1 when not, 3 when the run is unreliable."""
    print(f"\n{benchmark}  (figures: {unit})")
    for row in rows:
        bar = "" if row.bar is None else f"   bar {row.bar:g}: {'reached' if row.passed else 'MISSED'}"
        print(f"  {row.name:28} {row.ratio:6.2f}x  [{row.low:.2f} .. {row.high:.2f}]  {row.figure:12,.0f}{bar}")
    again = next((row for row in rows if row.name.endswith(" again")), None)
    reliable = again is None or RELIABLE[0] <= again.ratio <= RELIABLE[1]
    if not reliable:
        print("  unreliable: the base against itself is outside 0.9 to 1.1")
    line = {
        "benchmark": benchmark,
        "unit": unit,
        "rows": {row.name: [round(figure, 4) for figure in (row.ratio, row.low, row.high, row.figure)] for row in rows},
        "reliable": reliable,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("pollers", "aiobotocore", "botocore", "aiohttp", "uvloop")},
    }
    print(json.dumps(line))
    if not reliable:
        return 3
    return int(not all(row.passed for row in rows))
