"""What each event makes of a party."""

import msgspec
import pytest

from manager.party import (
    UNVERSIONED,
    Closed,
    Created,
    Event,
    Joined,
    LeaderPromoted,
    Left,
    Participant,
    ParticipantUpdated,
    Party,
    PartyUpdated,
    Seen,
    Traits,
    WentLive,
    evolve,
)
from tests.manager.people import ANN, BOB, CID, DAN, device, party_of

PARTY = party_of("ann", "bob", "cid")
TRAITS = Traits("a name", 7, 123, True, True, b"{}")
NEWCOMER = Participant(3, device(DAN), "dan", 5000, 4)


def after(*events: Event) -> Party:
    party = evolve(PARTY, events)
    assert party is not None
    return party


def changed(**fields: object) -> Party:
    return msgspec.structs.replace(PARTY, **fields)


def seated(at: int, **fields: object) -> tuple[Participant, ...]:
    """The participants, of whom this one is different."""
    one = msgspec.structs.replace(PARTY.participants[at], **fields)
    return (*PARTY.participants[:at], one, *PARTY.participants[at + 1 :])


@pytest.mark.parametrize(
    ("event", "result"),
    [
        (
            Joined(NEWCOMER),
            changed(version=4, participants=(*PARTY.participants, NEWCOMER), next_participant_id=4),
        ),
        (Left(CID, "left"), changed(version=4, participants=PARTY.participants[:2])),
        (Left(BOB, "kicked"), changed(version=4, participants=(PARTY.participants[0], PARTY.participants[2]))),
        (
            Left(CID, "kicked", device(CID)),
            changed(version=4, participants=PARTY.participants[:2], banned=frozenset({device(CID)})),
        ),
        (LeaderPromoted(BOB), changed(version=4, leader_id=BOB)),
        (
            PartyUpdated(TRAITS),
            changed(version=4, name="a name", capacity=7, cell=123, discoverable=True, locked=True, attributes=b"{}"),
        ),
        (
            ParticipantUpdated(BOB, "bobby", b"{}"),
            changed(version=4, participants=seated(BOB, name="bobby", attributes=b"{}")),
        ),
        (ParticipantUpdated(BOB, None, None), changed(version=4, participants=seated(BOB, name=None))),
        (Seen(BOB, 77), changed(participants=seated(BOB, seen_ms=77))),
        (WentLive(BOB), changed(participants=seated(BOB, is_live=True))),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, Party) else "",
)
def test_each_event_changes_what_it_says_and_nothing_else(event: Event, result: Party) -> None:
    assert after(event) == result


def test_a_party_begins_with_its_created_event() -> None:
    assert evolve(None, [Created(PARTY)]) is PARTY


def test_nothing_is_left_of_a_party_that_has_closed() -> None:
    assert evolve(PARTY, [Closed("closed")]) is None


def test_all_events_but_those_that_are_no_news_make_a_version_each() -> None:
    assert (Seen, WentLive) == UNVERSIONED
    assert after(LeaderPromoted(BOB), Seen(BOB, 1), LeaderPromoted(ANN), WentLive(ANN)).version == PARTY.version + 2


def test_bans_add_up() -> None:
    party = after(Left(CID, "kicked", device(CID)), Left(BOB, "kicked", device(BOB)), Joined(NEWCOMER))
    assert party.banned == {device(BOB), device(CID)}


def test_nothing_happens_to_a_party_that_is_not_there() -> None:
    with pytest.raises(AssertionError):
        evolve(None, [LeaderPromoted(ANN)])


def test_the_traits_of_a_party_are_what_its_leader_has_set() -> None:
    assert after(PartyUpdated(TRAITS)).traits() == TRAITS


def test_participants_are_found_by_id_and_by_device_across_gaps() -> None:
    party = after(Joined(NEWCOMER), Left(BOB, "left"))
    found = [party.participant(number) for number in range(-1, 5)]
    assert [one and one.name for one in found] == [None, "ann", None, "cid", "dan", None]
    assert party.seat_of(device(DAN)) is NEWCOMER
