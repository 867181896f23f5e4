"""The SQLite store on a file whose disk can be made full, and what a fresh load of that file finds."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from chassis.errors import Refusal
from manager.store import Change, Outcome
from manager.store.image import Image
from manager.store.sqlite import SqliteStore, open_sqlite
from tests.store.people import AREA_CODES, MONTREAL, RESOLUTION, Clock

NO_LIMIT = 1 << 30


@asynccontextmanager
async def opened(
    path: Path,
    *,
    clock: Clock | None = None,
    broken: Callable[[str], None] | None = None,
    resolution: int = RESOLUTION,
    announce: Callable[[Change], None] = lambda _: None,
) -> AsyncIterator[SqliteStore]:
    """The store on this file. Fails the test when the disk is said to be broken and nobody listens for that."""
    failures: list[str] = []
    async with open_sqlite(
        path,
        area_codes=AREA_CODES,
        resolution=resolution,
        clock_ms=clock or Clock(),
        broken=broken or failures.append,
        registry=CollectorRegistry(),
        announce=announce,
    ) as store:
        yield store
    assert not failures


async def leave_room(store: SqliteStore, *, pages: int) -> None:
    """The file may grow by so many pages; past that its commits fail with SQLITE_FULL."""
    [(used,)] = await store._database.read("PRAGMA page_count")
    await store._database.read(f"PRAGMA max_page_count = {used + pages}")


async def make_room(store: SqliteStore) -> None:
    await store._database.read(f"PRAGMA max_page_count = {NO_LIMIT}")


@dataclass
class Contents:
    """Everything that an image holds as committed."""

    parties: dict[int, Any]
    devices: dict[bytes, int]
    receipts: dict[bytes, Any]
    resting: dict[int, Any]
    participant_count: int
    nearby: list[tuple[int, float]] = field(repr=False)

    @classmethod
    def of(cls, image: Image) -> "Contents":
        nearby = image.places.nearest(MONTREAL, radius_km=20_000, limit=1_000_000)
        return cls(
            dict(image.parties),
            dict(image.devices),
            dict(image.receipts),
            dict(image.resting),
            image.participant_count,
            nearby,
        )


async def fresh_load(store: SqliteStore, folder: Path) -> Contents:
    """What a process would find that starts now: from a copy of file and log, taken while nothing is written."""
    copy = folder / "copy" / store._database.path.name
    shutil.rmtree(copy.parent, ignore_errors=True)
    copy.parent.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{store._database.path}{suffix}", f"{copy}{suffix}")
    async with opened(copy) as again:
        assert again.image.next_party_id <= store.image.next_party_id
        return Contents.of(again.image)


async def check_disk(store: SqliteStore, folder: Path) -> None:
    """Memory holds what the disk does, nothing is pending, and no transaction was left open."""
    assert not store.image._newest_parties
    assert not store.image._newest_devices
    assert not store.image._newest_receipts
    assert Contents.of(store.image) == await fresh_load(store, folder)
    with closing(sqlite3.connect(store._database.path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
        assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert other.execute("PRAGMA foreign_key_check").fetchall() == []


async def answers(requests: Iterable[Any]) -> list[Outcome | Refusal]:
    """All requests at once, each with its outcome or refusal; anything else fails the test."""
    came: list[Outcome | Refusal] = []
    for answer in await asyncio.gather(*requests, return_exceptions=True):
        if isinstance(answer, BaseException) and not isinstance(answer, Refusal):
            raise answer
        came.append(answer)
    return came
