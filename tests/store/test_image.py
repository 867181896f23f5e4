"""The memory image over real tables: whatever is decided while commits are on their way, and however they end."""

import random
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from manager import rules
from manager.party import Created, Event, Participant, Party, evolve
from manager.places import snap
from manager.store import RECEIPT_MS, REST_MS
from manager.store.image import Batch, Image, Receipt
from manager.store.rows import statements
from tests.store.people import MONTREAL, RESOLUTION, device

SCHEMA = Path(rules.__file__).parent / "schema"
HOME = snap(MONTREAL, RESOLUTION)

Parties = dict[int, Party]


def empty_tables() -> sqlite3.Connection:
    tables = sqlite3.connect(":memory:", isolation_level=None)
    tables.execute("PRAGMA foreign_keys = ON")
    for step in sorted(SCHEMA.glob("[0-9]*.sql")):
        tables.executescript(step.read_text())
    tables.execute("INSERT INTO counters (name, next) VALUES ('party', 0)")
    return tables


def write(tables: sqlite3.Connection, batch: Batch) -> None:
    tables.execute("BEGIN")
    for sql, rows in statements(batch):
        tables.executemany(sql, rows)
    tables.execute("COMMIT")


@dataclass
class Desk:
    """Decides at random on the newest values, as the store does, with one batch at most on its way to the tables."""

    seed: int
    image: Image = field(default_factory=lambda: Image(RESOLUTION))
    committed: Parties = field(default_factory=dict)
    newest: Parties = field(default_factory=dict)
    receipts: dict[bytes, Receipt] = field(default_factory=dict)
    in_flight: Batch | None = None
    now_ms: int = 1_000_000

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.tables = empty_tables()
        self.gathering = Batch()
        self.when_taken = (self.committed, self.receipts)
        self.newest_receipts: dict[bytes, Receipt] = {}
        self.next_code = 457_000_000
        self.devices = [device(n) for n in range(8)]
        self.given_ids: set[int] = set()

    def decide(self) -> None:
        whose = self.random.choice(self.devices)
        other = self.image.newest_party_of(whose)
        assert other == next((party for party in self.newest.values() if sits(whose, party)), None)
        match self.random.choice(["create", "join", "join", "leave", "leave"]):
            case "create":
                self._move_out(other, whose)
                self._create(whose)
            case "join" if self.newest:
                party = self.random.choice([*self.newest.values()])
                if party != other and len(party.participants) < party.capacity:
                    self._move_out(other, whose)
                    self._record(party, rules.join(party, device=whose, name=None, at_ms=self.now_ms))
            case "leave" if other is not None:
                self._record(other, rules.leave(other, other.seat_of(whose).id, "left"))
        if self.random.random() < 0.3:
            self._keep_receipt()

    def _create(self, whose: bytes) -> None:
        party_id = self.image.new_party_id(self.gathering)
        assert party_id not in self.given_ids
        self.given_ids.add(party_id)
        code = self._draw()
        founder = Participant(0, whose, None, self.now_ms)
        capacity, shown = self.random.randrange(1, 5), self.random.random() < 0.5
        party = Party(party_id, code, 0, capacity, 1, 1, 0, (founder,), cell=HOME, discoverable=shown)
        self._record(None, [Created(party)])

    def _draw(self) -> int:
        """A code that has rested, or a new one."""
        code = self.random.randrange(457_000_000, self.next_code + 1)
        if self.image.is_taken(code, self.now_ms):
            code = self.next_code
        self.next_code = max(self.next_code, code + 1)
        assert not self.image.is_taken(code, self.now_ms)
        return code

    def _move_out(self, other: Party | None, whose: bytes) -> None:
        if other is not None:
            self._record(other, rules.move_out(other, whose))

    def _record(self, party: Party | None, events: list[Event]) -> None:
        after = self.image.record(self.gathering, party, events, self.now_ms)
        assert after == evolve(party, events)
        if after is not None:
            self.newest[after.code] = after
        elif party is not None:
            del self.newest[party.code]

    def _keep_receipt(self) -> None:
        key = self.random.randbytes(1) * 16 if self.random.random() < 0.5 else device(self.random.randrange(4))
        kept = self.image.newest_receipt(key, self.now_ms)
        expected = self.newest_receipts.get(key)
        if expected is not None and self.now_ms - expected.at_ms < RECEIPT_MS:
            assert kept == expected
        if kept is None:
            receipt = Receipt(self.image.next_receipt_id, key, bytes(16), self.now_ms, 457_000_000, 0, 0, True)
            self.image.record_receipt(self.gathering, receipt)
            self.newest_receipts[key] = receipt

    def take(self) -> None:
        self.in_flight, self.gathering = self.gathering, Batch()
        self.when_taken = (dict(self.newest), dict(self.newest_receipts))

    def arrive(self) -> None:
        assert self.in_flight is not None
        write(self.tables, self.in_flight)
        self.image.apply(self.in_flight)
        self.in_flight = None
        self.committed, self.receipts = self.when_taken

    def fail(self) -> None:
        self.in_flight, self.gathering = None, Batch()
        self.image.forget()
        self.newest, self.newest_receipts = dict(self.committed), dict(self.receipts)

    def check(self) -> None:
        """Readers see what is in the tables, rules the newest; what differs is known to be pending."""
        image = self.image
        assert image.parties == self.committed
        assert image.participant_count == sum(len(party.participants) for party in self.committed.values())
        assert image.devices == {one.device: p.code for p in self.committed.values() for one in p.participants}
        shown = image.places.nearest(MONTREAL, radius_km=1, limit=1000)
        assert [code for code, _ in shown] == sorted(p.code for p in self.committed.values() if p.discoverable)
        for code in range(457_000_000, self.next_code):
            image.rests_on_pending = False
            assert image.newest_party(code) == self.newest.get(code)
            if self.newest.get(code) != self.committed.get(code):
                assert image.rests_on_pending
                assert image.is_taken(code, self.now_ms)
            if code in self.committed or code in self.newest:
                assert image.is_taken(code, self.now_ms)
        for whose in self.devices:
            image.rests_on_pending = False
            party = image.newest_party_of(whose)
            if party != next((party for party in self.committed.values() if sits(whose, party)), None):
                assert image.rests_on_pending
        self.check_tables()

    def check_tables(self) -> None:
        rows = self.tables.execute("SELECT code, id, leader_id, version, next_participant_id FROM parties")
        assert {row[0]: tuple(row) for row in rows} == {
            p.code: (p.code, p.id, p.leader_id, p.version, p.next_participant_id) for p in self.committed.values()
        }
        seats = self.tables.execute("SELECT party_id, id, device FROM participants").fetchall()
        assert sorted(seats) == sorted(
            (p.id, one.id, one.device) for p in self.committed.values() for one in p.participants
        )
        rests = self.tables.execute("SELECT party_id, code, closed_at_ms FROM resting_codes").fetchall()
        assert sorted(rests) == sorted(
            (one.party_id, one.code, one.closed_at_ms) for one in self.image.resting.values()
        )
        receipts = self.tables.execute("SELECT id, key FROM receipts").fetchall()
        assert sorted(receipts) == sorted((one.id, one.key) for one in self.image.receipts.values())


