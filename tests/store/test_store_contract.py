"""What every store keeps, written against its contract alone: seats, leaders, one party at a time, nearby."""

import asyncio

import pytest

from chassis.codes import area_code_of
from chassis.errors import Conflict, Forbidden, Locked, NotFound
from chassis.geo import Point
from manager.party import Party
from manager.store import Decision
from tests.store.people import (
    AREA_CODES,
    MONTREAL,
    OpenStore,
    check_parties,
    create,
    device,
    join,
    leave,
    party_at,
    picture,
    remove,
)

ANN, BOB, CID, DAN = map(device, range(4))


def ids(party: Party | None) -> list[int]:
    return [] if party is None else [one.id for one in party.participants]


async def test_a_new_party_is_there_under_its_code_and_its_founders_device(open_store: OpenStore) -> None:
    async with open_store() as store:
        made = await create(store, ANN)
        assert made.is_new
        assert made.participant_id == 0
        assert made.party is not None
        assert made.party.id == made.party_id
        assert area_code_of(made.code) in AREA_CODES
        assert await store.party(made.code) == made.party
        assert await store.party_of(ANN) == made.party
        assert store.unwritable() is None


async def test_nobody_is_where_nobody_came(open_store: OpenStore) -> None:
    async with open_store() as store:
        assert await store.party(457_000_000) is None
        assert await store.party_of(ANN) is None
        assert await store.nearby(MONTREAL, radius_km=500, limit=20) == []


async def test_whoever_joins_sits_there(open_store: OpenStore) -> None:
    async with open_store() as store:
        code = (await create(store, ANN)).code
        joined = await join(store, code, BOB)
        assert (joined.code, joined.participant_id, joined.is_new) == (code, 1, True)
        assert joined.party == await store.party_of(BOB) == await store.party_of(ANN) == await party_at(store, code)
        assert ids(joined.party) == [0, 1]


async def test_whoever_sits_there_already_keeps_that_seat(open_store: OpenStore) -> None:
    async with open_store() as store:
        code = (await create(store, ANN)).code
        first = await join(store, code, BOB)
        again = await join(store, code, BOB)
        assert (again.participant_id, again.is_new) == (first.participant_id, False)
        assert again.party == first.party


async def test_one_device_that_joins_twice_at_once_has_one_seat(open_store: OpenStore) -> None:
    async with open_store() as store:
        code = (await create(store, ANN)).code
        both = await asyncio.gather(join(store, code, BOB), join(store, code, BOB))
        assert [one.participant_id for one in both] == [1, 1]
        assert sorted(one.is_new for one in both) == [False, True]
        assert ids(await store.party(code)) == [0, 1]


async def test_seats_are_not_overbooked_when_all_come_at_once(open_store: OpenStore) -> None:
    async with open_store() as store:
        code = (await create(store, ANN, capacity=5)).code
        came = await asyncio.gather(*(join(store, code, device(n)) for n in range(10, 30)), return_exceptions=True)
        refused = [one for one in came if isinstance(one, Conflict)]
        assert {one.code for one in refused} == {"party_full"}
        assert len(refused) == 16
        assert ids(await store.party(code)) == [0, 1, 2, 3, 4]


async def test_a_leader_who_leaves_is_followed_by_the_longest_present(open_store: OpenStore) -> None:
    async with open_store() as store:
        code = (await create(store, ANN)).code
        await join(store, code, BOB)
        await join(store, code, CID)
        left = await leave(store, code, 0)
        party = await party_at(store, code)
        assert left.party == party
        assert (party.leader_id, ids(party), party.version) == (1, [1, 2], 5)
        assert await store.party_of(ANN) is None


async def test_the_last_one_out_closes_the_party(open_store: OpenStore) -> None:
    async with open_store() as store:
        code = (await create(store, ANN)).code
        left = await leave(store, code, 0)
        assert left.party is None
        assert await store.party(code) is None
        assert await store.party_of(ANN) is None
        with pytest.raises(NotFound, match="party_not_found"):
            await join(store, code, BOB)


async def test_the_leader_sends_somebody_away(open_store: OpenStore) -> None:
    async with open_store() as store:
        code = (await create(store, ANN)).code
        await join(store, code, BOB)
        await remove(store, code, 1, by=0)
        assert await store.party_of(BOB) is None
        assert ids(await store.party(code)) == [0]


async def test_whoever_was_sent_away_and_comes_back_is_somebody_new(open_store: OpenStore) -> None:
    async with open_store() as store:
        code = (await create(store, ANN)).code
        await join(store, code, BOB)
        await remove(store, code, 1, by=0)
        assert (await join(store, code, BOB)).participant_id == 2


async def test_what_a_rule_refuses_changes_nothing(open_store: OpenStore) -> None:
    async with open_store() as store:
        code = (await create(store, ANN)).code
        await join(store, code, BOB)
        before = await picture(store, [code], [ANN, BOB])
        with pytest.raises(Forbidden):
            await remove(store, code, 0, by=1)
        assert await picture(store, [code], [ANN, BOB]) == before


async def test_whoever_joins_another_party_leaves_the_first_to_the_longest_present(open_store: OpenStore) -> None:
    async with open_store() as store:
        first, second = (await create(store, ANN)).code, (await create(store, DAN)).code
        await join(store, first, BOB)
        await join(store, first, CID)
        await join(store, second, ANN)
        left = await party_at(store, first)
        assert (left.leader_id, ids(left), left.version) == (1, [1, 2], 5)
        assert (await party_at(store, second)).seat_of(ANN).id == 1
        assert await store.party_of(ANN) == await store.party(second)


