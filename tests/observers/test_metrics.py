"""Metrics: the published names, the numbers of the meters, and a port that opens and closes."""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import version
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from pollers.errors import ConfigurationError
from pollers.observers.metrics import MeterCollector, MetricsServer, registry_of, serve
from pollers.telemetry import Meter

# Published: a dashboard or an alert of somebody depends on each line. Lines are added, never changed.
PUBLISHED = {
    "pollers_records_received_total": ("counter", {"mapping", "source"}),
    "pollers_records_filtered_total": ("counter", {"mapping", "source"}),
    "pollers_records_invoked_total": ("counter", {"mapping", "source"}),
    "pollers_records_processed_total": ("counter", {"mapping", "source"}),
    "pollers_records_failed_total": ("counter", {"mapping", "source"}),
    "pollers_records_dropped_total": ("counter", {"mapping", "source"}),
    "pollers_records_returned_total": ("counter", {"mapping", "source"}),
    "pollers_records_lapsed_total": ("counter", {"mapping", "source"}),
    "pollers_gaps_total": ("counter", {"mapping", "source"}),
    "pollers_behind_seconds": ("gauge", {"mapping"}),
    "pollers_retries_total": ("counter", {"mapping"}),
    "pollers_bisects_total": ("counter", {"mapping"}),
    "pollers_dead_letters_total": ("counter", {"mapping"}),
    "pollers_delivery_failures_total": ("counter", {"mapping"}),
    "pollers_invocations_total": ("counter", {"mapping", "outcome"}),
    "pollers_invocation_duration_seconds": ("histogram", {"mapping"}),
    "pollers_batch_records": ("histogram", {"mapping"}),
    "pollers_source_requests_total": ("counter", {"source", "operation", "outcome"}),
    "pollers_inflight_records": ("gauge", {"mapping"}),
    "pollers_inflight_bytes": ("gauge", {"mapping"}),
    "pollers_concurrency_limit": ("gauge", {"mapping"}),
    "pollers_governor_waiting": ("gauge", {"mapping"}),
    "pollers_partitions_stalled": ("gauge", {"mapping"}),
    "pollers_draining": ("gauge", {"mapping"}),
    "pollers_build_info": ("gauge", {"version"}),
}


@pytest.fixture
def meter() -> Meter:
    meter = Meter("orders", "sqs")
    for number, name in enumerate(name for name in Meter.__slots__ if type(getattr(meter, name)) is int):
        setattr(meter, name, 100 + number)
    meter.draining = True
    meter.behind = 7.5
    meter.invocations["partial"] = 3
    meter.requests = {("read", "ok"): 5, ("settle", "error"): 1}
    for seconds in (0.005, 0.2, 1_000.0):
        meter.duration.observe(seconds)
    meter.batch_records.observe(10)
    return meter


def registry(*meters: Meter) -> CollectorRegistry:
    made = CollectorRegistry()
    made.register(MeterCollector(lambda: meters))
    return made


def value(made: CollectorRegistry, name: str, **labels: str) -> float | None:
    return made.get_sample_value(f"pollers_{name}", labels)


def test_exposition_is_what_was_published(meter: Meter) -> None:
    text = generate_latest(registry(meter)).decode()
    families = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        families[name] = (family.type, labels)
        assert family.documentation
    assert families == PUBLISHED


def test_no_created_series_are_exposed(meter: Meter) -> None:
    for generate in (generate_latest, generate_openmetrics):
        assert b"_created" not in generate(registry_of(lambda: [meter]))


def test_every_number_of_a_meter_is_exposed(meter: Meter) -> None:
    values = [sample.value for family in registry(meter).collect() for sample in family.samples]
    for name in Meter.__slots__:
        # Throttled invocations are among the invocations, by outcome.
        if type(getattr(meter, name)) is int and name != "throttles":
            assert values.count(getattr(meter, name)) == 1, name


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("records_received_total", "received"),
        ("records_filtered_total", "filtered"),
        ("records_invoked_total", "invoked_records"),
        ("records_processed_total", "processed"),
        ("records_failed_total", "failed_records"),
        ("records_dropped_total", "dropped"),
        ("records_returned_total", "returned"),
        ("records_lapsed_total", "lapsed"),
    ],
)
def test_record_counters_are_read_from_the_meter(meter: Meter, name: str, attribute: str) -> None:
    assert value(registry(meter), name, mapping="orders", source="sqs") == getattr(meter, attribute)


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("retries_total", "retries"),
        ("bisects_total", "bisects"),
        ("dead_letters_total", "dead_lettered"),
        ("delivery_failures_total", "delivery_failures"),
        ("inflight_records", "inflight_records"),
        ("inflight_bytes", "inflight_bytes"),
        ("concurrency_limit", "concurrency_limit"),
        ("governor_waiting", "waiting"),
        ("partitions_stalled", "stalled"),
        ("draining", "draining"),
    ],
)
def test_numbers_of_a_mapping_are_read_from_the_meter(meter: Meter, name: str, attribute: str) -> None:
    assert value(registry(meter), name, mapping="orders") == getattr(meter, attribute)


