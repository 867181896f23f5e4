"""The embedded store: parties in memory, decided one by one on the event loop, and SQLite as their durable log."""

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from chassis.codes import AreaCodes
from chassis.database import Database, unsound
from chassis.errors import Refusal, Unavailable
from chassis.geo import Point
from chassis.group_commit import GroupCommit
from manager.codes import draw, no_codes_left
from manager.party import Joined, Party
from manager.store import (
    MAX_CODES,
    Change,
    Founding,
    Keys,
    Once,
    Outcome,
    Rule,
    idempotency_key_reused,
    party_not_found,
    rows,
)
from manager.store.image import Batch, Image, Receipt

_SCHEMA = Path(__file__).parent.parent / "schema"
SWEEP_INTERVAL_S = 60.0
FULL_DISK_INTERVAL_S = 2.0
_NO_CODES_S = 1.0  # Finding that none is left takes a look at each: once a second at most.

_log = structlog.get_logger()


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
        announce: Callable[[Change], None],
        broken: Callable[[str], None],
        registry: CollectorRegistry,
    ) -> None:
        self.keys = keys
        self.ran_ms = image.ran_ms
        self.image = image
        self._announce = announce
        self._database = database
        self._area_codes = tuple(area_codes)
        self._clock_ms = clock_ms
        self._no_codes_until_s = 0.0
        self.commits = GroupCommit(
            Batch,
            write=self._write,
            committed=self._show,
            forgotten=image.forget,
            broken=broken,
            registry=registry,
        )

    async def party(self, code: int) -> Party | None:
        return self.image.parties.get(code)

    async def resting(self, code: int) -> int | None:
        rest = self.image.resting.get(code)
        return None if rest is None else rest.party_id

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

    def living(self) -> Iterable[Party]:
        return self.image.parties.values()

    def unwritable(self) -> str | None:
        return "disk full" if self.commits.is_full else None

    async def sweep(self) -> None:
        """Drops what has expired from memory and disk, a portion at a time."""
        while self.image.sweep(self.commits.gathering, self._clock_ms()):
            await self.commits.commit()

    async def prove_writable(self) -> None:
        """After a full disk: finds out whether there is room again. Raises Refusal or OSError when there isn't."""
        await self._database.prove_room()
        self.commits.gathering.next_party_id = self.image.next_party_id
        await self.commits.commit()
        self.commits.is_full = False
        _log.info("the disk has room again")

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
        now_s = asyncio.get_running_loop().time()
        if now_s < self._no_codes_until_s or self.image.code_count() >= MAX_CODES:
            raise no_codes_left()
        try:
            return draw(
                self._area_codes, is_taken=lambda code: self.image.is_taken(code, now_ms), below=secrets.randbelow
            )
        except Unavailable:
            if not self.image.rests_on_pending:
                self._no_codes_until_s = now_s + _NO_CODES_S
            raise

    def _change(self, code: int, rule: Rule, device: bytes | None, once: Once | None) -> tuple[Outcome, bool]:
        image, batch, now_ms = self.image, self.commits.gathering, self._clock_ms()
        if once is not None and (receipt := self._receipt(once, now_ms)) is not None:
            return self._replayed(receipt), False
        party = image.newest_party(code)
        if party is None:
            raise party_not_found()
        other = image.newest_party_of(device) if device is not None else None
        decision = rule(party, other)
        after: Party | None = party
        if other is not None and decision.elsewhere:
            image.record(batch, other, decision.elsewhere, now_ms)
        if decision.here:
            after = image.record(batch, party, decision.here, now_ms)
        is_new = any(isinstance(event, Joined) for event in decision.here)
        outcome = Outcome(code, party.id, decision.participant_id, is_new, after)
        self._keep_receipt(once, outcome, now_ms)
        return outcome, bool(decision.here or decision.elsewhere or once)

    def _receipt(self, once: Once, now_ms: int) -> Receipt | None:
        receipt = self.image.newest_receipt(once.key, now_ms)
        if receipt is not None and receipt.request != once.request:
            raise idempotency_key_reused()
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

    def _show(self, batch: Batch) -> None:
        """The batch is on the disk: readers see it, then everyone is told, in the order of the decisions."""
        self.image.apply(batch)
        for change in batch.changes:
            self._announce(change)

    async def _write(self, batch: Batch) -> None:
        statements = list(rows.statements(batch))
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
    announce: Callable[[Change], None] = lambda _: None,
) -> AsyncIterator[SqliteStore]:
    """Opens, or makes, a manager's database and loads it. Raises DatabaseError.

    `resolution` is the H3 resolution at which parties are found; `broken` is called when the disk has failed, and
    `announce` with each change once it is on the disk. It must not raise.
    """
    database = await Database.open(path, _SCHEMA)
    try:
        try:
            keys = await rows.load_keys(database, area_codes)
            image = await rows.load(database, resolution)
        except (sqlite3.Error, ValueError) as error:
            raise unsound(path, error) from None
        store = SqliteStore(
            database,
            image,
            keys,
            area_codes=area_codes,
            clock_ms=clock_ms,
            announce=announce,
            broken=broken,
            registry=registry,
        )
        store.commits.start()
        keeper = asyncio.create_task(_keep_house(store), name="housekeeping")
        try:
            yield store
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            await store.commits.stop()
    finally:
        await database.close()


async def _keep_house(store: SqliteStore) -> None:
    """Drops what has expired once a minute; while the disk is full, tries whether it has room again."""
    loop = asyncio.get_running_loop()
    next_sweep_s = loop.time() + SWEEP_INTERVAL_S
    while True:
        await asyncio.sleep(FULL_DISK_INTERVAL_S)
        try:
            if store.unwritable():
                await store.prove_writable()
            elif loop.time() >= next_sweep_s:
                next_sweep_s = loop.time() + SWEEP_INTERVAL_S
                await store.sweep()
        except (Refusal, OSError):
            pass  # the disk is still full, or has failed and the process ends
        except Exception:
            _log.exception("housekeeping failed")
