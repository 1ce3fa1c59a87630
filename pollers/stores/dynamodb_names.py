"""What the tables of a mapping are called."""

from __future__ import annotations

import re
from typing import Final

from pollers.errors import ConfigurationError, Problem

__all__ = ["BESIDE", "MAPPING", "table_of"]

MAPPING: Final = "{mapping}"  # in a table's name: the mapping's own
BESIDE: Final = "-Pollers"  # added to it: the name of the table beside it


def table_of(template: str, mapping: str) -> str:
    """The name of a mapping's table. Raises `ConfigurationError` where DynamoDB has no table of such a name."""
    name = template.replace(MAPPING, mapping)
    if re.fullmatch(r"[A-Za-z0-9_.-]{3,247}", name):  # AWS: 255, of which the table beside it needs eight
        return name
    message = f"no table can be called {name}: 3 to 247 letters, digits and _ . - are allowed."
    raise ConfigurationError([Problem("store.url", message, "Give the table, or the mapping, another name.")])
