"""What people can do, over the real store: defaults, bounds, tokens and who may send whom away."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from chassis.codes import AreaCodes
from chassis.errors import Forbidden, Malformed, NotFound, Unauthenticated
from chassis.geo import Point
from manager.announcements import Announcements
from manager.attendance import Attendance
from manager.callers import Callers
from manager.limits import UNLIMITED
from manager.parties import Membership, Parties
from manager.places import snap
from manager.presence import Presence
from manager.store.sqlite import open_sqlite
from manager.wishes import Wish

NOW_MS = 1_700_000_000_000
MONTREAL = Point(45.5, -73.57)
ANYTHING = Wish()


@pytest.fixture
async def parties(tmp_path: Path) -> AsyncIterator[Parties]:
    async with open_sqlite(
        tmp_path / "manager.db",
        area_codes=AreaCodes(((457, 458),)),
        resolution=9,
        clock_ms=lambda: NOW_MS,
        broken=pytest.fail,
        registry=CollectorRegistry(),
    ) as store:
        announcements = Announcements()
        presence = Presence(started_s=0, beat_s=10, grace_s=60, idle_s=3600)
        callers = Callers(store.keys, UNLIMITED)
        yield Parties(
            store,
            callers,
            Attendance(store, callers, presence, announcements, clock_ms=lambda: NOW_MS, running_s=lambda: 0),
            announcements,
            clock_ms=lambda: NOW_MS,
            running_s=lambda: 0,
            resolution=9,
            default_capacity=3,
            max_capacity=5,
        )


def ids(membership: Membership) -> list[int]:
    assert membership.party is not None
    return [one.id for one in membership.party.participants]


async def test_a_party_of_no_wishes_has_the_managers_defaults(parties: Parties) -> None:
    party = (await parties.create("ann", ANYTHING)).party
    assert party is not None
    assert (party.capacity, party.discoverable, party.cell, party.name, party.attributes) == (
        3,
        False,
        None,
        None,
        None,
    )
    assert (party.version, party.leader_id, party.created_at_ms, party.locked) == (1, 0, NOW_MS, False)


async def test_wishes_are_granted(parties: Parties) -> None:
    wish = Wish("Ann", "Ann's", MONTREAL, 5, False, b'{"map":1}')
    party = (await parties.create("ann", wish)).party
    assert party is not None
    assert (party.name, party.capacity, party.discoverable, party.attributes) == ("Ann's", 5, False, b'{"map":1}')
    assert party.participants[0].name == "Ann"
    assert party.cell == snap(MONTREAL, 9)


async def test_a_party_with_a_place_is_discoverable_unless_it_says_no(parties: Parties) -> None:
    shown = await parties.create("ann", Wish(place=MONTREAL))
    await parties.create("bob", Wish(place=MONTREAL, discoverable=False))
    found = await parties.nearby(MONTREAL, radius_km=5, limit=20)
    assert [party.code for party, _ in found] == [shown.code]


async def test_a_party_without_a_place_can_not_be_discoverable(parties: Parties) -> None:
    with pytest.raises(Malformed, match="place_missing"):
        await parties.create("ann", Wish(discoverable=True))


@pytest.mark.parametrize("capacity", [0, -1, 6, 1_000_000])
async def test_a_capacity_out_of_bounds_is_refused_by_name(parties: Parties, capacity: int) -> None:
    with pytest.raises(Malformed, match="bad_capacity") as refused:
        await parties.create("ann", Wish(capacity=capacity))
    assert refused.value.field == "capacity"
    with pytest.raises(NotFound, match="membership_not_found"):
        await parties.membership_of("ann")


@pytest.mark.parametrize("capacity", [1, 5])
async def test_a_capacity_may_lie_on_its_bounds(parties: Parties, capacity: int) -> None:
    made = await parties.create("ann", Wish(capacity=capacity))
    for n in range(capacity - 1):
        await parties.join(made.code, f"phone-{n}", None)
    assert len((await parties.party(made.code)).participants) == capacity


async def test_a_device_id_is_nowhere_kept(parties: Parties, tmp_path: Path) -> None:
    made = await parties.create("the-secret-of-ann", ANYTHING)
    await parties.join(made.code, "the-secret-of-bob", "Bob", "a key")
    assert b"the-secret" not in (tmp_path / "manager.db-wal").read_bytes()


async def test_an_app_that_was_restarted_finds_its_seat_and_the_same_token(parties: Parties) -> None:
    made = await parties.create("ann", ANYTHING)
    joined = await parties.join(made.code, "bob", "Bob")
    again = await parties.membership_of("bob")
    assert (again.code, again.participant_id, again.token) == (joined.code, joined.participant_id, joined.token)
    assert again.party == joined.party


async def test_a_repeated_request_gets_the_same_token(parties: Parties) -> None:
    once = "a key"
    first = await parties.create("ann", ANYTHING, once)
    assert await parties.create("ann", ANYTHING, once) == first


async def test_whoever_joins_where_they_sit_gets_the_same_token(parties: Parties) -> None:
    made = await parties.create("ann", ANYTHING)
    again = await parties.join(made.code, "ann", "another name")
    assert (again.token, again.participant_id, again.is_new) == (made.token, 0, False)


async def test_everyone_may_leave_by_themselves_and_the_leader_may_send_away(parties: Parties) -> None:
    ann = await parties.create("ann", ANYTHING)
    bob, cid = await parties.join(ann.code, "bob", None), await parties.join(ann.code, "cid", None)
    await parties.remove(ann.code, bob.participant_id, bob.token)
    await parties.remove(ann.code, cid.participant_id, ann.token)
    assert ids(await parties.membership_of("ann")) == [0]


async def test_after_a_promotion_the_new_leaders_token_counts_and_the_old_ones_is_no_good(parties: Parties) -> None:
    ann = await parties.create("ann", ANYTHING)
    bob, cid = await parties.join(ann.code, "bob", None), await parties.join(ann.code, "cid", None)
    await parties.remove(ann.code, ann.participant_id, ann.token)
    with pytest.raises(Unauthenticated, match="token_invalid"):
        await parties.remove(ann.code, cid.participant_id, ann.token)
    await parties.remove(ann.code, cid.participant_id, bob.token)
    assert ids(await parties.membership_of("bob")) == [1]


async def test_a_token_is_no_good_in_another_party(parties: Parties) -> None:
    ann, bob = await parties.create("ann", ANYTHING), await parties.create("bob", ANYTHING)
    assert ann.participant_id == bob.participant_id
    with pytest.raises(Unauthenticated, match="token_invalid"):
        await parties.remove(bob.code, bob.participant_id, ann.token)


async def test_without_a_good_token_nobody_learns_who_is_there(parties: Parties) -> None:
    ann = await parties.create("ann", ANYTHING)
    for participant_id in (0, 1):
        with pytest.raises(Unauthenticated, match="token_missing"):
            await parties.remove(ann.code, participant_id, None)
        with pytest.raises(Unauthenticated, match="token_invalid"):
            await parties.remove(ann.code, participant_id, "é" * 28)


async def test_a_member_may_send_nobody_away(parties: Parties) -> None:
    ann = await parties.create("ann", ANYTHING)
    bob = await parties.join(ann.code, "bob", None)
    with pytest.raises(Forbidden, match="not_allowed"):
        await parties.remove(ann.code, ann.participant_id, bob.token)
    with pytest.raises(NotFound, match="participant_not_found"):
        await parties.remove(ann.code, 7, bob.token)


async def test_a_closed_party_and_one_that_never_was_are_not_found_alike(parties: Parties) -> None:
    ann = await parties.create("ann", ANYTHING)
    await parties.remove(ann.code, 0, ann.token)
    refusals = []
    for code in (ann.code, ann.code ^ 1):
        for call in (parties.party(code), parties.join(code, "bob", None), parties.remove(code, 0, ann.token)):
            with pytest.raises(NotFound) as refused:
                await call
            refusals.append((refused.value.code, refused.value.detail))
        assert not await parties.has(code)
    assert len(set(refusals)) == 1
