"""The rules of one party, one by one."""

import msgspec
import pytest

from chassis.errors import Conflict, Forbidden, Locked, Malformed, NotFound
from manager import rules
from manager.party import (
    Closed,
    Event,
    Joined,
    LeaderPromoted,
    Left,
    Participant,
    ParticipantUpdated,
    Party,
    PartyUpdated,
    Seen,
    WentLive,
    evolve,
)
from tests.manager.people import ANN, BOB, CID, DAN, device, party_of, traits

STRANGER = 99


def join(party: Party, number: int, name: str | None = None) -> list[Event]:
    return rules.join(party, device=device(number), name=name, at_ms=5000, seen_ms=42)


def after(party: Party, events: list[Event]) -> Party:
    result = evolve(party, events)
    assert result is not None
    return result


def test_whoever_joins_gets_the_next_id() -> None:
    assert join(party_of("ann", "bob"), CID, "cid") == [Joined(Participant(2, device(CID), "cid", 5000, 42))]


def test_an_id_does_not_come_back_when_the_newest_has_left() -> None:
    party = party_of("ann", "bob")
    without_bob = after(party, rules.leave(party, BOB, "left"))
    assert join(without_bob, BOB, "bob") == [Joined(Participant(2, device(BOB), "bob", 5000, 42))]


def test_a_full_party_refuses() -> None:
    with pytest.raises(Conflict, match="party_full"):
        join(party_of("ann", "bob", capacity=2), CID)


def test_the_last_seat_can_be_taken() -> None:
    party = party_of("ann", capacity=2)
    full = after(party, join(party, BOB))
    assert len(full.participants) == full.capacity


def test_a_locked_party_refuses_even_where_it_has_seats() -> None:
    with pytest.raises(Locked, match="party_locked"):
        join(party_of("ann", locked=True), BOB)


def test_a_locked_party_still_lets_people_go() -> None:
    assert rules.leave(party_of("ann", "bob", locked=True), BOB, "left") == [Left(BOB, "left")]


def test_a_banned_device_is_told_so_before_anything_else() -> None:
    party = party_of("ann", "bob", capacity=1, locked=True)
    party = after(party, rules.ban(party, BOB, by=ANN))
    with pytest.raises(Forbidden, match="banned"):
        join(party, BOB)


def test_a_leaving_leader_hands_over_to_the_longest_present() -> None:
    assert rules.leave(party_of("ann", "bob", "cid"), ANN, "left") == [Left(ANN, "left"), LeaderPromoted(BOB)]


def test_a_leaving_leader_hands_over_to_the_longest_present_of_those_online() -> None:
    party = party_of("ann", "bob", "cid", "dan")
    assert rules.leave(party, ANN, "left", {DAN, CID}) == [Left(ANN, "left"), LeaderPromoted(CID)]
    assert rules.leave(party, ANN, "left", {ANN}) == [Left(ANN, "left"), LeaderPromoted(BOB)]


def test_a_leader_who_was_given_the_lead_hands_over_to_the_longest_present_too() -> None:
    party = party_of("ann", "bob", "cid", leader_id=CID)
    assert rules.leave(party, CID, "left") == [Left(CID, "left"), LeaderPromoted(ANN)]


def test_a_member_who_leaves_changes_nothing_else() -> None:
    party = party_of("ann", "bob", "cid")
    assert after(party, rules.leave(party, BOB, "left")) == msgspec.structs.replace(
        party, version=party.version + 1, participants=(party.participants[ANN], party.participants[CID])
    )


def test_the_last_one_out_closes_the_party() -> None:
    events = rules.leave(party_of("ann"), ANN, "left")
    assert events == [Left(ANN, "left"), Closed("empty")]
    assert evolve(party_of("ann"), events) is None


def test_nobody_leaves_who_is_not_there() -> None:
    with pytest.raises(NotFound, match="participant_not_found"):
        rules.leave(party_of("ann"), BOB, "left")


def test_a_lost_member_leaves() -> None:
    assert rules.lose(party_of("ann", "bob"), {BOB}, {ANN}) == [Left(BOB, "lost")]


