"""Coming, going and being lost: presence joined to the store, and the watch that removes who stays away."""

import asyncio
from collections.abc import Callable, Iterable
from typing import NamedTuple

import structlog

from chassis.errors import Forbidden, Refusal
from manager import rules
from manager.announcements import Announcements, Present
from manager.callers import Callers
from manager.deadlines import Deadlines
from manager.party import Joined, Left, Party
from manager.presence import Presence
from manager.store import Change, Decision, Store, party_not_found
from manager.tokens import invalid

TICK_S = 0.25
_RETRY_S = 2.0
_PORTION = 100  # of parties that are settled side by side, so that they share commits and hold up nobody

_log = structlog.get_logger()


class Seat(NamedTuple):
    """Whose stream it is."""

    code: int
    party_id: int
    participant_id: int


class Attendance:
    """Who is there, of all parties of a manager. Nobody who is online, or about to be, is ever removed.

    All that take a token raise TooManyRequests too.
    """

    def __init__(
        self,
        store: Store,
        callers: Callers,
        presence: Presence,
        announcements: Announcements,
        *,
        clock_ms: Callable[[], int],
        running_s: Callable[[], float],
    ) -> None:
        self.presence = presence
        self._store = store
        self._callers = callers
        self._announcements = announcements
        self._clock_ms = clock_ms
        self._running_s = running_s
        self._is_resting = False
        self._deadlines = Deadlines(running_s())
        for party in store.living():
            self._deadlines.set(party.code, presence.next_s(party), running_s())

    def follow(self, change: Change) -> None:
        """Keeps up with what has been committed, before anybody hears of it."""
        before, after = change.before, change.after
        if after is None:
            if before is not None:
                self._deadlines.discard(before.code)
                self.presence.forget(before.id, [one.id for one in before.participants])
            return
        for event in change.events:
            if isinstance(event, Left):
                self.presence.forget(after.id, (event.participant_id,))
            elif isinstance(event, Joined):
                self._deadlines.advance(
                    after.code, self.presence.next_of(after.id, event.participant), self._running_s()
                )
        if before is None:
            self._deadlines.set(after.code, self.presence.next_s(after), self._running_s())

    def is_due(self, code: int) -> bool:
        """Whether somebody of this party may have been away for too long: then settle it before reading it."""
        return not self._is_resting and self._deadlines.is_due(code, self._running_s())

    def overdue(self, codes: Iterable[int]) -> list[int]:
        """Those of these parties that are due."""
        if self._is_resting:
            return []
        now_s = self._running_s()
        return [code for code in codes if self._deadlines.is_due(code, now_s)]

    def rest(self) -> None:
        """From now on nobody is lost: the manager ends, and those whose streams it ends aren't to blame."""
        self._is_resting = True

    async def settle(self, code: int) -> None:
        """Says who has gone offline, and removes who has been away for too long; a full disk puts that off."""
        party = await self._store.party(code)
        if party is None:
            self._deadlines.discard(code)
            return
        now_s = self._running_s()
        for participant_id in self.presence.fade(party.id, now_s):
            self._announce(party.id, participant_id, online=False)
        try:
            if self.presence.lost(party, now_s):
                await self._store.change(code, self._lose)
            party = await self._store.party(code)
        except Refusal:
            self._deadlines.set(code, now_s + _RETRY_S, now_s)
            return
        if party is not None:
            self._deadlines.set(code, self.presence.next_s(party), now_s)

    async def current(self, code: int) -> Party:
        """The party as it is now, without those who have been away for too long. Raises NotFound."""
        if self.is_due(code):
            await self.settle(code)
        party = await self._store.party(code)
        if party is None:
            raise party_not_found()
        return party

    async def recognise(self, code: int, token: str | None) -> tuple[Party, int]:
        """The party and which of its participants this is. Raises NotFound, Unauthenticated, TooManyRequests."""
        party = await self.current(code)
        return party, self._callers.participant(party, token)

    async def come(self, code: int, token: str | None) -> Seat:
        """Somebody opens a stream: they are online until they `go`. Raises NotFound, Unauthenticated, StorageFull."""
        seat = await self._expect(*await self.recognise(code, token))
        if self.presence.come(seat.party_id, seat.participant_id):
            self._announce(seat.party_id, seat.participant_id, online=True)
        return seat

    def go(self, seat: Seat) -> None:
        """A stream has ended. Other streams of theirs, opened before or since, keep them online."""
        now_s = self._running_s()
        if self.presence.go(seat.party_id, seat.participant_id, now_s):
            self._announce(seat.party_id, seat.participant_id, online=False)
            self._deadlines.advance(seat.code, now_s + self.presence.grace_s, now_s)
        else:  # a heartbeat may still hold them; settling finds out for how long
            self._deadlines.advance(seat.code, now_s, now_s)

    async def beat(self, code: int, participant_id: int, token: str | None) -> None:
        """Somebody who has no stream says that they are there.

        Raises NotFound, Unauthenticated, Forbidden, StorageFull.
        """
        party, by = await self.recognise(code, token)
        if party.participant(participant_id) is None:
            raise rules.participant_not_found()
        if by != participant_id:
            raise Forbidden("not_allowed", "Nobody can send a heartbeat for somebody else.")
        seat = await self._expect(party, by)
        now_s = self._running_s()
        if self.presence.beat(seat.party_id, by, now_s):
            self._announce(seat.party_id, by, online=True)
        self.presence.go(seat.party_id, by, now_s)
        self._deadlines.advance(code, now_s + self.presence.missed_s, now_s)

    async def keep(self) -> None:
        """Settles parties as their deadlines come, until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            try:
                due = list(self._deadlines.due(self._running_s()))
                for first in range(0, len(due), _PORTION):
                    await asyncio.gather(*map(self._settle_or_log, due[first : first + _PORTION]))
            except Exception:
                _log.exception("the watch stumbled")

    async def _settle_or_log(self, code: int) -> None:
        try:
            if self.is_due(code):
                await self.settle(code)
        except Exception:
            _log.exception("settling a party failed")
            now_s = self._running_s()
            self._deadlines.set(code, now_s + _RETRY_S, now_s)

    async def _expect(self, party: Party, participant_id: int) -> Seat:
        """From here on they aren't lost; if they just were, it shows here. Raises NotFound, Unauthenticated."""
        seat = Seat(party.code, party.id, participant_id)

        def still_there(now: Party | None) -> Party:
            if now is None or now.id != party.id:
                raise party_not_found()
            if now.participant(participant_id) is None:
                raise invalid()
            return now

        def rule(newest: Party, _: Party | None) -> Decision:
            return Decision(participant_id, rules.go_live(still_there(newest), participant_id), [])

        self.presence.expect(party.id, participant_id)
        try:
            await self._store.change(party.code, rule)
            still_there(await self._store.party(party.code))
        except BaseException:
            self.go(seat)
            raise
        return seat

    def _lose(self, party: Party, _: Party | None) -> Decision:
        lost = self.presence.lost(party, self._running_s())
        return Decision(party.leader_id, rules.lose(party, lost, self.presence.roll(party.id).online), [])

    def _announce(self, party_id: int, participant_id: int, *, online: bool) -> None:
        self._announcements.publish(party_id, Present(participant_id, online, self._clock_ms()))