def test_invocations_are_exposed_by_outcome_also_those_that_never_happened(meter: Meter) -> None:
    made = registry(meter)
    assert value(made, "invocations_total", mapping="orders", outcome="partial") == 3
    assert value(made, "invocations_total", mapping="orders", outcome="unreachable") == 0


def test_source_requests_are_added_up_over_mappings_of_one_source(meter: Meter) -> None:
    other = Meter("bills", "sqs")
    other.requests = {("read", "ok"): 2}
    log = Meter("clicks", "kinesis")
    log.requests = {("read", "ok"): 1}
    made = registry(meter, other, log)
    assert value(made, "source_requests_total", source="sqs", operation="read", outcome="ok") == 7
    assert value(made, "source_requests_total", source="sqs", operation="settle", outcome="error") == 1
    assert value(made, "source_requests_total", source="kinesis", operation="read", outcome="ok") == 1


def test_histogram_is_cumulative_and_its_bounds_are_included(meter: Meter) -> None:
    made = registry(meter)
    buckets = {
        bound: value(made, "invocation_duration_seconds_bucket", mapping="orders", le=bound)
        for bound in ("0.005", "0.1", "0.25", "900.0", "+Inf")
    }
    assert buckets == {"0.005": 1, "0.1": 1, "0.25": 2, "900.0": 2, "+Inf": 3}
    assert value(made, "invocation_duration_seconds_count", mapping="orders") == 3
    assert value(made, "invocation_duration_seconds_sum", mapping="orders") == pytest.approx(1_000.205)
    assert value(made, "batch_records_bucket", mapping="orders", le="10.0") == 1


def test_build_info_names_the_version(meter: Meter) -> None:
    assert value(registry(meter), "build_info", version=version("pollers")) == 1


def test_numbers_are_read_at_the_scrape(meter: Meter) -> None:
    made = registry(meter)
    meter.received = 7
    assert value(made, "records_received_total", mapping="orders", source="sqs") == 7
    meter.received = 8
    assert value(made, "records_received_total", mapping="orders", source="sqs") == 8


def test_name_of_a_mapping_is_escaped_where_it_must_be() -> None:
    odd = Meter('a"b\\c\nd', "sqs")
    assert value(registry(odd), "retries_total", mapping='a"b\\c\nd') == 0
    assert b'mapping="a\\"b\\\\c\\nd"' in generate_latest(registry(odd))


# The port


@pytest.fixture
def server(meter: Meter) -> Iterator[MetricsServer]:
    opened = serve(0, registry_of(lambda: [meter]))
    yield opened
    opened.close()


def get(url: str) -> tuple[int, str]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_metrics_are_served_on_loopback_at_the_url_that_it_says(server: MetricsServer, meter: Meter) -> None:
    assert server.port > 0
    assert server.url == f"http://127.0.0.1:{server.port}/metrics"
    status, text = get(server.url)
    assert status == 200
    assert f'pollers_records_received_total{{mapping="orders",source="sqs"}} {meter.received}.0' in text
    assert "process_resident_memory_bytes" in text


def test_closed_server_leaves_neither_port_nor_thread(meter: Meter) -> None:
    before = set(threading.enumerate())
    server = serve(0, registry(meter))
    assert set(threading.enumerate()) - before
    server.close()
    server.close()
    assert not set(threading.enumerate()) - before
    with pytest.raises(ConnectionRefusedError):
        get(server.url)


def test_port_in_use_is_refused_with_a_remedy(server: MetricsServer, meter: Meter) -> None:
    with pytest.raises(ConfigurationError) as refused:
        serve(server.port, registry(meter))
    assert str(refused.value) == (
        f"metrics_port: 127.0.0.1:{server.port} cannot be listened on: Address already in use. "
        "Name another port (0 picks a free one), or a host that is an address of this machine."
    )


def test_url_of_an_ipv6_address_has_brackets(server: MetricsServer) -> None:
    assert MetricsServer("::1", 9090, server._server, server._thread).url == "http://[::1]:9090/metrics"


def test_logging_does_not_import_the_metrics_library() -> None:
    program = "import sys, pollers.observers.log, pollers.telemetry; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
