"""Functions of Lambda's signature as targets: awaited inline, run in a thread, or in warm worker processes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from pollers.errors import ConfigurationError, Problem
from pollers.spi import Function
from pollers.targets.function.inline import InlineFunction
from pollers.targets.function.load import load
from pollers.targets.function.process import ProcessFunction
from pollers.targets.function.thread import ThreadFunction

__all__ = [
    "FunctionTarget",
    "InlineFunction",
    "Isolation",
    "ProcessFunction",
    "ThreadFunction",
    "function_target",
    "load",
]

Isolation: TypeAlias = Literal["inline", "thread", "process"]
FunctionTarget: TypeAlias = InlineFunction | ThreadFunction | ProcessFunction


def function_target(
    handler: Callable[..., Any] | str,
    function: Function,
    *,
    isolation: Isolation | None = None,
    environment: Mapping[str, str] | None = None,
    app_dir: str | None = None,
    concurrency: int | None = None,
) -> FunctionTarget:
    """The target for a callable or for a path ("module.function").

    Without `isolation` an `async def` runs inline, a `def` by path in processes, a `def` given as a callable in a
    thread. `concurrency` bounds the processes. Raises FunctionNotLoaded, and ConfigurationError where the three do not
    go together.
    """
    if isinstance(handler, str) and isolation == "process":
        return _processes(handler, function, environment, app_dir, concurrency)
    callable_ = load(handler, app_dir) if isinstance(handler, str) else handler
    asynchronous = _is_async(callable_)
    chosen = isolation or _default(handler, asynchronous)
    if chosen == "process":
        if not isinstance(handler, str):
            raise _refused(function, "isolation", "a callable cannot be sent to a process.", "Give its path instead.")
        return _processes(handler, function, environment, app_dir, concurrency)
    if environment:
        what = f"environment variables need processes, and this function runs {_where(chosen)}."
        raise _refused(function, "environment", what, 'Set pollers = { isolation = "process" }, or leave them out.')
    if chosen == "inline":
        if not asynchronous:
            what = "a plain def would block every other mapping while it runs."
            raise _refused(function, "isolation", what, 'Make it an async def, or choose "thread" or "process".')
        return InlineFunction(callable_, function)
    if asynchronous:
        raise _refused(function, "isolation", "an async def needs a loop.", 'Choose "inline" or "process".')
    return ThreadFunction(callable_, function)


def _default(handler: Callable[..., Any] | str, asynchronous: bool) -> Isolation:
    if asynchronous:
        return "inline"
    return "process" if isinstance(handler, str) else "thread"


def _is_async(handler: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine: an async def, a wrapper of one, an object that is called like one."""
    plain = inspect.unwrap(handler)
    return inspect.iscoroutinefunction(plain) or inspect.iscoroutinefunction(type(plain).__call__)


def _where(isolation: Isolation) -> str:
    return "on the event loop" if isolation == "inline" else "in a thread"


def _processes(
    path: str, function: Function, environment: Mapping[str, str] | None, app_dir: str | None, concurrency: int | None
) -> ProcessFunction:
    return ProcessFunction(path, function, concurrency=concurrency, environment=environment, app_dir=app_dir)


def _refused(function: Function, option: str, what: str, remedy: str) -> ConfigurationError:
    return ConfigurationError([Problem(f"functions.{function.name}.{option}", what, remedy)])
