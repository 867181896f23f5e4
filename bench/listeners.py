"""Listeners by the thousand in one process: WebSockets (RFC 6455) that count what comes, and look into little."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

TEXT, CLOSE, PING = 0x81, 0x88, 0x89  # each the only frame of its message
FINAL_PONG, FINAL_CLOSE, MASKED = 0x8A, 0x88, 0x80
NO_MASK = bytes(4)  # A client has to mask (5.3); by zeros it changes nothing.
LARGEST_HELD = 64 * 1024
"""Frames up to here are looked at as a whole; of larger ones, which are snapshots, only the bytes are counted."""

NUMBER_BEFORE, NUMBER_DIGITS = b'"n":"', 10
QUIET_S = 1.0
POLL_S = 0.1


@dataclass(slots=True, eq=False)
class Audience:
    """The listeners of one party, and what has reached them together."""

    listeners: "list[Listener]" = field(default_factory=list)
    texts: int = 0
    lost: list[str] = field(default_factory=list)
    is_leaving: bool = False
    # A text frame that everybody awaits: its first bytes and its size, so that it is known without being read.
    head: bytes = bytes((TEXT,))
    size: int = 0
    # Called once `texts` has come to `wake_at`.
    wake_at: float = float("inf")
    wake: Callable[[], None] = lambda: None
    # (number of the message, when it came), from the listeners who are samples.
    samples: list[tuple[int, float]] = field(default_factory=list)

    def expect(self, text: bytes) -> None:
        """What is to come looks like this text."""
        assert len(text) < 126, "a frame with the shortest head"
        self.head = bytes((TEXT, len(text)))
        self.size = 2 + len(text)

    def start_counting(self) -> None:
        """From zero, for all."""
        self.texts = 0
        self.samples.clear()
        for listener in self.listeners:
            listener.texts = 0

    async def reach(self, texts: int, *, within_s: float) -> None:
        """Until so many have come in all; TimeoutError when they haven't in time."""
        if self.texts >= texts:
            return
        reached = asyncio.Event()
        self.wake_at, self.wake = texts, reached.set
        try:
            async with asyncio.timeout(within_s):
                await reached.wait()
        finally:
            self.wake_at = float("inf")

    def leave(self) -> None:
        """Everybody goes without a word."""
        self.is_leaving = True
        for listener in self.listeners:
            listener.leave()


class Opening(asyncio.Protocol):
    """A connection until the server has agreed to make it a stream."""

    def __init__(self, audience: Audience, request: bytes, *, is_sample: bool) -> None:
        self._request = request
        self._listener = Listener(audience, is_sample=is_sample)
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        if not head.startswith(b"HTTP/1.1 101"):
            self._fail(self._received[:500].decode(errors="replace"))
            return
        assert self._transport is not None
        self._transport.set_protocol(self._listener)
        self._listener.begin(self._transport, rest)
        self.opened.set_result(None)

    def connection_lost(self, _: Exception | None) -> None:
        self._fail("The server closed the connection.")

    def _fail(self, why: str) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(f"No stream was opened: {why}"))


class Listener(asyncio.Protocol):
    """One open stream."""

    __slots__ = ("_audience", "_due", "_held", "_is_lost", "_transport", "is_sample", "texts")

    def __init__(self, audience: Audience, *, is_sample: bool) -> None:
        self.texts = 0
        self._audience = audience
        self.is_sample = is_sample
        self._is_lost = False
        self._due = 0  # bytes to come of a frame that is too large to be held
        self._held = b""  # the beginning of a frame
        self._transport: asyncio.Transport | None = None

    def begin(self, transport: asyncio.Transport, received: bytes) -> None:
        """The stream is open; `received` came with the answer that said so."""
        self._transport = transport
        self._audience.listeners.append(self)
        self.data_received(received)

    def data_received(self, data: bytes) -> None:
        audience = self._audience
        # A frame that comes alone and as awaited is counted by its size and head.
        if (
            len(data) == audience.size
            and not self._due
            and not self._held
            and not self.is_sample
            and data.startswith(audience.head)
        ):
            self.texts += 1
            audience.texts += 1
        else:
            self._take(data)
        if audience.texts >= audience.wake_at:
            audience.wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._lose(f"connection lost: {error}")

    def leave(self) -> None:
        """Go without a word."""
        if self._transport is not None:
            self._transport.abort()

    def _take(self, data: bytes) -> None:
        """Count the frames in what came, and keep what is incomplete."""
        if self._due > len(data):
            self._due -= len(data)
            return
        if self._due:
            data, self._due = data[self._due :], 0
            self._count(b"")
        elif self._held:
            data, self._held = self._held + data, b""
        position, end = 0, len(data)
        while end - position >= 2:
            length, start = data[position + 1], position + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                if start > end:
                    break
                length = int.from_bytes(data[position + 2 : start], "big")
            if start + length > end:
                if length > LARGEST_HELD:
                    self._due = start + length - end
                    return
                break
            opcode = data[position]
            if opcode != TEXT:
                self._control(opcode, data[start : start + length])
            elif self.is_sample:
                self._count(data[start : start + length])
            else:
                self.texts += 1
                self._audience.texts += 1
            position = start + length
        self._held = data[position:]

    def _count(self, text: bytes) -> None:
        self.texts += 1
        self._audience.texts += 1
        if self.is_sample and (found := text.find(NUMBER_BEFORE)) >= 0:
            start = found + len(NUMBER_BEFORE)
            self._audience.samples.append((int(text[start : start + NUMBER_DIGITS]), time.perf_counter()))

    def _control(self, opcode: int, payload: bytes) -> None:
        assert self._transport is not None
        if opcode == PING:
            self._transport.write(bytes((FINAL_PONG, MASKED | len(payload))) + NO_MASK + payload)
        elif opcode == CLOSE:
            self._lose(f"closed with {int.from_bytes(payload[:2], 'big')} {payload[2:].decode(errors='replace')}")
            self._transport.write(bytes((FINAL_CLOSE, MASKED | len(payload))) + NO_MASK + payload)
            self._transport.close()
        else:
            self._lose(f"a frame of a kind that isn't awaited, {opcode:#x}")

    def _lose(self, why: str) -> None:
        if not self._audience.is_leaving and not self._is_lost:
            self._is_lost = True
            self._audience.lost.append(why)


async def open_stream(audience: Audience, port: int, path: str, token: str, *, is_sample: bool) -> None:
    """One more listener. Raises ConnectionError when the server doesn't agree."""
    # The key is that of RFC 6455, 1.3; a server has to answer any.
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()
    loop = asyncio.get_running_loop()
    _, opening = await loop.create_connection(
        lambda: Opening(audience, request, is_sample=is_sample), "127.0.0.1", port
    )
    await opening.opened


async def quiet(audiences: Sequence[Audience], *, within_s: float) -> float:
    """Until nothing has come for QUIET_S; the time.perf_counter at which the last came. May raise TimeoutError."""
    async with asyncio.timeout(within_s):
        seen, since_s = -1, time.perf_counter()
        while time.perf_counter() - since_s < QUIET_S:
            await asyncio.sleep(POLL_S)
            if (texts := sum(audience.texts for audience in audiences)) != seen:
                seen, since_s = texts, time.perf_counter()
    return since_s
