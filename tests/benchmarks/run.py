"""Runs the benchmarks: `python tests/benchmarks/run.py [--quick] [name ...]`.

Exit 0 when every bar is reached, 1 when one is missed, 3 when the machine was too noisy to tell.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib

BENCHMARKS = (
    "engine_floor",
    "sqs_noop",
    "kinesis_noop",
    "kinesis_lanes",
    "ddb_noop",
    "kafka_noop",
    "kafka_keys",
    "scale_shards",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: under a minute")
    parser.add_argument("names", nargs="*", default=BENCHMARKS, metavar="name", help=", ".join(BENCHMARKS))
    arguments = parser.parse_args()
    # As `pollers run` does: long-lived objects are not looked at again and again.
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)
    codes = []
    for name in arguments.names:
        module = importlib.import_module(name)
        codes.append(run(module.run(quick=arguments.quick)))
    return max(codes, default=0)


def run(benchmark: object) -> int:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(benchmark)  # type: ignore[arg-type]
    return uvloop.run(benchmark)  # type: ignore[arg-type,no-any-return]


if __name__ == "__main__":
    raise SystemExit(main())
