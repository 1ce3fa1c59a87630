"""What a queue's attributes and a mapping's wishes come to together: visibility, refusals, warnings. No calls."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf
from typing import Any, Final

import msgspec

from pollers.aws.queues import Queue
from pollers.errors import ConfigurationError, Problem
from pollers.sources.sqs_held import SHORTEST

__all__ = ["Terms"]

_LONGEST: Final = 43_200  # seconds. AWS: of a visibility timeout
_MARGIN: Final = 30  # seconds. AWS: 3.2-5


@dataclass(frozen=True, slots=True)
class Terms:
    """How a queue is read for a mapping."""

    fifo: bool
    heartbeat: bool  # what is held is extended
    visibility: int  # seconds that messages are received for, and extended by
    own_visibility: int  # seconds after its receive that a failed message reappears
    says_visibility: bool  # receives must name `visibility`: it is not the queue's, or must not change under us
    max_receives: float  # of the redrive policy; infinite without one
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, queue: Queue, batch_size: int, window: float, timeout: float, *, heartbeat: bool) -> Terms:
        """Raises ConfigurationError where the two do not go together."""
        fifo = queue.arn.resource.endswith(".fifo")
        timeout_of_queue = queue.number("VisibilityTimeout", 30)
        _refuse(str(queue.arn), _unfit(fifo, batch_size, window, timeout, timeout_of_queue, heartbeat=heartbeat))
        own = _received_for(timeout_of_queue, window, timeout)
        visibility = max(own, SHORTEST) if heartbeat else own
        max_receives = _max_receives(queue.attributes.get("RedrivePolicy"))
        return cls(
            fifo=fifo,
            heartbeat=heartbeat,
            visibility=visibility,
            own_visibility=own,
            # Beats follow the timeout that was read at start. Were it shortened meanwhile, they would come too late.
            says_visibility=heartbeat or own != timeout_of_queue,
            max_receives=max_receives,
            warnings=tuple(_warnings(timeout_of_queue, timeout, max_receives)),
        )


def _received_for(timeout_of_queue: int, window: float, timeout: float) -> int:
    """AWS: a batch that waits for its window is received for longer, if the queue's timeout were too short (3.2-5)."""
    if window > 0 and window + timeout > timeout_of_queue:
        return min(ceil(window + timeout + _MARGIN), _LONGEST)
    return timeout_of_queue


def _unfit(
    fifo: bool, batch_size: int, window: float, timeout: float, timeout_of_queue: int, *, heartbeat: bool
) -> list[tuple[str, str]]:
    """What is wrong and what to do, in AWS's words where it has some."""
    unfit: list[tuple[str, str]] = []
    if fifo and window > 0:
        unfit.append(("A FIFO queue takes no batching window.", "Leave maximum_batching_window_in_seconds out."))
    if fifo and batch_size > 10:
        unfit.append(("A FIFO queue takes batches of up to 10.", "Lower batch_size."))
    elif batch_size > 10 and window <= 0:
        reason = "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10."
        unfit.append((reason, "Give maximum_batching_window_in_seconds, or lower batch_size."))
    if not heartbeat and timeout_of_queue < timeout:
        reason = _shorter(timeout_of_queue, timeout)
        unfit.append((f"{reason}.", "Raise the one, lower the other, or leave heartbeat on."))
    return unfit


def _shorter(timeout_of_queue: int, timeout: float) -> str:
    return f"Queue visibility timeout: {timeout_of_queue} seconds is less than Function timeout: {timeout:g} seconds"


def _refuse(queue: str, unfit: list[tuple[str, str]]) -> None:
    if unfit:
        raise ConfigurationError([Problem(queue, reason, remedy) for reason, remedy in unfit])


def _warnings(timeout_of_queue: int, timeout: float, max_receives: float) -> list[str]:
    warnings = []
    if timeout_of_queue < timeout:
        warnings.append(
            f"{_shorter(timeout_of_queue, timeout)}: AWS would refuse it. Messages are extended while a function has "
            "them, so what is worked on twice is what a killed process leaves behind."
        )
    if max_receives == 1:
        warnings.append(
            "The queue's redrive policy allows one receive: a message that was received and not processed, for "
            "whatever reason, goes to the dead-letter queue. AWS advises at least 5."
        )
    if max_receives == inf:
        warnings.append(
            "The queue has no dead-letter queue: a message whose function fails comes back until it expires."
        )
    return warnings


def _max_receives(policy: str | None) -> float:
    try:
        document: Any = msgspec.json.decode(policy) if policy else {}
        return int(document.get("maxReceiveCount", 0)) or inf
    except (msgspec.DecodeError, AttributeError, TypeError, ValueError):
        return inf  # not one that SQS would have taken
