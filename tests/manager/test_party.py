"""The rules of one party, one by one."""

import msgspec
import pytest

from chassis.errors import Conflict, Forbidden, Locked, NotFound
from manager import rules
from manager.party import Closed, Created, Event, Joined, LeaderPromoted, Left, Participant, Party, evolve

ANN, BOB, CID, DAN = range(4)


def device(number: int) -> bytes:
    return number.to_bytes(16, "big")


def party_of(*names: str, leader_id: int = 0, capacity: int = 50, locked: bool = False) -> Party:
    seated = tuple(Participant(number, device(number), name, 1000 + number) for number, name in enumerate(names))
    return Party(7, 457495738, leader_id, capacity, len(names), len(names), 1000, seated, locked=locked)


def join(party: Party, number: int, name: str | None = None) -> list[Event]:
    return rules.join(party, device=device(number), name=name, at_ms=5000)


def test_whoever_joins_gets_the_next_id() -> None:
    assert join(party_of("ann", "bob"), CID, "cid") == [Joined(Participant(2, device(CID), "cid", 5000))]


def test_an_id_does_not_come_back_when_the_newest_has_left() -> None:
    without_bob = evolve(party_of("ann", "bob"), rules.leave(party_of("ann", "bob"), BOB, "left"))
    assert without_bob is not None
    assert join(without_bob, BOB, "bob") == [Joined(Participant(2, device(BOB), "bob", 5000))]


def test_a_full_party_refuses() -> None:
    with pytest.raises(Conflict, match="party_full"):
        join(party_of("ann", "bob", capacity=2), CID)


def test_the_last_seat_can_be_taken() -> None:
    full = evolve(party_of("ann", capacity=2), join(party_of("ann", capacity=2), BOB))
    assert full is not None
    assert len(full.participants) == full.capacity


def test_a_locked_party_refuses_even_where_it_has_seats() -> None:
    with pytest.raises(Locked, match="party_locked"):
        join(party_of("ann", locked=True), BOB)


def test_a_locked_party_still_lets_people_go() -> None:
    assert rules.leave(party_of("ann", "bob", locked=True), BOB, "left") == [Left(BOB, "left")]


def test_a_leaving_leader_hands_over_to_the_longest_present() -> None:
    assert rules.leave(party_of("ann", "bob", "cid"), ANN, "left") == [Left(ANN, "left"), LeaderPromoted(BOB)]


def test_a_leader_who_was_given_the_lead_hands_over_to_the_longest_present_too() -> None:
    party = party_of("ann", "bob", "cid", leader_id=CID)
    assert rules.leave(party, CID, "left") == [Left(CID, "left"), LeaderPromoted(ANN)]


def test_a_member_who_leaves_changes_nothing_else() -> None:
    party = party_of("ann", "bob", "cid")
    after = evolve(party, rules.leave(party, BOB, "left"))
    assert after == msgspec.structs.replace(
        party, version=party.version + 1, participants=(party.participants[ANN], party.participants[CID])
    )


def test_the_last_one_out_closes_the_party() -> None:
    events = rules.leave(party_of("ann"), ANN, "left")
    assert events == [Left(ANN, "left"), Closed("empty")]
    assert evolve(party_of("ann"), events) is None


def test_nobody_leaves_who_is_not_there() -> None:
    with pytest.raises(NotFound, match="participant_not_found"):
        rules.leave(party_of("ann"), BOB, "left")


def test_the_leader_sends_somebody_away() -> None:
    assert rules.remove(party_of("ann", "bob"), BOB, by=ANN) == [Left(BOB, "kicked")]


def test_whoever_goes_by_themselves_has_left() -> None:
    assert rules.remove(party_of("ann", "bob"), BOB, by=BOB) == [Left(BOB, "left")]


def test_nobody_but_the_leader_sends_somebody_away() -> None:
    with pytest.raises(Forbidden, match="not_allowed"):
        rules.remove(party_of("ann", "bob", "cid"), CID, by=BOB)


def test_a_member_can_not_send_the_leader_away() -> None:
    with pytest.raises(Forbidden, match="not_allowed"):
        rules.remove(party_of("ann", "bob"), ANN, by=BOB)


def test_the_leader_can_not_send_away_who_is_not_there() -> None:
    with pytest.raises(NotFound, match="participant_not_found"):
        rules.remove(party_of("ann"), BOB, by=ANN)


def test_a_device_that_moves_on_leaves_its_seat() -> None:
    assert rules.move_out(party_of("ann", "bob"), device(ANN)) == [Left(ANN, "moved"), LeaderPromoted(BOB)]


def test_a_party_begins_with_its_created_event() -> None:
    party = party_of("ann")
    assert evolve(None, [Created(party)]) is party


def test_participants_are_found_by_id_and_by_device_across_gaps() -> None:
    party = party_of("ann", "bob", "cid", "dan")
    after = evolve(party, [*rules.leave(party, BOB, "left")])
    assert after is not None
    found = [after.participant(number) for number in range(-1, 5)]
    assert [one and one.name for one in found] == [None, "ann", None, "cid", "dan", None]
    assert after.seat_of(device(DAN)) is party.participants[DAN]
