"""YAML that cannot surprise: plain types only, no key twice, no aliases that unfold into more than a file may hold."""

from __future__ import annotations

from typing import Any, Final

import yaml

from pollers.config.read import Unreadable
from pollers.config.spelling import printable

__all__ = ["parse_yaml"]

UNFOLDED: Final = 10_000  # nodes that aliases may add
DEPTH: Final = 100  # collections within each other

_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the first needs libyaml


def parse_yaml(text: str) -> Any:
    """The document as dicts, lists and plain values; None when it is empty. Raises `Unreadable`."""
    try:
        _check_depth(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check(node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        reason = f"is not YAML that can be used: {printable(error.problem or str(error))}."
        mark = error.problem_mark or error.context_mark
        raise _at(mark, reason) from None
    except yaml.YAMLError as error:  # a character that YAML forbids
        raise Unreadable(f"is not YAML: {printable(str(error))}.", "Correct it.") from None
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
        # Values whose tag or form promises what they do not hold: `!!int ""`, `2026-13-45`, `!!timestamp x`.
        raise Unreadable(
            f"holds a value that is not what it says: {printable(str(error))}.", "Put it in quotes."
        ) from None


def _at(mark: Any, reason: str, remedy: str = "Correct it there.") -> Unreadable:
    if mark is None:
        return Unreadable(reason, remedy)
    return Unreadable(reason, remedy, mark.line + 1, mark.column + 1)


def _check_depth(text: str) -> None:
    """Refuse what is nested too deeply, before it is composed: libyaml's composer recurses until the process dies."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH:
                raise _at(event.start_mark, "is nested too deeply.", "No field is deeper than eight levels.")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check(root: yaml.Node) -> None:
    """Refuse keys that are there twice, aliases that contain themselves, and aliases that unfold without end.

    Composing shares what an alias repeats, so that the size of what a file unfolds to is known before anything of it
    is built.
    """
    sizes: dict[int, int] = {}
    unfolded = _size(root, sizes, set())
    if unfolded - len(sizes) > UNFOLDED:
        raise _at(
            root.start_mark, f"its aliases unfold to {printable(str(unfolded))} values.", "Write out what they repeat."
        )


def _size(node: yaml.Node, sizes: dict[int, int], above: set[int]) -> int:
    """Nodes in the tree that `node` unfolds to. `sizes` remembers them by id: each node is walked once."""
    key = id(node)
    if key in above:
        raise _at(node.start_mark, "an alias contains itself.", "Write out what it repeats.")
    if key in sizes:
        return sizes[key]
    above.add(key)
    inside = 0
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
        inside = sum(_size(part, sizes, above) for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        inside = sum(_size(part, sizes, above) for part in node.value)
    above.discard(key)
    sizes[key] = inside + 1
    return inside + 1


def _check_keys(node: yaml.MappingNode) -> None:
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            name = (key.tag, key.value)
            if name in seen:
                raise _at(key.start_mark, f"the key '{printable(key.value)}' is there twice.", "Keep one of them.")
            seen.add(name)
