"""What a manager must answer to each call, and what comes of it in the world that the model keeps."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from tests.live.model import HELD_S, NOTICE_S, STREAMS, Party, Seat, World
from tests.live.model_steps import (
    AskForMe,
    Beat,
    Call,
    Close,
    Create,
    HandOver,
    Hush,
    Join,
    Listen,
    Look,
    Match,
    Pass,
    Remove,
    Say,
    UpdateParticipant,
    UpdateParty,
)

TRAITS = frozenset({"name", "capacity", "locked", "has_place", "discoverable", "attributes"})


@dataclass(frozen=True)
class Ticket:
    """A seat as its phone was told of it."""

    code: str
    participant_id: int
    token: str


@dataclass(frozen=True)
class Knowledge:
    """What the phones know when they call: the seats they were given, and each party's version."""

    seats: Mapping[int, Ticket]
    versions: Mapping[str, int]

    def suffices(self, call: Call) -> bool:
        """Whether all phones that the call is about have ever had a seat."""
        names = ("host",) if isinstance(call, Join) else ("phone", "whom")
        needed = () if isinstance(call, Create | AskForMe | Pass) else names
        return all(getattr(call, name) in self.seats for name in needed if hasattr(call, name))

    def version(self, code: str, match: Match) -> int | None:
        """What If-Match says."""
        return self.versions.get(code, 1) - (match == "stale") if match else None


@dataclass(frozen=True)
class Answer:
    """A status and what comes with it: a refusal's code, or what is shown. None where nothing was asked for."""

    status: int
    body: Any = None
    version: int | None = None  # what the ETag says


class Refused(Exception):  # noqa: N818 - the house says Refusal and Refused; nothing has failed
    """The answer to a call that changes nothing."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(status, code)
        self.answer = Answer(status, code)


def outcomes(
    world: World, calls: Sequence[Call], answers: Sequence[Answer | None], knowledge: Knowledge
) -> Iterator[World]:
    """The worlds in which these calls, one after the other in some order, get these answers."""
    for order in permutations(range(len(calls))):
        after = copy.deepcopy(world)
        if all(answer(after, calls[at], knowledge, answers[at]) == answers[at] for at in order):
            yield after


def answer(world: World, call: Call, knowledge: Knowledge, got: Answer | None) -> Answer | None:
    """What the call must get. Of what it got, only a new party's code is believed."""
    try:
        match call:
            case Create():
                code = got.body["party"]["party_code"] if got is not None and got.status == 201 else ""
                world.create(code, call.phone, capacity=call.capacity, has_place=call.has_place)
                return _seated(world, code, 0, 201)
            case AskForMe():
                return _me(world, call)
            case Look():
                return _look(world, knowledge.seats[call.phone])
            case Pass():
                world.pass_(call.seconds)
                return None
            case Hush():
                _hush(world, knowledge.seats[call.phone])
                return None
            case Join():
                return _join(world, call, knowledge.seats[call.host].code)
            case _:
                return _with_token(world, call, knowledge)
    except Refused as refused:
        return Answer(refused.answer.status) if isinstance(call, Listen) else refused.answer


def _join(world: World, call: Join, code: str) -> Answer:
    party = _party(world, code)
    mine = world.seat_of(call.phone)
    if mine is not None and mine[0] == code:
        _notice(world, party.seats[mine[1]])
        return _seated(world, code, mine[1], 200)
    if call.phone in party.banned:
        raise Refused(403, "banned")
    if party.locked:
        raise Refused(423, "party_locked")
    if len(party.seats) >= party.capacity:
        raise Refused(409, "party_full")
    return _seated(world, code, world.join(code, call.phone), 201)


def _me(world: World, call: AskForMe) -> Answer:
    mine = world.seat_of(call.phone)
    if mine is None:
        raise Refused(404, "membership_not_found")
    _notice(world, world.parties[mine[0]].seats[mine[1]])
    return _seated(world, *mine, 200)


def _look(world: World, ticket: Ticket) -> Answer:
    party = _party(world, ticket.code)
    if (seat := party.seats.get(ticket.participant_id)) is not None:
        _notice(world, seat)
    return Answer(200, world.party_view(ticket.code), party.version)


def _hush(world: World, ticket: Ticket) -> None:
    seat = world.seat(ticket.code, ticket.participant_id)
    if seat is not None and seat.streams:
        seat.streams -= 1
        seat.held_s = max(seat.held_s, world.now_s)


