"""A WebSocket byte by byte, for what no client would do."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

from tests.talking import PATIENCE_S, Reply, request_bytes

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN, MASKED = 0x80, 0x80

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
"""Of RFC 6455, 1.3, which says what it has to be answered with."""

ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


class Frame(NamedTuple):
    """What came from the server. `head` is its first byte."""

    head: int
    payload: bytes


def client_frame(kind: int, payload: bytes = b"", *, first_bits: int = FIN) -> bytes:
    """A frame as a client sends it: masked (RFC 6455, 5.3)."""
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes((first_bits | kind,)) + _length(len(payload), MASKED) + mask + masked


def close_payload(code: int, reason: str = "") -> bytes:
    return code.to_bytes(2, "big") + reason.encode()


class RawSocket:
    """A connection that has asked for a stream; it takes in hardly more than it is asked for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: Reply) -> None:
        self.head = head
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Sends these bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    async def frame(self) -> Frame:
        """The next frame. Raises EOFError or ConnectionError when the connection ends first."""
        async with asyncio.timeout(PATIENCE_S):
            head, length = await self._reader.readexactly(2)
            assert not length & MASKED, "a server doesn't mask (RFC 6455, 5.1)"
            if length > 125:
                length = int.from_bytes(await self._reader.readexactly(2 if length == 126 else 8), "big")
            return Frame(head, await self._reader.readexactly(length))

    async def until(self, kind: int) -> Frame:
        """The next frame of this kind."""
        while (frame := await self.frame()).head & 0xF != kind:
            pass
        return frame

    async def frames(self) -> list[Frame]:
        """All frames until the connection ends."""
        frames = []
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                frames.append(await self.frame())
        return frames

    async def line(self) -> bytes:
        """The next line of an event stream; nothing at its end."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.readline()

    def hang_up(self) -> None:
        """Says that nothing more will be sent."""
        self._writer.write_eof()


@contextlib.asynccontextmanager
async def connected(
    port: int, code: str, headers: Mapping[str, str], *, read_ahead: int = 1 << 16
) -> AsyncIterator[RawSocket]:
    """Asks for a stream with these headers. The head of the answer has been read.

    When nobody asks for more, it takes in some `read_ahead` bytes, and the system's buffer.
    """
    connection = socket.socket()
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, read_ahead)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=read_ahead)
    try:
        writer.write(request_bytes("GET", f"/parties/{code}/events", headers=headers))
        async with asyncio.timeout(PATIENCE_S):
            status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        pairs = [line.split(": ", 1) for line in lines]
        head = Reply("HTTP/1.1", int(status.split()[1]), tuple((name.lower(), value) for name, value in pairs), b"")
        yield RawSocket(reader, writer, head)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def with_token(token: str) -> dict[str, str]:
    """The headers of a WebSocket's handshake."""
    return {**HANDSHAKE, "Authorization": f"Bearer {token}"}


def _length(length: int, mask_bit: int) -> bytes:
    if length < 126:
        return bytes((mask_bit | length,))
    if length < 1 << 16:
        return bytes((mask_bit | 126,)) + length.to_bytes(2, "big")
    return bytes((mask_bit | 127,)) + length.to_bytes(8, "big")
