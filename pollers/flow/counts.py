"""What a flow counted: plain integers that cost nothing until somebody reads them."""

from __future__ import annotations

__all__ = ["Counts"]


class Counts:
    """Records unless said otherwise. AWS's names of the same numbers: semantics 11."""

    __slots__ = (
        "bisects",
        "dead_lettered",
        "delivery_failures",
        "dropped",
        "filtered",
        "lapsed",
        "processed",
        "received",
        "retries",
        "returned",
        "throttles",
    )

    def __init__(self) -> None:
        self.received = 0  # AWS: PolledEventCount
        self.filtered = 0  # AWS: FilteredOutEventCount
        self.processed = 0  # their function succeeded
        self.returned = 0  # given back unstarted
        self.lapsed = 0  # stopped being ours while they were held
        self.dropped = 0  # given up and kept nowhere. AWS: DroppedEventCount
        self.dead_lettered = 0  # given up, with a document at the destination
        self.delivery_failures = 0  # documents that the destination did not take, each try
        self.retries = 0  # batches that are tried again
        self.bisects = 0  # batches cut in two
        self.throttles = 0  # invocations refused for want of capacity

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        total = Counts()
        for name in Counts.__slots__:
            setattr(total, name, getattr(self, name) + getattr(other, name))
        return total
