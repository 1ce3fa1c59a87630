"""Long polls: who waits on which queue, what wakes them and when."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from pollers.testing.service import Answer, Fault, Waiting
from pollers.testing.sqs.messages import Selection
from pollers.testing.sqs.queue import Queue
from pollers.testing.sqs.schedule import Schedule

__all__ = ["LongPolls", "Wish"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a receiver asks for."""

    limit: int
    visibility: int  # seconds
    wait: int  # seconds
    selection: Selection
    attempt: str | None  # ReceiveRequestAttemptId


class _Line:
    """The polls that wait on one queue, first come, first served."""

    __slots__ = ("alarm", "deadlines", "queue", "waiting")

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.waiting: OrderedDict[Waiting, Wish] = OrderedDict()
        self.deadlines: Schedule[Waiting] = Schedule(lambda poll: None if poll.closed else poll.deadline)
        self.alarm: float | None = None  # when the line must be looked at without being touched

    def next_alarm(self) -> float | None:
        if not self.waiting:
            return None
        return min((at for at in (self.queue.wake_at(), self.deadlines.next_at()) if at is not None), default=None)


class LongPolls:
    """All long polls of an account. `give` answers a wish now, or returns None."""

    def __init__(self, give: Callable[[Queue, Wish, float], Answer | None]) -> None:
        self._give = give
        self._lines: dict[str, _Line] = {}  # by the queue's id
        self._touched: dict[str, _Line] = {}  # each once, in the order they were touched
        self._alarms: Schedule[_Line] = Schedule(lambda line: line.alarm)

    def wait(self, queue: Queue, wish: Wish, now: float) -> Waiting:
        """A poll that found nothing: it ends when something comes, or empty when its time is over."""
        line = self._lines.get(queue.id)
        if line is None:
            line = self._lines[queue.id] = _Line(queue)
        poll = Waiting(now + wish.wait, lambda poll: self._leave(line, poll))
        line.waiting[poll] = wish
        line.deadlines.push(poll)
        self._arm(line)
        return poll

    def touch(self, queue: Queue) -> None:
        """Something happened to the queue: `serve` must look at it."""
        line = self._lines.get(queue.id)
        if line is not None:
            self._touch(line)

    def serve(self, now: float) -> None:
        """Answer whatever can be answered on the queues touched, and on those that these redrive to."""
        while self._touched:
            self._serve(self._touched.pop(next(iter(self._touched))), now)

    def tick(self, now: float) -> None:
        """Serve the queues whose alarm is due."""
        for line in self._alarms.due(now):
            line.alarm = None
            self._touch(line)
        self.serve(now)

    def wake_at(self) -> float | None:
        """When `tick` is due next."""
        return self._alarms.next_at()

    def end(self, queue: Queue, fault: Fault) -> None:
        """The queue is gone."""
        line = self._lines.pop(queue.id, None)
        while line is not None and line.waiting:
            line.waiting.popitem(last=False)[0].finish(fault)

    def _leave(self, line: _Line, poll: Waiting) -> None:
        line.waiting.pop(poll, None)
        self._arm(line)

    def _touch(self, line: _Line) -> None:
        self._touched[line.queue.id] = line

    def _serve(self, line: _Line, now: float) -> None:
        while line.waiting:
            poll, wish = next(iter(line.waiting.items()))
            answer = self._give(line.queue, wish, now)
            if answer is None:
                break
            del line.waiting[poll]
            poll.finish(answer)
        for poll in line.deadlines.due(now):
            line.waiting.pop(poll, None)
            poll.finish({})
        self._arm(line)

    def _arm(self, line: _Line) -> None:
        alarm = line.next_alarm()
        if alarm != line.alarm:
            line.alarm = alarm
            self._alarms.push(line)
