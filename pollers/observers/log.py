"""Events as records of the standard library's logging, on the logger `pollers`.

Nothing is set up here: a program that has configured logging sees the records. `JsonLines` and `Console` render them
for the service.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from pollers.observers.formats import Console, JsonLines
from pollers.observers.sentences import labels_of, sentence
from pollers.telemetry import Drained, Draining, Event, MappingStarted, Warned

__all__ = ["Console", "JsonLines", "LogObserver"]

QUIET: Final = 1.0  # seconds between two records of one kind and mapping
ONCE: Final = (MappingStarted, Warned, Draining, Drained)  # said once per run: each of them counts

Kind: TypeAlias = tuple[str, str | None, bool]  # the event's class, the mapping, whether it says that trouble is over


class LogObserver:
    """An `Observer`: one logging record per event, with `event` (the class's name) and `labels` as its extra fields.

    What repeats is said at most once a second per kind of event and mapping. The next record of that kind carries in
    the label `suppressed` how many were left out; what nothing followed, the mapping's `Drained` carries.
    """

    def __init__(self, logger: logging.Logger | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._logger = logging.getLogger("pollers") if logger is None else logger
        self._now = now  # seconds, monotonic
        self._quiet_until: dict[Kind, float] = {}
        self._suppressed: dict[Kind, int] = {}

    def notice(self, event: Event) -> None:
        """Log the event, unless its like was logged less than a second ago."""
        kind = _kind(event)
        if not isinstance(event, ONCE) and self._is_quiet(kind):
            self._suppressed[kind] = self._suppressed.get(kind, 0) + 1
            return
        spoken = sentence(event)
        labels = labels_of(event)
        if suppressed := self._left_out(kind, event):
            labels["suppressed"] = suppressed
        self._logger.log(spoken.level, spoken.text, extra={"event": type(event).__name__, "labels": labels})

    def _is_quiet(self, kind: Kind) -> bool:
        now = self._now()
        if now < self._quiet_until.get(kind, now):
            return True
        self._quiet_until[kind] = now + QUIET
        return False

    def _left_out(self, kind: Kind, event: Event) -> int:
        if not isinstance(event, Drained):
            return self._suppressed.pop(kind, 0)
        kinds = [one for one in self._suppressed if one[1] == event.mapping]
        return sum(self._suppressed.pop(one) for one in kinds)


def _kind(event: Event) -> Kind:
    # The end of a trouble is a kind of its own: it must not be left out because the beginning was just said.
    return type(event).__name__, getattr(event, "mapping", None), getattr(event, "over", False)
