"""What goes over the wire: bodies as they must come in and answers as they go out."""

from collections.abc import Callable, Set
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from chassis.errors import Malformed
from chassis.geo import Point
from manager.parties import Membership
from manager.party import Participant, Party
from manager.places import centre
from manager.presence import NOBODY, Roll
from manager.wishes import Change, ParticipantChange, Wish

MAX_ATTRIBUTES_BYTES = 4096
MAX_DEPTH = 8
MAX_MESSAGE_BYTES = 4096
MAX_KEPT = 10_000
MAX_KEPT_BYTES = 4096

# What names are made of: they end up in other people's terminals and logs, so no control characters, no line breaks and
# nothing that turns the direction of the text around them.
_UNFIT = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"

DeviceId = Annotated[
    str, msgspec.Meta(min_length=1, max_length=128, description="must be a string of 1 to 128 characters")
]
Name = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=64,
        pattern=rf"^[^{_UNFIT}]*[^{_UNFIT}\s][^{_UNFIT}]*\Z",
        description="must be 1 to 64 characters, not only spaces, and no control characters among them",
    ),
]
Latitude = Annotated[float, msgspec.Meta(ge=-90, le=90, description="must be a number from -90 to 90")]
Longitude = Annotated[float, msgspec.Meta(ge=-180, le=180, description="must be a number from -180 to 180")]
ParticipantId = Annotated[
    int, msgspec.Meta(ge=0, le=999_999_999, description="must be a whole number from 0 to 999999999")
]
Capacity = Annotated[int, msgspec.Meta(ge=1, le=10_000, description="must be a whole number from 1 to 10000")]


class CreateParty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    device_id: DeviceId
    participant_name: Name | None = None
    name: Name | None = None
    lat: Latitude | None = None
    lng: Longitude | None = None
    capacity: Capacity | None = None
    discoverable: bool | None = None
    attributes: dict[str, Any] | None = None

    def wish(self) -> Wish:
        """As the manager's parties take it. Raises Malformed."""
        place = _place(self.lat, self.lng)
        return Wish(
            self.participant_name,
            self.name,
            place,
            self.capacity,
            self.discoverable,
            _attributes(self.attributes),
        )


class JoinParty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    device_id: DeviceId
    participant_name: Name | None = None


class UpdateParty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Name | UnsetType | None = UNSET
    lat: Latitude | UnsetType | None = UNSET
    lng: Longitude | UnsetType | None = UNSET
    capacity: Capacity | UnsetType = UNSET
    discoverable: bool | UnsetType = UNSET
    locked: bool | UnsetType = UNSET
    attributes: dict[str, Any] | UnsetType | None = UNSET

    def change(self) -> Change:
        """As the manager's parties take it. Raises Malformed."""
        place: Point | UnsetType | None = UNSET
        if self.lat is not UNSET or self.lng is not UNSET:
            place = _place(None if self.lat is UNSET else self.lat, None if self.lng is UNSET else self.lng)
        attributes = UNSET if self.attributes is UNSET else _attributes(self.attributes)
        return Change(self.name, place, self.capacity, self.discoverable, self.locked, attributes)


class UpdateParticipant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    participant_name: Name | UnsetType | None = UNSET
    attributes: dict[str, Any] | UnsetType | None = UNSET

    def change(self) -> ParticipantChange:
        """As the manager's parties take it. Raises Malformed."""
        attributes = UNSET if self.attributes is UNSET else _attributes(self.attributes)
        return ParticipantChange(self.participant_name, attributes)


class HandOver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    participant_id: ParticipantId


