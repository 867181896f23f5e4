"""What a store keeps of live parties: bans, attributes, who was seen and who is live."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from chassis.errors import Forbidden
from chassis.geo import Point
from manager import rules
from manager.party import Event, ParticipantUpdated, Party, PartyUpdated, Seen, WentLive
from manager.places import snap
from manager.store import Decision, Outcome, Store
from tests.store.disk import check_disk, opened
from tests.store.people import MONTREAL, RESOLUTION, OpenStore, create, device, join, leave, party_at, picture

ANN, BOB, CID, DAN = map(device, range(4))
TEXT = '{"ready":true,"é":"\\u0000"}'.encode()
FAR_AWAY = Point(-33.9, 151.2)


async def happen(store: Store, code: int, *events: Event) -> Outcome:
    return await store.change(code, lambda party, _: Decision(party.leader_id, list(events), []))


async def ban(store: Store, code: int, participant_id: int) -> Outcome:
    def rule(party: Party, _: Party | None) -> Decision:
        return Decision(participant_id, rules.ban(party, participant_id, by=party.leader_id), [])

    return await store.change(code, rule)


async def change_traits(store: Store, code: int, **traits: object) -> Outcome:
    def rule(party: Party, _: Party | None) -> Decision:
        wanted = msgspec.structs.replace(party.traits(), **traits)
        return Decision(party.leader_id, rules.update(party, wanted, by=party.leader_id), [])

    return await store.change(code, rule)


async def test_bans_attributes_and_marks_survive_a_restart(open_store: OpenStore) -> None:
    async with open_store() as store:
        code = (await create(store, ANN)).code
        for whose in (BOB, CID, DAN):
            await join(store, code, whose)
        await ban(store, code, 1)
        await happen(store, code, ParticipantUpdated(2, "cid", TEXT), WentLive(2), Seen(3, 123_456))
        await change_traits(store, code, name="new", capacity=3, locked=True, attributes=TEXT)
        before = await party_at(store, code)
    async with open_store() as store:
        party = await party_at(store, code)
        assert party == before
        assert party.banned == {BOB}
        ann, cid, dan = party.participants
        assert (cid.name, cid.attributes, cid.is_live) == ("cid", TEXT, True)
        assert (dan.seen_ms, dan.is_live, dan.attributes) == (123_456, False, None)
        assert not ann.is_live
        assert (party.name, party.capacity, party.locked, party.attributes) == ("new", 3, True, TEXT)
        assert store.ran_ms == 123_456
        with pytest.raises(Forbidden, match="banned"):
            await join(store, code, BOB)


async def test_a_banned_device_is_free_to_go_elsewhere(open_store: OpenStore) -> None:
    async with open_store() as store:
        code = (await create(store, ANN)).code
        await join(store, code, BOB)
        await ban(store, code, 1)
        own = await create(store, BOB)
        with pytest.raises(Forbidden, match="banned"):
            await join(store, code, BOB)
        party = await store.party_of(BOB)
        assert party is not None
        assert party.code == own.code, "a refused join moves nobody"


async def test_a_party_that_moves_or_hides_is_found_where_it_is_and_no_more_where_it_was(open_store: OpenStore) -> None:
    async def found(store: Store) -> list[bool]:
        here = await store.nearby(MONTREAL, radius_km=5, limit=10)
        there = await store.nearby(FAR_AWAY, radius_km=5, limit=10)
        return [bool(here), bool(there)]

    async with open_store() as store:
        code = (await create(store, ANN, place=MONTREAL)).code
        assert await found(store) == [True, False]
        await change_traits(store, code, cell=snap(FAR_AWAY, RESOLUTION))
        assert await found(store) == [False, True]
        await change_traits(store, code, discoverable=False)
        assert await found(store) == [False, False]
        await change_traits(store, code, discoverable=True, cell=snap(MONTREAL, RESOLUTION))
        assert await found(store) == [True, False]
        before = await picture(store, [code], [ANN])
    async with open_store() as store:
        assert await picture(store, [code], [ANN]) == before
        await change_traits(store, code, discoverable=False, cell=None)
        assert await found(store) == [False, False]


def rows_of(path: Path, table: str) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        count: int = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return count


async def test_bans_go_with_their_party(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with opened(path) as store:
        code, other = (await create(store, ANN)).code, (await create(store, CID)).code
        await join(store, code, BOB)
        await join(store, other, DAN)
        await asyncio.gather(ban(store, code, 1), ban(store, other, 1))
        assert rows_of(path, "bans") == 2
        await leave(store, code, 0)
        assert rows_of(path, "bans") == 1
        await check_disk(store, tmp_path)


async def test_a_party_that_bans_and_closes_within_one_batch_leaves_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as store:
        code = (await create(store, ANN)).code
        await asyncio.gather(join(store, code, BOB), ban(store, code, 1), leave(store, code, 0))
        assert [rows_of(tmp_path / "a.db", table) for table in ("bans", "parties", "participants")] == [0, 0, 0]
        await check_disk(store, tmp_path)


async def test_who_comes_changes_and_goes_within_one_batch_is_written_as_they_are_at_its_end(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as store:
        code = (await create(store, ANN)).code
        await asyncio.gather(
            join(store, code, BOB),
            happen(store, code, WentLive(1), Seen(1, 5), ParticipantUpdated(1, "bob", TEXT)),
            join(store, code, CID),
            happen(store, code, WentLive(2), ParticipantUpdated(2, "cid", None)),
            leave(store, code, 2),
            happen(store, code, ParticipantUpdated(0, "ann", b"{}"), WentLive(0)),
            leave(store, code, 0),
            happen(store, code, ParticipantUpdated(1, "bobby", TEXT)),
        )
        [bob] = (await party_at(store, code)).participants
        assert (bob.id, bob.name, bob.seen_ms, bob.is_live, bob.attributes) == (1, "bobby", 5, True, TEXT)
        await check_disk(store, tmp_path)


async def test_the_running_time_goes_on_from_when_anybody_was_last_seen(open_store: OpenStore) -> None:
    async with open_store() as store:
        assert store.ran_ms == 0
        code = (await create(store, ANN)).code
        await join(store, code, BOB)
        await happen(store, code, Seen(0, 9_000), Seen(1, 5_000))
    async with open_store() as store:
        assert store.ran_ms == 9_000


async def test_an_update_is_one_version_and_a_mark_is_none(open_store: OpenStore) -> None:
    async with open_store() as store:
        code = (await create(store, ANN)).code
        for version, event in ((1, WentLive(0)), (1, Seen(0, 1)), (2, ParticipantUpdated(0, "x", None))):
            await happen(store, code, event)
            assert (await party_at(store, code)).version == version
        wanted = msgspec.structs.replace((await party_at(store, code)).traits(), name="x")
        await happen(store, code, PartyUpdated(wanted))
        assert (await party_at(store, code)).version == 3
