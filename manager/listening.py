"""Everyone who listens to the parties of a manager, and the beat that finds out who is still there."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

import structlog

from chassis.errors import Policy, TooManyRequests
from chassis.websocket import GOING_AWAY, INTERNAL_ERROR
from manager.announcements import Announcements
from manager.attendance import Attendance, Seat
from manager.audience import Audience
from manager.frames import Framing
from manager.party import Party
from manager.presence import MISSED_BEATS
from manager.stream import FAREWELL_S, Stream

_log = structlog.get_logger()

_LOOKS_A_BEAT = 8  # how exactly beats are kept


class Listening:
    """All audiences of a manager, by party id."""

    def __init__(
        self,
        attendance: Attendance,
        announcements: Announcements,
        *,
        beat_s: float,
        streams_per_device: int | None,
        clock_ms: Callable[[], int],
    ) -> None:
        self.beat_s = beat_s
        self.stream_count = 0
        self._attendance = attendance
        self._announcements = announcements
        self._streams_per_device = streams_per_device
        self._clock_ms = clock_ms
        self._audiences: dict[int, Audience] = {}
        self._beats: deque[tuple[float, Stream]] = deque()  # when each stream's next beat is due, soonest first
        self._is_draining = False
        self._nobody_listens = asyncio.Event()

    def check_room_for(self, seat: Seat) -> None:
        """Raises TooManyRequests when the participant has as many streams as a device may; a device has one seat."""
        audience, most = self._audiences.get(seat.party_id), self._streams_per_device
        if audience is None or most is None or audience.count_of(seat.participant_id) < most:
            return
        retry_after_s = max(1, round(self.beat_s))
        raise TooManyRequests(
            "too_many_streams",
            f"A device may have {most} streams; close one.",
            retry_after_s=retry_after_s,
            policy=Policy("streams", most, retry_after_s),
        )

    def new_stream(self, framing: Framing, seat: Seat) -> Stream:
        """A stream for somebody who is online. Once it has its connection, `open` it."""
        return Stream(framing, seat, self._lose)

    def open(self, stream: Stream, party: Party) -> None:
        """The stream begins, with the end of this turn of the loop.

        Call in the turn in which the party was read, so that nothing is missed and nothing comes twice.
        """
        audience = self._audiences.get(party.id)
        if audience is None:
            audience = self._audiences[party.id] = Audience(party, self._attendance.presence, self._clock_ms)
            self._announcements.subscribe(party.id, audience.hear)
        audience.add(stream)
        self._beats.append((asyncio.get_running_loop().time() + self.beat_s, stream))
        self.stream_count += 1
        stream.bound(self.beat_s * MISSED_BEATS)
        if self._is_draining:
            stream.end(GOING_AWAY, "draining")

    def fail(self, party_id: int) -> None:
        """Something wasn't told of this party: its listeners have to begin anew."""
        if party_id in self._audiences:
            self._audiences[party_id].end(INTERNAL_ERROR, "internal error")

    async def drain(self) -> None:
        """Tells all listeners to go elsewhere, and those who come yet; returns when they have gone."""
        self._is_draining = True
        for _, stream in self._beats:
            stream.end(GOING_AWAY, "draining")
        if self.stream_count:
            self._nobody_listens.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._nobody_listens.wait(), 2 * FAREWELL_S)

    async def beat(self) -> None:
        """Gives every stream its beat and cuts those that have missed three, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.beat_s / _LOOKS_A_BEAT)
            try:
                self._beat_those_due(loop.time())
            except Exception:
                _log.exception("a beat failed")

    def _beat_those_due(self, now_s: float) -> None:
        while self._beats and self._beats[0][0] <= now_s:
            _, stream = self._beats.popleft()
            if not stream.has_ended:
                self._beats.append((now_s + self.beat_s, stream))
                stream.beat()

    def _lose(self, stream: Stream) -> None:
        """The stream's connection has ended."""
        party_id = stream.seat.party_id
        audience = self._audiences[party_id]
        audience.remove(stream)
        if audience.is_empty():
            self._announcements.unsubscribe(party_id, audience.hear)
            del self._audiences[party_id]
        self.stream_count -= 1
        if not self.stream_count:
            self._nobody_listens.set()
        self._attendance.go(stream.seat)
