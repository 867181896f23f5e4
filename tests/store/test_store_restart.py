"""What every store keeps across a restart, and which ids and codes it gives out."""

import asyncio
import secrets

import pytest

from chassis.errors import Refusal
from chassis.geo import Point
from manager.store import REST_MS
from tests.store.people import (
    AREA_CODES,
    Clock,
    OpenStore,
    check_parties,
    create,
    device,
    join,
    leave,
    picture,
)

ANN, BOB, CID = map(device, range(3))


async def test_a_restart_keeps_all_that_was_there(open_store: OpenStore) -> None:
    codes, devices = [], [device(n) for n in range(40)]
    async with open_store() as store:
        for n in range(12):
            place = None if n % 3 else Point(45.5 + n / 100, -73.5)
            codes.append((await create(store, device(n), capacity=4, locked=n == 5, place=place)).code)
        for n in range(12, 40):
            try:
                await join(store, codes[n % 12], device(n))
            except Refusal:
                assert n % 12 == 5
        await leave(store, codes[0], 0)
        codes.append((await create(store, device(1))).code)
        before = await picture(store, codes, devices)
        check_parties(before)
        keys = store.keys
    async with open_store() as store:
        assert await picture(store, codes, devices) == before
        assert store.keys == keys


async def test_each_database_has_keys_of_its_own_for_each_area_code(open_store: OpenStore) -> None:
    async with open_store() as store:
        assert set(store.keys.area) == set(AREA_CODES)
        secrets_of_its = [store.keys.device, *store.keys.area.values()]
        assert {len(key) for key in secrets_of_its} == {32}
        assert len(set(secrets_of_its)) == len(secrets_of_its)


async def test_a_party_id_never_comes_back(open_store: OpenStore) -> None:
    given = []
    for _ in range(3):
        async with open_store() as store:
            for _ in range(2):
                made = await create(store, ANN)
                given.append(made.party_id)
                await leave(store, made.code, 0)  # the newest has closed: nothing of it is left but the counter
    assert given == sorted(set(given))


async def test_a_closed_partys_code_rests_for_a_day_also_across_a_restart(
    open_store: OpenStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "randbelow", lambda _: 5)  # loaded dice: they always fall on the same code
    async with open_store() as store:
        first = await create(store, ANN)
        await leave(store, first.code, 0)
        assert (await create(store, ANN)).code != first.code
    clock.now_ms += REST_MS - 1
    async with open_store() as store:
        assert (await create(store, BOB)).code != first.code
        clock.now_ms += 1
        rested = await create(store, CID)
        assert rested.code == first.code
        assert rested.party_id != first.party_id


async def test_a_living_partys_code_is_not_given_again(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "randbelow", lambda _: 5)
    async with open_store() as store:
        made = await asyncio.gather(*(create(store, device(n)) for n in range(8)))
        made.append(await create(store, device(8)))
        assert len({one.code for one in made}) == 9
