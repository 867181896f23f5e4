"""One party and its rules. A rule takes values and returns what happens (events), or raises a Refusal. Pure."""

from bisect import bisect_left
from collections.abc import Iterable
from operator import attrgetter
from typing import Literal

import msgspec

from chassis.errors import Conflict, Forbidden, Locked, NotFound

Reason = Literal["left", "kicked", "moved"]

_id_of = attrgetter("id")


class Participant(msgspec.Struct, frozen=True, gc=False):
    """Someone in a party. `id` counts up from 0 and never comes back in the same party."""

    id: int
    device: bytes  # a keyed hash; the device id itself is a password and is nowhere kept
    name: str | None
    joined_at_ms: int


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

    def participant(self, participant_id: int) -> Participant | None:
        """Who has this id, or None."""
        at = bisect_left(self.participants, participant_id, key=_id_of)
        if at < len(self.participants) and self.participants[at].id == participant_id:
            return self.participants[at]
        return None

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
    """Someone's seat is free again, for this reason."""

    participant_id: int
    reason: Reason


class LeaderPromoted(msgspec.Struct, frozen=True):
    """This participant leads now."""

    participant_id: int


class Closed(msgspec.Struct, frozen=True):
    """The party is over; always its last event."""


Event = Created | Joined | Left | LeaderPromoted | Closed


def participant_not_found() -> NotFound:
    """The refusal for an id that nobody in the party has."""
    return NotFound("participant_not_found", "Nobody with this id is in the party.")


def join(party: Party, *, device: bytes, name: str | None, at_ms: int) -> list[Event]:
    """The next seat for a device that has none here. Raises Locked, Conflict."""
    if party.locked:
        raise Locked("party_locked", "The leader has locked this party.")
    if len(party.participants) >= party.capacity:
        raise Conflict("party_full", "Every seat of this party is taken.")
    return [Joined(Participant(party.next_participant_id, device, name, at_ms))]


def leave(party: Party, participant_id: int, reason: Reason) -> list[Event]:
    """A leader who leaves hands over to whoever has been present longest; the last one out closes the party.

    Raises NotFound.
    """
    if party.participant(participant_id) is None:
        raise participant_not_found()
    successor = next((one for one in party.participants if one.id != participant_id), None)
    if successor is None:
        return [Left(participant_id, reason), Closed()]
    if participant_id == party.leader_id:
        return [Left(participant_id, reason), LeaderPromoted(successor.id)]
    return [Left(participant_id, reason)]


def remove(party: Party, participant_id: int, *, by: int) -> list[Event]:
    """Somebody leaves by themselves, or the leader sends them away. Raises NotFound, Forbidden."""
    if by == participant_id:
        return leave(party, participant_id, "left")
    if party.participant(participant_id) is None:
        raise participant_not_found()
    if by != party.leader_id:
        raise Forbidden("not_allowed", "Only the leader can send somebody else away.")
    return leave(party, participant_id, "kicked")


def move_out(party: Party, device: bytes) -> list[Event]:
    """The device, which has a seat here, takes one in another party."""
    return leave(party, party.seat_of(device).id, "moved")


def evolve(party: Party | None, events: Iterable[Event]) -> Party | None:
    """The party after these events, each of which makes one version; None once it has closed."""
    for event in events:
        if isinstance(event, Created):
            party = event.party
            continue
        assert party is not None, "nothing happens to a party that isn't there"
        party = _after(party, event)
    return party


def _after(party: Party, event: Joined | Left | LeaderPromoted | Closed) -> Party | None:
    version = party.version + 1
    if isinstance(event, Joined):
        return msgspec.structs.replace(
            party,
            version=version,
            participants=(*party.participants, event.participant),
            next_participant_id=event.participant.id + 1,
        )
    if isinstance(event, Left):
        rest = tuple(one for one in party.participants if one.id != event.participant_id)
        return msgspec.structs.replace(party, version=version, participants=rest)
    if isinstance(event, LeaderPromoted):
        return msgspec.structs.replace(party, version=version, leader_id=event.participant_id)
    return None
