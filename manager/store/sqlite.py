"""The embedded store: parties in memory, decided one by one on the event loop, and SQLite as their durable log."""

import gc
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from chassis.codes import AreaCodes
from chassis.database import Database, DatabaseError, Statement
from chassis.errors import NotFound, Refusal, Unavailable, Unprocessable
from chassis.geo import Point
from chassis.group_commit import GroupCommit
from manager.codes import draw, no_codes_left
from manager.party import Participant, Party
from manager.places import at_resolution
from manager.store import MAX_RECEIPTS, Founding, Keys, Once, Outcome, Rule
from manager.store.image import Batch, Image, Receipt, Rest
from manager.tokens import KEY_BYTES

_SCHEMA = Path(__file__).parent.parent / "schema"
_RETRY_AFTER_S = 5
_NO_CODES_MS = 1_000  # Finding that none is left takes a look at each: once a second at most.

# A database's own number stands in the upper bits of its party ids, so that parties which move to another manager keep
# theirs. The 40 bits below count up: enough for 1,000 new parties a second for 34 years.
_COUNTER_BITS = 40
_NUMBER_BITS = 22


class SqliteStore:
    """Made by `open_sqlite`. Keeps the contract of manager.store.Store."""

    def __init__(
        self,
        database: Database,
        image: Image,
        keys: Keys,
        *,
        area_codes: AreaCodes,
        clock_ms: Callable[[], int],
        broken: Callable[[str], None],
        registry: CollectorRegistry,
    ) -> None:
        self.keys = keys
        self.image = image
        self._database = database
        self._area_codes = tuple(area_codes)
        self._clock_ms = clock_ms
        self._no_codes_until_ms = 0
        self.commits = GroupCommit(
            Batch,
            write=self._write,
            committed=image.apply,
            forgotten=image.forget,
            broken=broken,
            registry=registry,
        )

    async def party(self, code: int) -> Party | None:
        return self.image.parties.get(code)

    async def party_of(self, device: bytes) -> Party | None:
        code = self.image.devices.get(device)
        return None if code is None else self.image.parties[code]

    async def nearby(self, point: Point, *, radius_km: float, limit: int) -> list[tuple[Party, float]]:
        parties = self.image.parties
        found = self.image.places.nearest(point, radius_km=radius_km, limit=limit)
        return [(parties[code], distance_km) for code, distance_km in found]

    async def create(self, device: bytes, founding: Founding, once: Once | None = None) -> Outcome:
        return await self._settle(lambda: self._create(device, founding, once))

    async def change(self, code: int, rule: Rule, *, device: bytes | None = None, once: Once | None = None) -> Outcome:
        return await self._settle(lambda: self._change(code, rule, device, once))

    def unwritable(self) -> str | None:
        return "disk full" if self.commits.is_full else None

    async def sweep(self) -> None:
        """Drops what has expired from memory and disk, a portion at a time."""
        while self.image.sweep(self.commits.gathering, self._clock_ms()):
            await self.commits.commit()

    async def prove_writable(self) -> None:
        """Commits the counter as it stands, to find out whether the disk has room again. Raises Refusal."""
        self.commits.gathering.next_party_id = self.image.next_party_id
        await self.commits.commit()

    async def _settle(self, decide: Callable[[], tuple[Outcome, bool]]) -> Outcome:
        """Decides at once, and answers when all that the decision rests on is on the disk."""
        self.commits.check_room()
        self.image.rests_on_pending = False
        try:
            outcome, has_changes = decide()
        except Refusal:
            if self.image.rests_on_pending:
                await self.commits.commit()
            raise
        if has_changes or self.image.rests_on_pending:
            await self.commits.commit()
        return outcome

    def _create(self, device: bytes, founding: Founding, once: Once | None) -> tuple[Outcome, bool]:
        image, batch, now_ms = self.image, self.commits.gathering, self._clock_ms()
        if once is not None and (receipt := self._receipt(once, now_ms)) is not None:
            return self._replayed(receipt), False
        other = image.newest_party_of(device)
        code = self._draw(now_ms)
        decision = founding(image.new_party_id(batch), code, other)
        if other is not None:
            image.record(batch, other, decision.elsewhere, now_ms)
        party = image.record(batch, None, decision.here, now_ms)
        assert party is not None
        outcome = Outcome(code, party.id, decision.participant_id, True, party)
        self._keep_receipt(once, outcome, now_ms)
        return outcome, True

    def _draw(self, now_ms: int) -> int:
        if now_ms < self._no_codes_until_ms:
            raise no_codes_left()
        try:
            return draw(
                self._area_codes, is_taken=lambda code: self.image.is_taken(code, now_ms), below=secrets.randbelow
            )
        except Unavailable:
            self._no_codes_until_ms = now_ms + _NO_CODES_MS
            raise

    def _change(self, code: int, rule: Rule, device: bytes | None, once: Once | None) -> tuple[Outcome, bool]:
        image, batch, now_ms = self.image, self.commits.gathering, self._clock_ms()
        if once is not None and (receipt := self._receipt(once, now_ms)) is not None:
            return self._replayed(receipt), False
        party = image.newest_party(code)
        if party is None:
            raise NotFound("party_not_found", "No party has this code.")
        other = image.newest_party_of(device) if device is not None else None
        decision = rule(party, other)
        after: Party | None = party
        if other is not None and decision.elsewhere:
            image.record(batch, other, decision.elsewhere, now_ms)
        if decision.here:
            after = image.record(batch, party, decision.here, now_ms)
        outcome = Outcome(code, party.id, decision.participant_id, bool(decision.here), after)
        self._keep_receipt(once, outcome, now_ms)
        return outcome, bool(decision.here or decision.elsewhere or once)

    def _receipt(self, once: Once, now_ms: int) -> Receipt | None:
        receipt = self.image.newest_receipt(once.key, now_ms)
        if receipt is not None and receipt.request != once.request:
            raise Unprocessable(
                "idempotency_key_reused",
                "This Idempotency-Key came with another request before; use a new key for a new request.",
            )
        if receipt is None and len(self.image.receipts) >= MAX_RECEIPTS:
            raise Unavailable(
                "too_many_idempotency_keys",
                "Too many keys are remembered already.",
                retry_after_s=_RETRY_AFTER_S,
            )
        return receipt

    def _replayed(self, receipt: Receipt) -> Outcome:
        party = self.image.newest_party(receipt.code)
        if party is not None and party.id != receipt.party_id:
            party = None
        return Outcome(receipt.code, receipt.party_id, receipt.participant_id, receipt.is_new, party)

    def _keep_receipt(self, once: Once | None, outcome: Outcome, now_ms: int) -> None:
        if once is not None:
            receipt = Receipt(
                self.image.next_receipt_id,
                once.key,
                once.request,
                now_ms,
                outcome.code,
                outcome.party_id,
                outcome.participant_id,
                outcome.is_new,
            )
            self.image.record_receipt(self.commits.gathering, receipt)

    async def _write(self, batch: Batch) -> None:
        statements = list(_statements(batch))
        if statements:
            await self._database.write(statements)


