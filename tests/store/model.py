"""A store as simple as can be: one request after the other, lists and dictionaries. Real ones must look like it.

Requests that were under way at once must have come out as if they had been made in some order. There are few enough of
them to try every order.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import permutations

from chassis.errors import Refusal
from manager.party import Party
from manager.store import RECEIPT_MS, Once, Outcome, Store
from tests.store import people
from tests.store.people import Clock, device


@dataclass(frozen=True)
class Create:
    whose: bytes
    capacity: int
    key: int | None = None


@dataclass(frozen=True)
class Join:
    code: int
    whose: bytes
    key: int | None = None


@dataclass(frozen=True)
class Remove:
    code: int
    participant_id: int
    by: int


Request = Create | Join | Remove
Sight = tuple[int, int, tuple[tuple[int, bytes], ...]]  # a party's leader, version and seats
Result = str | tuple[int, int, bool, Sight | None]  # a refusal's code, or code, participant id, is_new, the party


def sight_of(party: Party | None) -> Sight | None:
    if party is None:
        return None
    return party.leader_id, party.version, tuple((one.id, one.device) for one in party.participants)


async def send(store: Store, request: Request) -> Outcome | Refusal:
    """Sends a request, with a key that stands for it alone if it has one."""
    once = None
    if not isinstance(request, Remove) and request.key is not None:
        once = Once(request.key.to_bytes(16, "big"), blake2b(repr(request).encode(), digest_size=16).digest())
    try:
        match request:
            case Create(whose, capacity, _):
                return await people.create(store, whose, capacity=capacity, once=once)
            case Join(code, whose, _):
                return await people.join(store, code, whose, once=once)
            case Remove(code, participant_id, by):
                return await people.remove(store, code, participant_id, by=by)
    except Refusal as refusal:
        return refusal


def result_of(answer: Outcome | Refusal) -> Result:
    if isinstance(answer, Refusal):
        return answer.code
    return answer.code, answer.participant_id, answer.is_new, sight_of(answer.party)


@dataclass(frozen=True)
class Room:
    capacity: int
    leader_id: int
    next_id: int
    version: int
    seats: tuple[tuple[int, bytes], ...]

    def sight(self) -> Sight:
        return self.leader_id, self.version, self.seats


class Model:
    def __init__(self) -> None:
        self.rooms: dict[int, Room] = {}
        self.receipts: dict[int, tuple[Request, int, int, bool, int]] = {}  # request, code, seat, is_new, at_ms

    def copy(self) -> "Model":
        other = Model()
        other.rooms, other.receipts = dict(self.rooms), dict(self.receipts)
        return other

    def answer(self, request: Request, actual: Result, now_ms: int) -> Result:
        """What the request comes to. A create takes its code from what actually came out."""
        try:
            if isinstance(request, Remove):
                self._remove(request)
                return request.code, request.participant_id, False, self._sight(request.code)
            if (replay := self._replay(request, now_ms)) is not None:
                return replay
            if isinstance(request, Create):
                if isinstance(actual, str) or actual[0] in self.rooms:
                    raise Refusal("a code that is free was wanted", "")
                code, seat, is_new = actual[0], 0, True
                self._move_out(request.whose)
                self.rooms[code] = Room(request.capacity, 0, 1, 1, ((0, request.whose),))
            else:
                code, (seat, is_new) = request.code, self._join(request)
        except Refusal as refusal:
            return refusal.code
        if request.key is not None:
            self.receipts[request.key] = (request, code, seat, is_new, now_ms)
        return code, seat, is_new, self._sight(code)

    def _replay(self, request: Create | Join, now_ms: int) -> Result | None:
        if request.key is None or request.key not in self.receipts:
            return None
        first, code, seat, is_new, at_ms = self.receipts[request.key]
        if now_ms - at_ms >= RECEIPT_MS:
            return None
        if first != request:
            raise Refusal("idempotency_key_reused", "")
        return code, seat, is_new, self._sight(code)

    def _join(self, request: Join) -> tuple[int, bool]:
        room = self.rooms.get(request.code)
        if room is None:
            raise Refusal("party_not_found", "")
        for seat, whose in room.seats:
            if whose == request.whose:
                return seat, False
        if len(room.seats) >= room.capacity:
            raise Refusal("party_full", "")
        self._move_out(request.whose)
        seats = (*room.seats, (room.next_id, request.whose))
        self.rooms[request.code] = replace(room, seats=seats, next_id=room.next_id + 1, version=room.version + 1)
        return room.next_id, True

    def _remove(self, request: Remove) -> None:
        room = self.rooms.get(request.code)
        if room is None:
            raise Refusal("party_not_found", "")
        if request.participant_id not in dict(room.seats):
            raise Refusal("participant_not_found", "")
        if request.by not in (request.participant_id, room.leader_id):
            raise Refusal("not_allowed", "")
        self._vacate(request.code, request.participant_id)

    def _move_out(self, whose: bytes) -> None:
        for code, room in list(self.rooms.items()):
            for seat, sitter in room.seats:
                if sitter == whose:
                    self._vacate(code, seat)

    def _vacate(self, code: int, leaver: int) -> None:
        room = self.rooms[code]
        seats = tuple(one for one in room.seats if one[0] != leaver)
        if not seats:
            del self.rooms[code]
        elif leaver == room.leader_id:
            self.rooms[code] = replace(room, seats=seats, leader_id=seats[0][0], version=room.version + 2)
        else:
            self.rooms[code] = replace(room, seats=seats, version=room.version + 1)

    def _sight(self, code: int) -> Sight | None:
        room = self.rooms.get(code)
        return None if room is None else room.sight()


class History:
    """Random requests to a store, a few at once, each few explained by the model."""

    def __init__(self, seed: int, clock: Clock) -> None:
        self.random = random.Random(seed)
        self.devices = [device(n) for n in range(8)]
        self.codes = [100_000_000]  # nobody lives there
        self.model = Model()
        self.clock = clock

    def requests(self) -> list[Request]:
        return [self._request() for _ in range(self.random.choice([1, 1, 2, 3, 4]))]

    def _request(self) -> Request:
        dice = self.random
        key = dice.choice([None, None, dice.randrange(6)])
        match dice.choice(["create", "join", "join", "join", "remove", "remove"]):
            case "create":
                return Create(dice.choice(self.devices), dice.randrange(1, 4), key)
            case "join":
                return Join(dice.choice(self.codes[-8:]), dice.choice(self.devices), key)
        return Remove(dice.choice(self.codes[-6:]), *dice.choice([(0, 0), (1, 1), (2, 2), (1, 0), (2, 1), (0, 1)]))

    async def turn(self, store: Store) -> None:
        """Some requests at once; then all must be as after some order of them."""
        requests = self.requests()
        results = list(map(result_of, await asyncio.gather(*(send(store, request) for request in requests))))
        for request, result in zip(requests, results, strict=True):
            if isinstance(request, Create) and not isinstance(result, str) and result[0] not in self.codes:
                self.codes.append(result[0])
        seen = await self.look(store)
        for order in permutations(range(len(requests))):
            model = self.model.copy()
            if self._explains(model, order, requests, results) and model.rooms.keys() == seen.keys():
                assert {code: room.sight() for code, room in model.rooms.items()} == seen
                self.model = model
                return
        raise AssertionError(f"no order of {requests} explains {results}, and then {seen}")

    def _explains(
        self, model: Model, order: Sequence[int], requests: Sequence[Request], results: Sequence[Result]
    ) -> bool:
        return all(model.answer(requests[at], results[at], self.clock.now_ms) == results[at] for at in order)

    async def look(self, store: Store) -> dict[int, Sight]:
        """All living parties; where everybody sits must agree with them."""
        seen = await people.picture(store, self.codes, self.devices)
        people.check_parties(seen)
        return {code: sight for code, party in seen.parties.items() if (sight := sight_of(party)) is not None}
