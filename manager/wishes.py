"""What somebody wants of a party, as valid values. Pure."""

from typing import NamedTuple

from msgspec import UNSET, UnsetType

from chassis.geo import Point


class Wish(NamedTuple):
    """What someone wants of a new party; None leaves it to the manager."""

    participant_name: str | None = None
    name: str | None = None
    place: Point | None = None
    capacity: int | None = None
    discoverable: bool | None = None
    attributes: bytes | None = None


class Change(NamedTuple):
    """What a leader wants to change of a party. UNSET leaves it as it is, None takes it away."""

    name: str | UnsetType | None = UNSET
    place: Point | UnsetType | None = UNSET
    capacity: int | UnsetType = UNSET
    discoverable: bool | UnsetType = UNSET
    locked: bool | UnsetType = UNSET
    attributes: bytes | UnsetType | None = UNSET


class ParticipantChange(NamedTuple):
    """What somebody wants to change of themselves. UNSET leaves it as it is, None takes it away."""

    name: str | UnsetType | None = UNSET
    attributes: bytes | UnsetType | None = UNSET
