"""What a restart of the manager means for those who were there: nobody is lost for it."""

from pathlib import Path

from tests.live.house import GRACE_S, IDLE_S, MISSED_S, TOLD_LATE_S, Heard, house


async def test_who_was_ever_live_has_a_full_grace_period_from_the_start(tmp_path: Path) -> None:
    async with house(tmp_path / "m.db") as home:
        ann = await home.found("ann")
        bob, cid, dan = [await home.parties.join(ann.code, name, None) for name in ("bob", "cid", "dan")]
        home.attendance.go(await home.attendance.come(ann.code, ann.token))  # and had been away for long
        await home.attendance.come(ann.code, bob.token)  # was there
        await home.attendance.beat(ann.code, 2, cid.token)  # was there by heartbeats
        await home.pass_time(GRACE_S - TOLD_LATE_S)
        assert await home.there(ann.code) == [0, 1, 2, 3]  # Dan never was live
    async with house(tmp_path / "m.db") as home:
        heard = Heard(home, home.id_of(ann))
        assert home.online(ann) == set()
        await home.pass_time(GRACE_S - TOLD_LATE_S)
        assert await home.there(ann.code) == [0, 1, 2, 3]
        await home.attendance.come(ann.code, cid.token)
        await home.pass_time(2 * TOLD_LATE_S)
        assert await home.there(ann.code) == [2, 3]
        assert (await home.parties.party(ann.code)).leader_id == 2
        assert heard.presence() == [(2, True)]
        await home.pass_time(GRACE_S + MISSED_S)
        assert await home.there(ann.code) == [2, 3]
        assert dan.participant_id == 3


async def test_the_grace_period_begins_anew_with_each_start(tmp_path: Path) -> None:
    async with house(tmp_path / "m.db") as home:
        ann = await home.found("ann")
        home.attendance.go(await home.attendance.come(ann.code, ann.token))
    for _ in range(4):
        async with house(tmp_path / "m.db") as home:
            await home.pass_time(GRACE_S - TOLD_LATE_S)
            assert await home.there(ann.code) == [0]
    async with house(tmp_path / "m.db") as home:
        await home.pass_time(GRACE_S + TOLD_LATE_S)
        assert await home.there(ann.code) == []


async def test_an_outage_of_any_length_expires_no_plain_client(tmp_path: Path) -> None:
    async with house(tmp_path / "m.db") as home:
        ann = await home.found("ann")
        await home.pass_time(IDLE_S / 2)
        bob = await home.parties.join(ann.code, "bob", None)
    async with house(tmp_path / "m.db") as home:
        home.clock.now_ms += 30 * 24 * 3600 * 1000
        assert home.running.now_s == IDLE_S / 2, "the running time goes on from when anybody was last seen"
        await home.pass_time(IDLE_S / 2)
        assert await home.there(ann.code) == [0, 1]
        await home.parties.say(ann.code, bob.token, b"{}")
        await home.pass_time(IDLE_S / 24 + TOLD_LATE_S)
        assert await home.there(ann.code) == [1]


async def test_who_was_lost_is_not_back_after_a_restart(tmp_path: Path) -> None:
    async with house(tmp_path / "m.db") as home:
        ann = await home.found("ann")
        bob = await home.parties.join(ann.code, "bob", None)
        await home.attendance.come(ann.code, bob.token)
        home.attendance.go(await home.attendance.come(ann.code, ann.token))
        await home.pass_time(GRACE_S + TOLD_LATE_S)
    async with house(tmp_path / "m.db") as home:
        assert await home.there(ann.code) == [1]
        assert (await home.parties.party(ann.code)).leader_id == 1
