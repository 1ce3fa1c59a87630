"""Meters as Prometheus metrics: plain integers, read when somebody scrapes. Nothing is counted here.

Label values come from the configuration or from fixed sets, never from records, so the number of series is bounded
by the number of mappings. This is the only module that imports prometheus_client: it costs time that only a service
with a metrics port should spend.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from itertools import accumulate
from typing import Final
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from pollers.errors import ConfigurationError, Problem
from pollers.telemetry import Histogram, Meter

__all__ = ["MeterCollector", "MetricsServer", "registry_of", "serve"]

# Name without the prefix, Meter's attribute, help; a name is never changed once it is published.
COUNTERS: Final = (
    ("records_received_total", "received", "Records read from the source."),
    ("records_filtered_total", "filtered", "Records that no filter let pass."),
    ("records_invoked_total", "invoked_records", "Records handed to the function, every retry again."),
    ("records_processed_total", "processed", "Records whose function succeeded."),
    ("records_failed_total", "failed_records", "Records in failed or partly failed invocations, every retry again."),
    ("records_dropped_total", "dropped", "Records given up and kept nowhere."),
    ("records_returned_total", "returned", "Records given back to the source unstarted."),
    ("records_lapsed_total", "lapsed", "Records that stopped being ours while they were held."),
    ("gaps_total", "gaps", "Times that records were gone before they could be read."),
)
BATCH_COUNTERS: Final = (
    ("retries_total", "retries", "Batches tried again."),
    ("bisects_total", "bisects", "Batches cut in two."),
    ("dead_letters_total", "dead_lettered", "Records whose failure document was delivered."),
    ("delivery_failures_total", "delivery_failures", "Failure documents that a destination did not take, each try."),
)
GAUGES: Final = (
    ("inflight_records", "inflight_records", "Records read and not finished."),
    ("inflight_bytes", "inflight_bytes", "Bytes of the records read and not finished."),
    ("concurrency_limit", "concurrency_limit", "Invocations that the mapping may have at once, now."),
    ("governor_waiting", "waiting", "Whether a batch waits for a permit: 0 or 1."),
    ("partitions_stalled", "stalled", "Partitions that stopped reading because a lane does not get on."),
    ("draining", "draining", "Whether the mapping drains: 0 or 1."),
)
HISTOGRAMS: Final = (
    ("invocation_duration_seconds", "duration", "How long invocations took."),
    ("batch_records", "batch_records", "Records per invocation."),
)


class MeterCollector(Collector):
    """Reads the meters of all mappings at each scrape.

    `meters` is called in the thread that answers the scrape; it must do no more than read. Mappings keep their series
    as long as `meters` brings them.
    """

    def __init__(self, meters: Callable[[], Iterable[Meter]]) -> None:
        self._meters = meters

    def collect(self) -> Iterator[Metric]:
        """Every family, with a series per mapping (and outcome) that exists."""
        meters = list(self._meters())
        yield from _counters(meters)
        yield _behind(meters)
        yield _invocations(meters)
        yield _source_requests(meters)
        for name, attribute, text in GAUGES:
            gauge = GaugeMetricFamily(f"pollers_{name}", text, labels=["mapping"])
            for meter in meters:
                gauge.add_metric([meter.mapping], float(getattr(meter, attribute)))
            yield gauge
        for name, attribute, text in HISTOGRAMS:
            yield _histogram(name, text, [(meter.mapping, getattr(meter, attribute)) for meter in meters])
        yield _build()


def _counters(meters: list[Meter]) -> Iterator[Metric]:
    for name, attribute, text in COUNTERS:
        family = CounterMetricFamily(f"pollers_{name}", text, labels=["mapping", "source"])
        for meter in meters:
            family.add_metric([meter.mapping, meter.source], getattr(meter, attribute))
        yield family
    for name, attribute, text in BATCH_COUNTERS:
        family = CounterMetricFamily(f"pollers_{name}", text, labels=["mapping"])
        for meter in meters:
            family.add_metric([meter.mapping], getattr(meter, attribute))
        yield family


def _behind(meters: list[Meter]) -> Metric:
    text = "How far the mapping's last partition is behind the newest record; 0 when it has caught up."
    family = GaugeMetricFamily("pollers_behind_seconds", text, labels=["mapping"])
    for meter in meters:
        if meter.behind is not None:  # queues do not say
            family.add_metric([meter.mapping], meter.behind)
    return family


def _invocations(meters: list[Meter]) -> Metric:
    family = CounterMetricFamily("pollers_invocations_total", "Answered invocations.", labels=["mapping", "outcome"])
    for meter in meters:
        for outcome, count in dict(meter.invocations).items():
            family.add_metric([meter.mapping, outcome], count)
    return family


def _source_requests(meters: list[Meter]) -> Metric:
    """By kind of source, mappings added up: what one costs a service is of interest, not who asked."""
    totals: Counter[tuple[str, str, str]] = Counter()
    for meter in meters:
        for (operation, outcome), count in dict(meter.requests).items():  # a copy: the event loop goes on counting
            totals[meter.source, operation, outcome] += count
    family = CounterMetricFamily(
        "pollers_source_requests_total", "Calls of a source's service.", labels=["source", "operation", "outcome"]
    )
    for labels, count in totals.items():
        family.add_metric(labels, count)
    return family


def _histogram(name: str, text: str, histograms: list[tuple[str, Histogram]]) -> Metric:
    family = HistogramMetricFamily(f"pollers_{name}", text, labels=["mapping"])
    for mapping, histogram in histograms:
        counts = accumulate(list(histogram.counts))
        bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
        family.add_metric([mapping], list(zip(bounds, counts, strict=True)), histogram.total)
    return family


def _build() -> Metric:
    family = GaugeMetricFamily("pollers_build_info", "Always 1; the version is a label.", labels=["version"])
    family.add_metric([version("pollers")], 1.0)
    return family


def registry_of(meters: Callable[[], Iterable[Meter]]) -> CollectorRegistry:
    """A registry of its own with the meters and the process's memory, CPU time and open files."""
    registry = CollectorRegistry()
    registry.register(MeterCollector(meters))
    ProcessCollector(registry=registry)
    return registry


@dataclass(frozen=True, slots=True)
class MetricsServer:
    """A listening socket with metrics at `/metrics`, served from threads of its own."""

    host: str
    port: int  # the one that was picked where 0 was asked for
    _server: WSGIServer
    _thread: threading.Thread

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/metrics"

    def close(self) -> None:
        """Stop listening. Waits up to half a second for the thread to notice; may be called twice."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(port: int, registry: CollectorRegistry, host: str = "127.0.0.1") -> MetricsServer:
    """Serve the registry until closed; it listens when this returns. Port 0 picks a free one.

    Loopback by default: nobody is surprised by an open port. A container whose metrics are scraped from outside says
    "0.0.0.0" or "::". Raises ConfigurationError where the address cannot be listened on.
    """
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        reason = f"{host}:{port} cannot be listened on: {error.strerror or error}."
        remedy = "Name another port (0 picks a free one), or a host that is an address of this machine."
        raise ConfigurationError([Problem("metrics_port", reason, remedy)]) from error
    return MetricsServer(host, server.server_port, server, thread)