@asynccontextmanager
async def open_sqlite(
    path: Path,
    *,
    area_codes: AreaCodes,
    resolution: int,
    clock_ms: Callable[[], int],
    broken: Callable[[str], None],
    registry: CollectorRegistry,
) -> AsyncIterator[SqliteStore]:
    """Opens, or makes, a manager's database and loads it. Raises DatabaseError.

    `resolution` is the H3 resolution at which parties are found; `broken` is called when the disk has failed.
    """
    database = await Database.open(path, _SCHEMA)
    try:
        keys = await _load_keys(database, area_codes)
        image = await _load(database, resolution)
        store = SqliteStore(
            database, image, keys, area_codes=area_codes, clock_ms=clock_ms, broken=broken, registry=registry
        )
        store.commits.start()
        try:
            yield store
        finally:
            await store.commits.stop()
    finally:
        await database.close()


def _statements(batch: Batch) -> Iterator[Statement]:
    """One statement per table and kind, deletes first, so that no key is briefly there twice."""
    gone = [key for key, participant in batch.participants.items() if participant is None]
    closed = [(party_id,) for party_id, (_, party) in batch.parties.items() if party is None]
    if gone:
        yield "DELETE FROM participants WHERE party_id = ? AND id = ?", gone
    if closed:
        yield "DELETE FROM parties WHERE id = ?", closed
    if batch.expired_rests:
        yield "DELETE FROM resting_codes WHERE party_id = ?", [(one.party_id,) for one in batch.expired_rests]
    if batch.expired_receipts:
        yield "DELETE FROM receipts WHERE id = ?", [(one.id,) for one in batch.expired_receipts]
    if batch.next_party_id is not None:
        yield "UPDATE counters SET next = ? WHERE name = 'party'", [(batch.next_party_id,)]
    parties = [_party_row(party) for _, party in batch.parties.values() if party is not None]
    if parties:
        yield _UPSERT_PARTY, parties
    seated = [
        (party_id, one.id, one.device, one.name, one.joined_at_ms)
        for (party_id, _), one in batch.participants.items()
        if one is not None
    ]
    if seated:
        yield (
            "INSERT INTO participants (party_id, id, device, name, joined_at_ms) VALUES (?, ?, ?, ?, ?)",
            seated,
        )
    if batch.rests:
        yield (
            "INSERT INTO resting_codes (party_id, code, closed_at_ms) VALUES (?, ?, ?)",
            [(one.party_id, one.code, one.closed_at_ms) for one in batch.rests],
        )
    if batch.receipts:
        yield _INSERT_RECEIPT, [_receipt_row(one) for one in batch.receipts.values()]


