"""Parties as plain values, for tests of what holds of them."""

import msgspec

from manager.party import Participant, Party, Traits

ANN, BOB, CID, DAN = range(4)


def device(number: int) -> bytes:
    return number.to_bytes(16, "big")


def party_of(*names: str, leader_id: int = 0, capacity: int = 50, locked: bool = False) -> Party:
    """Who are in it in order of joining, with devices and ids that count up from 0."""
    seated = tuple(Participant(number, device(number), name, 1000 + number) for number, name in enumerate(names))
    return Party(7, 457495738, leader_id, capacity, len(names), len(names), 1000, seated, locked=locked)


def traits(party: Party, **other: object) -> Traits:
    """The party's traits, but for these."""
    return msgspec.structs.replace(party.traits(), **other)
