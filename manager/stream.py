"""One listener's connection: bytes out without ever waiting, signs of life in."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import cast

from chassis.websocket import (
    CLOSE,
    NORMAL,
    PING,
    POLICY_VIOLATION,
    PONG,
    TRY_AGAIN_LATER,
    Incoming,
    ProtocolError,
    frame,
)
from manager.attendance import Seat
from manager.frames import Framing
from manager.presence import MISSED_BEATS

MAX_BACKLOG_BYTES = 256 * 1024
"""What may wait for a listener besides their snapshot; who lets more come together is too slow."""

SEND_BUFFER_BYTES = 64 * 1024
"""What the system may keep besides, which Linux doubles for its own bookkeeping."""

MAX_FRAMES_PER_BEAT = 64
"""How many frames a listener may send: one answers a beat. More would take time from everybody."""

FAREWELL_S = 5.0
"""How long a listener has to take the end of their stream."""

LAST_WORD_S = 0.5
"""The same for who doesn't speak the protocol: with what they sent unread, an end at once could overtake its reason."""


class Stream(asyncio.Protocol):
    """One listener's connection. What is written to it never waits for them."""

    __slots__ = (
        "_allowance",
        "_frames_left",
        "_incoming",
        "_lost",
        "_transport",
        "framing",
        "has_ended",
        "seat",
        "unanswered",
    )

    _transport: asyncio.Transport

    def __init__(self, framing: Framing, seat: Seat, lost: "Callable[[Stream], None]") -> None:
        self.framing = framing
        self.seat = seat
        self.has_ended = False
        self.unanswered = 0  # beats since the last sign of life
        self._lost = lost
        self._incoming = Incoming() if framing.is_two_way else None
        self._allowance = MAX_BACKLOG_BYTES
        self._frames_left = MAX_FRAMES_PER_BEAT

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.has_ended = True
        self._lost(self)

    def data_received(self, data: bytes) -> None:
        """Whatever a listener says is a sign of life and nothing more."""
        if self._incoming is None:
            self._frames_left -= 1
            if self._frames_left < 0:
                self._transport.abort()
            return
        self.unanswered = 0
        try:
            for kind, payload in self._incoming.feed(data):
                self._frames_left -= 1
                if self._frames_left < 0:
                    raise ProtocolError(POLICY_VIOLATION, "too many frames")
                if kind == PING:
                    self.write(frame(PONG, payload))
                elif kind == CLOSE:
                    self.end(NORMAL, "")
                    self._transport.close()
                    return
        except ProtocolError as error:
            self._incoming = None  # nothing that follows could be understood
            self.end(error.code, error.reason)
            asyncio.get_running_loop().call_later(LAST_WORD_S, self._transport.close)

    def write(self, data: bytes) -> None:
        """Sends whole frames, or ends the stream if too much waits already."""
        waiting_bytes = self._transport.get_write_buffer_size()
        if waiting_bytes > self._allowance:
            self.end(TRY_AGAIN_LATER, "too slow")
        elif not self.has_ended:
            if waiting_bytes <= MAX_BACKLOG_BYTES:  # the snapshot is through, if there was one
                self._allowance = MAX_BACKLOG_BYTES
            self._transport.write(data)

    def begin(self, snapshot: bytes) -> None:
        """Sends the frame that the listener starts from, however large it is."""
        self.write(snapshot)
        self._allowance = MAX_BACKLOG_BYTES + len(snapshot)

    def beat(self) -> None:
        """Asks for a sign of life. Cut is who owes three: counted, not timed, as this process may have slept."""
        self._frames_left = MAX_FRAMES_PER_BEAT
        if self.unanswered >= MISSED_BEATS:
            self._transport.abort()
        else:
            self.unanswered += self.framing.is_two_way
            self.write(self.framing.beat)

    def end(self, code: int, reason: str) -> None:
        """Says why the stream ends. It is cut if the listener doesn't take that in time."""
        if not self.has_ended:
            self.has_ended = True
            self._transport.write(self.framing.close(code, reason))
            if not self.framing.is_two_way:
                self._transport.close()
            asyncio.get_running_loop().call_later(FAREWELL_S, self._transport.abort)

    def bound(self, silence_s: float) -> None:
        """Bounds what the system keeps for this connection, and (on Linux) how long it waits for acknowledgements."""
        its_socket = self._transport.get_extra_info("socket")
        if its_socket is None:
            return
        with contextlib.suppress(OSError):
            # Or Linux lets it grow to 4 MiB, before anything waits here.
            its_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                its_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(silence_s * 1000)))
