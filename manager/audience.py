"""Who listens to one party, and how news reaches them: what happens close together goes out in one write."""

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic

from chassis.websocket import NORMAL
from manager import events
from manager.announcements import Announcement, Present
from manager.frames import Framing
from manager.party import Left, Party
from manager.presence import Presence
from manager.store import Change
from manager.stream import Stream

PAUSE_PER_LISTENER_S = 100e-6
"""A tenth or so of the time goes into telling who is online, at 10 µs a write. Without a pause a crowd that comes
at once would cost a write for each who comes and each who is there; `make bench` lets 5,000 come."""

MAX_PAUSE_S = 1.0


class Audience:
    """The streams of one party. They begin with the party as of the last announcement, and hear all that follow."""

    def __init__(self, party: Party, presence: Presence, clock_ms: Callable[[], int]) -> None:
        self._party: Party | None = party  # None once it has closed
        self._party_id = party.id
        self._presence = presence
        self._clock_ms = clock_ms
        self._of: dict[int, list[Stream]] = {}  # all streams, by participant id
        self._newcomers: list[Stream] = []  # who begin with the end of this turn of the loop
        self._begun: dict[Stream, int] = {}  # who have begun since the last telling: the first news that they lack
        self._streams: dict[Framing, set[Stream]] = {}  # all others
        self._news: list[bytes] = []
        self._portraits = events.Portraits()
        self._told_s = 0.0
        self._telling: asyncio.Handle | None = None
        self._is_telling_soon = False

    def add(self, stream: Stream) -> None:
        """With the end of this turn of the loop, the stream begins."""
        if not self._newcomers:
            asyncio.get_running_loop().call_soon(self._begin)
        self._newcomers.append(stream)
        self._of.setdefault(stream.seat.participant_id, []).append(stream)

    def remove(self, stream: Stream) -> None:
        """The stream hears nothing more."""
        if stream in self._newcomers:
            self._newcomers.remove(stream)
        elif self._begun.pop(stream, None) is None:
            self._streams[stream.framing].discard(stream)
        streams = self._of[stream.seat.participant_id]
        streams.remove(stream)
        if not streams:
            del self._of[stream.seat.participant_id]

    def count_of(self, participant_id: int) -> int:
        """How many streams this participant has."""
        return len(self._of.get(participant_id, ()))

    def is_empty(self) -> bool:
        """Whether nobody listens."""
        return not self._of

    def hear(self, announcement: Announcement) -> None:
        """Tells the streams, soon. Those who are no longer in the party hear of it and are shown out."""
        news = list(events.told(announcement, self._presence.roll(self._party_id).online))
        self._news += news
        if isinstance(announcement, Present):
            self._tell_after_pause()
        elif news:
            self._tell_soon()
        if isinstance(announcement, Change):
            self._party = announcement.after
            if self._party is None:
                self._show_out(self._of, "party closed")
            for event in announcement.events:
                if isinstance(event, Left):
                    self._show_out((event.participant_id,), event.reason)

    def end(self, code: int, reason: str) -> None:
        """Ends all streams, whatever they have been told."""
        for streams in self._of.values():
            for stream in streams:
                stream.end(code, reason)

    def _show_out(self, participants: Iterable[int], reason: str) -> None:
        leaving = [stream for one in participants for stream in self._of.get(one, ())]
        if leaving:
            self._tell()
            for stream in leaving:
                stream.end(NORMAL, reason)

    def _begin(self) -> None:
        newcomers, self._newcomers = self._newcomers, []
        frames: dict[Framing, bytes] = {}
        for stream in newcomers:
            self._begun[stream] = len(self._news)
            if self._party is not None:
                if stream.framing not in frames:
                    online = self._presence.roll(self._party_id).online
                    snapshot = events.snapshot(self._party, online, self._clock_ms(), self._portraits)
                    frames[stream.framing] = stream.framing.text(snapshot)
                stream.begin(frames[stream.framing])

    def _tell_soon(self) -> None:
        """With all else that comes in this turn of the loop."""
        if not self._is_telling_soon:
            self._is_telling_soon = True
            self._tell_in(0)

    def _tell_after_pause(self) -> None:
        if self._telling is None:
            pause_s = min(MAX_PAUSE_S, PAUSE_PER_LISTENER_S * len(self._of))
            self._tell_in(self._told_s + pause_s - monotonic())

    def _tell_in(self, seconds: float) -> None:
        if self._telling is not None:
            self._telling.cancel()
        loop = asyncio.get_running_loop()
        self._telling = loop.call_soon(self._tell) if seconds <= 0 else loop.call_later(seconds, self._tell)

    def _tell(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        self._is_telling_soon = False
        news, self._news = self._news, []
        begun, self._begun = self._begun, {}
        if news:
            for framing, streams in self._streams.items():
                data = b"".join(map(framing.text, news))
                for stream in streams:
                    stream.write(data)
        for stream, first in begun.items():
            if first < len(news):
                stream.write(b"".join(map(stream.framing.text, news[first:])))
            self._streams.setdefault(stream.framing, set()).add(stream)
        self._told_s = monotonic()  # the loop's own time stands still within a turn
