"""What `[store] url` may be, beyond what a pattern can say, and what it names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pollers.config.kinds import STREAMS
from pollers.config.model import Configuration, MappingConfig, StoreConfig
from pollers.config.place import Place
from pollers.errors import ConfigurationError
from pollers.stores.dynamodb_names import MAPPING, table_of

__all__ = ["MEMORY", "check_tables", "store_path", "store_table"]

MEMORY: Final = "memory:"
_SQLITE: Final = "sqlite:///"
_DYNAMODB: Final = "dynamodb://"
_REGION: Final = "?region="


def store_path(configuration: Configuration) -> Path | None:
    """The SQLite file: the one that is named, else `<file>.state.db` beside the file; None: there is none."""
    url = configuration.store.url
    if url is not None:
        return Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None
    if configuration.path is not None:
        return configuration.path.with_suffix(configuration.path.suffix + ".state.db")
    return Path("pollers.state.db")


def store_table(store: StoreConfig) -> tuple[str, str | None] | None:
    """The table of DynamoDB, and its region where the URL says one; None: it is none."""
    if store.url is None or not store.url.startswith(_DYNAMODB):
        return None
    table, _, region = store.url.removeprefix(_DYNAMODB).partition(_REGION)
    return table, region or None


def check_tables(store: StoreConfig, mappings: Sequence[MappingConfig], place: Place) -> None:
    """Each mapping of a stream needs a lease table of its own, as each application of the library has. Collects faults.

    `place`: of the URL.
    """
    named = store_table(store)
    if named is None:
        return
    table = named[0]
    streams = [mapping.identity for mapping in mappings if mapping.kind in STREAMS]
    if len(streams) > 1 and MAPPING not in table:
        message = f"{' and '.join(streams)} would have the leases of their shards in one table, {table}."
        place.fault(message, f"Give each a table of its own, as in dynamodb://{table}-{MAPPING}.")
        return
    for mapping in streams:
        try:
            table_of(table, mapping)
        except ConfigurationError as error:
            for problem in error.problems:
                place.fault(problem.message, problem.remedy)
