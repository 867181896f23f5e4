"""How a stream's texts go over the socket: as WebSocket frames (RFC 6455) or as server-sent events (HTML standard)."""

from collections.abc import Callable
from typing import NamedTuple

_TEXT, _CLOSE, _PING = 0x81, 0x88, 0x89  # each the only frame of its message


class Framing(NamedTuple):
    """One way of sending. `text` and `close` make whole frames of a text, or of a close code and its reason.

    `is_two_way` says whether the listener answers beats and farewells.
    """

    text: Callable[[bytes], bytes]
    close: Callable[[int, str], bytes]
    beat: bytes
    is_two_way: bool


def _frame(opcode: int, payload: bytes) -> bytes:
    """A server's frame, which isn't masked (RFC 6455, 5.2)."""
    length = len(payload)
    if length < 126:
        return bytes((opcode, length)) + payload
    if length < 1 << 16:
        return bytes((opcode, 126)) + length.to_bytes(2, "big") + payload
    return bytes((opcode, 127)) + length.to_bytes(8, "big") + payload


def _websocket_text(text: bytes) -> bytes:
    return _frame(_TEXT, text)


def _websocket_close(code: int, reason: str) -> bytes:
    return _frame(_CLOSE, code.to_bytes(2, "big") + reason.encode())


def _server_sent_text(text: bytes) -> bytes:
    """JSON holds no line breaks, so it is one line of data."""
    return b"data: " + text + b"\n\n"


def _server_sent_close(code: int, reason: str) -> bytes:
    return f'event: close\ndata: {{"code":{code},"reason":"{reason}"}}\n\n'.encode()


WEBSOCKET = Framing(_websocket_text, _websocket_close, _frame(_PING, b""), True)
SERVER_SENT_EVENTS = Framing(_server_sent_text, _server_sent_close, b":\n\n", False)
