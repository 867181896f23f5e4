"""A disk that is full for real: nothing that was refused is anywhere, nothing is lost, and it heals by itself."""

import asyncio
import os
import random
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chassis.errors import Conflict, StorageFull
from manager.store import Outcome
from manager.store.image import Batch
from manager.store.sqlite import SqliteStore
from tests.store.disk import Contents, answers, check_disk, leave_room, make_room, opened
from tests.store.people import MONTREAL, create, device, join, leave, once, party_at

ANN, BOB, CID, DAN = map(device, range(4))


def flood(store: SqliteStore) -> list[Coroutine[Any, Any, Outcome]]:
    """More than a full disk has room for: whatever is decided in the same turn falls with it."""
    return [create(store, device(10_000 + n)) for n in range(400)]


async def overfill(store: SqliteStore) -> None:
    assert {type(one) for one in await answers(flood(store))} == {StorageFull}


class Watch:
    """Somebody who reads all the time: which devices they ever saw in a party."""

    def __init__(self, store: SqliteStore, devices: range) -> None:
        self.seen: set[bytes] = set()
        self.looks = 0
        self._store = store
        self._devices = [device(n) for n in devices]
        self._task = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.looks += 1
            for whose in self._devices:
                if (party := await self._store.party_of(whose)) is not None:
                    self.seen.add(whose)
                    self.seen |= {one.device for one in party.participants}
            for party, _ in await self._store.nearby(MONTREAL, radius_km=5, limit=1000):
                self.seen |= {one.device for one in party.participants}

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def burst(store: SqliteStore, first: int, count: int, dice: random.Random) -> tuple[set[bytes], set[bytes]]:
    """Some create and some join, all at once, while somebody reads. Returns who was acknowledged and who was seen."""
    devices = range(first, first + count)
    codes = [*store.image.parties] or [457_000_000]
    watch = Watch(store, devices)
    came = await answers(
        create(store, device(n), place=MONTREAL) if n % 3 else join(store, dice.choice(codes), device(n))
        for n in devices
    )
    await watch.stop()
    assert watch.looks > 1
    assert {type(one) for one in came} <= {Outcome, StorageFull, Conflict}
    acknowledged = {device(n) for n, one in zip(devices, came, strict=True) if isinstance(one, Outcome)}
    return acknowledged, watch.seen & {device(n) for n in devices}


