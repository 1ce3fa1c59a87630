"""What a reader of a valid file should know: what was accepted and does nothing, and what may surprise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pollers.config.fields import MAPPING
from pollers.config.kinds import SQS
from pollers.config.model import FunctionConfig, KafkaTerms, MappingConfig, QueueTerms
from pollers.config.sections import FUNCTION
from pollers.config.spelling import snake
from pollers.config.tables import Given, Table

__all__ = ["notices"]


def notices(
    functions: Mapping[str, FunctionConfig],
    mappings: Sequence[MappingConfig],
    given_functions: Mapping[str, Given],
    given_mappings: Sequence[Given],
    store: bool,
) -> tuple[str, ...]:
    """One line for each. `store`: whether the file has a section of that name."""
    tables = [(one, FUNCTION) for one in given_functions.values()] + [(one, MAPPING) for one in given_mappings]
    lines = [line for given, table in tables for line in _idle(given, table)]
    lines += _read_only(tables)
    lines += [line for given in given_mappings for line in _switched_off(given)]
    lines += [line for mapping in mappings for line in _limits(mapping, functions[mapping.function])]
    used = {mapping.function for mapping in mappings}
    lines += [f"functions.{name}: no mapping uses it." for name in functions if name not in used]
    lines += [line for mapping in mappings for line in _endless(mapping)]
    lines += [line for mapping in mappings for line in _in_the_open(mapping)]
    if store and all(mapping.kind == SQS for mapping in mappings):
        lines.append("store: not used: queues keep their own positions.")
    return tuple(lines)


def _idle(given: Given, table: Table) -> Iterator[str]:
    for field in table.fields:
        name = snake(field.name)
        if not given.has(name) or given.blank(name):
            continue
        if field.idle is not None:
            yield f"{given.at(name).path}: does nothing here: {field.idle}."
        elif isinstance(field.value, Table):
            yield from _idle(given.inner(name), field.value)


def _read_only(tables: Sequence[tuple[Given, Table]]) -> Iterator[str]:
    """One line for all of them, however many mappings were printed by AWS."""
    names = {
        field.name: None
        for given, table in tables
        for field in table.fields
        if field.read_only and given.has(snake(field.name))
    }
    if names:
        yield f"Reported by AWS and not used here: {', '.join(names)}."


def _switched_off(given: Given) -> Iterator[str]:
    """What AWS prints has no Enabled: that a mapping is off there shows in its State only, which counts only there."""
    if given.get("state") in ("Disabled", "Disabling") and not given.has("enabled"):
        place = given.at("state")
        yield f"{place.path}: is {given.get('state')} on AWS, and runs here. Add enabled = false if it should not."


def _limits(mapping: MappingConfig, function: FunctionConfig) -> Iterator[str]:
    if not isinstance(mapping.terms, QueueTerms):
        return
    reserved, maximum = function.reserved_concurrent_executions, mapping.terms.maximum_concurrency
    if reserved is not None and maximum is not None and maximum > reserved:
        yield (
            f"{mapping.identity}: may have {maximum} invocations at once, and its function {function.name} has only "
            f"{reserved} reserved: {reserved} counts."
        )


def _endless(mapping: MappingConfig) -> Iterator[str]:
    """AWS: with its defaults one bad record holds its shard, or its lane, until it expires at the source (5.2-10)."""
    terms = mapping.terms
    if isinstance(terms, QueueTerms):
        return
    if terms.maximum_retry_attempts is None and terms.maximum_record_age_in_seconds is None:
        what = "partition" if isinstance(terms, KafkaTerms) else "shard"
        yield (
            f"{mapping.identity}: retries without end: a record that always fails holds up its {what} until it expires "
            "there. Set maximum_retry_attempts or maximum_record_age_in_seconds, and a failure destination."
        )


def _in_the_open(mapping: MappingConfig) -> Iterator[str]:
    """Ours (12-23): a secret goes over an encrypted connection unless somebody says otherwise."""
    terms = mapping.terms
    if isinstance(terms, KafkaTerms) and not terms.tls and any(one.mechanism for one in terms.access):
        yield f"{mapping.identity}: logs in over a connection that is not encrypted: its secret can be read on the way."
