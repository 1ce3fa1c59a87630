"""Drives a flow as the engine does, by chance, and holds what it does against the order that a source promises."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from pollers.flow.batches import Batch, Discard
from pollers.flow.flow import Flow
from pollers.flow.records import (
    Aborted,
    DataRule,
    Delivery,
    Failed,
    Grant,
    Instant,
    Outcome,
    Page,
    Partition,
    Parts,
    Policy,
    Position,
    Resume,
    Returned,
    Throttled,
    Unreachable,
)

QUEUE = {"slots": None, "mixed": True, "spans": False, "redelivers": True, "readers": None, "page": 10}
LOG = {"redelivers": False, "page": 20, "settle_every": 1.0}

# Every row of the table of deliveries, and each way to keep order on a log.
ROWS: dict[str, Delivery] = {
    "sqs": Delivery(lane="none", **QUEUE),  # type: ignore[arg-type]
    "sqs-fifo": Delivery(lane="group", **QUEUE),  # type: ignore[arg-type]
    "shard": Delivery(lane="partition", slots=1, mixed=False, spans=False, **LOG),  # type: ignore[arg-type]
    "shard-lanes": Delivery(lane="hash", slots=3, mixed=False, spans=False, **LOG),  # type: ignore[arg-type]
    "kafka": Delivery(lane="partition", slots=1, mixed=True, spans=True, **LOG),  # type: ignore[arg-type]
    "shard-keys": Delivery(lane="key", slots=None, mixed=True, spans=False, **LOG),  # type: ignore[arg-type]
    "kafka-keys": Delivery(lane="key", slots=None, mixed=True, spans=True, **LOG),  # type: ignore[arg-type]
    "log-unordered": Delivery(lane="none", slots=None, mixed=True, spans=False, **LOG),  # type: ignore[arg-type]
}


@dataclass(eq=False)
class Record:
    partition: str
    position: int
    key: str
    state: str = "waiting"  # running, done, gone (given up), failed, unstarted
    starts: int = 0

    def __repr__(self) -> str:
        return f"{self.partition}@{self.position}/{self.key}:{self.state}"


class RecordShape:
    data_rule = DataRule("data", "drop", plain=False)

    def position(self, raw: Record) -> Position | None:
        return (raw.position, 0)

    def identifier(self, partition: Partition, raw: Record) -> str:
        return f"{raw.partition}@{raw.position}"

    def key(self, raw: Record) -> bytes | None:
        return raw.key.encode() or None

    def arrived(self, raw: Record) -> float:
        return 0.0

    def size_bound(self, raw: Record) -> int:
        return 100

    def view(self, partition: Partition, raw: Record) -> Mapping[str, Any]:
        return {}

    def data(self, raw: Record) -> str:
        return ""

    def event(self, parts: Parts, window: Mapping[str, Any] | None) -> dict[str, Any]:
        return {"Records": [self.identifier(name, raw) for name, records in parts for raw in records]}

    def failure(self, parts: Parts) -> dict[str, Any]:
        return {}


SHAPE = RecordShape()
OVER = {"done", "gone", "failed", "unstarted"}


@dataclass
class Side:
    """One partition: what was made, what was handed over, what was settled."""

    grant: Grant
    records: list[Record] = field(default_factory=list)
    given: int = 0
    position: int = 0
    settled: list[Record] = field(default_factory=list)
    safe: int = -1
    revoked: bool = False


class Driver:
    """A flow, a source and a function, all moved by one seed."""

    def __init__(self, row: str, seed: int) -> None:
        self.chance = random.Random(seed)
        self.delivery = ROWS[row]
        pick = self.chance.choice
        queue = self.delivery.redelivers
        self.policy = Policy(
            batch_size=pick([1, 2, 5, 10, 40]),
            window=pick([0.0, 0.0, 3.0]),
            reports=pick([True, False]),
            retries=None if queue else pick([None, 0, 1, 3]),
            bisect=not queue and pick([True, False]),
            destination=not queue and pick([True, False]),
        )
        ids = count(1)
        self.flow = Flow(self.policy, self.delivery, SHAPE, lambda: str(next(ids)))
        self.now = Instant(1_000.0, 1_000.0)
        self.calm = False  # everything succeeds from now on
        self.running: list[Batch] = []
        self.delivering: list[Discard] = []
        self.attempts: dict[str, int] = {}
        partitions = pick([1, 2, 3]) if self.delivery.spans else 1
        self.sides = {f"p{number}": self._side(f"p{number}") for number in range(partitions)}

    def _side(self, name: str) -> Side:
        grant = Grant(Partition(name))
        self.flow.grant(grant, self.now)
        return Side(grant)

    # One step

    def step(self) -> None:
        self.chance.choice([self.read, self.start, self.start, self.answer, self.answer, self.deliver, self.wait])()
        self.note_given_back()
        self.settle_some()
        self.look()

    def note_given_back(self) -> None:
        """What the queue gets back unstarted is over for us, settled or not."""
        if self.delivery.redelivers:
            for side in self.sides.values():
                for raw in self.flow.progress(side.grant).unstarted:
                    assert raw.state in {"waiting", "unstarted"}
                    raw.state = "unstarted"

    def read(self) -> None:
        side = self.chance.choice(list(self.sides.values()))
        room = self.flow.room(side.grant)
        size = min(room, self.chance.randint(0, self.delivery.page))
        keys = ["a", "b", "c", "d"] if self.delivery.lane != "key" else ["a", "b", "c", ""]
        records = []
        for _ in range(size):
            side.position += self.chance.randint(1, 3)
            records.append(Record(side.grant.partition, side.position, self.chance.choice(keys)))
        side.position += self.chance.randint(0, 2)  # what is covered without a record
        side.records += records
        position = None if self.delivery.redelivers else (side.position, 0)
        self.flow.accept(side.grant, Page(records, nbytes=100 * size, position=position), self.now)

    def start(self) -> None:
        taken = self.flow.take(self.now, permitted=len(self.running) < 6)
        if isinstance(taken, Discard):
            self.delivering.append(taken)
        elif taken is not None:
            self.started(taken)

    def started(self, batch: Batch) -> None:
        records = [raw for _, some in batch.parts for raw in some]
        assert 0 < len(records) <= self.policy.batch_size
        for raw in records:
            assert raw.state == "waiting", f"{raw} is started twice"
            self.check_order(raw, records)
            raw.state = "running"
            raw.starts += 1
        for partition, some in batch.parts:
            order = [raw.position for raw in some]
            assert order == sorted(order), "a part stands by position"
            assert not self.sides[partition].revoked, "nothing of a revoked partition starts"
        self.running.append(batch)

    def check_order(self, raw: Record, together: list[Record]) -> None:
        """What must precede it is over, or stands before it in the same batch."""
        for other in self.sides[raw.partition].records:
            if other.position >= raw.position:
                return
            if self.ordered(other, raw) and other.state not in OVER:
                assert other in together, f"{raw} overtakes {other}"

    def ordered(self, one: Record, other: Record) -> bool:
        lane = self.delivery.lane
        if lane == "none":
            return False
        return lane == "partition" or (one.key == other.key and one.key != "")

    def answer(self) -> None:
        if not self.running:
            return
        batch = self.running.pop(self.chance.randrange(len(self.running)))
        self.finish(batch, self.outcome(batch))

    def outcome(self, batch: Batch) -> Outcome:
        if self.calm:
            return Returned()
        kind = self.chance.random()
        if kind < 0.45:
            return Returned()
        if kind < 0.6 and self.policy.reports:
            records = [(partition, raw) for partition, some in batch.parts for raw in some]
            failed = self.chance.sample(records, self.chance.randint(1, len(records)))
            failures = [{"itemIdentifier": SHAPE.identifier(partition, raw)} for partition, raw in failed]
            return Returned({"batchItemFailures": failures})
        return self.chance.choice([Failed("E", "no"), Failed("E", "no"), Throttled(), Unreachable("x"), Aborted()])

    def finish(self, batch: Batch, outcome: Outcome) -> None:
        parts = [(partition, list(some)) for partition, some in batch.parts]
        before = batch.attempts
        for _, records in parts:
            for raw in records:
                raw.state = "waiting"
        reported: set[str] | None = None
        if isinstance(outcome, Returned):
            failures = (outcome.payload or {}).get("batchItemFailures", []) if self.policy.reports else []
            reported = {entry["itemIdentifier"] for entry in failures}
        for partition, records in parts:
            self.apply(partition, records, outcome, reported)
        self.flow.answer(batch, outcome, self.now, self.chance.random())
        if isinstance(outcome, Throttled | Unreachable | Aborted):
            assert batch.attempts == before, "no attempt is spent"

    def apply(self, partition: Partition, records: list[Record], outcome: Outcome, reported: set[str] | None) -> None:
        """What the answer means by AWS's rules, said again without the flow's help."""
        if self.delivery.redelivers:
            if isinstance(outcome, Aborted):
                for raw in records:
                    raw.state = "unstarted"
            elif isinstance(outcome, Returned | Failed):
                for raw in records:
                    bad = reported is None or SHAPE.identifier(partition, raw) in reported
                    raw.state = "failed" if bad else "done"
            return
        if reported is None:
            return
        for raw in records:
            if SHAPE.identifier(partition, raw) in reported:
                return
            raw.state = "done"

    def deliver(self) -> None:
        if not self.delivering:
            return
        discard = self.delivering.pop(0)
        kept = self.calm or not self.policy.destination or self.chance.random() < 0.7
        for _, records in discard.batch.parts:
            for raw in records:
                assert raw.state == "waiting"
                if kept:
                    raw.state = "gone"
        if self.policy.retries is not None:
            assert discard.count == self.policy.retries + 1, "given up after exactly so many attempts"
        self.flow.discarded(discard, self.now, kept)

    def wait(self) -> None:
        wake = self.flow.wake_at(self.now)
        if wake is not None:
            assert wake > self.now.monotonic, "what is due waits for nothing"
        step = self.chance.choice([0.05, 1.0, 5.0])
        if wake is not None and wake < self.now.monotonic + 100 and self.chance.random() < 0.7:
            step = wake - self.now.monotonic
        self.now = Instant(self.now.monotonic + step, self.now.wall + step)

    def settle_some(self) -> None:
        if self.chance.random() < 0.3:
            for grant in self.flow.changed():
                self.settle(grant)

    def settle(self, grant: Grant) -> None:
        side = self.sides[grant.partition]
        progress = self.flow.progress(grant)
        if self.delivery.redelivers:
            for records, state in (
                (progress.done, "done"),
                (progress.failed, "failed"),
                (progress.unstarted, "unstarted"),
            ):
                for raw in records:
                    assert raw.state == state, f"{raw} is settled as {state}"
                    assert raw not in side.settled, f"{raw} is settled twice"
                    side.settled.append(raw)
        self.flow.settled(grant, progress)

    # What must hold at any time

    def look(self) -> None:
        self.check_lanes()
        for side in self.sides.values():
            if not self.delivery.redelivers and side.grant in self.flow._holds:
                self.check_progress(side)

    def check_lanes(self) -> None:
        running = [(batch, raw) for batch in self.running for _, some in batch.parts for raw in some]
        for batch, raw in running:
            for other, near in running:
                if batch is not other and raw.partition == near.partition:
                    assert not self.ordered(raw, near), f"{raw} and {near} run side by side"

    def check_progress(self, side: Side) -> None:
        progress = self.flow.progress(side.grant)
        safe = -1 if progress.safe is None else progress.safe[0]
        assert safe >= side.safe, "a position never goes back"
        side.safe = safe
        spans = [(low[0], high[0]) for low, high in progress.above]
        assert spans == sorted(spans)
        for raw in side.records:
            finished = raw.position <= safe or any(low <= raw.position <= high for low, high in spans)
            assert finished == (raw.state in OVER), f"{raw}, safe {safe}, above {spans}"

    # The end

    def finish_everything(self) -> None:
        """Nothing fails any more: every record must come to its end."""
        self.calm = True
        self.note_given_back()
        for _ in range(4_000):
            while self.running:
                self.answer()
            while self.delivering:
                self.deliver()
            taken = self.flow.take(self.now, True)
            if isinstance(taken, Discard):
                self.delivering.append(taken)
            elif taken is not None:
                self.started(taken)
            else:
                wake = self.flow.wake_at(self.now)
                if wake is None or not self.flow.total.held:
                    break
                step = wake - self.now.monotonic
                self.now = Instant(self.now.monotonic + step, self.now.wall + step)
            self.look()
        self.look()
        for grant in self.flow.changed():
            self.settle(grant)
        self.check_end()

    def check_end(self) -> None:
        for side in self.sides.values():
            left = [raw for raw in side.records if raw.state not in OVER]
            assert not left, f"{left[:3]} never came to an end"
            if self.delivery.redelivers:
                assert sorted(side.settled, key=id) == sorted(side.records, key=id), "each settled exactly once"
            elif side.records and not side.revoked:
                assert side.safe >= side.records[-1].position
            hold = self.flow._holds[side.grant]
            assert not hold.claims
            assert all(not lane.count and lane.claim is None for lane in hold.lanes.values())
            assert set(hold.lanes) <= {None} | set(range(9)), "lanes of idle keys are forgotten"
        assert self.flow.total.held == 0
        assert self.flow.total.nbytes == 0
        assert not self.flow._agenda.ready

    def resume_of(self, name: str) -> Resume:
        progress = self.flow.progress(self.sides[name].grant)
        return Resume(progress.safe, progress.above)