def sits(whose: bytes, party: Party) -> bool:
    return any(one.device == whose for one in party.participants)


@pytest.mark.parametrize("seed", range(25))
def test_readers_see_what_is_in_the_tables_and_rules_see_the_newest(seed: int) -> None:
    desk = Desk(seed)
    for _ in range(150):
        for _ in range(desk.random.randrange(5)):
            desk.decide()
            desk.check()
        match desk.random.choice(["take", "take", "arrive", "arrive", "arrive", "fail", "sweep", "wait"]):
            case "take" if desk.in_flight is None:
                desk.take()
            case "arrive" if desk.in_flight is not None:
                desk.arrive()
            case "fail" if desk.random.random() < 0.3:
                desk.fail()
            case "sweep":
                desk.image.sweep(desk.gathering, desk.now_ms)
            case "wait":
                desk.now_ms += desk.random.choice([1, REST_MS // 3])
        desk.check()
    assert len(desk.given_ids) > 30, "it must come to something"


class ForgetsMoves(Image):
    """Says of a device that has left one party for another that it has only left."""

    def _seat(self, batch: Batch, party: Party, participant: Participant) -> None:
        was = self._newest_devices.get(participant.device, participant.device)
        super()._seat(batch, party, participant)
        if was is None:
            batch.devices[participant.device] = None


class ShowsTooEarly(Image):
    """Shows readers what isn't on the disk yet."""

    def record(self, batch: Batch, party: Party | None, events: list[Event], now_ms: int) -> Party | None:
        after = super().record(batch, party, events, now_ms)
        if after is not None and party is not None:
            self.parties[after.code] = after
        return after


class NeverForgets(Image):
    """Keeps deciding on what the disk has refused."""

    def forget(self) -> None:
        self._newest_receipts.clear()


@pytest.mark.parametrize("planted", [ForgetsMoves, ShowsTooEarly, NeverForgets])
def test_the_desk_catches_a_planted_bug(planted: type[Image]) -> None:
    desk = Desk(0, image=planted(RESOLUTION))

    def work() -> None:
        for step in range(200):
            desk.decide()
            desk.check()
            if step % 3 == 0:
                desk.take()
            if step % 3 == 2:
                desk.fail() if step % 9 == 8 else desk.arrive()
            desk.check()

    with pytest.raises((AssertionError, sqlite3.IntegrityError)):
        work()


def test_a_batch_is_one_statement_for_each_table_and_kind_deletes_first() -> None:
    desk = Desk(3)
    for _ in range(40):
        desk.decide()
    desk.take()
    desk.arrive()
    desk.now_ms += REST_MS
    desk.image.sweep(desk.gathering, desk.now_ms)
    for _ in range(40):
        desk.decide()
    kinds = [sql.split("(")[0].split("WHERE")[0].split("SET")[0].strip() for sql, _ in statements(desk.gathering)]
    assert max(Counter(kinds).values()) == 1
    assert {"DELETE FROM participants", "DELETE FROM parties", "INSERT INTO participants"} <= set(kinds)
    deletes = [kind.startswith("DELETE") for kind in kinds]
    assert deletes == sorted(deletes, reverse=True)


def test_a_seat_taken_and_left_in_one_batch_is_not_written() -> None:
    desk = Desk(4)
    desk._create(device(0))
    desk._record(desk.newest[457_000_000], rules.leave(desk.newest[457_000_000], 0, "left"))
    written = [sql.split("(")[0] for sql, _ in statements(desk.gathering)]
    assert not any(sql.startswith(("INSERT INTO parties", "INSERT INTO participants")) for sql in written)
    desk.take()
    desk.arrive()
    desk.check()
    assert desk.image.is_taken(457_000_000, desk.now_ms + REST_MS - 1)
    assert not desk.image.is_taken(457_000_000, desk.now_ms + REST_MS)


def test_what_has_expired_leaves_memory_and_tables_in_portions() -> None:
    desk = Desk(5)
    for n in range(6000):
        key = n.to_bytes(16, "big")
        receipt = Receipt(desk.image.next_receipt_id, key, bytes(16), desk.now_ms, 457_000_000, 0, 0, True)
        desk.image.record_receipt(desk.gathering, receipt)
    desk.take()
    desk.arrive()
    desk.now_ms += RECEIPT_MS
    left = []
    while desk.image.sweep(desk.gathering, desk.now_ms):
        desk.take()
        desk.arrive()
        left.append(len(desk.image.receipts))
        desk.check_tables()
    assert left == [1000, 0]


def test_past_the_bound_the_oldest_receipts_go_from_memory_and_disk() -> None:
    image, tables = Image(RESOLUTION, max_receipts=3), empty_tables()
    for first in range(0, 10, 2):
        batch = Batch()
        for number in (first, first + 1):
            key = bytes([number]) * 16
            image.record_receipt(batch, Receipt(number + 1, key, key, number, 457_000_000, 1, 0, True))
        write(tables, batch)
        image.apply(batch)
        newest = list(range(max(0, first - 1), first + 2))
        assert [one.at_ms for one in image.receipts.values()] == newest
        assert [at_ms for (at_ms,) in tables.execute("SELECT at_ms FROM receipts ORDER BY id")] == newest
