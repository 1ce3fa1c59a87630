"""What is said to an owner whose row is no longer its own."""

from __future__ import annotations

from pollers.errors import LostGrant
from pollers.flow.records import Partition

__all__ = ["lost"]


def lost(mapping: str, partition: Partition, owner: str | None) -> LostGrant:
    """The error of a save that was refused. `owner`: who took the row since; None: the row is gone."""
    what = f"The position of {partition or 'the mapping itself'} in {mapping} was not saved:"
    if owner is None:
        return LostGrant(f"{what} it was removed. 'pollers seek' does that; the mapping begins anew where it said.")
    return LostGrant(f"{what} {owner or 'somebody else'} has taken it since and goes on behind what was saved before.")
