"""What follows from an answer: which records are done, which are tried again and how, which are given up.

Queues and logs part here, by `Delivery.redelivers`: a queue gives failed records again by itself, for a log the retry
procedure runs (`verdicts`). It must not know lanes' insides, time's source or the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pollers.flow.batches import Batch, Claim, Discard, Part, State
from pollers.flow.claims import Claims
from pollers.flow.lanes import Lane
from pollers.flow.limits import failure_backoff, throttle_backoff, unreachable_backoff
from pollers.flow.outcomes import AllFailed, AllPassed, Reading, SomeFailed, read_report
from pollers.flow.records import Aborted, Failed, Instant, Outcome, Returned, Throttled, Unreachable
from pollers.flow.verdicts import Halves, after_failure
from pollers.flow.windows import returned_state

__all__ = ["Answers"]

PASSED = AllPassed()


class Answers:
    """Answers of functions and of the failure destination, turned into edits of claims."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self._policy = claims.policy
        self._delivering = 0
        self._refusals = 0  # deliveries in a row that the destination did not take
        self.destination_due = 0.0  # monotonic: no delivery before then

    def answer(self, batch: Batch, outcome: Outcome, now: Instant, chance: float) -> Reading | None:
        """What came of an invocation; returns how its answer was read, None where there was none."""
        claim = batch.claim
        if isinstance(outcome, Returned):
            reading: Reading = PASSED
            if self._policy.reports:
                reading = read_report(outcome, batch.parts, self._claims.shape)
            if batch.window is not None:
                reading = self._take_state(batch, outcome, reading)
            if isinstance(reading, AllPassed):
                self._passed(claim, batch, now)
            else:
                self._attempted(claim, batch, now, reading, None, chance)
            return reading
        if isinstance(outcome, Failed):
            self._attempted(claim, batch, now, AllFailed(outcome.message), "Unhandled", chance)
        elif isinstance(outcome, Aborted):
            self._claims.undo(claim, batch, now)
        else:
            self._held_up(claim, batch, outcome, now, chance)
        return None

    def _passed(self, claim: Claim, batch: Batch, now: Instant) -> None:
        for piece in batch.pieces:
            self._claims.finish(piece)
        self._claims.counts.processed += len(batch)
        if batch.window is not None and (final := self._window_moved(batch, now)) is not None:
            self._claims.edit(claim, [final], now)
        else:
            self._claims.resolved(claim, now)

    # Tumbling windows

    def _take_state(self, batch: Batch, outcome: Returned, reading: Reading) -> Reading:
        """Keep the state that an answer hands on. AWS: an answer without one is a failed invocation (7-3).

        Beside a partial report it covers what precedes the first failure: those records are done, and are not seen
        again. Without progress nothing is done, and the state stays what it was.
        """
        state = None if outcome.unreadable is not None else returned_state(outcome.payload)
        if state is None:
            return AllFailed("the answer has no state, an object that every invocation of a tumbling window returns")
        (piece,) = batch.pieces
        done = len(piece)
        if isinstance(reading, SomeFailed):
            done = min(reading.failed[0], default=done)
        if isinstance(reading, AllFailed) or not done or piece.hold.window is None:
            return reading
        piece.hold.window.take(state, self._claims.shape.arrived(piece.records[done - 1]))
        return reading

    def _window_moved(self, batch: Batch, now: Instant) -> Batch | None:
        """A window's call is done with: after the final one it is over; a state too large wants one at once (7-5)."""
        if batch.final:
            self._claims.ended_window(batch)
            return None
        (piece,) = batch.pieces
        window = piece.hold.window
        if window is None or not window.oversize or piece.hold.revoked or piece.lane is None:
            return None
        return self._claims.final_batch(piece.lane, now)

    def _attempted(
        self, claim: Claim, batch: Batch, now: Instant, reading: Reading, error: str | None, chance: float
    ) -> None:
        """An attempt failed, in part or whole."""
        batch.attempts += 1
        batch.waits = 0
        batch.answered = True
        batch.error = error
        failed: Sequence[Sequence[int]] = (
            [range(len(piece)) for piece in batch.pieces]
            if isinstance(reading, AllFailed | AllPassed)
            else reading.failed
        )
        if self._claims.delivery.redelivers:
            self._leave_failed(claim, batch, failed, now)
            return
        if claim.since is None:
            claim.since, claim.reason = now.monotonic, "its function fails"
        if batch.window is not None and batch.final:
            verdict = after_failure(1, 0, batch.attempts, self._policy, chance)
            kept = [] if batch.pieces[0].hold.revoked else [self._claims.again(batch, verdict, now)]
            self._claims.edit(claim, kept, now)
            return
        tails = self._cut_done(batch, failed)
        several = sum(len(tail.by_lane()) for tail, _ in tails) > 1
        successors: list[Batch] = []
        for tail, progressed in tails:
            successors += self._successors(batch, tail, progressed, several, now, chance)
        if batch.window is not None and (final := self._window_moved(batch, now)) is not None:
            successors.insert(0, final)
        self._claims.edit(claim, successors, now)

    def _cut_done(self, batch: Batch, failed: Sequence[Sequence[int]]) -> list[tuple[Part, bool]]:
        """Finish what precedes the first failure of each part; what is left, and whether it got shorter."""
        tails: list[tuple[Part, bool]] = []
        for piece, indexes in zip(batch.pieces, failed, strict=True):
            lowest = indexes[0] if indexes else len(piece)
            if lowest:
                self._claims.finish(piece if lowest == len(piece) else piece.cut(0, lowest))
                self._claims.counts.processed += lowest
            if lowest < len(piece) and not piece.hold.revoked:
                tails.append((piece.cut(lowest, len(piece)) if lowest else piece, lowest > 0))
        return tails

    def _successors(
        self, batch: Batch, tail: Part, progressed: bool, several: bool, now: Instant, chance: float
    ) -> list[Batch]:
        """The batches that follow from one partition's unfinished records (5.2-6, and its split by lane)."""
        if progressed:
            return [self._new(piece, now) for piece in tail.by_lane()]
        verdict = after_failure(len(tail), 0, batch.attempts, self._policy, chance)
        if isinstance(verdict, Halves):
            self._claims.counts.bisects += 1
            halves = tail.cut(0, verdict.middle), tail.cut(verdict.middle, len(tail))
            return [self._new(half, now) for half in halves]
        if len(batch.pieces) == 1 and not several:
            return [self._claims.again(batch, verdict, now)]
        if several and self._policy.bisect:  # a single record beside other lanes: being alone is its half
            return [self._new(tail, now)]
        # Ours (13-11): the parts keep the attempts spent and get new request ids.
        return [self._claims.again(self._new(piece, now, batch), verdict, now) for piece in tail.by_lane()]

    def _new(self, piece: Part, now: Instant, spent: Batch | None = None) -> Batch:
        batch = Batch([piece], self._claims.ids(), now.monotonic)
        if spent is not None:
            batch.attempts, batch.answered, batch.error = spent.attempts, spent.answered, spent.error
        return batch

    def _leave_failed(self, claim: Claim, batch: Batch, failed: Sequence[Sequence[int]], now: Instant) -> None:
        """A queue redelivers what failed; the rest is done. What waits behind a failure in its lane goes back.

        AWS: nothing is deleted of a failed batch, of a partial one all that is not reported (5.6-1, 5.6-4, 5.6-12).
        Ours (13-5): nothing of a failed group overtakes.
        """
        behind: dict[Lane, None] = {}
        for piece, indexes in zip(batch.pieces, failed, strict=True):
            bad = set(indexes)
            done = [i for i in range(len(piece)) if i not in bad]
            if done:
                self._claims.finish(piece.pick(done))
                self._claims.counts.processed += len(done)
            if bad:
                behind.update(dict.fromkeys(self._leave(piece.pick(sorted(bad)))))
        for lane in behind:
            self._claims.return_waiting(lane)
        self._claims.edit(claim, [], now)

    def _leave(self, piece: Part) -> Iterable[Lane]:
        """Failed records are the queue's again; returns the lanes that they stop."""
        hold = piece.hold
        if hold.revoked:  # nobody will try them here: back at once
            self._claims.give_back(hold, piece.records, piece.ordinals)
        else:
            hold.ledger.leave(piece.records, piece.ordinals)
            self._claims.moved[hold.grant] = hold
        return piece.ordered_lanes()

    def _held_up(
        self, claim: Claim, batch: Batch, outcome: Throttled | Unreachable, now: Instant, chance: float
    ) -> None:
        """No attempt was made: wait, with the attempts and the failure backoff untouched (12-16)."""
        batch.waits += 1
        if isinstance(outcome, Throttled):
            self._claims.counts.throttles += 1
            delay = throttle_backoff(batch.waits, chance) if outcome.after is None else outcome.after
            claim.reason = "its function is throttled"
        else:
            delay = unreachable_backoff(batch.waits)
            claim.reason = f"its function is unreachable ({outcome.reason})"
        if claim.since is None:
            claim.since = now.monotonic
        batch.due = now.monotonic + delay
        if self._claims.delivery.redelivers:
            batch.due = min(batch.due, batch.since + self._policy.throttle_hold)
        if batch.due <= now.monotonic or any(piece.hold.revoked for piece in batch.pieces):
            self._claims.undo(claim, batch, now)
        else:
            self._claims.edit(claim, [batch], now)

    # The failure destination

    def next_discard(self, now: Instant) -> Discard | None:
        """The next batch for the destination, unless it must be left alone for now."""
        if self.destination_due > now.monotonic or (self._refusals and self._delivering):
            return None
        discards = self._claims.agenda.discards
        while discards:
            claim = discards.popleft()
            if claim.state is State.DISCARDED:  # a claim that was placed twice stands here twice
                claim.state = State.DELIVERING
                self._delivering += 1
                batch = claim.batches[0]
                assert batch.condition is not None
                batch.given_up = batch.given_up or now.wall
                return Discard(batch, batch.condition)
        return None

    def discarded(self, discard: Discard, now: Instant, kept: bool) -> float | None:
        """What came of a discard; returns the seconds until it is tried again, None when it is over."""
        batch = discard.batch
        self._delivering -= 1
        if kept:
            self._refusals = 0
            self.destination_due = 0.0
        else:
            self._claims.counts.delivery_failures += 1
            if not self._policy.drop_undelivered:
                return self._refused(batch.claim, batch, now)
        if kept and self._policy.destination:
            self._claims.counts.dead_lettered += len(batch)
        else:
            self._claims.counts.dropped += len(batch)
        for piece in batch.pieces:
            self._claims.finish(piece)
        if self._claims.windowed and batch.final:
            self._claims.ended_window(batch)
        self._claims.edit(batch.claim, [], now)
        return None

    def _refused(self, claim: Claim, batch: Batch, now: Instant) -> float:
        """Ours (13-1): nothing is dropped; the lane waits, and deliveries to one destination share one backoff."""
        self._refusals += 1
        delay = failure_backoff(self._refusals, self._policy.backoff_cap, 0.5)
        self.destination_due = now.monotonic + delay
        if claim.since is None:
            claim.since = now.monotonic
        claim.reason = "its failure destination does not take the record"
        batch.pieces = [piece for piece in batch.pieces if not piece.hold.revoked]
        self._claims.edit(claim, [batch] if batch.pieces else [], now)
        return delay