async def test_whoever_joins_another_party_closes_the_one_where_they_were_alone(open_store: OpenStore) -> None:
    async with open_store() as store:
        first, second = (await create(store, ANN)).code, (await create(store, DAN)).code
        await join(store, second, ANN)
        assert await store.party(first) is None
        assert await store.party_of(ANN) == await store.party(second)


async def test_a_second_party_by_the_same_device_leaves_the_first_properly(open_store: OpenStore) -> None:
    async with open_store() as store:
        first = (await create(store, ANN)).code
        await join(store, first, BOB)
        second = (await create(store, ANN)).code
        left = await party_at(store, first)
        assert (left.leader_id, ids(left)) == (1, [1])
        third = (await create(store, ANN)).code
        assert await store.party(second) is None
        assert await store.party_of(ANN) == await store.party(third)
        assert len({first, second, third}) == 3


async def test_of_two_parties_that_one_device_creates_at_once_one_lives(open_store: OpenStore) -> None:
    async with open_store() as store:
        both = await asyncio.gather(create(store, ANN), create(store, ANN))
        living = [party for one in both if (party := await store.party(one.code))]
        assert living == [await store.party_of(ANN)]


async def test_a_device_that_joins_two_parties_at_once_sits_in_one(open_store: OpenStore) -> None:
    async with open_store() as store:
        codes = [(await create(store, device(n))).code for n in (10, 11, 12)]
        await asyncio.gather(*(join(store, code, ANN) for code in codes))
        seen = await picture(store, codes, [ANN])
        check_parties(seen)
        assert sum(len(ids(party)) for party in seen.parties.values()) == 4


@pytest.mark.parametrize("reason", ["party_full", "party_locked"])
async def test_a_join_that_is_refused_leaves_you_where_you_were(open_store: OpenStore, reason: str) -> None:
    async with open_store() as store:
        mine = (await create(store, ANN)).code
        theirs = (await create(store, BOB, capacity=1, locked=reason == "party_locked")).code
        before = await picture(store, [mine, theirs], [ANN, BOB])
        with pytest.raises((Conflict, Locked), match=reason):
            await join(store, theirs, ANN)
        assert await picture(store, [mine, theirs], [ANN, BOB]) == before


async def test_joining_an_unknown_party_is_not_found_and_leaves_nothing_behind(open_store: OpenStore) -> None:
    async with open_store() as store:
        mine = (await create(store, ANN)).code
        before = await picture(store, [mine, mine ^ 1], [ANN, BOB])
        for whose in (ANN, BOB):
            with pytest.raises(NotFound, match="party_not_found"):
                await join(store, mine ^ 1, whose)
        assert await picture(store, [mine, mine ^ 1], [ANN, BOB]) == before
    async with open_store() as store:
        assert await picture(store, [mine, mine ^ 1], [ANN, BOB]) == before


async def test_a_member_who_leaves_touches_no_other_party(open_store: OpenStore) -> None:
    async with open_store() as store:
        codes = [(await create(store, device(n), place=MONTREAL)).code for n in range(20)]
        for n in range(60):
            await join(store, codes[n % 20], device(100 + n))
        crowded = codes.pop(7)
        others = [device(n) for n in range(160) if n % 20 != 7]
        before = await picture(store, codes, others)
        for participant_id in (2, 0, 1):
            await leave(store, crowded, participant_id)
        assert await picture(store, codes, others) == before


async def test_a_rule_is_given_the_party_and_where_the_device_is_now(open_store: OpenStore) -> None:
    async with open_store() as store:
        first, second = (await create(store, ANN)).party, (await create(store, BOB)).party
        assert first is not None
        assert second is not None
        seen: list[tuple[Party, Party | None]] = []

        def look(party: Party, other: Party | None) -> Decision:
            seen.append((party, other))
            return Decision(0, [], [])

        unchanged = await store.change(first.code, look, device=BOB)
        await store.change(first.code, look, device=ANN)
        await store.change(first.code, look, device=CID)
        await store.change(first.code, look)
        assert seen[:1] + seen[-3:] == [(first, second), (first, first), (first, None), (first, None)]
        assert (unchanged.is_new, unchanged.party) == (False, first)


async def test_nearby_shows_the_discoverable_nearest_first(open_store: OpenStore) -> None:
    async with open_store() as store:
        await create(store, device(1))
        await create(store, device(2), place=MONTREAL, discoverable=False)
        far = (await create(store, device(3), place=Point(45.6, -73.57))).code
        near = (await create(store, device(4), place=Point(45.52, -73.57))).code
        await create(store, device(5), place=Point(-45.5, 106.43))
        found = await store.nearby(MONTREAL, radius_km=50, limit=20)
        assert [party.code for party, _ in found] == [near, far]
        assert found[0][0] == await store.party(near)
        assert 1 < found[0][1] < 4 < 9 < found[1][1] < 13
        assert await store.nearby(MONTREAL, radius_km=5, limit=20) == found[:1]
        assert await store.nearby(MONTREAL, radius_km=50, limit=1) == found[:1]
        await leave(store, near, 0)
        assert await store.nearby(MONTREAL, radius_km=50, limit=20) == found[1:]
