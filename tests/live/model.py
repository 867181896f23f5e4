"""What must be true of a manager's parties after each step: plain values, written from the contract alone."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

BEAT_S = 10.1
HELD_S = 3 * BEAT_S
GRACE_S = 60.5
IDLE_H = 24
NOTICE_S = IDLE_H * 3600 // 24
"""A plain phone's calls are noticed this seldom, so it is out up to so much later."""

STREAMS = 2
"""How many streams a phone may have."""

NEVER = float("-inf")


@dataclass
class Seat:
    """Someone in a party. Seconds are the manager's running time."""

    phone: int
    name: str | None
    joined_at: datetime | None
    seen_s: int
    attributes: dict[str, Any] | None = None
    is_live: bool = False
    streams: int = 0
    held_s: float = NEVER  # until when beats and ended streams keep them online

    def is_online(self, now_s: float) -> bool:
        """Whether a stream is open or a heartbeat holds."""
        return self.streams > 0 or self.held_s > now_s

    def out_s(self, started_s: float) -> float:
        """When they are out if they stay offline."""
        if self.is_live:
            return max(self.held_s, started_s) + GRACE_S
        return self.seen_s + IDLE_H * 3600 + NOTICE_S


@dataclass
class Party:
    """A living party. Seats are by participant id, in order of joining."""

    capacity: int
    created_at: datetime | None
    seats: dict[int, Seat]
    has_place: bool
    discoverable: bool
    leader_id: int = 0
    next_id: int = 1
    version: int = 1
    name: str | None = None
    locked: bool = False
    attributes: dict[str, Any] | None = None
    banned: set[int] = field(default_factory=set)


@dataclass
class World:
    """All parties of a manager, and how those ended that are no more."""

    wall: datetime | None  # None where nobody knows it
    now_s: int = 0
    started_s: int = 0
    parties: dict[str, Party] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)  # code: reason
    left: dict[tuple[str, int], str] = field(default_factory=dict)  # code and participant id: reason

    def create(self, code: str, phone: int, *, capacity: int, has_place: bool) -> None:
        """The phone leaves where it was and starts a party."""
        assert code not in self.parties
        assert code not in self.ended, "codes rest"
        self.move_out(phone)
        seat = Seat(phone, None, self.wall, self.now_s)
        self.parties[code] = Party(capacity, self.wall, {0: seat}, has_place, has_place)

    def join(self, code: str, phone: int) -> int:
        """The phone leaves where it was and takes the next seat. Returns its participant id."""
        self.move_out(phone)
        party = self.parties[code]
        participant_id, party.next_id = party.next_id, party.next_id + 1
        party.seats[participant_id] = Seat(phone, None, self.wall, self.now_s)
        party.version += 1
        return participant_id

    def move_out(self, phone: int) -> None:
        """A device has one seat at most."""
        if (seat := self.seat_of(phone)) is not None:
            code, participant_id = seat
            self.go(code, {participant_id}, "moved")

    def go(self, code: str, leavers: set[int], reason: str) -> None:
        """The longest present takes over, those online first; the last one out closes the party."""
        party = self.parties[code]
        for participant_id in leavers:
            del party.seats[participant_id]
            self.left[code, participant_id] = reason
        party.version += len(leavers)
        if not party.seats:
            self.end(code, "expired" if reason == "lost" else "empty")
        elif party.leader_id in leavers:
            online = [one for one, seat in party.seats.items() if seat.is_online(self.now_s)]
            party.leader_id = min(online or party.seats)
            party.version += 1

    def end(self, code: str, reason: str) -> None:
        """The party is over."""
        self.ended[code] = reason
        del self.parties[code]

    def pass_(self, seconds: int) -> None:
        """Time goes by, and who has been away for too long is out."""
        self.now_s += seconds
        self.step(seconds)
        for code, party in list(self.parties.items()):
            lost = {
                one
                for one, seat in party.seats.items()
                if not seat.is_online(self.now_s) and seat.out_s(self.started_s) <= self.now_s
            }
            if lost:
                self.go(code, lost, "lost")

    def step(self, seconds: int) -> None:
        """The clock on the wall goes, or is set."""
        if self.wall is not None:
            self.wall += timedelta(seconds=seconds)

    def restart(self) -> None:
        """Nobody is online; running time goes on from when anybody was last seen; all who were live have the grace."""
        seats = [seat for party in self.parties.values() for seat in party.seats.values()]
        self.now_s = self.started_s = max((seat.seen_s for seat in seats), default=0)
        for seat in seats:
            seat.streams, seat.held_s = 0, NEVER

    def seat_of(self, phone: int) -> tuple[str, int] | None:
        """Code and participant id of the phone's one seat."""
        found = [
            (code, one)
            for code, party in self.parties.items()
            for one, seat in party.seats.items()
            if seat.phone == phone
        ]
        assert len(found) <= 1, found
        return found[0] if found else None

    def seat(self, code: str, participant_id: int) -> Seat | None:
        """Who sits there."""
        party = self.parties.get(code)
        return None if party is None else party.seats.get(participant_id)

    def streams(self) -> int:
        """How many are open."""
        return sum(seat.streams for party in self.parties.values() for seat in party.seats.values())

    def party_view(self, code: str) -> dict[str, Any] | None:
        """What GET shows of the party, the place as a yes or no."""
        party = self.parties.get(code)
        if party is None:
            return None
        return {
            "party_code": code,
            "name": party.name,
            "leader_id": party.leader_id,
            "participant_count": len(party.seats),
            "capacity": party.capacity,
            "locked": party.locked,
            "discoverable": party.discoverable,
            "version": party.version,
            "created_at": moment(party.created_at),
            "place": party.has_place,
            "attributes": party.attributes,
        }

    def participants_view(self, code: str) -> list[dict[str, Any]]:
        """What GET shows of those in it."""
        party = self.parties.get(code)
        return [] if party is None else [self.participant_view(code, one) for one in party.seats]

    def participant_view(self, code: str, participant_id: int) -> dict[str, Any]:
        """What is shown of one of them."""
        party = self.parties[code]
        seat = party.seats[participant_id]
        return {
            "participant_id": participant_id,
            "participant_name": seat.name,
            "is_leader": participant_id == party.leader_id,
            "online": seat.is_online(self.now_s),
            "joined_at": moment(seat.joined_at),
            "attributes": seat.attributes,
        }


class _AnyTime:
    """Equal to every time."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]  # what is equal to everything has no place in a set

    def __repr__(self) -> str:
        return "any time"


def moment(at: datetime | None) -> object:
    """A time as it goes over the wire."""
    return _AnyTime() if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")
