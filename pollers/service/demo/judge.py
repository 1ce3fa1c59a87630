"""The demo's verdict: from what functions wrote down alone, and after three ledgers that must be rejected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pollers.service.demo.scenario import counted
from pollers.service.demo.stage import Stage
from pollers.service.demo.witness import Ledger
from pollers.testing.audit import Call, History, Report, Sent, check

__all__ = ["Verdict", "history_of", "judge"]

LOGS: Final = frozenset({"clicks", "changes", "readings"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run has come to."""

    report: Report
    parts: Mapping[str, Report]  # by mapping
    rejected: Mapping[str, bool]  # ledgers that were spoilt on purpose, and whether the checker noticed
    windows: Sequence[int]  # what each tumbling window counted
    kills: int  # of processes

    @property
    def sound(self) -> bool:
        """Whether everything is as it should be, the checker as well."""
        whole = sum(self.windows) == self.parts["changes"].sent
        return self.report.sound and all(self.rejected.values()) and whole


def history_of(stage: Stage, sent: Sequence[Sent], kills: Sequence[float], killed: frozenset[int]) -> History:
    """Everything that is known of the run so far."""
    calls = Ledger.read(stage.ledger) if stage.ledger.exists() else []
    return History(sent, calls, stage.given_up(), LOGS, kills, killed)


def judge(stage: Stage, history: History) -> Verdict:
    """Look at all that was written down."""
    names = dict.fromkeys(one.mapping for one in history.sent)
    return Verdict(
        report=check(history),
        parts={name: check(_only(history, name)) for name in names},
        rejected={name: not check(spoil(history)).sound for name, spoil in SPOILT.items()},
        windows=counted(stage.windows),
        kills=len(history.kills),
    )


def _only(history: History, mapping: str) -> History:
    return replace(
        history,
        sent=[one for one in history.sent if one.mapping == mapping],
        calls=[call for call in history.calls if call.mapping == mapping],
    )


def _without_a_call(history: History) -> History:
    """One good call of the standard queue never happened."""
    good = next(call for call in history.calls if call.mapping == "orders" and call.answer == "ok")
    names = set(good.records)
    return replace(history, calls=[c for c in history.calls if c.mapping != "orders" or names.isdisjoint(c.records)])


def _with_a_call_again(history: History) -> History:
    """One good call, of a process that was not killed, happened once more, later."""
    killed = history.killed or ()
    good = next(call for call in history.calls if call.answer == "ok" and call.process not in killed)
    again = replace(good, begun=(good.ended or 0.0) + 1.0, ended=(good.ended or 0.0) + 2.0)
    return replace(history, calls=[*history.calls, again])


def _out_of_order(history: History) -> History:
    """One customer's last payment was seen before all others."""
    calls: list[Call] = list(history.calls)
    last = max(
        (call for call in calls if call.mapping == "payments" and call.answer == "ok"), key=lambda call: call.begun
    )
    first = min(call.begun for call in calls)
    calls[calls.index(last)] = replace(last, begun=first - 2.0, ended=first - 1.0)
    return replace(history, calls=calls)


SPOILT: Final[dict[str, Callable[[History], History]]] = {
    "a call left out": _without_a_call,
    "a call repeated": _with_a_call_again,
    "a call moved": _out_of_order,
}
