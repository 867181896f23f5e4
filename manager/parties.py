"""One method per thing that a user can do. Each loads, decides by a rule and records through the store, in one step."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from chassis.errors import Malformed, NotFound, PreconditionFailed, Refusal
from chassis.geo import Point
from chassis.limits import Claim
from manager import rules
from manager.announcements import Announcements, Said
from manager.attendance import Attendance
from manager.callers import Callers
from manager.idempotency import once_of
from manager.party import Created, Event, Participant, Party, Traits
from manager.places import snap
from manager.presence import Roll
from manager.store import Decision, Once, Outcome, Store
from manager.wishes import Change, ParticipantChange, Wish

Versions = frozenset[int] | None
"""The versions in which somebody wants to change a party; None for any."""

Decide = Callable[[Party, int], list[Event]]
"""A rule with its arguments: given the party and who asks."""


class Membership(NamedTuple):
    """A seat as its owner sees it. `party` is None on a replay after it has closed."""

    code: int
    participant_id: int
    token: str
    party: Party | None
    is_new: bool


class Parties:
    """The parties of one manager.

    Clock in milliseconds since 1970, running time in seconds; H3 resolution at which places are kept. All that name a
    caller raise TooManyRequests too, and all that change something Unavailable.
    """

    def __init__(
        self,
        store: Store,
        callers: Callers,
        attendance: Attendance,
        announcements: Announcements,
        *,
        clock_ms: Callable[[], int],
        running_s: Callable[[], float],
        resolution: int,
        default_capacity: int,
        max_capacity: int,
    ) -> None:
        self._store = store
        self._callers = callers
        self._attendance = attendance
        self._presence = attendance.presence
        self._announcements = announcements
        self._clock_ms = clock_ms
        self._running_s = running_s
        self._resolution = resolution
        self._default_capacity = default_capacity
        self._max_capacity = max_capacity

    async def create(self, device_id: str, wish: Wish, key: str | None = None) -> Membership:
        """Starts a party that the device leads; it leaves the one it was in. `key` is the client's Idempotency-Key.

        Raises Malformed, Unavailable `no_codes_left`, Unprocessable `idempotency_key_reused`, StorageFull.
        """
        device = self._callers.device(device_id)
        capacity = self._default_capacity if wish.capacity is None else self._checked_capacity(wish.capacity)
        discoverable = wish.place is not None if wish.discoverable is None else wish.discoverable
        if discoverable and wish.place is None:
            raise rules.place_missing()
        cell = None if wish.place is None else snap(wish.place, self._resolution)
        now_ms, seen_ms = self._clock_ms(), self._seen_ms()
        once = None if key is None else once_of(key, "create", device, wish._replace(place=None), cell)

        def founding(party_id: int, code: int, other: Party | None) -> Decision:
            claim.take()  # here, as a replay founds nothing
            party = Party(
                id=party_id,
                code=code,
                leader_id=0,
                capacity=capacity,
                next_participant_id=1,
                version=1,
                created_at_ms=now_ms,
                participants=(Participant(0, device, wish.participant_name, now_ms, seen_ms),),
                name=wish.name,
                cell=cell,
                discoverable=discoverable,
                attributes=wish.attributes,
            )
            return Decision(0, [Created(party)], self._move_out(other, device))

        with Claim(self._callers.limits.creates, device) as claim:
            return self._membership(await self._store.create(device, founding, once))

    async def join(self, code: int, device_id: str, participant_name: str | None, key: str | None = None) -> Membership:
        """A seat for the device, which leaves the party it was in; the seat that it has already if it has one.

        Raises NotFound, Forbidden `banned`, Conflict `party_full`, Locked, Unprocessable `idempotency_key_reused`,
        StorageFull.
        """
        device = self._callers.device(device_id)
        now_ms, seen_ms = self._clock_ms(), self._seen_ms()
        once = once_of(key, "join", code, device, participant_name)

        def rule(party: Party, other: Party | None) -> Decision:
            if other is not None and other.id == party.id:
                participant_id = party.seat_of(device).id
                return Decision(participant_id, self._notice(party, participant_id), [])
            joined = rules.join(party, device=device, name=participant_name, at_ms=now_ms, seen_ms=seen_ms)
            claim.take()
            return Decision(party.next_participant_id, joined, self._move_out(other, device))

        await self._settle(code)
        with Claim(self._callers.limits.joins, device) as claim:
            return self._membership(await self._store.change(code, rule, device=device, once=once))

    async def remove(self, code: int, participant_id: int, token: str | None) -> None:
        """Somebody leaves, or their leader sends them away. Who asks is whose token it is.

        Raises NotFound, Unauthenticated, Forbidden, StorageFull.
        """
        await self._decide(
            code, token, lambda party, by: rules.remove(party, participant_id, by=by, online=self.roll(party).online)
        )

    async def ban(self, code: int, participant_id: int, token: str | None) -> None:
        """The leader sends somebody away whose device can't join again.

        Raises NotFound, Unauthenticated, Forbidden, Conflict, StorageFull.
        """
        await self._decide(code, token, lambda party, by: rules.ban(party, participant_id, by=by))

    async def update(self, code: int, token: str | None, change: Change, versions: Versions = None) -> Party:
        """The leader changes the party.

        Raises NotFound, Unauthenticated, Forbidden, PreconditionFailed, Conflict, Malformed, StorageFull.
        """
        if change.capacity is not UNSET:
            self._checked_capacity(change.capacity)
        outcome = await self._decide(
            code, token, lambda party, by: rules.update(party, self._changed(party, change), by=by), versions
        )
        return _still_there(outcome)

    async def update_participant(
        self, code: int, participant_id: int, token: str | None, change: ParticipantChange, versions: Versions = None
    ) -> Party:
        """Somebody changes what is shown of them. Returns the party.

        Raises NotFound, Unauthenticated, Forbidden, PreconditionFailed, Conflict, StorageFull.
        """

        def decide(party: Party, by: int) -> list[Event]:
            one = party.participant(participant_id)
            if one is None:
                raise rules.participant_not_found()
            name = one.name if change.name is UNSET else change.name
            attributes = one.attributes if change.attributes is UNSET else change.attributes
            return rules.update_participant(party, participant_id, name=name, attributes=attributes, by=by)

        return _still_there(await self._decide(code, token, decide, versions))

    async def hand_over(self, code: int, token: str | None, participant_id: int, versions: Versions = None) -> Party:
        """The leader makes somebody else the leader.

        Raises NotFound, Unauthenticated, Forbidden, PreconditionFailed, StorageFull.
        """
        outcome = await self._decide(
            code, token, lambda party, by: rules.hand_over(party, participant_id, by=by), versions
        )
        return _still_there(outcome)

    async def close(self, code: int, token: str | None, versions: Versions = None) -> None:
        """The leader ends the party for everyone.

        Raises NotFound, Unauthenticated, Forbidden, PreconditionFailed, StorageFull.
        """
        await self._decide(code, token, lambda party, by: rules.close(party, by=by), versions)

    async def say(self, code: int, token: str | None, body: bytes, key: str | None = None) -> None:
        """A participant's message, told to everyone who listens. `body` is a JSON object.

        Nothing of it is kept but the Idempotency-Key. Raises NotFound, Unauthenticated, Unprocessable
        `idempotency_key_reused`, StorageFull.
        """
        speaker: int | None = None  # stays None on a replay

        def decide(_: Party, by: int) -> list[Event]:
            nonlocal speaker
            speaker = by
            return []

        once = once_of(key, "say", code, token, body)
        outcome = await self._decide(code, token, decide, once=once)
        party = await self._store.party(code)
        if speaker is None or party is None or party.id != outcome.party_id or party.participant(speaker) is None:
            return  # it was told already, or everybody has just heard that they left
        self._announcements.publish(party.id, Said(speaker, body, self._clock_ms()))

    async def party(self, code: int, token: str | None = None) -> Party:
        """The party with this code. A token that is good is a sign of life, none is needed. Raises NotFound."""
        party = await self._attendance.current(code)
        participant_id = None if token is None else self._callers.uncounted(party, token)
        if participant_id is not None:
            await self._keep_notice(party, participant_id)
        return party

    def roll(self, party: Party) -> Roll:
        """Who of the party is online."""
        return self._presence.roll(party.id)

    async def recognises(self, code: int, token: str | None) -> bool:
        """Whether somebody in the party with this code has this token, or had before it closed, in the last 24 hours.

        Takes as long for a code that nobody has.
        """
        party = await self._store.party(code)
        party_id = await self._store.resting(code) if party is None else party.id
        named = self._callers.named(code, 0 if party_id is None else party_id, token)
        if named is None or party_id is None:
            return False
        return party is None or party.participant(named) is not None

    async def has(self, code: int) -> bool:
        """Whether a party lives under this code here."""
        return await self._store.party(code) is not None

    async def membership_of(self, device_id: str) -> Membership:
        """The seat that this device has. Raises NotFound."""
        device = self._callers.device(device_id)
        party = await self._store.party_of(device)
        if party is not None:
            await self._settle(party.code)
            party = await self._store.party_of(device)
        if party is None:
            raise NotFound("membership_not_found", "This device is in no party of this manager.")
        participant_id = party.seat_of(device).id
        await self._keep_notice(party, participant_id)
        return self._membership(Outcome(party.code, party.id, participant_id, False, party))

    async def nearby(self, point: Point, *, radius_km: float, limit: int) -> list[tuple[Party, float]]:
        """Discoverable parties around a point and how far they are, in km, nearest first."""
        found = await self._store.nearby(point, radius_km=radius_km, limit=limit)
        overdue = self._attendance.overdue(party.code for party, _ in found)
        if not overdue:
            return found
        await asyncio.gather(*map(self._attendance.settle, overdue))
        return await self._store.nearby(point, radius_km=radius_km, limit=limit)

    async def _settle(self, code: int) -> None:
        if self._attendance.is_due(code):
            await self._attendance.settle(code)

    async def _decide(
        self,
        code: int,
        token: str | None,
        decide: Decide,
        versions: Versions = None,
        once: Once | None = None,
    ) -> Outcome:
        """Finds out who asks, and whether they know the party as it is, and lets the rule decide."""

        def rule(party: Party, _: Party | None) -> Decision:
            by = self._callers.participant(party, token)
            if versions is not None and party.version not in versions:
                raise PreconditionFailed("version_changed", f"The party is at version {party.version} by now.")
            return Decision(by, [*self._notice(party, by), *decide(party, by)], [])

        await self._settle(code)
        return await self._store.change(code, rule, once=once)

    async def _keep_notice(self, party: Party, participant_id: int) -> None:
        """Of somebody who only reads. That it can't be kept just now is no reason to refuse them."""
        if self._notice(party, participant_id):
            with contextlib.suppress(Refusal):
                await self._store.change(
                    party.code, lambda newest, _: Decision(participant_id, self._notice(newest, participant_id), [])
                )

    def _notice(self, party: Party, participant_id: int) -> list[Event]:
        return rules.notice(party, participant_id, seen_ms=self._seen_ms(), every_ms=self._presence.notice_ms)

    def _move_out(self, other: Party | None, device: bytes) -> list[Event]:
        return [] if other is None else rules.move_out(other, device, self.roll(other).online)

    def _seen_ms(self) -> int:
        return int(self._running_s() * 1000)

    def _checked_capacity(self, capacity: int) -> int:
        if not 1 <= capacity <= self._max_capacity:
            raise Malformed("bad_capacity", f"capacity must be from 1 to {self._max_capacity}.", field="capacity")
        return capacity

    def _changed(self, party: Party, change: Change) -> Traits:
        wanted = {name: value for name, value in change._asdict().items() if value is not UNSET and name != "place"}
        if change.place is None:
            wanted = {"discoverable": False, "cell": None, **wanted}
        elif change.place is not UNSET:
            wanted["cell"] = snap(change.place, self._resolution)
        return msgspec.structs.replace(party.traits(), **wanted)

    def _membership(self, outcome: Outcome) -> Membership:
        token = self._callers.token(outcome.code, outcome.party_id, outcome.participant_id)
        return Membership(outcome.code, outcome.participant_id, token, outcome.party, outcome.is_new)


def _still_there(outcome: Outcome) -> Party:
    assert outcome.party is not None, "this change closes no party"
    return outcome.party
