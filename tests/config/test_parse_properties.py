"""Whatever a file holds, it is read or refused, and its schema agrees."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pollers.config.fields import MAPPING
from pollers.config.parse import parse
from pollers.config.read import read_document
from pollers.config.schema import json_schema
from pollers.config.sections import FILE, FUNCTION
from pollers.config.tables import Table
from pollers.errors import ConfigurationError, Problem

SCHEMA = jsonschema.Draft202012Validator(json_schema())

WORDS = st.sampled_from(
    ["", "orders", "app.handle", "LATEST", "arn:aws:sqs:eu-west-1:123456789012:orders", "{}", "\x1b"]
)
SCALARS = st.none() | st.booleans() | st.integers(-2, 20_000) | st.floats(allow_nan=False) | WORDS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=6
)


def names(table: Table) -> list[str]:
    return [spelling for field in table.fields for spelling in field.spellings]


def tables(table: Table) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names(table)) | WORDS, VALUES, max_size=4)


SOUND: dict[str, Any] = {
    "batch_size": 10,
    "MaximumBatchingWindowInSeconds": 5,
    "filter_criteria": {"filter": [{"Pattern": '{"body": ["x"]}'}]},
    "Enabled": False,
    "function_response_types": ["ReportBatchItemFailures"],
    "ScalingConfig": {"maximum_concurrency": 2},
    "DestinationConfig": {"OnFailure": {}},
    "pollers": {"weight": 2, "heartbeat": False},
    "Tags": {"a": "b"},
    "State": "Enabled",
    "name": "mine",
}
MAPPINGS = st.builds(
    lambda sound, fields: {
        "function_name": "orders",
        "event_source_arn": "arn:aws:sqs:eu-west-1:123456789012:orders",
        **{name: SOUND[name] for name in sound},
        **fields,
    },
    st.sets(st.sampled_from(sorted(SOUND))),
    st.just({}) | tables(MAPPING),
)
DOCUMENTS = (st.just({}) | tables(FILE)).flatmap(
    lambda sections: st.fixed_dictionaries(
        {
            "functions": st.fixed_dictionaries(
                {"orders": (st.just({}) | tables(FUNCTION)).map(lambda f: {"handler": "app.f"} | f)}
            ),
            "event_source_mappings": st.lists(MAPPINGS, min_size=1, max_size=2),
        }
    ).map(lambda document: sections | document)
)


def faults(read: Callable[[], object]) -> tuple[Problem, ...]:
    """What is refused; nothing where all is well. Any other error passes."""
    try:
        read()
    except ConfigurationError as error:
        return error.problems
    return ()


@given(DOCUMENTS)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_document_is_read_or_refused_and_what_is_read_satisfies_the_schema(document: dict[str, Any]) -> None:
    problems = faults(lambda: parse(document))

    assert all(problem.remedy and str(problem).isprintable() for problem in problems)
    if not problems:
        SCHEMA.validate(document)


@given(st.sampled_from(["x.toml", "x.yaml", "x.json"]), st.text(max_size=60) | VALUES.map(json.dumps))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
def test_file_is_read_or_refused_whatever_is_in_it(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8", "surrogatepass"))

    problems = faults(lambda: read_document(path))

    assert len(problems) <= 1
    assert all(problem.remedy and problem.path.startswith(str(path)) for problem in problems)
