"""The rules of a party. Each takes values and returns what happens (events), or raises a Refusal. Pure."""

from collections.abc import Collection

from chassis.errors import Conflict, Forbidden, Locked, Malformed, NotFound
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
    Reason,
    Seen,
    Traits,
    WentLive,
)

MAX_ATTRIBUTES_OF_ALL_BYTES = 512 * 1024
"""What participants' attributes may take together, since they go out together in lists and snapshots."""

MAX_BANNED = 500
"""How many devices a party keeps out; a leader who needs more should lock it."""


def participant_not_found() -> NotFound:
    """The refusal for an id that nobody in the party has."""
    return NotFound("participant_not_found", "Nobody with this id is in the party.")


def place_missing() -> Malformed:
    """The refusal for a party that wants to be found and is nowhere."""
    return Malformed("place_missing", "A discoverable party needs a place: say lat and lng.", field="discoverable")


def join(party: Party, *, device: bytes, name: str | None, at_ms: int, seen_ms: int = 0) -> list[Event]:
    """The next seat for a device that has none here. Raises Forbidden, Locked, Conflict."""
    if device in party.banned:
        raise Forbidden("banned", "The leader has sent this device away for good.")
    if party.locked:
        raise Locked("party_locked", "The leader has locked this party.")
    if len(party.participants) >= party.capacity:
        raise Conflict("party_full", "Every seat of this party is taken.")
    return [Joined(Participant(party.next_participant_id, device, name, at_ms, seen_ms))]


def leave(party: Party, participant_id: int, reason: Reason, online: Collection[int] = ()) -> list[Event]:
    """A leader who leaves hands over to whoever has been present longest; the last one out closes the party.

    `online` are the ids of those who are: they come before the others. Raises NotFound.
    """
    if party.participant(participant_id) is None:
        raise participant_not_found()
    return _go(party, {participant_id}, reason, online)


def lose(party: Party, lost: Collection[int], online: Collection[int]) -> list[Event]:
    """Those participants have been away for too long; the party goes on without them."""
    return _go(party, lost, "lost", online) if lost else []


def remove(party: Party, participant_id: int, *, by: int, online: Collection[int] = ()) -> list[Event]:
    """Somebody leaves by themselves, or the leader sends them away. Raises NotFound, Forbidden."""
    if by == participant_id:
        return leave(party, participant_id, "left", online)
    if party.participant(participant_id) is None:
        raise participant_not_found()
    _only_leader(party, by, "send somebody else away")
    return leave(party, participant_id, "kicked", online)


def ban(party: Party, participant_id: int, *, by: int) -> list[Event]:
    """The leader sends somebody else away whose device can't come back. Raises NotFound, Forbidden, Conflict."""
    outcast = party.participant(participant_id)
    if outcast is None:
        raise participant_not_found()
    _only_leader(party, by, "ban somebody")
    if by == participant_id:
        raise Forbidden("not_allowed", "Nobody can ban themselves.")
    if len(party.banned) >= MAX_BANNED:
        raise Conflict("too_many_banned", f"A party keeps out {MAX_BANNED} devices at most; lock it instead.")
    return [Left(participant_id, "kicked", outcast.device)]


def move_out(party: Party, device: bytes, online: Collection[int] = ()) -> list[Event]:
    """The device, which has a seat here, takes one in another party."""
    return leave(party, party.seat_of(device).id, "moved", online)


def update(party: Party, traits: Traits, *, by: int) -> list[Event]:
    """The leader sets the party's traits. Raises Forbidden, Conflict, Malformed."""
    _only_leader(party, by, "change the party")
    if traits.capacity < len(party.participants):
        raise Conflict(
            "capacity_below_count",
            f"{len(party.participants)} are in the party; capacity can't be less.",
            field="capacity",
        )
    if traits.discoverable and traits.cell is None:
        raise place_missing()
    return [] if traits == party.traits() else [PartyUpdated(traits)]


def update_participant(
    party: Party, participant_id: int, *, name: str | None, attributes: bytes | None, by: int
) -> list[Event]:
    """Somebody changes what is shown of them. Raises NotFound, Forbidden, Conflict."""
    one = party.participant(participant_id)
    if one is None:
        raise participant_not_found()
    if by != participant_id:
        raise Forbidden("not_allowed", "Only they themselves can change a participant.")
    if (name, attributes) == (one.name, one.attributes):
        return []
    others = sum(len(other.attributes) for other in party.participants if other.attributes and other is not one)
    if attributes is not None and others + len(attributes) > MAX_ATTRIBUTES_OF_ALL_BYTES:
        raise Conflict(
            "attributes_full",
            f"The attributes of all in the party may take {MAX_ATTRIBUTES_OF_ALL_BYTES} bytes together.",
            field="attributes",
        )
    return [ParticipantUpdated(participant_id, name, attributes)]


def hand_over(party: Party, participant_id: int, *, by: int) -> list[Event]:
    """The leader makes somebody else the leader; to themselves changes nothing. Raises NotFound, Forbidden."""
    _only_leader(party, by, "hand over the party")
    if party.participant(participant_id) is None:
        raise participant_not_found()
    return [] if participant_id == party.leader_id else [LeaderPromoted(participant_id)]


def close(party: Party, *, by: int) -> list[Event]:
    """The leader ends the party for everyone. Raises Forbidden."""
    _only_leader(party, by, "close the party")
    return [Closed("closed")]


def notice(party: Party, participant_id: int, *, seen_ms: int, every_ms: int) -> list[Event]:
    """A participant has called. Kept once in `every_ms`, and not of those whose presence is known otherwise."""
    one = party.participant(participant_id)
    if one is None or one.is_live or seen_ms - one.seen_ms < every_ms:
        return []
    return [Seen(participant_id, seen_ms)]


def go_live(party: Party, participant_id: int) -> list[Event]:
    """A participant opens a stream or sends a heartbeat."""
    one = party.participant(participant_id)
    return [] if one is None or one.is_live else [WentLive(participant_id)]


def _go(party: Party, leavers: Collection[int], reason: Reason, online: Collection[int]) -> list[Event]:
    """The leader goes last, so that the party has one until the last moment."""
    others = [one.id for one in party.participants if one.id not in leavers]
    left: list[Event] = [Left(leaver, reason) for leaver in sorted(leavers) if leaver != party.leader_id]
    if party.leader_id in leavers:
        left.append(Left(party.leader_id, reason))
    if not others:
        return [*left, Closed("expired" if reason == "lost" else "empty")]
    if party.leader_id in leavers:
        left.append(LeaderPromoted(next((other for other in others if other in online), others[0])))
    return left


def _only_leader(party: Party, by: int, what: str) -> None:
    if by != party.leader_id:
        raise Forbidden("not_allowed", f"Only the leader can {what}.")
