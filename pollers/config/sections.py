"""The fields of a function (AWS: Lambda's function configuration), of the sections that are ours, and of the file."""

from __future__ import annotations

from typing import Final

from pollers.config.fields import MAPPING
from pollers.config.idle import IDLE_FUNCTION_FIELDS
from pollers.config.options import FUNCTION_OPTIONS
from pollers.config.scalars import Number, Text, Whole
from pollers.config.tables import Field, Table
from pollers.config.values import Named, Several

__all__ = ["FILE", "FUNCTION", "FUNCTION_ARN", "SERVICE", "STORE"]

FUNCTION_ARN: Final = (
    r"arn:aws[a-zA-Z-]*:lambda:[a-z]+(-[a-z]+)+-\d:\d{12}:function:[a-zA-Z0-9_-]+(:(\$LATEST|[a-zA-Z0-9_-]+))?"
)
_TABLE: Final = r"([a-zA-Z0-9_.-]|\{mapping\})+"  # a name, with the mapping's in it
_NAME: Final = r"[^\W\d]\w*"
_HANDLER: Final = rf"{_NAME}([./]{_NAME})*\.{_NAME}|{_NAME}(\.{_NAME})*:{_NAME}(\.{_NAME})*"
_ENVIRONMENT = Table(
    "Environment",
    Field(
        "Variables",
        Named(Text(secret=True, form="the value"), "[a-zA-Z][a-zA-Z0-9_]+", "letters, digits and _, a letter first"),
        "Names and values; the function needs processes of its own for them.",
    ),
)

FUNCTION: Final = Table(
    "Function",
    Field(
        "Handler",
        Text(1, 128, _HANDLER, "module.function, such as app.handle"),
        "The function to import: module.function, as Lambda has it, or module:function.",
    ),
    Field("url", Text(1, 2_048), "Where to POST events to, in place of a handler."),
    Field(
        "arn", Text(1, 140, FUNCTION_ARN, "a Lambda function's ARN"), "A real Lambda function, in place of a handler."
    ),
    Field("FunctionName", Text(1, 140), "The name under `functions` once more, as AWS prints it."),
    Field("Timeout", Whole(1, 900), "Seconds of one invocation.", 3),
    Field("MemorySize", Whole(128, 32_768), "MiB, as the context tells the function; not enforced.", 128),
    Field(
        "ReservedConcurrentExecutions",
        Whole(1),
        "Invocations at once of this function at most, over all of its mappings.",
    ),
    Field("Environment", _ENVIRONMENT, "Environment variables of a handler that runs in processes."),
    Field("pollers", FUNCTION_OPTIONS, "Our own options, which AWS does not have."),
    *IDLE_FUNCTION_FIELDS,
)
STORE: Final = Table(
    "Store",
    Field(
        "Url",
        Text(
            1,
            2_048,
            rf"sqlite:///.+|memory:|dynamodb://{_TABLE}(\?region=[a-z0-9-]+)?",
            "sqlite:///path, with four slashes for an absolute path, dynamodb://table, or memory:",
        ),
        "Where positions of streams are kept; by default <this file>.state.db beside it. Queues need none. "
        "dynamodb://table is a lease table of the Kinesis Client Library, for one mapping; with several of streams, "
        "dynamodb://table-{mapping} names one for each. ?region=REGION names another region than the configured one.",
    ),
    Field(
        "Lease",
        Number(2, 300),
        "Seconds without a sign of life after which the shards of a worker belong to the others.",
        10.0,
    ),
    ours=True,
)
SERVICE: Final = Table(
    "Service",
    Field("Concurrency", Whole(1, 1_000_000), "Invocations at once over all mappings (Lambda's account limit).", 1_000),
    Field(
        "Ramp", Whole(1, 1_000_000), "More batches at once per minute and standard queue, while a backlog lasts.", 300
    ),
    Field("Grace", Number(0, 86_400), "Seconds that a drain waits for invocations to end.", 30.0),
    Field(
        "MetricsPort", Whole(0, 65_535), "A port for health and metrics, 0: any free one; by default none is opened."
    ),
    Field("MetricsHost", Text(1, 255), "The address that the port is opened on.", "127.0.0.1"),
    ours=True,
)
FILE: Final = Table(
    "File",
    Field("Functions", Named(FUNCTION, "[a-zA-Z0-9_-]{1,64}", "up to 64 letters, digits, - and _"), "By name."),
    Field("EventSourceMappings", Several(MAPPING), "One for each source and function."),
    Field("Store", STORE, "Where positions are kept."),
    Field("Service", SERVICE, "Limits of the whole process."),
    Field("$schema", Text(), "The JSON Schema of this file, for editors."),
    ours=True,
)
