"""What becomes of records that a log's function did not process: the retry procedure, as one plain function.

It knows how many records are left, how often they were tried and what the mapping allows; no lane, batch or clock.
AWS: the procedure of 5.2-6, which reproduces every recorded observation of retries, bisect and partial responses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from pollers.flow.limits import failure_backoff
from pollers.flow.records import Policy

__all__ = ["Again", "GiveUp", "Halves", "Suffix", "Verdict", "after_failure"]


@dataclass(frozen=True, slots=True)
class Suffix:
    """What precedes `start` is done; the rest is a new batch, at once, with a fresh counter."""

    start: int


@dataclass(frozen=True, slots=True)
class Halves:
    """Two new batches, cut before `middle`, at once, the left one first, each with a fresh counter."""

    middle: int


@dataclass(frozen=True, slots=True)
class Again:
    """The same batch, after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No more attempts: RetryAttemptsExhausted."""


Verdict: TypeAlias = Suffix | Halves | Again | GiveUp


def after_failure(size: int, lowest: int, attempts: int, policy: Policy, chance: float) -> Verdict:
    """The verdict on `size` records after an attempt that failed from record `lowest` on (0: no progress).

    `attempts` counts the attempt that just ended. `chance` in [0, 1) spreads the backoff.
    """
    if lowest > 0:
        return Suffix(lowest)  # AWS: progress makes a new batch, whose counter starts again (5.4-4, 5.4-5)
    if policy.bisect and size > 1:
        return Halves(size // 2)  # AWS: split at the first failure, spending no retry (5.3-2)
    if policy.retries is not None and attempts > policy.retries:
        return GiveUp()  # AWS: delivered MaximumRetryAttempts + 1 times (5.2-5)
    return Again(failure_backoff(attempts, policy.backoff_cap, chance))
