"""Parties and attendance on a real store, under a running time that stands still until it is told otherwise."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from manager.announcements import Announcement, Announcements, Present
from manager.attendance import Attendance
from manager.callers import Callers
from manager.limits import UNLIMITED
from manager.parties import Membership, Parties
from manager.party import UNVERSIONED, Event
from manager.presence import Presence
from manager.store import Change
from manager.store.sqlite import SqliteStore
from manager.wishes import Wish
from tests.store.disk import opened
from tests.store.people import Clock

BEAT_S = 10.0
MISSED_S = 30.0
GRACE_S = 60.0
IDLE_S = 24 * 3600.0
TOLD_LATE_S = 0.1
"""More than a page of the calendar, less than anything that the tests wait for."""


@dataclass
class Running:
    """A manager's running time."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


class House:
    """One manager without its HTTP."""

    def __init__(self, store: SqliteStore, running: Running, announcements: Announcements, began_s: float) -> None:
        self.store = store
        self.running = running
        self.announcements = announcements
        presence = Presence(started_s=began_s, beat_s=BEAT_S, grace_s=GRACE_S, idle_s=IDLE_S)
        self.clock = clock = Clock()
        callers = Callers(store.keys, UNLIMITED)
        self.attendance = Attendance(store, callers, presence, announcements, clock_ms=clock, running_s=running)
        self.parties = Parties(
            store,
            callers,
            self.attendance,
            announcements,
            clock_ms=clock,
            running_s=running,
            resolution=8,
            default_capacity=50,
            max_capacity=500,
        )

    async def found(self, device: str) -> Membership:
        """A new party."""
        return await self.parties.create(device, Wish())

    async def watch(self) -> None:
        """What the watch does with what is due by now."""
        for code in list(self.attendance._deadlines.due(self.running())):
            await self.attendance.settle(code)

    async def pass_time(self, seconds: float) -> None:
        """Later by so much, watched all the while."""
        until_s = self.running.now_s + seconds
        while self.running.now_s < until_s:
            self.running.now_s = min(until_s, self.running.now_s + seconds / 50)
            await self.watch()

    async def there(self, code: int) -> list[int]:
        """Who is in the party as far as the store knows, asking nobody to look; nobody where it has closed."""
        party = await self.store.party(code)
        return [] if party is None else [one.id for one in party.participants]

    def id_of(self, membership: Membership) -> int:
        """The party's own id."""
        assert membership.party is not None
        return membership.party.id

    def online(self, membership: Membership) -> set[int]:
        """Who of the party is, as far as anybody has looked."""
        return set(self.attendance.presence.roll(self.id_of(membership)).online)


class Heard:
    """What has been announced of a party."""

    def __init__(self, house: House, party_id: int) -> None:
        self.all: list[Announcement] = []
        house.announcements.subscribe(party_id, self.all.append)

    def events(self) -> list[Event]:
        """All that was kept, also what is no news to anybody."""
        return [event for one in self.all if isinstance(one, Change) for event in one.events]

    def news(self) -> list[Event]:
        """What listeners are told of, presence aside."""
        return [event for event in self.events() if not isinstance(event, UNVERSIONED)]

    def presence(self) -> list[tuple[int, bool]]:
        return [(one.participant_id, one.online) for one in self.all if isinstance(one, Present)]


@asynccontextmanager
async def house(database: Path, running: Running | None = None) -> AsyncIterator[House]:
    """A manager that has run for as long as its database remembers."""
    running = running or Running()
    announcements = Announcements()
    houses: list[House] = []

    def announce(change: Change) -> None:
        party = change.after or change.before
        assert party is not None
        houses[0].attendance.follow(change)
        announcements.publish(party.id, change)

    async with opened(database, announce=announce) as store:
        running.now_s = store.ran_ms / 1000
        houses.append(House(store, running, announcements, running.now_s))
        yield houses[0]