def _with_token(world: World, call: Call, knowledge: Knowledge) -> Answer:
    """All calls whose path is that of the party the phone was last in, or of the one whom it is about."""
    assert not isinstance(call, Create | AskForMe | Look | Pass | Hush | Join)
    by = knowledge.seats[call.phone]
    whom = knowledge.seats[call.whom] if isinstance(call, Remove | HandOver) else by
    code = whom.code if isinstance(call, Remove) else by.code
    party = _party(world, code)
    if by.code != code or by.participant_id not in party.seats:
        raise Refused(401, "token_invalid")
    version = (
        knowledge.version(code, call.match) if isinstance(call, HandOver | UpdateParty | UpdateParticipant) else None
    )
    if version not in {None, party.version}:
        raise Refused(412, "version_changed")
    seat = party.seats[by.participant_id]
    match call:
        case Listen():
            return _listen(seat)
        case Beat():
            seat.is_live, seat.held_s = True, world.now_s + HELD_S
            return Answer(204)
        case Say():
            _notice(world, seat)
            return Answer(202)
        case UpdateParticipant():
            return _update_participant(world, call, by, seat)
        case Remove():
            _remove(world, code, party, by=by.participant_id, whom=whom.participant_id, ban=call.ban)
            return Answer(204)
        case HandOver():
            # Ids are small, so those of somebody in another party may be taken here.
            return _hand_over(world, by, party, whom.participant_id)
        case UpdateParty():
            return _update_party(world, call, by, party)
        case Close():
            _only_leader(party, by.participant_id)
            world.end(code, "closed")
            return Answer(204)


def _listen(seat: Seat) -> Answer:
    seat.is_live = True
    if seat.streams >= STREAMS:
        raise Refused(429, "too_many_streams")
    seat.streams += 1
    return Answer(200)


def _update_participant(world: World, call: UpdateParticipant, by: Ticket, seat: Seat) -> Answer:
    party = world.parties[by.code]
    _notice(world, seat)
    before = seat.name, seat.attributes
    seat.name = call.change.get("participant_name", seat.name)
    seat.attributes = call.change.get("attributes", seat.attributes)
    party.version += before != (seat.name, seat.attributes)
    return Answer(200, world.participant_view(by.code, by.participant_id), party.version)


def _remove(world: World, code: str, party: Party, *, by: int, whom: int, ban: bool) -> None:
    if whom not in party.seats:
        raise Refused(404, "participant_not_found")
    if by == whom and not ban:
        return world.go(code, {whom}, "left")
    _only_leader(party, by)
    if by == whom:
        raise Refused(403, "not_allowed")
    _notice(world, party.seats[by])
    if ban:
        party.banned.add(party.seats[whom].phone)
    return world.go(code, {whom}, "kicked")


def _hand_over(world: World, by: Ticket, party: Party, whom: int) -> Answer:
    _only_leader(party, by.participant_id)
    if whom not in party.seats:
        raise Refused(404, "participant_not_found")
    _notice(world, party.seats[by.participant_id])
    party.version += whom != party.leader_id
    party.leader_id = whom
    return Answer(200, world.party_view(by.code), party.version)


def _update_party(world: World, call: UpdateParty, by: Ticket, party: Party) -> Answer:
    _only_leader(party, by.participant_id)
    wanted = {name: getattr(party, name) for name in TRAITS}
    if call.change.get("has_place") is False:
        wanted["discoverable"] = False
    wanted |= call.change
    if wanted["capacity"] < len(party.seats):
        raise Refused(409, "capacity_below_count")
    if wanted["discoverable"] and not wanted["has_place"]:
        raise Refused(400, "place_missing")
    _notice(world, party.seats[by.participant_id])
    party.version += any(getattr(party, name) != value for name, value in wanted.items())
    for name, value in wanted.items():
        setattr(party, name, value)
    return Answer(200, world.party_view(by.code), party.version)


def _party(world: World, code: str) -> Party:
    if code not in world.parties:
        raise Refused(404, "party_not_found")
    return world.parties[code]


def _only_leader(party: Party, by: int) -> None:
    if by != party.leader_id:
        raise Refused(403, "not_allowed")


def _notice(world: World, seat: Seat) -> None:
    if not seat.is_live and world.now_s - seat.seen_s >= NOTICE_S:
        seat.seen_s = world.now_s


def _seated(world: World, code: str, participant_id: int, status: int) -> Answer:
    return Answer(status, {"participant_id": participant_id, "party": world.party_view(code)})
