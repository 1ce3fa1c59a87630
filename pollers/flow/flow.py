"""The state machine of one mapping: pages in, batches and discards out, answers in, progress out.

Plain calls and plain values. It must not know asyncio, clocks, chance, logging or any source: time, chance and ids
are handed in, and all that tells sources apart is `Delivery`. The engine moves what is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pollers.flow.answers import Answers
from pollers.flow.batches import Batch, Claim, Discard, Part, State
from pollers.flow.claims import Claims
from pollers.flow.counts import Counts
from pollers.flow.intake import lapsed_out, sort_into_lanes, unfinished
from pollers.flow.lanes import Hold, Lane, Pool
from pollers.flow.ledger import Ledger, LogLedger, QueueLedger, Total
from pollers.flow.limits import room_limit
from pollers.flow.outcomes import Reading
from pollers.flow.records import Delivery, Grant, Instant, Outcome, Page, Policy, Progress, Raw, Shape
from pollers.flow.windows import Window

__all__ = ["Flow"]


class Flow:
    """What to invoke, discard and settle next, for one mapping.

    After every call ask `unsettled`, `startable`, `deliverable` and `wake_at`. `now` is one Instant per turn.
    """

    def __init__(self, policy: Policy, delivery: Delivery, shape: Shape, ids: Callable[[], str]) -> None:
        self._policy = policy
        self._delivery = delivery
        self._shape = shape
        self._claims = Claims(policy, delivery, shape, ids)
        self._answers = Answers(self._claims)
        self._agenda = self._claims.agenda
        self._holds: dict[Grant, Hold] = {}
        self._shared_pool = Pool() if delivery.spans else None
        self.total = Total()  # what all partitions hold together

    @property
    def counts(self) -> Counts:
        """What came of all records so far."""
        return self._claims.counts

    # Intake

    def grant(self, grant: Grant, now: Instant) -> None:
        """A partition is ours."""
        window = Window(self._policy.tumbling, grant.resume.state) if self._policy.tumbling else None
        ledger: Ledger = (
            QueueLedger(self.total)
            if self._delivery.redelivers
            else LogLedger(self.total, self._shape.position, grant.resume, window, self._delivery.ranges)
        )
        pool = self._shared_pool
        if pool is None and (self._delivery.mixed or self._delivery.lane == "none"):
            pool = Pool()
        hold = self._holds[grant] = Hold(grant, ledger, pool, room_limit(self._policy, self._delivery))
        if window is not None:
            hold.window, window.hold = window, hold
            self._claims.watch_window(hold, now)

    def accept(self, grant: Grant, page: Page, now: Instant) -> None:
        """Take a page in. What a revoked queue still brings is given back; for a log it is dropped."""
        hold = self._holds.get(grant)
        if hold is None or (hold.revoked and not self._delivery.redelivers):
            return
        records: Sequence[Raw] = page.records
        self.counts.received += len(records)
        first = hold.ledger.accept(page)
        if page.end:
            hold.ledger.end()
        self._claims.moved[grant] = hold
        ordinals: Sequence[int] = range(first, first + len(records))
        if hold.revoked:
            self._claims.give_back(hold, records, ordinals)
            return
        if hold.resumed and records:
            records, ordinals = self._skip_finished(hold, records, ordinals)
        if self._policy.filters is not None and records:
            records, ordinals = self._filter(hold, records, ordinals)
        if records:
            pools = sort_into_lanes(hold, self._delivery, self._shape, page, records, ordinals, now.monotonic)
            force = not hold.room()
            for pool in pools:
                self._claims.poke(pool, now, force=force)
            self._claims.watch(hold, records[0], now.monotonic, now)
        if hold.window is not None:
            hold.window.ended = hold.window.ended or page.end
            hold.window.caught_up = not page.records and page.behind == 0
            hold.window.backlog = bool(page.behind)
            self._claims.close_window(hold, now)

    def _skip_finished(
        self, hold: Hold, records: Sequence[Raw], ordinals: Sequence[int]
    ) -> tuple[Sequence[Raw], Sequence[int]]:
        keep, drop = unfinished(hold, self._shape, records)
        return _without(hold, records, ordinals, keep, drop)

    def _filter(
        self, hold: Hold, records: Sequence[Raw], ordinals: Sequence[int]
    ) -> tuple[Sequence[Raw], Sequence[int]]:
        assert self._policy.filters is not None
        passes, partition = self._policy.filters.passes, hold.grant.partition
        keep: list[int] = []
        drop: list[int] = []
        for index, raw in enumerate(records):
            (keep if passes(partition, raw) else drop).append(index)
        self.counts.filtered += len(drop)
        return _without(hold, records, ordinals, keep, drop)

    # What to do next

    @property
    def startable(self) -> bool:
        """Whether there is something to look at with `take(now, True)`: nearly always a batch to invoke."""
        return bool(self._agenda.ready)

    @property
    def deliverable(self) -> bool:
        """Whether batches are to be given up. They may have to wait for the destination; `wake_at` knows."""
        return bool(self._agenda.discards)

    def take(self, now: Instant, permitted: bool) -> Batch | Discard | None:
        """The next thing to do: a batch to invoke (only when `permitted`), or one to give up."""
        agenda, claims = self._agenda, self._claims
        if agenda.timers and agenda.timers[0][0] <= now.monotonic:
            agenda.ripen(now, claims.ripe)
        while True:
            if agenda.discards and (discard := self._answers.next_discard(now)) is not None:
                return discard
            if not (permitted and agenda.ready):
                return None
            item = agenda.ready.popleft()
            batch = claims.form(item, now) if isinstance(item, Pool) else claims.resume(item, now)
            if batch is not None:
                return batch

    def wake_at(self, now: Instant) -> float | None:
        """The next monotonic time at which something changes by itself; always in the future."""
        agenda = self._agenda
        if not agenda.timers and not agenda.discards:
            return None
        agenda.ripen(now, self._claims.ripe)
        when = agenda.next()
        due = self._answers.destination_due
        if agenda.discards and due > now.monotonic:
            return due if when is None else min(when, due)
        return when

    def press(self, now: Instant, on: bool) -> None:
        """The byte budget is spent (or no longer): while it is, every batch closes with what there is."""
        self._claims.pressed = on
        if on:
            for hold in self._holds.values():
                for lane in hold.lanes.values():
                    self._claims.poke(lane.pool, now)

    def room(self, grant: Grant) -> int:
        """How many more records the partition may bring; reads under way are the caller's to subtract."""
        hold = self._holds.get(grant)
        return 0 if hold is None else hold.room()

    def busy(self, grant: Grant) -> bool:
        """Whether something of it is being invoked, or could be, given a permit: it will have more room soon."""
        hold = self._holds.get(grant)
        return hold is not None and hold.busy()

    def starve(self, grant: Grant) -> None:
        """It is not read for want of room: name it in `fed` when something of it has finished."""
        if (hold := self._holds.get(grant)) is not None:
            hold.starved = True

    @property
    def fed(self) -> list[Grant]:
        """Starved grants of which something has finished since; whoever looks empties it."""
        return self._claims.fed

    # Answers

    def answer(self, batch: Batch, outcome: Outcome, now: Instant, chance: float) -> Reading | None:
        """What came of an invocation; returns how its answer was read, None where there was none to read.

        `chance` in [0, 1) spreads backoffs. What belongs to a partition that was forgotten counts no more.
        """
        return self._answers.answer(batch, outcome, now, chance)

    def discarded(self, discard: Discard, now: Instant, kept: bool) -> float | None:
        """What came of a discard: `kept` when the destination has it, or when there is none.

        Returns the seconds until it is tried again, None when that batch is over.
        """
        return self._answers.discarded(discard, now, kept)

    # Progress

    @property
    def unsettled(self) -> bool:
        """Whether `changed` may name a grant: cheap, and sometimes too careful."""
        return bool(self._claims.moved)

    def changed(self) -> list[Grant]:
        """The grants whose progress is ahead of what was settled last."""
        moved = self._claims.moved
        for grant in [grant for grant, hold in moved.items() if not hold.ledger.moved()]:
            del moved[grant]
        return list(moved)

    def moved(self, grant: Grant) -> bool:
        """Whether its progress is ahead of what was settled last."""
        hold = self._holds.get(grant)
        return hold is not None and hold.ledger.moved()

    def progress(self, grant: Grant) -> Progress:
        """The progress to settle now. A look: tell `settled` once it is durable."""
        return self._holds[grant].ledger.progress()

    def settled(self, grant: Grant, progress: Progress) -> None:
        """`progress`, the last one looked at, is durable."""
        if (hold := self._holds.get(grant)) is not None:
            hold.ledger.settled(progress)

    def stalled(self, grant: Grant) -> tuple[str, str, float] | None:
        """(reason, lane, monotonic since) when the partition stopped reading because of a lane that does not get on."""
        hold = self._holds.get(grant)
        if hold is None or hold.revoked or hold.room():
            return None
        stuck = [(claim.since, claim) for claim in hold.claims if claim.since is not None]
        if not stuck:
            return None
        since, claim = min(stuck, key=lambda pair: _lowest(pair[1], hold))
        lane = next((lane.name for lane in claim.lanes if lane.hold is hold), str(grant.partition))
        return claim.reason, lane, since

    # Giving partitions up

    def revoke(self, grant: Grant, now: Instant) -> None:
        """Nothing of it starts any more; what runs may end. For a queue what had not started goes back, in order."""
        hold = self._holds[grant]
        hold.revoked = True
        self._claims.moved[grant] = hold
        self._empty(hold, now)

    def forget(self, grant: Grant, now: Instant) -> None:
        """Drop everything of it at once: it was lost, or settled and released. Its answers count no more."""
        hold = self._holds.pop(grant, None)
        if hold is None:
            return
        hold.revoked = hold.gone = True
        self._claims.moved.pop(grant, None)
        hold.ledger.forget()
        self._empty(hold, now)

    def _empty(self, hold: Hold, now: Instant) -> None:
        for claim in list(hold.claims):
            self._claims.strip(claim, hold, now)
        for lane in list(hold.lanes.values()):
            self._claims.return_waiting(lane)
        self._agenda.prune()

    def idle(self, grant: Grant) -> bool:
        """Whether nothing of it is being invoked or delivered."""
        hold = self._holds.get(grant)
        return hold is None or all(claim.state not in (State.RUNNING, State.DELIVERING) for claim in hold.claims)

    def lapse(self, grant: Grant, records: Sequence[Raw], now: Instant) -> None:
        """These objects are the queue's again: unstarted ones are dropped, what follows in their lanes goes back."""
        hold = self._holds.get(grant)
        if hold is None:
            return
        self.counts.lapsed += len(records)
        lapsed = {id(raw) for raw in records}
        for claim in list(hold.claims):
            if claim.state in (State.READY, State.WAITING):
                self._lapse_claim(claim, lapsed, now)
        for lane in list(hold.lanes.values()):
            gone, behind = lapsed_out(lane, lapsed)
            hold.ledger.drop(gone)
            for run in behind:
                self._claims.give_back(hold, run.records, run.ordinals)
        self._agenda.prune()

    def _lapse_claim(self, claim: Claim, lapsed: set[int], now: Instant) -> None:
        batch = claim.batches[0]
        if not any(id(raw) in lapsed for piece in batch.pieces for raw in piece.records):
            return
        kept: list[Part] = []
        for piece in batch.pieces:
            left, stopped = self._lapse_piece(piece, lapsed)
            kept += left
            for lane in stopped:
                self._claims.return_waiting(lane)
        batch.pieces = kept
        self._claims.edit(claim, [batch] if kept else [], now)

    def _lapse_piece(self, piece: Part, lapsed: set[int]) -> tuple[list[Part], dict[Lane, None]]:
        """What is left of a batch's part, and the lanes that a lapsed record stops."""
        stopped: dict[Lane, None] = {}
        gone: list[int] = []
        back: list[int] = []
        keep: list[int] = []
        for index, raw in enumerate(piece.records):
            lane = piece.lane if piece.lanes is None else piece.lanes[index]
            if id(raw) in lapsed:
                gone.append(piece.ordinals[index])
                if lane is not None and lane.ordered:
                    stopped[lane] = None
            else:
                (back if lane in stopped else keep).append(index)
        piece.hold.ledger.drop(gone)
        if back:
            returned = piece.pick(back)
            self._claims.give_back(piece.hold, returned.records, returned.ordinals)
        return ([piece.pick(keep)] if keep else []), stopped


def _without(
    hold: Hold, records: Sequence[Raw], ordinals: Sequence[int], keep: list[int], drop: list[int]
) -> tuple[Sequence[Raw], Sequence[int]]:
    """Finish the records at `drop`; the others, untouched where there is none to drop."""
    if not drop:
        return records, ordinals
    hold.ledger.finish([records[i] for i in drop], [ordinals[i] for i in drop])
    return [records[i] for i in keep], [ordinals[i] for i in keep]


def _lowest(claim: Claim, hold: Hold) -> int:
    """The first ordinal of the partition in the claim."""
    ordinals = [piece.ordinals[0] for batch in claim.batches for piece in batch.pieces if piece.hold is hold and piece]
    return min(ordinals, default=0)  # the final call of a window has no records
