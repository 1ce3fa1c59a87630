"""Exit codes of the command line: what a supervisor of processes may act on."""

from __future__ import annotations

from typing import Final

from pollers.errors import ConfigurationError, FunctionNotLoaded, PollersError, SourceError

__all__ = ["CONFIGURATION", "DRAINED", "FAILED", "LEFT", "MEANINGS", "SIGNALLED", "USAGE", "exit_code"]

DRAINED: Final = 0
FAILED: Final = 1
USAGE: Final = 2
LEFT: Final = 3
CONFIGURATION: Final = 78  # EX_CONFIG of sysexits.h
SIGNALLED: Final = 130  # as shells have it for a process that SIGINT ended

MEANINGS: Final = {
    DRAINED: "done; what was running when the signal came has ended and is settled",
    FAILED: "failed",
    USAGE: "the command line is wrong",
    LEFT: "work was left at the deadline of the drain; it will be redelivered",
    CONFIGURATION: "the configuration is wrong, or names what does not exist",
    SIGNALLED: "stopped at once by a second signal",
}


def exit_code(error: PollersError) -> int:
    """Faults of the configuration are 78, everything else that keeps a process from its work is 1."""
    if isinstance(error, ConfigurationError | FunctionNotLoaded) or (isinstance(error, SourceError) and error.missing):
        return CONFIGURATION
    return FAILED
