"""What people do with a store, through nothing but its contract, and how it looks from outside."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from chassis.codes import AreaCodes
from chassis.geo import Point
from manager import rules
from manager.party import Created, Participant, Party
from manager.places import snap
from manager.store import Decision, Once, Outcome, Store

AREA_CODES = AreaCodes(((457, 457), (600, 609)))
RESOLUTION = 8
HOUR_MS = 3600 * 1000
MONTREAL = Point(45.5, -73.57)


@dataclass
class Clock:
    """Stands still until it is told otherwise."""

    now_ms: int = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms


class OpenStore(Protocol):
    """Opens the test's store; once more after that, what is left of it after a restart."""

    def __call__(self) -> AbstractAsyncContextManager[Store]: ...


def device(number: int) -> bytes:
    return number.to_bytes(16, "big")


def once(key: int, request: int = 0) -> Once:
    return Once(key.to_bytes(16, "big"), request.to_bytes(16, "big"))


async def create(
    store: Store,
    whose: bytes,
    *,
    capacity: int = 50,
    locked: bool = False,
    place: Point | None = None,
    discoverable: bool = True,
    once: Once | None = None,
) -> Outcome:
    def founding(party_id: int, code: int, other: Party | None) -> Decision:
        party = Party(
            id=party_id,
            code=code,
            leader_id=0,
            capacity=capacity,
            next_participant_id=1,
            version=1,
            created_at_ms=1000,
            participants=(Participant(0, whose, "Zoë", 1000),),
            name="a party",
            cell=None if place is None else snap(place, RESOLUTION),
            discoverable=discoverable and place is not None,
            locked=locked,
            attributes=b'{"map":"\xc3\xa9"}',
        )
        return Decision(0, [Created(party)], [] if other is None else rules.move_out(other, whose))

    return await store.create(whose, founding, once)


async def join(store: Store, code: int, whose: bytes, *, once: Once | None = None) -> Outcome:
    def rule(party: Party, other: Party | None) -> Decision:
        if other is not None and other.id == party.id:
            return Decision(party.seat_of(whose).id, [], [])
        joined = rules.join(party, device=whose, name=None, at_ms=2000)
        return Decision(party.next_participant_id, joined, [] if other is None else rules.move_out(other, whose))

    return await store.change(code, rule, device=whose, once=once)


async def remove(store: Store, code: int, participant_id: int, *, by: int) -> Outcome:
    def rule(party: Party, _: Party | None) -> Decision:
        return Decision(participant_id, rules.remove(party, participant_id, by=by), [])

    return await store.change(code, rule)


async def leave(store: Store, code: int, participant_id: int) -> Outcome:
    return await remove(store, code, participant_id, by=participant_id)


async def party_at(store: Store, code: int) -> Party:
    """The party, which must be there."""
    party = await store.party(code)
    assert party is not None
    return party


@dataclass(frozen=True)
class Picture:
    """All that can be seen of some codes and devices."""

    parties: dict[int, Party | None]
    seats: dict[bytes, int | None]
    nearby: list[tuple[int, float]]


async def picture(store: Store, codes: Iterable[int], devices: Iterable[bytes]) -> Picture:
    parties = {code: await store.party(code) for code in codes}
    seats = {whose: party.code if (party := await store.party_of(whose)) else None for whose in devices}
    nearby = await store.nearby(MONTREAL, radius_km=20_000, limit=1_000_000)
    return Picture(parties, seats, [(party.code, distance_km) for party, distance_km in nearby])


def check_parties(seen: Picture) -> None:
    """What holds of all parties whatever anybody does."""
    seated: dict[bytes, int] = {}
    for code, party in seen.parties.items():
        if party is None:
            continue
        assert party.code == code
        assert party.participant(party.leader_id) is not None, "the leader is one of them"
        assert len(party.participants) <= party.capacity, "no seat is given twice"
        ids = [one.id for one in party.participants]
        assert ids == sorted(set(ids))
        assert ids[-1] < party.next_participant_id
        for one in party.participants:
            assert one.device not in seated, "one party at a time"
            seated[one.device] = code
    for whose, code_of_its_party in seen.seats.items():
        assert seated.get(whose) == code_of_its_party
    for code, _ in seen.nearby:
        assert seen.parties[code] is not None
