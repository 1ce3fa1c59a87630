"""The configuration of the demo: a mapping for each thing that a mapping can do, as a file would have it."""

from __future__ import annotations

from typing import Any, Final

from pollers.service.demo.stage import Stage

__all__ = ["WINDOW", "configuration"]

WINDOW: Final = 2  # seconds of a tumbling window
LEASE: Final = 3.0  # seconds after which the shards of a process that was killed go to others
TIMEOUTS: Final = {"reports": 15}

_REPORTING: Final = {"function_response_types": ["ReportBatchItemFailures"]}
_FROM_THE_BEGINNING: Final = {"starting_position": "TRIM_HORIZON"}


def configuration(stage: Stage) -> dict[str, Any]:
    """The document that one process runs, and that several share."""
    mappings = [*_queues(stage), *_streams(stage), *_topics(stage)]
    return {
        "functions": {one["name"]: _function(one["name"]) for one in mappings},
        "event_source_mappings": [{"function_name": one["name"], **one} for one in mappings],
        "store": {"url": f"sqlite:///{stage.folder / 'positions.db'}", "lease": LEASE},
        "service": {"grace": 10, "ramp": 10_000},
    }


def _function(name: str) -> dict[str, Any]:
    return {"handler": f"pollers.service.demo.functions.{name}", "timeout": TIMEOUTS.get(name, 3)}


def _queues(stage: Stage) -> list[dict[str, Any]]:
    def mapping(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "event_source_arn": stage.queues[name].arn, **more}

    return [
        mapping("orders", **_REPORTING),
        mapping("payments", **_REPORTING),
        mapping("events", filter_criteria={"filters": [{"pattern": '{"body": {"kind": ["order"]}}'}]}),
        mapping("reports", batch_size=1),
    ]


def _streams(stage: Stage) -> list[dict[str, Any]]:
    clicks = {
        "name": "clicks",
        "event_source_arn": stage.stream.arn,
        "batch_size": 20,
        "parallelization_factor": 3,
        "maximum_retry_attempts": 2,
        "bisect_batch_on_function_error": True,
        "destination_config": {"on_failure": {"destination": f"file://{stage.failures}"}},
    }
    changes = {
        "name": "changes",
        "event_source_arn": stage.table.stream_arn,
        "tumbling_window_in_seconds": WINDOW,
    }
    return [{**clicks, **_FROM_THE_BEGINNING}, {**changes, **_FROM_THE_BEGINNING}]


def _topics(stage: Stage) -> list[dict[str, Any]]:
    if stage.topic is None:
        return []
    readings = {
        "name": "readings",
        "topics": [stage.topic.name],
        "self_managed_event_source": {"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": stage.topic.servers.split(",")}},
        "batch_size": 20,
        "pollers": {"lanes": "key"},
    }
    return [{**readings, **_FROM_THE_BEGINNING, **_REPORTING}]
