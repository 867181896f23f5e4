"""What happens in a party as its listeners read it: one JSON object each, as openapi/events.yaml describes them."""

from collections.abc import Iterator, Set
from datetime import datetime
from typing import Literal

import msgspec

from manager.announcements import Announcement, Present, Said
from manager.party import (
    Closed,
    End,
    Event,
    Joined,
    LeaderPromoted,
    Left,
    Participant,
    ParticipantUpdated,
    Party,
    PartyUpdated,
    Reason,
    evolve,
)
from manager.store import Change
from manager.wire import ParticipantView, PartyView, moment, participant_view, party_view


class Snapshot(msgspec.Struct):
    type: Literal["snapshot"]
    seq: int
    at: datetime
    party: PartyView
    participants: list[msgspec.Raw]  # of ParticipantView


class ParticipantJoined(msgspec.Struct):
    type: Literal["participant_joined"]
    seq: int
    at: datetime
    participant: ParticipantView


class ParticipantLeft(msgspec.Struct):
    type: Literal["participant_left"]
    seq: int
    at: datetime
    participant_id: int
    reason: Reason


class LeaderWasPromoted(msgspec.Struct):
    type: Literal["leader_promoted"]
    seq: int
    at: datetime
    participant_id: int


class PartyWasUpdated(msgspec.Struct):
    type: Literal["party_updated"]
    seq: int
    at: datetime
    party: PartyView


class ParticipantWasUpdated(msgspec.Struct):
    type: Literal["participant_updated"]
    seq: int
    at: datetime
    participant: ParticipantView


class PartyClosed(msgspec.Struct):
    type: Literal["party_closed"]
    seq: int
    at: datetime
    reason: End


class PresenceChanged(msgspec.Struct):
    type: Literal["presence"]
    at: datetime
    participant_id: int
    online: bool


class Message(msgspec.Struct):
    type: Literal["message"]
    at: datetime
    participant_id: int
    body: msgspec.Raw


MIN_KEPT = 64
"""Parties up to this size are drawn anew each time, so that many of them take no memory."""

_encode = msgspec.json.Encoder().encode


class Portraits:
    """Participants as JSON, kept while they stay the same values: a large party's listeners often begin together."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Participant, bool, bool, msgspec.Raw]] = {}

    def of(self, party: Party, online: Set[int]) -> list[msgspec.Raw]:
        """All participants, in order of joining."""
        if len(party.participants) <= MIN_KEPT:
            return [_portrait(party, one, online) for one in party.participants]
        kept, drawn = self._kept, {}
        leader_id = party.leader_id
        for one in party.participants:
            was = kept.get(one.id)
            if was is None or was[0] is not one or was[1] != (one.id == leader_id) or was[2] != (one.id in online):
                was = one, one.id == leader_id, one.id in online, _portrait(party, one, online)
            drawn[one.id] = was
        self._kept = drawn
        return [portrait for _, _, _, portrait in drawn.values()]


def _portrait(party: Party, one: Participant, online: Set[int]) -> msgspec.Raw:
    return msgspec.Raw(_encode(participant_view(party, one, online)))


def snapshot(party: Party, online: Set[int], at_ms: int, portraits: Portraits) -> bytes:
    """The party as it stands: where a listener starts from."""
    drawn = portraits.of(party, online)
    return _encode(Snapshot("snapshot", party.version, moment(at_ms), party_view(party), drawn))


def told(announcement: Announcement, online: Set[int]) -> Iterator[bytes]:
    """What listeners read of it, in order. `online` are those who are by now."""
    at = moment(announcement.at_ms)
    if isinstance(announcement, Present):
        yield _encode(PresenceChanged("presence", at, announcement.participant_id, announcement.online))
    elif isinstance(announcement, Said):
        yield _encode(Message("message", at, announcement.participant_id, msgspec.Raw(announcement.body)))
    else:
        for view in _views(announcement, at, online):
            yield _encode(view)


def _views(change: Change, at: datetime, online: Set[int]) -> Iterator[msgspec.Struct]:
    before = change.before
    for event in change.events:
        after = evolve(before, [event])
        if before is not None and (view := _view(event, before.version + 1, at, after, online)) is not None:
            yield view
        before = after


def _view(event: Event, seq: int, at: datetime, after: Party | None, online: Set[int]) -> msgspec.Struct | None:
    """None for events that are no news to anybody."""
    if isinstance(event, Closed):
        return PartyClosed("party_closed", seq, at, event.reason)
    if isinstance(event, Left):
        return ParticipantLeft("participant_left", seq, at, event.participant_id, event.reason)
    if isinstance(event, LeaderPromoted):
        return LeaderWasPromoted("leader_promoted", seq, at, event.participant_id)
    assert after is not None, "only Closed ends a party"
    if isinstance(event, Joined):
        joined = participant_view(after, event.participant, online)
        return ParticipantJoined("participant_joined", seq, at, joined)
    if isinstance(event, PartyUpdated):
        return PartyWasUpdated("party_updated", seq, at, party_view(after))
    if isinstance(event, ParticipantUpdated):
        one = after.participant(event.participant_id)
        assert one is not None
        return ParticipantWasUpdated("participant_updated", seq, at, participant_view(after, one, online))
    return None
