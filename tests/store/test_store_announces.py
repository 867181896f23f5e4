"""What is announced: all that reaches the disk, after it has, in the order in which it was decided. Nothing else."""

import asyncio
import random
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from chassis.errors import StorageFull
from manager.party import Created, Event, Joined, LeaderPromoted, Left, Party, evolve
from manager.store import Change, Outcome
from manager.store.image import Batch
from manager.store.sqlite import SqliteStore
from tests.store.disk import answers, fresh_load, leave_room, make_room, opened
from tests.store.people import create, device, join, leave

ANN, BOB, CID = map(device, range(3))


class Told:
    """Every announcement, each held against the store at the moment in which it comes."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.parties: dict[int, Party | None] = {}
        self.store: SqliteStore | None = None
        self.early: list[Change] = []

    def __call__(self, change: Change) -> None:
        party = change.after or change.before
        assert party is not None
        assert change.after == evolve(change.before, change.events)
        assert self.parties.get(party.id) == change.before, "nothing is left out and nothing comes twice"
        self.parties[party.id] = change.after
        self.changes.append(change)
        assert self.store is not None
        shown = self.store.image.parties.get(party.code)
        has_closed = party.code in self.store.image.resting
        if not has_closed and (shown is None or shown.version < (change.after or party).version):
            self.early.append(change)

    def events(self) -> list[Event]:
        return [event for change in self.changes for event in change.events]


async def test_a_change_is_announced_once_it_is_on_the_disk_and_before_its_caller_is_answered(tmp_path: Path) -> None:
    told = Told()
    async with opened(tmp_path / "a.db", announce=told) as store:
        told.store = store
        made = await create(store, ANN)
        assert [type(event) for event in told.events()] == [Created]
        joining = asyncio.create_task(join(store, made.code, BOB))
        for _ in range(3):
            await asyncio.sleep(0)
        assert store.commits._in_flight
        assert len(told.changes) == 1
        await joining
        assert [type(event) for event in told.events()] == [Created, Joined]
        assert told.changes[-1].at_ms == 1_700_000_000_000
        assert not told.early
        assert told.parties == {made.party_id: store.image.parties[made.code]}


async def test_what_is_only_asked_or_refused_is_not_announced(tmp_path: Path) -> None:
    told = Told()
    async with opened(tmp_path / "a.db", announce=told) as store:
        told.store = store
        code = (await create(store, ANN, capacity=1)).code
        await answers([join(store, code, ANN), join(store, code, BOB), leave(store, code, 7)])
        assert len(told.changes) == 1


async def test_a_device_that_moves_is_announced_in_both_parties(tmp_path: Path) -> None:
    told = Told()
    async with opened(tmp_path / "a.db", announce=told) as store:
        told.store = store
        first, second = await create(store, ANN), await create(store, BOB)
        await join(store, first.code, CID)
        told.changes.clear()
        await join(store, second.code, ANN)
        gone, come = told.changes
        assert gone.events == [Left(0, "moved"), LeaderPromoted(1)]
        assert isinstance(come.events[0], Joined)
        assert gone.after == store.image.parties[first.code]
        assert come.after == store.image.parties[second.code]


def _anything(store: SqliteStore, dice: random.Random, codes: list[int]) -> Coroutine[Any, Any, Outcome]:
    match dice.choice(["create", "join", "join", "leave"]):
        case "create":
            return create(store, device(dice.randrange(500)), capacity=dice.randrange(1, 9))
        case "join":
            return join(store, dice.choice(codes), device(dice.randrange(500)))
    return leave(store, dice.choice(codes), dice.randrange(8))


@pytest.mark.parametrize("seed", range(2))
async def test_a_crowd_is_announced_in_commit_order_and_as_it_is_on_the_disk(tmp_path: Path, seed: int) -> None:
    """Each announcement follows on the last of its party, and together they make what a fresh load finds."""
    dice = random.Random(seed)
    told = Told()
    async with opened(tmp_path / "a.db", announce=told) as store:
        told.store = store
        codes = [(await create(store, device(number))).code for number in range(4)]
        failed = 0
        for _ in range(20):
            await leave_room(store, pages=dice.choice([0, 1, 1000]))
            came = await answers(_anything(store, dice, codes) for _ in range(dice.choice([1, 5, 200])))
            failed += sum(isinstance(one, StorageFull) for one in came)
            codes += [party.code for party in store.image.parties.values() if party.code not in codes]
        living = {party.id: party for party in store.image.parties.values()}
        assert {key: party for key, party in told.parties.items() if party is not None} == living
        assert (await fresh_load(store, tmp_path)).parties == store.image.parties
        assert not told.early
        assert failed > 0, "the disk was never full"


async def test_nothing_of_a_batch_that_failed_is_announced(tmp_path: Path) -> None:
    told = Told()
    async with opened(tmp_path / "a.db", announce=told) as store:
        told.store = store
        code = (await create(store, ANN)).code
        await leave_room(store, pages=0)
        came = await answers([join(store, code, BOB), *(create(store, device(100 + n)) for n in range(400))])
        assert {type(one) for one in came} == {StorageFull}
        assert len(told.changes) == 1
        await make_room(store)
        await join(store, code, CID)
        assert told.changes[-1].before == told.changes[0].after
        assert len(told.changes) == 2


async def test_what_is_announced_before_it_is_on_the_disk_is_caught(tmp_path: Path) -> None:
    told = Told()
    async with opened(tmp_path / "a.db", announce=told) as store:
        told.store = store
        honest = store.commits._write

        async def tell_then_write(batch: Batch) -> None:
            for change in batch.changes:
                told(change)
            batch.changes = []
            await honest(batch)

        store.commits._write = tell_then_write
        await create(store, ANN)
        assert told.early
