"""`pollers validate`: whether a configuration can be run, without connecting to anything."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pollers.config.identity import function_arn
from pollers.config.model import Configuration, FunctionConfig
from pollers.config.parse import in_file
from pollers.errors import ConfigurationError, PollersError
from pollers.service.output import logs_on_stderr, say
from pollers.spi import Function
from pollers.targets.function import function_target

__all__ = ["show", "unloadable"]


def unloadable(configuration: Configuration, app_dir: Path | None) -> list[PollersError]:
    """Why functions cannot be imported: each is loaded as `run` would, in a process of its own if it gets one."""
    handlers = [function for function in configuration.functions.values() if function.handler is not None]
    with logs_on_stderr():
        errors = asyncio.run(_load_all(handlers, app_dir or configuration.folder))
    return [in_file(one, configuration.path) if isinstance(one, ConfigurationError) else one for one in errors]


async def _load_all(functions: list[FunctionConfig], app_dir: Path | None) -> list[PollersError]:
    found = [await _fault(function, app_dir) for function in functions]
    return [error for error in found if error is not None]


async def _fault(function: FunctionConfig, app_dir: Path | None) -> PollersError | None:
    assert function.handler is not None
    try:
        target = function_target(
            function.handler,
            Function(function.name, function_arn(function.name, ""), function.timeout, function.memory_size),
            isolation=function.isolation,
            environment=function.environment,
            app_dir=None if app_dir is None else str(app_dir),
            concurrency=1,
        )
        try:
            await target.open()
        finally:
            await target.close()
    except ConfigurationError as error:
        return error  # its path names the function
    except PollersError as error:
        error.add_note(f"It is the handler of functions.{function.name}.")
        return error
    return None


def show(configuration: Configuration) -> None:
    """Print what would run, a line for each mapping, and what the file's author should know."""
    for mapping in configuration.mappings:
        function = configuration.functions[mapping.function]
        off = "" if mapping.enabled else " (not enabled)"
        record = {
            "mapping": mapping.identity,
            "source": mapping.event_source_arn,
            "function": function.name,
            "runs": function.runs,
            "enabled": mapping.enabled,
        }
        say(record, f"{mapping.identity}  {mapping.event_source_arn} -> {function.name} ({function.runs}){off}")
    for notice in configuration.notices:
        say({"notice": notice}, f"Note: {notice}", err=True, style="yellow")
