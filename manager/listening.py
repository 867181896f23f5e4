"""Everyone who listens: audiences of parties, their streams, and the beat that finds out who is still there."""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable
from math import inf

from manager import events
from manager.announcements import Announcement, Announcements
from manager.attendance import Seat
from manager.frames import Framing
from manager.party import Left, Party
from manager.presence import MISSED_BEATS, Presence
from manager.store import Change

MAX_BACKLOG_BYTES = 256 * 1024
"""What may wait for a listener besides their snapshot; who lets more come together is too slow."""

FAREWELL_S = 5.0
"""How long a listener has to take the end of their stream."""

GOING_AWAY, NORMAL, TRY_AGAIN_LATER = 1001, 1000, 1013  # close codes, RFC 6455 and the IANA registry


class Stream:
    """One listener's connection. What is written to it never waits for them."""

    __slots__ = ("_allowance", "_transport", "framing", "has_ended", "heard_s", "seat")

    def __init__(self, transport: asyncio.Transport, framing: Framing, seat: Seat) -> None:
        self.framing = framing
        self.seat = seat
        self.has_ended = False
        self.heard_s = inf  # when a sign of life last came in, by the loop's clock; stays so if none can come
        self._transport = transport
        self._allowance = MAX_BACKLOG_BYTES

    def write(self, data: bytes) -> None:
        """Sends whole frames, or ends the stream if too much waits already."""
        if self._transport.get_write_buffer_size() > self._allowance:
            self.end(TRY_AGAIN_LATER, "too slow")
        elif not self.has_ended:
            self._transport.write(data)

    def begin(self, snapshot: bytes) -> None:
        """Sends what the listener starts from."""
        self._allowance += len(snapshot)
        self._transport.write(self.framing.text(snapshot))

    def end(self, code: int, reason: str) -> None:
        """Says why the stream ends. It is cut if the listener doesn't take that in time."""
        if not self.has_ended:
            self.has_ended = True
            self._transport.write(self.framing.close(code, reason))
            if not self.framing.is_two_way:
                self._transport.close()
            asyncio.get_running_loop().call_later(FAREWELL_S, self._transport.abort)

    def cut(self) -> None:
        """Ends the connection without a word."""
        self._transport.abort()

    def give_up_after(self, silence_s: float) -> None:
        """Lets the system end the connection when what was sent isn't acknowledged for so long (Linux only)."""
        its_socket = self._transport.get_extra_info("socket")
        if hasattr(socket, "TCP_USER_TIMEOUT") and its_socket is not None:
            with contextlib.suppress(OSError):
                its_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(silence_s * 1000)))


class Audience:
    """Who listens to one party. What happens within one turn of the loop goes to each of them in one write."""

    def __init__(self, party_id: int, presence: Presence) -> None:
        self._party_id = party_id
        self._presence = presence
        self._streams: dict[Framing, set[Stream]] = {}
        self._of: dict[int, list[Stream]] = {}  # by participant id
        self._waiting: list[bytes] = []

    def add(self, stream: Stream, snapshot: bytes) -> None:
        """From the snapshot on, the stream hears everything."""
        self._flush()  # the others' news is in the snapshot already
        self._streams.setdefault(stream.framing, set()).add(stream)
        self._of.setdefault(stream.seat.participant_id, []).append(stream)
        stream.begin(snapshot)

    def remove(self, stream: Stream) -> None:
        """The stream hears nothing more."""
        participant_id = stream.seat.participant_id
        self._streams[stream.framing].discard(stream)
        self._of[participant_id].remove(stream)
        if not self._of[participant_id]:
            del self._of[participant_id]

    def count_of(self, participant_id: int) -> int:
        """How many streams this participant has."""
        return len(self._of.get(participant_id, ()))

    def is_empty(self) -> bool:
        """Whether nobody listens."""
        return not self._of

    def hear(self, announcement: Announcement) -> None:
        """Tells the streams, soon; those who are no longer in the party hear of it and are shown out."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.extend(events.told(announcement, self._presence.roll(self._party_id).online))
        if isinstance(announcement, Change):
            self._show_out(announcement)

    def _show_out(self, change: Change) -> None:
        if change.after is None:
            self._end([stream for streams in self._of.values() for stream in streams], "party closed")
        for event in change.events:
            if isinstance(event, Left):
                self._end(self._of.get(event.participant_id, ()), event.reason)

    def _end(self, streams: "list[Stream] | tuple[()]", reason: str) -> None:
        if streams:
            self._flush()
            for stream in streams:
                stream.end(NORMAL, reason)

    def _flush(self) -> None:
        texts, self._waiting = self._waiting, []
        if texts:
            for framing, streams in self._streams.items():
                data = b"".join(map(framing.text, texts))
                for stream in streams:
                    stream.write(data)


class Listening:
    """All audiences of a manager."""

    def __init__(
        self,
        announcements: Announcements,
        presence: Presence,
        *,
        beat_s: float,
        streams_per_device: int | None,
        clock_ms: Callable[[], int],
    ) -> None:
        self.beat_s = beat_s
        self.stream_count = 0
        self._is_draining = False
        self._announcements = announcements
        self._presence = presence
        self._streams_per_device = streams_per_device
        self._clock_ms = clock_ms
        self._audiences: dict[int, Audience] = {}
        self._beats: deque[tuple[float, Stream]] = deque()  # when each stream's next beat is due, soonest first

    def has_room_for(self, seat: Seat) -> bool:
        """Whether the participant may open one more stream. A device has one seat, so this counts devices too."""
        audience = self._audiences.get(seat.party_id)
        if audience is None or self._streams_per_device is None:
            return True
        return audience.count_of(seat.participant_id) < self._streams_per_device

    def open(self, stream: Stream, party: Party) -> None:
        """The stream starts from the party as it is. Call in the same turn of the loop in which it was read."""
        audience = self._audiences.get(party.id)
        if audience is None:
            audience = self._audiences[party.id] = Audience(party.id, self._presence)
            self._announcements.subscribe(party.id, audience.hear)
        audience.add(stream, events.snapshot(party, self._presence.roll(party.id).online, self._clock_ms()))
        now_s = asyncio.get_running_loop().time()
        if stream.framing.is_two_way:
            stream.heard_s = now_s
        stream.give_up_after(self.beat_s * MISSED_BEATS)
        self._beats.append((now_s + self.beat_s, stream))
        self.stream_count += 1
        if self._is_draining:
            stream.end(GOING_AWAY, "draining")

    def close(self, stream: Stream) -> None:
        """The stream's connection has ended."""
        stream.has_ended = True
        audience = self._audiences[stream.seat.party_id]
        audience.remove(stream)
        self.stream_count -= 1
        if audience.is_empty():
            self._announcements.unsubscribe(stream.seat.party_id, audience.hear)
            del self._audiences[stream.seat.party_id]

    def drain(self) -> None:
        """Tells all listeners to go elsewhere, and those who come yet."""
        self._is_draining = True
        for _, stream in self._beats:
            stream.end(GOING_AWAY, "draining")

    async def beat(self) -> None:
        """Gives every stream its beat and cuts those that have missed three, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(0.25, self.beat_s / 4))
            now_s = loop.time()
            while self._beats and self._beats[0][0] <= now_s:
                _, stream = self._beats.popleft()
                if stream.has_ended:
                    continue
                if now_s - stream.heard_s > self.beat_s * MISSED_BEATS:
                    stream.cut()
                    continue
                stream.write(stream.framing.beat)
                self._beats.append((now_s + self.beat_s, stream))