@pytest.mark.parametrize("seed", range(3))
async def test_on_a_full_disk_memory_equals_a_fresh_load_and_readers_saw_only_what_is_there(
    tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    everyone: set[bytes] = set()
    async with opened(tmp_path / "a.db") as store:
        await create(store, device(0))
        for turn in range(12):
            await leave_room(store, pages=dice.choice([0, 1, 2, 5]))
            acknowledged, seen = await burst(store, 1000 * (turn + 1), dice.choice([3, 40, 120]), dice)
            assert seen <= acknowledged
            everyone |= acknowledged
            await check_disk(store, tmp_path)
            assert {device(0), *everyone} == store.image.devices.keys()
        assert 0 < len(everyone) < 12 * 120
        before = Contents.of(store.image)
        await make_room(store)
        assert len((await burst(store, 100_000, 50, dice))[0]) >= 2
        await store.prove_writable()
        assert store.unwritable() is None
        await check_disk(store, tmp_path)
    async with opened(tmp_path / "a.db") as store:
        assert before.devices.keys() <= store.image.devices.keys()


async def test_a_reader_that_sees_too_early_is_caught(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as store:
        await create(store, ANN)
        honest = store.commits._write

        async def show_then_write(batch: Batch) -> None:
            store.image.apply(batch)
            await honest(batch)

        store.commits._write = show_then_write
        store.commits._committed = lambda _: None
        await leave_room(store, pages=0)
        acknowledged, seen = await burst(store, 1000, 300, random.Random(3))
        assert not seen <= acknowledged


async def test_what_rests_on_a_failed_change_fails_with_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as store:
        code = (await create(store, ANN, capacity=2)).code
        key = once(1)
        before = Contents.of(store.image)
        await leave_room(store, pages=0)
        came = await asyncio.gather(
            join(store, code, BOB, once=key),
            join(store, code, CID),  # party_full, because of Bob
            join(store, code, BOB),  # the seat he has, if he has it
            join(store, code, DAN, once=key),  # key reused, if his is kept
            leave(store, code, 1),
            *flood(store),
            return_exceptions=True,
        )
        assert {type(one) for one in came} == {StorageFull}
        assert Contents.of(store.image) == before
        await make_room(store)
        assert (await join(store, code, CID)).is_new
        assert (await join(store, code, ANN)).participant_id == 0
        await check_disk(store, tmp_path)


async def test_what_rests_on_nothing_pending_is_answered_whatever_happens_to_the_disk(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as store:
        code = (await create(store, ANN, capacity=1)).code
        await leave_room(store, pages=0)
        full, seat, *flooded = await asyncio.gather(
            join(store, code, BOB), join(store, code, ANN), *flood(store), return_exceptions=True
        )
        assert {type(one) for one in flooded} == {StorageFull}
        assert isinstance(full, Conflict)
        assert isinstance(seat, Outcome)
        assert seat.participant_id == 0


async def test_a_batch_decided_while_another_fails_falls_with_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as store:
        code = (await create(store, ANN)).code
        await leave_room(store, pages=0)
        flooding = asyncio.create_task(overfill(store))
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(store.commits._in_flight) == 400
        with pytest.raises(StorageFull):
            await join(store, code, BOB)
        await flooding
        assert [one.device for one in (await party_at(store, code)).participants] == [ANN]
        await check_disk(store, tmp_path)


async def test_a_full_disk_is_said_and_found_healed_again(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as store:
        await create(store, ANN)
        await leave_room(store, pages=0)
        await overfill(store)
        assert store.unwritable() == "disk full"
        assert await store.party_of(ANN) is not None
        await make_room(store)
        await store.prove_writable()
        assert store.unwritable() is None
        await check_disk(store, tmp_path)


async def test_a_commit_that_fits_is_no_proof_of_room(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as store:
        await create(store, ANN)
        await leave_room(store, pages=0)
        await overfill(store)
        await make_room(store)
        (tmp_path / "a.db.room").symlink_to("/dev/full")
        with pytest.raises(OSError, match="No space left on device"):
            await store.prove_writable()
        assert store.unwritable() == "disk full"
        await store.prove_writable()
        assert store.unwritable() is None


async def test_an_id_given_in_a_failed_commit_is_not_given_again_while_the_process_lives(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as store:
        first = await create(store, ANN)
        await leave_room(store, pages=0)
        await overfill(store)
        await make_room(store)
        assert (await create(store, BOB)).party_id > first.party_id + 400
        await check_disk(store, tmp_path)


@contextmanager
def no_space_left(path: Path) -> Iterator[None]:
    """While this lasts, the kernel answers every write to the file's log with ENOSPC, as /dev/full does."""
    log = os.path.realpath(f"{path}-wal")
    descriptors = [n for n in map(int, os.listdir("/proc/self/fd")) if _target(n) == log]
    assert descriptors
    kept = [os.dup(descriptor) for descriptor in descriptors]
    full = os.open("/dev/full", os.O_RDWR)
    try:
        for descriptor in descriptors:
            os.dup2(full, descriptor)
        yield
    finally:
        for descriptor, its_own in zip(descriptors, kept, strict=True):
            os.dup2(its_own, descriptor)
            os.close(its_own)
        os.close(full)


def _target(descriptor: int) -> str | None:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
async def test_no_space_left_on_the_device_refuses_changes_until_there_is(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as store:
        code = (await create(store, ANN)).code
        with no_space_left(tmp_path / "a.db"):
            came = await answers([join(store, code, BOB), create(store, CID)])
            assert [type(one) for one in came] == [StorageFull] * 2
            assert store.unwritable() == "disk full"
            assert await store.party(code) is not None
        await join(store, code, BOB)
        assert store.unwritable() == "disk full", "one change that fits is no proof of room"
        await store.prove_writable()
        assert store.unwritable() is None
        await check_disk(store, tmp_path)