_PARTY_COLUMNS = (
    "id, code, leader_id, capacity, next_participant_id, version, created_at_ms, "
    "name, cell, discoverable, locked, attributes"
)
_UPSERT_PARTY = (
    f"INSERT INTO parties ({_PARTY_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET leader_id = excluded.leader_id, capacity = excluded.capacity, "
    "next_participant_id = excluded.next_participant_id, version = excluded.version, name = excluded.name, "
    "cell = excluded.cell, discoverable = excluded.discoverable, locked = excluded.locked, "
    "attributes = excluded.attributes"
)
_INSERT_RECEIPT = (
    "INSERT INTO receipts (id, key, request, at_ms, code, party_id, participant_id, is_new) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


def _party_row(party: Party) -> tuple[object, ...]:
    return (
        party.id,
        party.code,
        party.leader_id,
        party.capacity,
        party.next_participant_id,
        party.version,
        party.created_at_ms,
        party.name,
        party.cell,
        party.discoverable,
        party.locked,
        None if party.attributes is None else party.attributes.decode(),
    )


def _receipt_row(one: Receipt) -> tuple[object, ...]:
    return one.id, one.key, one.request, one.at_ms, one.code, one.party_id, one.participant_id, one.is_new


async def _load_keys(database: Database, area_codes: AreaCodes) -> Keys:
    """The keys of the database; makes those that aren't there yet."""
    kept: dict[str, bytes] = dict(await database.read("SELECT name, key FROM keys"))
    wanted = ["device", *(f"area:{area_code}" for area_code in area_codes)]
    new = [(name, secrets.token_bytes(KEY_BYTES)) for name in wanted if name not in kept]
    statements: list[Statement] = [("INSERT INTO keys (name, key) VALUES (?, ?)", new)]
    if not await database.read("SELECT 1 FROM counters WHERE name = 'party'"):
        first = secrets.randbelow(1 << _NUMBER_BITS) << _COUNTER_BITS
        statements.append(("INSERT INTO counters (name, next) VALUES ('party', ?)", [(first,)]))
    await database.write(statements)
    kept.update(new)
    area = {int(name.removeprefix("area:")): key for name, key in kept.items() if name.startswith("area:")}
    return Keys(kept["device"], area)


async def _load(database: Database, resolution: int) -> Image:
    """The whole database as an image. Raises DatabaseError where it breaks a rule that only memory upholds."""
    image = Image(resolution)
    [(image.next_party_id,)] = await database.read("SELECT next FROM counters WHERE name = 'party'")
    party_rows = await database.read(f"SELECT {_PARTY_COLUMNS} FROM parties ORDER BY id")
    participant_rows = await database.read(
        "SELECT party_id, id, device, name, joined_at_ms FROM participants ORDER BY party_id, id"
    )
    # Values are made by the hundred thousand and none is garbage: the collector would only walk them again and again.
    gc.disable()
    try:
        _fill(image, party_rows, participant_rows, resolution)
        for row in await database.read("SELECT party_id, code, closed_at_ms FROM resting_codes ORDER BY closed_at_ms"):
            rest = Rest(*row)
            image.rests[rest.code] = rest
        for row in await database.read(
            "SELECT id, key, request, at_ms, code, party_id, participant_id, is_new FROM receipts ORDER BY id"
        ):
            receipt = Receipt(*row)
            image.receipts[receipt.key] = receipt
            image.next_receipt_id = receipt.id + 1
    finally:
        gc.enable()
    gc.freeze()
    return image


def _fill(
    image: Image, party_rows: Sequence[tuple[Any, ...]], participant_rows: Sequence[tuple[Any, ...]], resolution: int
) -> None:
    rows = iter(participant_rows)
    row = next(rows, None)
    for party_id, code, *columns, name, cell, discoverable, locked, attributes in party_rows:
        seated = []
        while row is not None and row[0] == party_id:
            seated.append(Participant(row[1], row[2], row[3], row[4]))
            if row[2] in image.devices:
                raise DatabaseError(f"The database has one device in two parties, {code} the second of them.")
            image.devices[row[2]] = code
            row = next(rows, None)
        leader_id, capacity, next_participant_id, version, created_at_ms = columns
        party = Party(
            party_id,
            code,
            leader_id,
            capacity,
            next_participant_id,
            version,
            created_at_ms,
            tuple(seated),
            name,
            None if cell is None else at_resolution(cell, resolution),
            bool(discoverable),
            bool(locked),
            None if attributes is None else attributes.encode(),
        )
        if code in image.parties or party.participant(leader_id) is None or party_id >= image.next_party_id:
            raise DatabaseError(f"The database breaks a rule of parties at code {code}.")
        image.parties[code] = party
        image.participant_count += len(seated)
        if party.discoverable and party.cell is not None:
            image.places.add(party.cell, code)
    if row is not None:
        raise DatabaseError("The database has participants out of order.")
