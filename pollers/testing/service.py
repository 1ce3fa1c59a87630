"""What a model of an AWS service offers to the front: calls in, answers, faults or waits out. No I/O, no wire."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

__all__ = ["EVENTS", "Answer", "Dropped", "Events", "Fault", "Service", "Waiting"]

Answer: TypeAlias = dict[str, Any]  # the members of the response, as they are encoded in JSON

EVENTS = "EventStream"  # the member of an answer that holds its `Events`, where it has some


class Fault(Exception):
    """An error answer of the service.

    `kind` is the shape's name, `code` what `Error.Code` shows to botocore's users, `sender` whether the caller
    is to blame.
    """

    def __init__(
        self, kind: str, message: str, *, namespace: str, code: str = "", status: int = 400, sender: bool = True
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code or kind
        self.message = message
        self.namespace = namespace
        self.status = status  # of HTTP
        self.sender = sender


class Dropped(Exception):
    """Raised by `Service.call` when trouble wants the connection to end without an answer."""


class Waiting:
    """A call that is answered later. Ends once: by `finish`, or by `cancel` when the caller is gone."""

    __slots__ = ("_leave", "_then", "answer", "closed", "deadline")

    def __init__(self, deadline: float, leave: Callable[[Waiting], None]) -> None:
        self.deadline = deadline  # wall time, seconds
        self.answer: Answer | Fault | None = None  # None while it waits, and after `cancel`
        self.closed = False
        self._then: Callable[[Answer | Fault], None] | None = None
        self._leave = leave

    def finish(self, answer: Answer | Fault) -> None:
        """Give the answer; nothing when it is over already."""
        if self.closed:
            return
        self.closed = True
        self.answer = answer
        if self._then is not None:
            self._then(answer)

    def notify(self, then: Callable[[Answer | Fault], None]) -> None:
        """Call `then` with the answer once it is there: now, or from `finish`. It must not call the model."""
        if self.answer is not None:
            then(self.answer)
        else:
            self._then = then

    def cancel(self) -> None:
        """Forget the call: nothing is given to it any more. May be called twice."""
        if not self.closed:
            self.closed = True
            self._leave(self)


class Events(ABC):
    """What a call is answered with bit by bit, for as long as it lasts: members of events, one dict for each."""

    kind: str  # of its events: "SubscribeToShardEvent"

    def __init__(self) -> None:
        self.over = False  # nothing more comes
        self.ready: Callable[[], None] = _nobody  # called when `take` may have something; the front sets it

    @abstractmethod
    def take(self) -> Answer | None:
        """The next event; None: nothing now, or nothing more. Raises Fault or Dropped, after which it is over."""

    @abstractmethod
    def cancel(self) -> None:
        """The caller is gone. May be called twice."""


def _nobody() -> None:
    """Who listens to `Events.ready` before a front does."""


class Service(Protocol):
    """One model behind the front. All calls come from one thread."""

    target: str  # the prefix of X-Amz-Target: "AmazonSQS"
    content_type: str  # of its answers: "application/x-amz-json-1.0"
    query_compatible: bool  # its errors carry the codes of the query protocol, as SQS's do
    endpoint: str  # base of the URLs it hands out; the front sets it
    changed: Callable[[], None]  # called after each `call` and `tick`: `wake_at` may be another; the front sets it

    def call(self, action: str, request: dict[str, Any]) -> Answer | Waiting:
        """Do it now; raises Fault or Dropped."""

    def wake_at(self) -> float | None:
        """When `tick` is due next, wall time in seconds; None: not before another call."""

    def tick(self) -> None:
        """Let time act: answer the calls whose wait is over."""

    def now(self) -> float:
        """The model's wall time, in seconds."""
