"""WebSockets as a server speaks them (RFC 6455), without input or output: the handshake, frames out, frames in.

aiohttp's own keeps a parser, a task and a request alive for each connection, 18 KiB in all where this takes 3
(`make bench`); what listeners have to say fits in a few lines.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from chassis.answer import header
from chassis.errors import Malformed

MAX_MESSAGE_BYTES = 16 * 1024
"""The largest message that is taken."""

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
"""Kinds of frames (RFC 6455, 11.8)."""

NORMAL, GOING_AWAY, PROTOCOL_ERROR, POLICY_VIOLATION = 1000, 1001, 1002, 1008
TOO_BIG, INTERNAL_ERROR, TRY_AGAIN_LATER = 1009, 1011, 1013
"""Close codes (RFC 6455, 7.4.1, and the IANA registry)."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FIN, _RESERVED, _KIND, _MASKED, _LENGTH = 0x80, 0x70, 0x0F, 0x80, 0x7F
_KINDS = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
_MAX_CONTROL_BYTES = 125


class ProtocolError(Exception):
    """The other side doesn't speak the protocol; `code` is what to close with."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Frame(NamedTuple):
    """One frame that came in. Only control frames (CLOSE, PING, PONG) come with what they hold."""

    kind: int
    payload: bytes


def is_handshake(headers: Mapping[str, str]) -> bool:
    """Whether the request wants to become a WebSocket."""
    return headers.get("Upgrade", "").strip().lower() == "websocket"


def accepted(headers: Mapping[str, str], protocol: str | None) -> str:
    """The header lines that accept a GET's handshake (RFC 6455, 4.2). Raises Malformed when it isn't one."""
    key = headers.get("Sec-WebSocket-Key", "").strip()
    try:
        is_key = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        is_key = False
    wants_upgrade = "upgrade" in (word.strip().lower() for word in headers.get("Connection", "").split(","))
    if not is_key or not wants_upgrade or headers.get("Sec-WebSocket-Version", "").strip() != "13":
        raise Malformed("bad_websocket", "This isn't a WebSocket handshake of version 13 (RFC 6455).")
    digest = base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()
    lines = header("Upgrade", "websocket") + header("Connection", "Upgrade") + header("Sec-WebSocket-Accept", digest)
    return lines if protocol is None else lines + header("Sec-WebSocket-Protocol", protocol)


def frame(kind: int, payload: bytes) -> bytes:
    """A whole message in one frame, as a server sends it: not masked (RFC 6455, 5.2)."""
    length = len(payload)
    if length <= _MAX_CONTROL_BYTES:
        return bytes((_FIN | kind, length)) + payload
    if length < 1 << 16:
        return bytes((_FIN | kind, 126)) + length.to_bytes(2, "big") + payload
    return bytes((_FIN | kind, 127)) + length.to_bytes(8, "big") + payload


def close_frame(code: int, reason: str) -> bytes:
    """The last frame. `reason` takes 123 bytes at most."""
    return frame(CLOSE, code.to_bytes(2, "big") + reason.encode())


class Incoming:
    """Takes bytes as they come and gives frames. What a message says is dropped, after its size has been checked."""

    __slots__ = ("_message_bytes", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._message_bytes: int | None = None  # of the fragments so far; None between messages

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete by now. Raises ProtocolError."""
        data = self._rest + data if self._rest else data
        at = 0
        while (end := self._end_of_frame(data, at)) is not None:
            kind = data[at] & _KIND
            yield Frame(kind, _unmasked(data, at, end) if kind >= CLOSE else b"")
            at = end
        self._rest = data[at:]

    def _end_of_frame(self, data: bytes, at: int) -> int | None:
        """Where the frame that begins here ends; None while it isn't all there. Checks what can be checked early."""
        if len(data) < at + 2:
            return None
        kind, length, head = data[at] & _KIND, data[at + 1] & _LENGTH, 6
        if data[at] & _RESERVED or kind not in _KINDS or not data[at + 1] & _MASKED:
            raise ProtocolError(PROTOCOL_ERROR, "bad frame")
        if length > _MAX_CONTROL_BYTES:
            head += 2 if length == 126 else 8
            if len(data) < at + head - 4:
                return None
            length = int.from_bytes(data[at + 2 : at + head - 4], "big")
        so_far = self._checked(kind, bool(data[at] & _FIN), length)
        if len(data) < at + head + length:
            return None
        if kind < CLOSE:
            self._message_bytes = None if data[at] & _FIN else so_far
        return at + head + length

    def _checked(self, kind: int, is_last: bool, length: int) -> int:
        """The bytes of the message with this frame."""
        if kind >= CLOSE:
            if length > _MAX_CONTROL_BYTES or not is_last:
                raise ProtocolError(PROTOCOL_ERROR, "bad control frame")
            return 0
        if (kind == CONTINUATION) != (self._message_bytes is not None):
            raise ProtocolError(PROTOCOL_ERROR, "bad fragment")
        so_far = length + (self._message_bytes or 0)
        if so_far > MAX_MESSAGE_BYTES:
            raise ProtocolError(TOO_BIG, "message too big")
        return so_far


def _unmasked(data: bytes, at: int, end: int) -> bytes:
    """What a control frame holds (RFC 6455, 5.3)."""
    mask, payload = data[at + 2 : at + 6], data[at + 6 : end]
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
