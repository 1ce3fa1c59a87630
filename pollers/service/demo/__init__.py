"""`pollers demo`: seven mappings on embedded servers, watched by functions that write down all they see."""

from __future__ import annotations

__all__ = ["run_demo"]


def run_demo(workers: int = 1) -> int:
    """Run the demo to its end; returns the exit code: 0 when nothing was lost, doubled or disordered.

    With several `workers`, as many processes share the mappings, and one of them is killed in the middle.
    """
    from pollers.service.demo.run import run_demo as run  # its parts are also used alone, without the servers

    return run(workers)
