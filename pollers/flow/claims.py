"""The claims of a flow: how they are opened, edited, split, ended, and what waits for its turn or waits too long.

Here is how a decision is carried out on lanes, ledgers and the agenda; what is decided about a failure is in
`answers`. It must not know sources or the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pollers.flow.agenda import Agenda, Timed
from pollers.flow.batches import Batch, Claim, Part, State, components, holds_of, lanes_of
from pollers.flow.counts import Counts
from pollers.flow.intake import expired
from pollers.flow.lanes import Hold, Lane, Pool, merge
from pollers.flow.records import Delivery, Grant, Instant, Policy, Raw, Shape
from pollers.flow.verdicts import Again, GiveUp, after_failure
from pollers.flow.windows import LATE, Window

__all__ = ["Claims"]


class Claims:
    """What is claimed, what can be claimed next, and the lanes, ledgers and timers behind it."""

    def __init__(self, policy: Policy, delivery: Delivery, shape: Shape, ids: Callable[[], str]) -> None:
        self.policy = policy
        self.delivery = delivery
        self.shape = shape
        self.ids = ids
        self.windowed = policy.tumbling > 0
        self.agenda = Agenda()
        self.counts = Counts()
        self.pressed = False  # the byte budget is spent: batches close with what there is
        self.moved: dict[Grant, Hold] = {}  # whose progress may be ahead of what was settled
        self.fed: list[Grant] = []  # starved partitions of which something has finished

    # Opening

    def form(self, pool: Pool, now: Instant) -> Batch | None:
        """Claim the lanes of a new batch: formed as late and as full as possible."""
        pool.queued = False
        if not pool.count:
            return None
        since = pool.opened()
        if self.windowed:
            return self._form_in_window(pool, since, now)
        taken, oversize = pool.gather(self.policy, self.shape)
        batch = Batch(merge(taken), self.ids(), since)
        batch.oversize = oversize
        claim = Claim((batch,), lanes_of((batch,)))
        self.poke(pool, now)
        return self.resume(claim, now)

    def _form_in_window(self, pool: Pool, since: float, now: Instant) -> Batch | None:
        """The same with tumbling windows: a batch never spans two, and the next waits for the end of the one before."""
        lane = pool.lanes[0]
        window = lane.hold.window
        assert window is not None, "each partition has one"
        if window.oversize or (window.pending and window.over(self.shape.arrived(lane.first()))):
            pool.withdraw(lane)
            return self.resume(self._final(lane, now), now)
        inside = window.enter(self.shape, lane.front(self.policy.batch_size))
        taken, oversize = pool.gather(self.policy, self.shape, inside, window.nbytes)
        batch = Batch(merge(taken), self.ids(), since)
        batch.oversize = oversize
        claim = Claim((batch,), lanes_of((batch,)))
        self.watch_window(lane.hold, now)
        return self.resume(claim, now)

    def _final(self, lane: Lane, now: Instant) -> Claim:
        """The claim of a window's final call, which has no records. AWS: 7-4."""
        return Claim((self.final_batch(lane, now),), {lane: None})

    def final_batch(self, lane: Lane, now: Instant) -> Batch:
        """A window's final call."""
        return Batch([Part(lane.hold, (), (), lane)], self.ids(), now.monotonic)

    # Tumbling windows

    def watch_window(self, hold: Hold, now: Instant) -> None:
        """See to it that a window is closed in time where no read will tell that nothing more comes."""
        window = hold.window
        if window is None or self.delivery.paced or (end := window.end) is None:
            return
        when = now.monotonic + max(0.0, end + LATE - now.wall) + 0.001
        if window.due is None or when < window.due:
            window.due = when
            self.agenda.at(when, window)

    def close_window(self, hold: Hold, now: Instant) -> None:
        """Begin the final call of a window that is over, once nothing of its partition waits or runs.

        AWS: also an idle shard's window is closed, and a shard's end closes its window (7-4, 7-6).
        """
        window = hold.window
        if window is None or hold.revoked or not window.pending or hold.claims or hold.ledger.held:
            return
        # Where reads wait for records none comes empty, and of old ones any moment is long past their window's end.
        idle = window.late(now.wall) and (window.caught_up or not (self.delivery.paced or window.backlog))
        if idle or window.ended or window.oversize:
            self.place(self._final(hold.lane(None, ordered=True), now), now)

    def ended_window(self, batch: Batch) -> None:
        """A final call was answered for good, or given up: its state is dropped."""
        hold = batch.pieces[0].hold
        assert hold.window is not None
        hold.window.close()
        hold.ledger.touch()
        if not hold.gone:
            self.moved[hold.grant] = hold

    def resume(self, claim: Claim, now: Instant) -> Batch | None:
        """The claim's batch, to be invoked now, unless it waited too long or can never be invoked."""
        if claim.state is not State.READY:
            return None
        batch = claim.batches[0]
        if self.policy.max_age is not None and self.cut_expired(claim, batch, now):
            return None
        if self.windowed and (window := batch.pieces[0].hold.window) is not None:
            batch.window = window.call(final=batch.final)
        if batch.waits and self._held_too_long(batch.since, now):
            self.undo(claim, batch, now)
            return None
        if batch.oversize:
            self._reject(claim, batch, now)
            return None
        claim.state = State.RUNNING
        return batch

    def _reject(self, claim: Claim, batch: Batch, now: Instant) -> None:
        """One record that no event can hold, as the source's Delivery says. AWS: 3.3-1 to 3.3-3."""
        oversize = self.delivery.oversize
        if self.delivery.redelivers:
            self.leave(claim, batch, now)
        elif oversize == "attempt":
            batch.attempts += 1
            if claim.since is None:
                claim.since, claim.reason = now.monotonic, "a record is too large for any event"
            verdict = after_failure(1, 0, batch.attempts, self.policy, 0.5)
            self.edit(claim, [self.again(batch, verdict, now)], now)
        elif oversize == "discard" and self.policy.destination:
            batch.condition = "MaximumPayloadSizeExceeded"
            self.edit(claim, [batch], now)
        else:
            self.counts.dropped += len(batch)
            for piece in batch.pieces:
                self.finish(piece)
            self.edit(claim, [], now)

    def again(self, batch: Batch, verdict: object, now: Instant) -> Batch:
        """The same batch, to be tried after the verdict's delay or to be given up."""
        if isinstance(verdict, GiveUp):
            batch.condition = "RetryAttemptsExhausted"
        elif isinstance(verdict, Again):
            self.counts.retries += 1
            batch.due = now.monotonic + verdict.delay
        return batch

    # Editing

    def resolved(self, claim: Claim, now: Instant) -> None:
        """The first batch of a claim is done with."""
        if len(claim.batches) > 1 or claim.state is State.OVER:
            self.edit(claim, [], now)
            return
        claim.batches.clear()
        lanes, claim.lanes = claim.lanes, {}
        for lane in lanes:
            self._free(lane, now)
        self._over(claim, now)

    def edit(self, claim: Claim, heads: list[Batch], now: Instant) -> None:
        """Replace the first batch of a claim by `heads`; lanes of which nothing is left are free again."""
        if claim.state is State.OVER:
            return
        claim.batches.popleft()
        claim.batches.extendleft(reversed(heads))
        for head in heads:
            head.claim = claim
        self.reclaim(claim, now)
        if len(claim.batches) > 1 and len(claim.lanes) != 1:
            self._split(claim, now)
        else:
            self.place(claim, now)

    def reclaim(self, claim: Claim, now: Instant) -> None:
        """Free the lanes and leave the partitions of which the claim holds no record any more."""
        before = claim.lanes
        claim.lanes = lanes_of(claim.batches)
        for lane in before:
            if lane not in claim.lanes:
                self._free(lane, now)
        if claim.batches and len(claim.holds) > 1:
            kept = holds_of(claim.batches)
            for hold in claim.holds:
                if hold not in kept:
                    hold.claims.pop(claim, None)
            claim.holds = kept

    def _split(self, claim: Claim, now: Instant) -> None:
        """Batches that share no lane do not wait for each other: a failing lane stops only itself."""
        self._over(claim, now)
        for batches, lanes in components(list(claim.batches)):
            part = Claim(batches, lanes)
            part.since, part.reason = claim.since, claim.reason
            self.place(part, now)

    def place(self, claim: Claim, now: Instant) -> None:
        """Put a claim where its first batch belongs."""
        if not claim.batches:
            self._over(claim, now)
            return
        head = claim.batches[0]
        if head.condition is not None:
            claim.state = State.DISCARDED
            self.agenda.discards.append(claim)
        elif head.due > now.monotonic:
            claim.state = State.WAITING
            self.agenda.at(head.due, claim)
        else:
            self._make_ready(claim, now)

    def _over(self, claim: Claim, now: Instant) -> None:
        claim.state = State.OVER
        for hold in claim.holds:
            hold.claims.pop(claim, None)
            if self.windowed:
                self.close_window(hold, now)

    def _make_ready(self, claim: Claim, now: Instant) -> None:
        claim.state = State.READY
        self.agenda.ready.append(claim)
        self._watch_claim(claim, now)

    def finish(self, piece: Part) -> None:
        """These records are resolved for good."""
        hold = piece.hold
        if not hold.gone and piece.records:
            hold.ledger.finish(piece.records, piece.ordinals)
            self.moved[hold.grant] = hold
            if hold.starved:
                hold.starved = False
                self.fed.append(hold.grant)

    def leave(self, claim: Claim, batch: Batch, now: Instant) -> None:
        """A queue's records that cannot be invoked are the queue's again, and what waits behind them goes back."""
        for piece in batch.pieces:
            piece.hold.ledger.leave(piece.records, piece.ordinals)
            self.moved[piece.hold.grant] = piece.hold
            for lane in piece.ordered_lanes():
                self.return_waiting(lane)
        self.edit(claim, [], now)

    def undo(self, claim: Claim, batch: Batch, now: Instant) -> None:
        """The batch is not tried here any more: unstarted for a queue, unfinished for a log.

        What a log's batch holds of partitions that are still ours (a spanning batch, one of which goes) stays.
        """
        kept: list[Part] = []
        stopped: dict[Lane, None] = {}
        for piece in batch.pieces:
            if self.delivery.redelivers:
                stopped.update(dict.fromkeys(piece.ordered_lanes()))
                self.give_back(piece.hold, piece.records, piece.ordinals)
            elif not piece.hold.revoked:
                kept.append(piece)
        for lane in stopped:
            self.return_waiting(lane)
        batch.pieces = kept
        self.edit(claim, [batch] if kept else [], now)

    def strip(self, claim: Claim, hold: Hold, now: Instant) -> None:
        """Take one partition's records out of a claim, but for the batch that runs or is on its way."""
        busy = claim.state in (State.RUNNING, State.DELIVERING)
        kept: list[Batch] = [claim.batches[0]] if busy else []
        for batch in list(claim.batches)[len(kept) :]:
            for piece in batch.pieces:
                if piece.hold is hold:
                    self.give_back(hold, piece.records, piece.ordinals)
            batch.pieces = [piece for piece in batch.pieces if piece.hold is not hold]
            if batch.pieces:
                kept.append(batch)
        claim.batches.clear()
        claim.batches.extend(kept)
        self.reclaim(claim, now)
        if not busy:
            self.place(claim, now)

    # Lanes

    def _free(self, lane: Lane, now: Instant) -> None:
        lane.freed(now.monotonic)
        if lane.count:
            self.poke(lane.pool, now)
            self.watch(lane.hold, lane.first(), now.monotonic, now)
        elif lane.key is not None:
            lane.hold.lanes.pop(lane.key, None)

    def return_waiting(self, lane: Lane) -> None:
        """What waits in a lane goes back to the queue, in order."""
        for run in lane.clear():
            self.give_back(lane.hold, run.records[run.start :], run.ordinals[run.start :])
        if lane.claim is None and lane.key is not None:
            lane.hold.lanes.pop(lane.key, None)

    def give_back(self, hold: Hold, records: Sequence[Raw], ordinals: Sequence[int]) -> None:
        """Unstarted records are the queue's again; a log's are read again by whoever owns the partition next."""
        if not hold.gone and self.delivery.redelivers:
            hold.ledger.give_back(records, ordinals)
            self.counts.returned += len(records)
            self.moved[hold.grant] = hold

    def poke(self, pool: Pool, now: Instant, *, force: bool = False) -> None:
        """Make a pool startable when a batch may close, or set the timer of its window.

        AWS: first of window, BatchSize and 6 MB (3.1-1). Ours: also when there is no more room, or no byte budget.
        """
        if pool.queued or not pool.count:
            return
        policy = self.policy
        closes = pool.opened() + policy.window
        if (
            force
            or closes <= now.monotonic
            or pool.count >= policy.batch_size
            or pool.nbytes >= policy.max_bytes
            or self.pressed
        ):
            pool.queued = True
            self.agenda.ready.append(pool)
        elif pool.due is None or closes < pool.due:  # an earlier timer looks again: one for each pool is enough
            pool.due = closes
            self.agenda.at(closes, pool)

    # Time

    def ripe(self, item: Timed, now: Instant) -> None:
        """Something is due."""
        if isinstance(item, Claim):
            self._make_ready(item, now)
            return
        item.due = None
        if isinstance(item, Window):
            self.close_window(item.hold, now)
            return
        if isinstance(item, Pool):
            self.poke(item, now)
        else:
            self._sweep(item, now)

    def watch(self, hold: Hold, raw: Raw, since: float, now: Instant) -> None:
        """See to it that the partition is looked at when `raw`, which may start since `since`, waited too long."""
        if self.delivery.redelivers:
            when = since + self.policy.throttle_hold
        elif self.policy.max_age is not None:
            # A little late rather than early: rounding must not make a record a hair younger than its limit.
            when = now.monotonic + max(0.0, self.shape.arrived(raw) + self.policy.max_age - now.wall) + 0.001
        else:
            return
        if hold.due is None or when < hold.due:
            hold.due = when
            self.agenda.at(when, hold)

    def _watch_claim(self, claim: Claim, now: Instant) -> None:
        batch = claim.batches[0]
        for piece in batch.pieces:
            if piece.records:
                self.watch(piece.hold, piece.records[0], batch.since, now)

    def _held_too_long(self, since: float, now: Instant) -> bool:
        """Ours (13-2): what a queue redelivers is held for `throttle_hold` at most."""
        return self.delivery.redelivers and since + self.policy.throttle_hold <= now.monotonic

    def _sweep(self, hold: Hold, now: Instant) -> None:
        """Take out what waited too long, and look again when the next will have."""
        for claim in list(hold.claims):
            if claim.state is State.READY:
                self._overdue_claim(claim, now)
        for lane in list(hold.lanes.values()):
            if lane.claim is None and lane.count:
                self._overdue_lane(lane, now)
        self.agenda.prune()
        for claim in hold.claims:
            if claim.state is State.READY:
                self._watch_claim(claim, now)
        for lane in hold.lanes.values():
            if lane.claim is None and lane.count:
                self.watch(hold, lane.first(), lane.ready_since, now)

    def _overdue_claim(self, claim: Claim, now: Instant) -> None:
        batch = claim.batches[0]
        if self._held_too_long(batch.since, now):
            self.undo(claim, batch, now)
        elif self.policy.max_age is not None:
            self.cut_expired(claim, batch, now)

    def _overdue_lane(self, lane: Lane, now: Instant) -> None:
        if self.delivery.redelivers:
            self._return_overdue(lane, now)
            return
        assert self.policy.max_age is not None
        run = lane.runs[0]
        waiting = run.records[run.start : run.start + self.policy.batch_size]
        count = expired(self.shape, waiting, now.wall - self.policy.max_age)
        if not count:
            return
        batch = Batch([lane.split_off(count)], self.ids(), now.monotonic)
        batch.condition = "RecordAgeExceeded"
        claim = Claim((batch,), lanes_of((batch,)))
        if not lane.ordered:
            lane.freed(now.monotonic)
        self.place(claim, now)

    def _return_overdue(self, lane: Lane, now: Instant) -> None:
        if lane.ordered:
            if self._held_too_long(lane.ready_since, now):
                self.return_waiting(lane)
            return
        fresh = []
        for run in lane.clear():
            if self._held_too_long(run.since, now):
                self.give_back(lane.hold, run.records[run.start :], run.ordinals[run.start :])
            else:
                fresh.append(run)
        for run in fresh:
            lane.add(run)

    def _cut_final(self, claim: Claim, batch: Batch, limit: float, now: Instant) -> bool:
        """A window's final call is as old as its latest record. AWS: the limits hold for it too (7-7)."""
        window = batch.pieces[0].hold.window
        if window is None or window.last > limit:
            return False
        batch.condition = "RecordAgeExceeded"
        self.edit(claim, [batch], now)
        return True

    def cut_expired(self, claim: Claim, batch: Batch, now: Instant) -> bool:
        """Give up the expired front of a batch; what is left is the same batch with the same counter (12-10).

        AWS: compared before each invocation; only the prefix leaves (5.5-1, 5.5-2).
        """
        assert self.policy.max_age is not None
        limit = now.wall - self.policy.max_age
        if self.windowed and batch.final:
            return self._cut_final(claim, batch, limit, now)
        counts = [expired(self.shape, piece.records, limit) for piece in batch.pieces]
        if not any(counts):
            return False
        pieces = list(zip(batch.pieces, counts, strict=True))
        gone = Batch([piece.cut(0, n) for piece, n in pieces if n], batch.request_id, batch.since, batch.attempts)
        gone.condition = "RecordAgeExceeded"
        batch.pieces = [piece.cut(n, len(piece)) if n else piece for piece, n in pieces if n < len(piece)]
        self.edit(claim, [gone, batch] if batch.pieces else [gone], now)
        return True
