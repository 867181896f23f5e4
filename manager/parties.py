"""One method per thing that a user can do. Each loads, decides by a rule and records through the store, in one step."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from chassis.codes import area_code_of
from chassis.errors import Malformed, NotFound
from chassis.geo import Point
from manager import party as rules
from manager.party import Created, Participant, Party
from manager.places import snap
from manager.store import Decision, Once, Outcome, Store, party_not_found
from manager.tokens import device_hash, invalid, participant_of, token_for


class Wish(NamedTuple):
    """What someone wants of a new party; None leaves it to the manager."""

    participant_name: str | None = None
    name: str | None = None
    place: Point | None = None
    capacity: int | None = None
    discoverable: bool | None = None
    attributes: bytes | None = None


class Membership(NamedTuple):
    """A seat as its owner sees it. `party` is None on a replay after it has closed."""

    code: int
    participant_id: int
    token: str
    party: Party | None
    is_new: bool


class Parties:
    """The parties of one manager. Clock in milliseconds since 1970; H3 resolution at which places are kept."""

    def __init__(
        self,
        store: Store,
        *,
        clock_ms: Callable[[], int],
        resolution: int,
        default_capacity: int,
        max_capacity: int,
    ) -> None:
        self._store = store
        self._clock_ms = clock_ms
        self._resolution = resolution
        self._default_capacity = default_capacity
        self._max_capacity = max_capacity

    async def create(self, device_id: str, wish: Wish, key: str | None = None) -> Membership:
        """Starts a party that the device leads; it leaves the one it was in. `key` is the client's Idempotency-Key.

        Raises Malformed, Unavailable `no_codes_left`, Unprocessable `idempotency_key_reused`, StorageFull.
        """
        device = device_hash(self._store.keys.device, device_id)
        capacity = self._default_capacity if wish.capacity is None else wish.capacity
        if not 1 <= capacity <= self._max_capacity:
            raise Malformed("bad_capacity", f"capacity must be from 1 to {self._max_capacity}.", field="capacity")
        discoverable = wish.place is not None if wish.discoverable is None else wish.discoverable
        if discoverable and wish.place is None:
            raise Malformed(
                "place_missing", "A discoverable party needs a place: say lat and lng.", field="discoverable"
            )
        cell = None if wish.place is None else snap(wish.place, self._resolution)
        now_ms = self._clock_ms()
        once = _once(key, "create", device, wish._replace(place=None), cell)

        def founding(party_id: int, code: int, other: Party | None) -> Decision:
            party = Party(
                id=party_id,
                code=code,
                leader_id=0,
                capacity=capacity,
                next_participant_id=1,
                version=1,
                created_at_ms=now_ms,
                participants=(Participant(0, device, wish.participant_name, now_ms),),
                name=wish.name,
                cell=cell,
                discoverable=discoverable,
                attributes=wish.attributes,
            )
            return Decision(0, [Created(party)], [] if other is None else rules.move_out(other, device))

        return self._membership(await self._store.create(device, founding, once))

    async def join(self, code: int, device_id: str, participant_name: str | None, key: str | None = None) -> Membership:
        """A seat for the device, which leaves the party it was in; the seat that it has already if it has one.

        Raises NotFound, Conflict `party_full`, Locked, Unprocessable `idempotency_key_reused`, StorageFull.
        """
        device = device_hash(self._store.keys.device, device_id)
        now_ms = self._clock_ms()
        once = _once(key, "join", code, device, participant_name)

        def rule(party: Party, other: Party | None) -> Decision:
            if other is not None and other.id == party.id:
                return Decision(party.seat_of(device).id, [], [])
            joined = rules.join(party, device=device, name=participant_name, at_ms=now_ms)
            moved = [] if other is None else rules.move_out(other, device)
            return Decision(party.next_participant_id, joined, moved)

        return self._membership(await self._store.change(code, rule, device=device, once=once))

    async def remove(self, code: int, participant_id: int, token: str | None) -> None:
        """Somebody leaves, or their leader sends them away. Who asks is whose token it is.

        Raises NotFound, Unauthenticated, Forbidden, StorageFull.
        """

        def rule(party: Party, _: Party | None) -> Decision:
            by = self._authenticate(party, token)
            return Decision(participant_id, rules.remove(party, participant_id, by=by), [])

        await self._store.change(code, rule)

    async def party(self, code: int) -> Party:
        """The party with this code. Raises NotFound."""
        party = await self._store.party(code)
        if party is None:
            raise party_not_found()
        return party

    async def has(self, code: int) -> bool:
        """Whether a party lives under this code here."""
        return await self._store.party(code) is not None

    async def membership_of(self, device_id: str) -> Membership:
        """The seat that this device has. Raises NotFound."""
        device = device_hash(self._store.keys.device, device_id)
        party = await self._store.party_of(device)
        if party is None:
            raise NotFound("membership_not_found", "This device is in no party of this manager.")
        return self._membership(Outcome(party.code, party.id, party.seat_of(device).id, False, party))

    async def nearby(self, point: Point, *, radius_km: float, limit: int) -> list[tuple[Party, float]]:
        """Discoverable parties around a point and how far they are, in km, nearest first."""
        return await self._store.nearby(point, radius_km=radius_km, limit=limit)

    def _authenticate(self, party: Party, token: str | None) -> int:
        participant_id = participant_of(token, self._store.keys.area[area_code_of(party.code)], party.id)
        if party.participant(participant_id) is None:
            raise invalid()
        return participant_id

    def _membership(self, outcome: Outcome) -> Membership:
        token = token_for(self._store.keys.area[area_code_of(outcome.code)], outcome.party_id, outcome.participant_id)
        return Membership(outcome.code, outcome.participant_id, token, outcome.party, outcome.is_new)


def _once(key: str | None, *request: Wish | str | int | bytes | None) -> Once | None:
    """The key and what it came with, as hashes. Devices and places go in as they are kept, never as they were sent."""
    if key is None:
        return None
    return Once(_digest(key.encode()), _digest(msgspec.msgpack.encode(request)))


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=16).digest()