class Say(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    body: dict[str, Any]

    def encoded(self) -> bytes:
        """The message as it is told to everyone. Raises Malformed."""
        return _bounded(self.body, "body", MAX_MESSAGE_BYTES)


class Me(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    device_id: DeviceId


class PlaceView(msgspec.Struct):
    lat: float
    lng: float


class PartyView(msgspec.Struct):
    party_code: str
    name: str | None
    leader_id: int
    participant_count: int
    capacity: int
    locked: bool
    discoverable: bool
    version: int
    created_at: datetime
    place: PlaceView | None
    attributes: msgspec.Raw | None


class NearbyPartyView(PartyView):
    distance_km: float


class NearbyView(msgspec.Struct):
    parties: list[NearbyPartyView]
    complete: bool


class ParticipantView(msgspec.Struct):
    participant_id: int
    participant_name: str | None
    is_leader: bool
    online: bool
    joined_at: datetime
    attributes: msgspec.Raw | None


class ParticipantsView(msgspec.Struct):
    party_code: str
    participants: list[ParticipantView]


class MembershipView(msgspec.Struct):
    party_code: str
    participant_id: int
    token: str
    party: PartyView | None


class Encoded:
    """Answers about parties as JSON, kept while the party and its roll stay the same: at most 10,000 of 4 KiB."""

    def __init__(self, view: Callable[[Party, Set[int]], object]) -> None:
        self._view = view
        self._kept: dict[int, tuple[int, int, Roll, int, bytes]] = {}

    def of(self, party: Party, roll: Roll = NOBODY) -> bytes:
        """The party's answer. What has changed has another version or revision, so it can't be out of date."""
        kept = self._kept.get(party.code)
        if kept is not None and kept[:4] == (party.id, party.version, roll, roll.revision):
            return kept[4]
        body = msgspec.json.encode(self._view(party, roll.online))
        if len(body) <= MAX_KEPT_BYTES:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[party.code] = party.id, party.version, roll, roll.revision, body
        else:
            self._kept.pop(party.code, None)
        return body


def party_view(party: Party, _: Set[int] = frozenset()) -> PartyView:
    return PartyView(*_party_fields(party))


def membership_view(membership: Membership) -> MembershipView:
    party = None if membership.party is None else party_view(membership.party)
    return MembershipView(str(membership.code), membership.participant_id, membership.token, party)


def participants_view(party: Party, online: Set[int]) -> ParticipantsView:
    return ParticipantsView(str(party.code), [participant_view(party, one, online) for one in party.participants])


def participant_view(party: Party, one: Participant, online: Set[int]) -> ParticipantView:
    return ParticipantView(
        one.id,
        one.name,
        one.id == party.leader_id,
        one.id in online,
        moment(one.joined_at_ms),
        None if one.attributes is None else msgspec.Raw(one.attributes),
    )


def nearby_view(found: list[tuple[Party, float]]) -> NearbyView:
    parties = [NearbyPartyView(*(*_party_fields(party), round(distance_km, 3))) for party, distance_km in found]
    return NearbyView(parties, complete=True)


def _party_fields(party: Party) -> tuple[Any, ...]:
    return (
        str(party.code),
        party.name,
        party.leader_id,
        len(party.participants),
        party.capacity,
        party.locked,
        party.discoverable,
        party.version,
        moment(party.created_at_ms),
        None if party.cell is None else PlaceView(*centre(party.cell)),
        None if party.attributes is None else msgspec.Raw(party.attributes),
    )


@lru_cache(maxsize=65_536)  # parties are read far more often than they change
def moment(ms: int) -> datetime:
    """A time as it goes over the wire."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def _place(lat: float | None, lng: float | None) -> Point | None:
    if lat is None and lng is None:
        return None
    if lat is None or lng is None:
        missing = "lat" if lat is None else "lng"
        raise Malformed("bad_body", f"A place is lat and lng together; {missing} is missing.", field=missing)
    return Point(lat, lng)


def _attributes(attributes: dict[str, Any] | None) -> bytes | None:
    return None if attributes is None else _bounded(attributes, "attributes", MAX_ATTRIBUTES_BYTES)


def _bounded(value: dict[str, Any], field: str, max_bytes: int) -> bytes:
    """The object as JSON. Raises Malformed where it is too large or nested too deep."""
    if _is_deeper_than(MAX_DEPTH, value):
        raise Malformed("bad_body", f"{field} may nest {MAX_DEPTH} deep.", field=field)
    encoded = msgspec.json.encode(value)
    if len(encoded) > max_bytes:
        raise Malformed("bad_body", f"{field} may take {max_bytes} bytes.", field=field)
    return encoded


def _is_deeper_than(levels: int, value: object) -> bool:
    """Whether objects and lists nest deeper than this many levels."""
    if isinstance(value, dict):
        return levels == 0 or any(_is_deeper_than(levels - 1, inner) for inner in value.values())
    if isinstance(value, list):
        return levels == 0 or any(_is_deeper_than(levels - 1, inner) for inner in value)
    return False
