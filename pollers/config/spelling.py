"""How names are written: AWS's own, snake_case of them, Terraform's exceptions; and what a misspelt one may mean."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Final

__all__ = ["TERRAFORM", "escaped", "nearest", "printable", "shown", "snake"]

TERRAFORM: Final = {
    # Terraform's name -> AWS's, where snake_case does not lead from one to the other.
    "arn": "EventSourceMappingArn",
    "destination_arn": "Destination",
    "filter": "Filters",
    "source_access_configuration": "SourceAccessConfigurations",
    "tags_all": "Tags",
}

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LONGEST = 80  # characters of a value that a message repeats


def snake(name: str) -> str:
    """`MaximumBatchingWindowInSeconds` as maximum_batching_window_in_seconds, `KMSKeyArn` as kms_key_arn."""
    return _HUMP.sub("_", name).lower()


def nearest(written: str, known: Iterable[str]) -> str | None:
    """The known name that `written` was most likely meant to be."""
    flat: dict[str, str] = {}
    for name in known:
        flat.setdefault(_flat(name), name)
    found = difflib.get_close_matches(_flat(written), flat, n=1, cutoff=0.6)
    return flat[found[0]] if found else None


def _flat(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def escaped(text: str) -> str:
    """`text` with control characters escaped: safe to print on a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def printable(text: str) -> str:
    """The same, cut where it gets long: for values of a file that a message repeats."""
    return escaped(text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…")


def shown(value: object) -> str:
    """A value of a file as AWS's messages repeat it: bare, lists in brackets."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return printable(f"[{', '.join(shown(item) for item in value[:20])}]")
    if isinstance(value, dict):
        return printable(f"{{{', '.join(str(key) for key in list(value)[:20])}}}")
    return "null" if value is None else printable(str(value))
