"""Finds the function that a dotted path names."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from pollers.errors import FunctionNotLoaded

__all__ = ["load", "split"]


def split(path: str) -> tuple[str, str]:
    """(module, attribute) of "module.function", Lambda's form, or "module:function". Raises FunctionNotLoaded."""
    module, colon, attribute = path.partition(":")
    if not colon:
        # Lambda also takes folder/module.function.
        module, _, attribute = path.replace("/", ".").rpartition(".")
    if not module or not attribute:
        raise FunctionNotLoaded(path, "it names no module", "Write module.function, as Lambda's Handler.")
    return module, attribute


def load(path: str, app_dir: str | None = None) -> Callable[..., Any]:
    """The callable that `path` names. `app_dir`, if given, is looked in first, and stays on the import path.

    Names come from configuration only, never from messages. Raises FunctionNotLoaded with the cause and the remedy.
    """
    module_name, attribute = split(path)
    if app_dir is not None and app_dir not in sys.path:
        sys.path.insert(0, app_dir)
    module = _import(path, module_name, app_dir)
    found: Any = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise _no_attribute(path, module_name, found, name)
        found = getattr(found, name)
    if not callable(found):
        kind = type(found).__name__
        raise FunctionNotLoaded(path, f"it is of type {kind} and cannot be called", "Name a function.")
    return found  # type: ignore[no-any-return]


def _import(path: str, module_name: str, app_dir: str | None) -> ModuleType:
    where = f"in {app_dir}" if app_dir is not None else "on the import path"
    with _reported(path):
        if not _exists(module_name):
            raise FunctionNotLoaded(
                path, f"there is no module {module_name} {where}", "Check the name, or give its folder with --app-dir."
            )
        return import_module(module_name)


def _exists(module_name: str) -> bool:
    try:
        return find_spec(module_name) is not None
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            return False
        raise


@contextmanager
def _reported(path: str) -> Iterator[None]:
    """Whatever the user's module raises while it is imported, even SystemExit, names its own line."""
    try:
        yield
    except (FunctionNotLoaded, KeyboardInterrupt):
        raise
    except BaseException as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
        place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames and frames[-1].filename != __file__ else ""
        if isinstance(error, SyntaxError):
            place = f" at {error.filename}:{error.lineno}"
        reason = f"importing it raised {type(error).__name__}: {error}{place}"
        raise FunctionNotLoaded(path, reason, "Mend the module; `python -c 'import ...'` shows the same.") from error


def _no_attribute(path: str, module_name: str, found: object, name: str) -> FunctionNotLoaded:
    near = get_close_matches(name, [one for one in dir(found) if not one.startswith("_")], 1)
    remedy = f"Did you mean {near[0]}?" if near else "Check the name."
    return FunctionNotLoaded(path, f"{module_name} has no {name}", remedy)
