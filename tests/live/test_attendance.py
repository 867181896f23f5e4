"""Coming, going and being lost, on a real store and a running time of our own."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chassis.errors import Forbidden, NotFound, StorageFull, Unauthenticated
from chassis.geo import Point
from manager.party import Closed, LeaderPromoted, Left
from manager.wishes import Wish
from tests.live.house import GRACE_S, IDLE_S, MISSED_S, TOLD_LATE_S, Heard, House, house
from tests.store.disk import answers, leave_room, make_room

IDLE_AT_MOST_S = IDLE_S * 25 / 24
YEAR_MS = 365 * 24 * 3600 * 1000


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path / "manager.db") as its:
        yield its


async def test_the_first_stream_brings_somebody_online_and_the_last_takes_them_offline(home: House) -> None:
    ann = await home.found("ann")
    heard = Heard(home, home.id_of(ann))
    first, second = [await home.attendance.come(ann.code, ann.token) for _ in range(2)]
    home.attendance.go(first)
    assert heard.presence() == [(0, True)]
    home.attendance.go(second)
    assert heard.presence() == [(0, True), (0, False)]


async def test_an_old_stream_that_ends_late_does_not_touch_the_new_one(home: House) -> None:
    ann = await home.found("ann")
    old = await home.attendance.come(ann.code, ann.token)
    await home.attendance.come(ann.code, ann.token)
    home.attendance.go(old)
    await home.pass_time(10 * GRACE_S)
    assert home.online(ann) == {0}
    assert await home.there(ann.code) == [0]


async def test_an_old_stream_of_a_seat_given_up_does_not_touch_the_seat_taken_since(home: House) -> None:
    ann = await home.found("ann")
    await home.attendance.come(ann.code, ann.token)
    bob = await home.parties.join(ann.code, "bob", None)
    old = await home.attendance.come(ann.code, bob.token)
    await home.parties.remove(ann.code, 1, bob.token)
    again = await home.parties.join(ann.code, "bob", None)
    await home.attendance.come(ann.code, again.token)
    home.attendance.go(old)
    assert home.online(ann) == {0, 2}


async def test_somebody_away_is_lost_after_the_grace_period_and_not_before(home: House) -> None:
    ann = await home.found("ann")
    await home.attendance.come(ann.code, ann.token)
    bob = await home.parties.join(ann.code, "bob", None)
    heard = Heard(home, home.id_of(ann))
    home.attendance.go(await home.attendance.come(ann.code, bob.token))
    await home.pass_time(GRACE_S - TOLD_LATE_S)
    assert await home.there(ann.code) == [0, 1]
    await home.pass_time(2 * TOLD_LATE_S)
    assert await home.there(ann.code) == [0]
    assert heard.news() == [Left(1, "lost")]


async def test_whoever_comes_back_in_time_keeps_seat_and_lead_and_a_whole_grace_period_for_the_next_time(
    home: House,
) -> None:
    ann = await home.found("ann")
    await home.parties.join(ann.code, "bob", None)
    for _ in range(3):
        home.attendance.go(await home.attendance.come(ann.code, ann.token))
        await home.pass_time(GRACE_S - TOLD_LATE_S)
    party = await home.parties.party(ann.code)
    assert (party.leader_id, len(party.participants), party.version) == (0, 2, 2)


async def test_a_lost_leader_is_followed_by_the_longest_present_of_those_online(home: House) -> None:
    ann = await home.found("ann")
    bob, cid = [await home.parties.join(ann.code, name, None) for name in ("bob", "cid")]
    seats = [await home.attendance.come(ann.code, one.token) for one in (ann, bob, cid)]
    home.attendance.go(seats[1])
    home.attendance.go(seats[0])
    heard = Heard(home, home.id_of(ann))
    home.running.now_s += GRACE_S - 1
    await home.attendance.come(ann.code, bob.token)
    await home.pass_time(1 + TOLD_LATE_S)
    assert heard.news() == [Left(0, "lost"), LeaderPromoted(1)]


async def test_those_online_come_before_those_who_have_been_there_for_longer(home: House) -> None:
    ann = await home.found("ann")
    _, cid = [await home.parties.join(ann.code, name, None) for name in ("bob", "cid")]
    await home.attendance.come(ann.code, cid.token)
    heard = Heard(home, home.id_of(ann))
    home.attendance.go(await home.attendance.come(ann.code, ann.token))
    await home.pass_time(GRACE_S + TOLD_LATE_S)
    assert heard.news() == [Left(0, "lost"), LeaderPromoted(2)]


async def test_all_who_were_lost_go_at_once_and_the_last_of_them_closes_the_party(home: House) -> None:
    ann = await home.found("ann")
    heard = Heard(home, home.id_of(ann))
    tokens = [ann.token] + [(await home.parties.join(ann.code, f"p{n}", None)).token for n in range(3)]
    for seat in [await home.attendance.come(ann.code, token) for token in tokens]:
        home.attendance.go(seat)
    heard.all.clear()
    await home.pass_time(GRACE_S + TOLD_LATE_S)
    assert heard.news() == [Left(1, "lost"), Left(2, "lost"), Left(3, "lost"), Left(0, "lost"), Closed("expired")]
    assert ann.code in home.store.image.resting
    with pytest.raises(NotFound, match="party_not_found"):
        await home.parties.party(ann.code)


async def test_heartbeats_keep_somebody_online_for_three_beats_and_their_seat_for_the_grace_period(home: House) -> None:
    ann = await home.found("ann")
    heard = Heard(home, home.id_of(ann))
    for _ in range(4):
        await home.attendance.beat(ann.code, 0, ann.token)
        await home.pass_time(MISSED_S - TOLD_LATE_S)
    assert heard.presence() == [(0, True)]
    await home.pass_time(2 * TOLD_LATE_S)
    assert heard.presence() == [(0, True), (0, False)]
    await home.pass_time(GRACE_S - 2 * TOLD_LATE_S)
    assert await home.there(ann.code) == [0]
    await home.pass_time(3 * TOLD_LATE_S)
    assert await home.there(ann.code) == []


async def test_nobody_sends_a_heartbeat_for_somebody_else(home: House) -> None:
    ann = await home.found("ann")
    bob = await home.parties.join(ann.code, "bob", None)
    with pytest.raises(Forbidden, match="not_allowed"):
        await home.attendance.beat(ann.code, 0, bob.token)
    with pytest.raises(NotFound, match="participant_not_found"):
        await home.attendance.beat(ann.code, 2, bob.token)
    assert home.online(ann) == set()


async def test_a_stream_that_ends_while_a_heartbeat_holds_leaves_them_online_until_it_no_longer_does(
    home: House,
) -> None:
    ann = await home.found("ann")
    await home.attendance.beat(ann.code, 0, ann.token)
    seat = await home.attendance.come(ann.code, ann.token)
    await home.attendance.settle(ann.code)
    home.attendance.go(seat)
    assert home.online(ann) == {0}
    await home.pass_time(MISSED_S + TOLD_LATE_S)
    assert home.online(ann) == set()
    await home.pass_time(GRACE_S + TOLD_LATE_S)
    assert await home.there(ann.code) == []


async def test_who_could_not_come_because_the_disk_was_full_is_lost_as_if_they_had_not_tried(home: House) -> None:
    ann = await home.found("ann")
    await leave_room(home.store, pages=0)
    flood = [home.found(f"p{n}") for n in range(400)]
    coming = asyncio.create_task(answers([home.attendance.come(ann.code, ann.token), *flood]))
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(home.store.commits._in_flight) == 401
    home.running.now_s = 2 * IDLE_S
    await asyncio.gather(home.attendance.settle(ann.code), coming)
    assert {type(one) for one in coming.result()} == {StorageFull}
    await make_room(home.store)
    await home.store.prove_writable()
    await home.pass_time(10)
    assert await home.there(ann.code) == []


async def test_on_a_full_disk_the_lost_keep_their_seats_until_there_is_room(home: House) -> None:
    ann = await home.found("ann")
    home.attendance.go(await home.attendance.come(ann.code, ann.token))
    await home.parties.join(ann.code, "bob", None)
    home.running.now_s += GRACE_S + TOLD_LATE_S
    await leave_room(home.store, pages=0)
    flooding = asyncio.create_task(answers(home.found(f"p{n}") for n in range(400)))
    await asyncio.sleep(0)
    await asyncio.gather(home.watch(), flooding)
    assert await home.there(ann.code) == [0, 1]
    await make_room(home.store)
    await home.store.prove_writable()
    await home.pass_time(10)
    assert await home.there(ann.code) == [1]


async def test_reading_never_shows_who_should_be_lost_though_nobody_has_looked_yet(home: House) -> None:
    place = Point(45.5, -73.57)

    async def overdue() -> tuple[int, str]:
        ann = await home.parties.create("ann", Wish(place=place))
        bob = await home.parties.join(ann.code, "bob", None)
        await home.attendance.come(ann.code, bob.token)
        home.attendance.go(await home.attendance.come(ann.code, ann.token))
        home.running.now_s += GRACE_S + TOLD_LATE_S
        return ann.code, ann.token

    code, _ = await overdue()
    assert [one.id for one in (await home.parties.party(code)).participants] == [1]
    code, _ = await overdue()
    joined = await home.parties.join(code, "cid", None)
    assert joined.party is not None
    assert [one.id for one in joined.party.participants] == [1, 2]
    code, token = await overdue()
    with pytest.raises(Unauthenticated):
        await home.parties.say(code, token, b"{}")
    with pytest.raises(Unauthenticated):
        await home.attendance.come((await overdue())[0], token)
    await overdue()
    with pytest.raises(NotFound, match="membership_not_found"):
        await home.parties.membership_of("ann")
    code, _ = await overdue()
    found = {party.code: party for party, _ in await home.parties.nearby(place, radius_km=5, limit=100)}
    assert [one.id for one in found[code].participants] == [1]


async def test_plain_clients_are_out_a_day_after_their_last_call_or_an_hour_later(home: House) -> None:
    ann = await home.found("ann")
    bob = await home.parties.join(ann.code, "bob", None)
    for _ in range(3):
        await home.pass_time(IDLE_S / 2)
        await home.parties.say(ann.code, bob.token, b"{}")
    assert await home.there(ann.code) == [1]
    await home.pass_time(IDLE_S - 1)
    assert await home.there(ann.code) == [1]
    await home.pass_time(IDLE_AT_MOST_S - IDLE_S + 2)
    assert await home.there(ann.code) == []


async def test_a_call_with_the_device_id_counts_too(home: House) -> None:
    ann = await home.found("ann")
    for _ in range(3):
        await home.pass_time(IDLE_S * 0.9)
        assert (await home.parties.membership_of("ann")).code == ann.code
    for _ in range(3):
        await home.pass_time(IDLE_S * 0.9)
        assert not (await home.parties.join(ann.code, "ann", None)).is_new


async def test_a_call_costs_a_plain_client_a_write_once_an_hour_at_most(home: House) -> None:
    ann = await home.found("ann")
    heard = Heard(home, home.id_of(ann))
    for _ in range(100):
        home.running.now_s += IDLE_S / 24 / 50
        await home.parties.membership_of("ann")
    assert len(heard.events()) == 2
    assert heard.news() == []


async def test_a_step_of_the_wall_clock_changes_nothing(home: House) -> None:
    ann = await home.found("ann")
    await home.attendance.come(ann.code, ann.token)
    bob, cid = [await home.parties.join(ann.code, name, None) for name in ("bob", "cid")]
    home.attendance.go(await home.attendance.come(ann.code, bob.token))
    await home.attendance.beat(ann.code, 2, cid.token)
    for step_ms in (YEAR_MS, -2 * YEAR_MS, 3600_000):
        home.clock.now_ms += step_ms
        await home.watch()
        await home.pass_time(1)
        assert await home.there(ann.code) == [0, 1, 2]
        assert home.online(ann) == {0, 2}
    await home.pass_time(GRACE_S - 3 + TOLD_LATE_S)
    assert await home.there(ann.code) == [0, 2]
