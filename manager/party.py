"""One party: what it is, what can happen to it (events), and what it is after that. Pure."""

from bisect import bisect_left
from collections.abc import Iterable
from operator import attrgetter
from typing import Literal

import msgspec

Reason = Literal["left", "kicked", "lost", "moved"]
End = Literal["empty", "closed", "expired"]

_id_of = attrgetter("id")


class Participant(msgspec.Struct, frozen=True, gc=False):
    """Someone in a party. `id` counts up from 0 and never comes back in the same party."""

    id: int
    device: bytes  # a keyed hash; the device id itself is a password and is nowhere kept
    name: str | None
    joined_at_ms: int
    seen_ms: int = 0  # in the manager's running time; not kept up once they are live
    is_live: bool = False  # has had a stream or a heartbeat, so presence decides how long they stay
    attributes: bytes | None = None  # a JSON object


class Traits(msgspec.Struct, frozen=True):
    """What a party's leader can set."""

    name: str | None
    capacity: int
    cell: int | None  # the H3 cell of its place
    discoverable: bool
    locked: bool
    attributes: bytes | None  # a JSON object


class Party(msgspec.Struct, frozen=True, gc=False):
    """A party as it stands after `version` events.

    Never empty, never without its leader among its participants, who stand in order of joining.
    """

    id: int  # 64 bits, never used again
    code: int
    leader_id: int
    capacity: int
    next_participant_id: int
    version: int
    created_at_ms: int
    participants: tuple[Participant, ...]
    name: str | None = None
    cell: int | None = None  # the H3 cell of its place
    discoverable: bool = False
    locked: bool = False
    attributes: bytes | None = None  # a JSON object
    banned: frozenset[bytes] = frozenset()  # devices

    def participant(self, participant_id: int) -> Participant | None:
        """Who has this id, or None."""
        at = self.place_of(participant_id)
        return None if at is None else self.participants[at]

    def place_of(self, participant_id: int) -> int | None:
        """Where among the participants this id stands, or None."""
        at = bisect_left(self.participants, participant_id, key=_id_of)
        return at if at < len(self.participants) and self.participants[at].id == participant_id else None

    def traits(self) -> Traits:
        """What its leader has set."""
        return Traits(self.name, self.capacity, self.cell, self.discoverable, self.locked, self.attributes)

    def seat_of(self, device: bytes) -> Participant:
        """Who sits here with this device, which must have a seat."""
        return next(one for one in self.participants if one.device == device)


class Created(msgspec.Struct, frozen=True):
    """The party's first event: it and its first participant, who leads it."""

    party: Party


class Joined(msgspec.Struct, frozen=True):
    """Someone new has a seat."""

    participant: Participant


class Left(msgspec.Struct, frozen=True):
    """Someone's seat is free again, for this reason. `banned` is their device where it is to stay out."""

    participant_id: int
    reason: Reason
    banned: bytes | None = None


class LeaderPromoted(msgspec.Struct, frozen=True):
    """This participant leads now."""

    participant_id: int


class PartyUpdated(msgspec.Struct, frozen=True):
    """The leader has set the party's traits to these."""

    traits: Traits


class ParticipantUpdated(msgspec.Struct, frozen=True):
    """A participant has another name or other attributes."""

    participant_id: int
    name: str | None
    attributes: bytes | None


class Closed(msgspec.Struct, frozen=True):
    """The party is over; always its last event."""

    reason: End


class Seen(msgspec.Struct, frozen=True):
    """A plain client has called. Kept with the participant, but told to nobody and no version of its own."""

    participant_id: int
    seen_ms: int


class WentLive(msgspec.Struct, frozen=True):
    """A first stream or heartbeat: from now on presence decides. Kept, but told to nobody and no version of its own."""

    participant_id: int


Event = Created | Joined | Left | LeaderPromoted | PartyUpdated | ParticipantUpdated | Closed | Seen | WentLive

UNVERSIONED = (Seen, WentLive)
"""Events that are no news to anybody: they leave the version as it is."""


def evolve(party: Party | None, events: Iterable[Event]) -> Party | None:
    """The party after these events, each of which makes one version; None once it has closed."""
    for event in events:
        if isinstance(event, Created):
            party = event.party
            continue
        assert party is not None, "nothing happens to a party that isn't there"
        party = _after(party, event)
    return party


def _after(party: Party, event: Event) -> Party | None:
    version = party.version + (not isinstance(event, UNVERSIONED))
    if isinstance(event, Seen):
        return _with(party, event.participant_id, version, seen_ms=event.seen_ms)
    if isinstance(event, WentLive):
        return _with(party, event.participant_id, version, is_live=True)
    if isinstance(event, ParticipantUpdated):
        return _with(party, event.participant_id, version, name=event.name, attributes=event.attributes)
    if isinstance(event, Joined):
        return msgspec.structs.replace(
            party,
            version=version,
            participants=(*party.participants, event.participant),
            next_participant_id=event.participant.id + 1,
        )
    if isinstance(event, Left):
        at = party.place_of(event.participant_id)
        assert at is not None
        rest = party.participants[:at] + party.participants[at + 1 :]
        banned = party.banned if event.banned is None else party.banned | {event.banned}
        return msgspec.structs.replace(party, version=version, participants=rest, banned=banned)
    if isinstance(event, LeaderPromoted):
        return msgspec.structs.replace(party, version=version, leader_id=event.participant_id)
    if isinstance(event, PartyUpdated):
        return msgspec.structs.replace(party, version=version, **msgspec.structs.asdict(event.traits))
    return None


def _with(party: Party, participant_id: int, version: int, **changed: object) -> Party:
    at = party.place_of(participant_id)
    assert at is not None
    other = msgspec.structs.replace(party.participants[at], **changed)
    participants = (*party.participants[:at], other, *party.participants[at + 1 :])
    return msgspec.structs.replace(party, version=version, participants=participants)