def test_a_lost_leader_is_followed_by_whoever_is_online_before_who_was_there_first() -> None:
    party = party_of("ann", "bob", "cid", "dan")
    assert rules.lose(party, {ANN}, {DAN, CID}) == [Left(ANN, "lost"), LeaderPromoted(CID)]
    assert rules.lose(party, {ANN}, ()) == [Left(ANN, "lost"), LeaderPromoted(BOB)]


def test_of_several_lost_the_leader_goes_last_and_nobody_lost_is_promoted() -> None:
    party = party_of("ann", "bob", "cid", "dan")
    assert rules.lose(party, {CID, ANN, BOB}, {DAN}) == [
        Left(BOB, "lost"),
        Left(CID, "lost"),
        Left(ANN, "lost"),
        LeaderPromoted(DAN),
    ]


def test_a_party_of_nobody_but_the_lost_expires() -> None:
    party = party_of("ann", "bob", "cid", leader_id=BOB)
    assert rules.lose(party, {ANN, BOB, CID}, ()) == [
        Left(ANN, "lost"),
        Left(CID, "lost"),
        Left(BOB, "lost"),
        Closed("expired"),
    ]


def test_when_nobody_is_lost_nothing_happens() -> None:
    assert rules.lose(party_of("ann"), (), ()) == []


def test_the_leader_sends_somebody_away() -> None:
    assert rules.remove(party_of("ann", "bob"), BOB, by=ANN) == [Left(BOB, "kicked")]


def test_whoever_goes_by_themselves_has_left() -> None:
    assert rules.remove(party_of("ann", "bob"), BOB, by=BOB) == [Left(BOB, "left")]


@pytest.mark.parametrize("whom", [ANN, CID])
def test_nobody_but_the_leader_sends_somebody_away(whom: int) -> None:
    with pytest.raises(Forbidden, match="not_allowed"):
        rules.remove(party_of("ann", "bob", "cid"), whom, by=BOB)


def test_who_is_sent_away_must_be_there() -> None:
    for decide in (rules.remove, rules.ban):
        with pytest.raises(NotFound, match="participant_not_found"):
            decide(party_of("ann", "bob"), STRANGER, by=ANN)


def test_a_device_that_moves_on_leaves_its_seat() -> None:
    assert rules.move_out(party_of("ann", "bob"), device(ANN)) == [Left(ANN, "moved"), LeaderPromoted(BOB)]
    assert rules.move_out(party_of("ann", "bob", "cid"), device(ANN), {CID}) == [
        Left(ANN, "moved"),
        LeaderPromoted(CID),
    ]


def test_a_ban_is_a_kick_that_remembers_the_device() -> None:
    assert rules.ban(party_of("ann", "bob"), BOB, by=ANN) == [Left(BOB, "kicked", device(BOB))]


@pytest.mark.parametrize(("whom", "by"), [(CID, BOB), (ANN, BOB), (BOB, BOB), (ANN, ANN)])
def test_nobody_but_the_leader_bans_and_only_others(whom: int, by: int) -> None:
    with pytest.raises(Forbidden, match="not_allowed"):
        rules.ban(party_of("ann", "bob", "cid"), whom, by=by)


def test_a_party_keeps_out_so_many_devices_and_no_more() -> None:
    out = frozenset(device(1000 + number) for number in range(rules.MAX_BANNED - 1))
    party = msgspec.structs.replace(party_of("ann", "bob", "cid"), banned=out)
    party = after(party, rules.ban(party, BOB, by=ANN))
    assert len(party.banned) == rules.MAX_BANNED == 500
    with pytest.raises(Conflict, match="too_many_banned"):
        rules.ban(party, CID, by=ANN)
    assert rules.remove(party, CID, by=ANN) == [Left(CID, "kicked")]


def test_the_leader_sets_traits() -> None:
    party = party_of("ann", "bob")
    wanted = traits(party, name="Ann's", capacity=2, locked=True, cell=5, discoverable=True, attributes=b"{}")
    assert rules.update(party, wanted, by=ANN) == [PartyUpdated(wanted)]


def test_setting_traits_to_what_they_are_is_no_event() -> None:
    assert rules.update(party_of("ann"), party_of("ann").traits(), by=ANN) == []


