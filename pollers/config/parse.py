"""From a file, or command line flags, to a `Configuration`; or to one error that names every fault."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pollers.config.functions import read_function
from pollers.config.mappings import Mappings
from pollers.config.model import Configuration, FunctionConfig, ServiceConfig, StoreConfig
from pollers.config.notices import notices
from pollers.config.place import Place
from pollers.config.read import read_document
from pollers.config.sections import FILE, FUNCTION
from pollers.config.spelling import printable
from pollers.config.stores import check_tables
from pollers.config.tables import Given
from pollers.errors import ConfigurationError, Problem

__all__ = ["bare_function", "from_flags", "in_file", "load", "parse"]

_FLAGS: Final = {
    "event_source_arn": "--event-source-arn",
    "handler": "--handler",
    "starting_position": "--starting-position",
}


def load(path: Path | str) -> Configuration:
    """What a TOML, YAML or JSON file says. Raises `ConfigurationError` with every fault found."""
    path = Path(path)
    document = read_document(path)
    try:
        return parse(document, path)
    except ConfigurationError as error:
        raise in_file(error, path) from None


def in_file(error: ConfigurationError, path: Path | None) -> ConfigurationError:
    """The same error, with the file in front of each path; `path` None: as it is."""
    if path is None:
        return error
    file = printable(str(path))
    return ConfigurationError(
        [
            Problem(f"{file}: {problem.path}" if problem.path else file, problem.message, problem.remedy)
            for problem in error.problems
        ]
    )


def from_flags(event_source_arn: str, handler: str, starting_position: str | None = None) -> Configuration:
    """A function and its one mapping, without a file. Raises `ConfigurationError`, whose paths are the flags."""
    name = _name(handler)
    mapping = {"event_source_arn": event_source_arn, "function_name": name}
    if starting_position is not None:
        mapping["starting_position"] = starting_position
    document = {"functions": {name: {"handler": handler}}, "event_source_mappings": [mapping]}
    try:
        return parse(document)
    except ConfigurationError as error:
        raise ConfigurationError(
            [Problem(_flag(problem.path), problem.message, problem.remedy) for problem in error.problems]
        ) from None


def _flag(path: str) -> str:
    return _FLAGS.get(path.rpartition(".")[2], _FLAGS["event_source_arn"])


def parse(document: Mapping[str, Any], path: Path | None = None) -> Configuration:
    """What a document says. Raises `ConfigurationError` with every fault found, each at its path in the document."""
    place = Place()
    given = FILE.read(document, place)
    given_functions: dict[str, Given] = given.get("functions") or {}
    given_mappings = [one for one in given.get("event_source_mappings") or () if isinstance(one, Given)]
    functions = {name: read_function(name, one) for name, one in given_functions.items()}
    mappings = Mappings(_names(document))
    for one in given_mappings:
        mappings.add(one)
    if given.blank("event_source_mappings") or not given.has("event_source_mappings"):
        given.at("event_source_mappings").fault("there is no mapping to run.", "Add [[event_source_mappings]].")
    store = _store(given.inner("store"))
    check_tables(store, mappings.read, given.inner("store").at("url"))
    if place.problems:
        raise ConfigurationError(place.problems)
    return Configuration(
        functions=functions,
        mappings=tuple(mappings.read),
        store=store,
        service=_service(given.inner("service")),
        notices=notices(functions, mappings.read, given_functions, given_mappings, given.has("store")),
        path=path,
    )


def _names(document: Mapping[str, Any]) -> list[str]:
    """The functions that are written, faulty or not: a faulty one does exist."""
    written = (document.get(spelling) for spelling in FILE.field("functions").spellings)
    return [name for table in written if isinstance(table, dict) for name in table if isinstance(name, str)]


def _store(given: Given) -> StoreConfig:
    lease = given.get("lease")
    return StoreConfig(given.get("url")) if lease is None else StoreConfig(given.get("url"), lease)


def _service(given: Given) -> ServiceConfig:
    return ServiceConfig(
        concurrency=given.get("concurrency"),
        ramp=given.get("ramp"),
        grace=given.get("grace"),
        metrics_port=given.get("metrics_port"),
        metrics_host=given.get("metrics_host"),
    )


def bare_function(handler: str) -> FunctionConfig:
    """A function that is configured nowhere, with Lambda's defaults. Raises `ConfigurationError`."""
    place = Place("the function")
    given = FUNCTION.read({"handler": handler}, place)
    if place.problems:
        raise ConfigurationError([Problem(printable(handler), one.message, one.remedy) for one in place.problems])
    return read_function(_name(handler), given)


def _name(handler: str) -> str:
    """A function's name made of the last part of its path."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", re.split(r"[.:]", handler)[-1])[:64] or "function"