def test_nobody_but_the_leader_sets_traits() -> None:
    party = party_of("ann", "bob")
    with pytest.raises(Forbidden, match="not_allowed"):
        rules.update(party, party.traits(), by=BOB)


def test_capacity_can_go_down_to_the_present_count_and_not_below() -> None:
    party = party_of("ann", "bob", "cid")
    assert rules.update(party, traits(party, capacity=3), by=ANN) == [PartyUpdated(traits(party, capacity=3))]
    with pytest.raises(Conflict, match="capacity_below_count") as refused:
        rules.update(party, traits(party, capacity=2), by=ANN)
    assert refused.value.field == "capacity"


def test_a_party_that_is_nowhere_can_not_be_discoverable() -> None:
    party = party_of("ann")
    with pytest.raises(Malformed, match="place_missing"):
        rules.update(party, traits(party, discoverable=True), by=ANN)


def test_a_participant_changes_what_is_shown_of_them() -> None:
    events = rules.update_participant(party_of("ann", "bob"), BOB, name="bobby", attributes=b"{}", by=BOB)
    assert events == [ParticipantUpdated(BOB, "bobby", b"{}")]
    assert rules.update_participant(party_of("ann", "bob"), BOB, name="bob", attributes=None, by=BOB) == []


def test_nobody_changes_what_is_shown_of_somebody_else() -> None:
    for whom, by in ((BOB, ANN), (ANN, BOB)):
        with pytest.raises(Forbidden, match="not_allowed"):
            rules.update_participant(party_of("ann", "bob"), whom, name="x", attributes=None, by=by)
    with pytest.raises(NotFound, match="participant_not_found"):
        rules.update_participant(party_of("ann", "bob"), STRANGER, name="x", attributes=None, by=ANN)


def test_the_leader_hands_over() -> None:
    assert rules.hand_over(party_of("ann", "bob"), BOB, by=ANN) == [LeaderPromoted(BOB)]
    assert rules.hand_over(party_of("ann", "bob"), ANN, by=ANN) == []


def test_nobody_takes_the_lead_who_is_not_given_it() -> None:
    with pytest.raises(Forbidden, match="not_allowed"):
        rules.hand_over(party_of("ann", "bob"), BOB, by=BOB)
    with pytest.raises(NotFound, match="participant_not_found"):
        rules.hand_over(party_of("ann", "bob"), STRANGER, by=ANN)


def test_the_leader_closes_the_party() -> None:
    assert rules.close(party_of("ann", "bob"), by=ANN) == [Closed("closed")]
    with pytest.raises(Forbidden, match="not_allowed"):
        rules.close(party_of("ann", "bob"), by=BOB)


def test_a_plain_client_s_calls_are_kept_once_in_a_while() -> None:
    party = party_of("ann")
    assert rules.notice(party, ANN, seen_ms=99, every_ms=100) == []
    assert rules.notice(party, ANN, seen_ms=100, every_ms=100) == [Seen(ANN, 100)]
    assert rules.notice(party, STRANGER, seen_ms=100, every_ms=100) == []


def test_who_goes_live_does_so_once_and_is_no_longer_noticed() -> None:
    party = party_of("ann")
    assert rules.go_live(party, ANN) == [WentLive(ANN)]
    live = after(party, [WentLive(ANN)])
    assert rules.go_live(live, ANN) == []
    assert rules.go_live(live, STRANGER) == []
    assert rules.notice(live, ANN, seen_ms=10**9, every_ms=100) == []


def test_the_attributes_of_all_in_a_party_have_a_bound_together() -> None:
    party = party_of("ann", "bob", "cid")
    half = b'"' + b"a" * (rules.MAX_ATTRIBUTES_OF_ALL_BYTES // 2 - 2) + b'"'
    for one in (ANN, BOB):
        party = after(party, rules.update_participant(party, one, name=None, attributes=half, by=one))
    with pytest.raises(Conflict, match="attributes_full"):
        rules.update_participant(party, CID, name=None, attributes=b"{}", by=CID)
    assert rules.update_participant(party, CID, name="cy", attributes=None, by=CID)
    assert rules.update_participant(party, BOB, name=None, attributes=b"{}", by=BOB)
