"""How a stream's texts go over the socket: as WebSocket frames or as server-sent events (HTML standard, 9.2)."""

from collections.abc import Callable
from typing import NamedTuple

from chassis.websocket import PING, TEXT, close_frame, frame


class Framing(NamedTuple):
    """One way of sending. `text` and `close` make whole frames of a text, or of a close code and its reason.

    `is_two_way` says whether the listener answers beats and farewells.
    """

    text: Callable[[bytes], bytes]
    close: Callable[[int, str], bytes]
    beat: bytes
    is_two_way: bool


def _websocket_text(text: bytes) -> bytes:
    return frame(TEXT, text)


def _server_sent_text(text: bytes) -> bytes:
    """JSON holds no line breaks, so it is one line of data."""
    return b"data: " + text + b"\n\n"


def _server_sent_close(code: int, reason: str) -> bytes:
    return f'event: close\ndata: {{"code":{code},"reason":"{reason}"}}\n\n'.encode()


WEBSOCKET = Framing(_websocket_text, close_frame, frame(PING, b""), True)
SERVER_SENT_EVENTS = Framing(_server_sent_text, _server_sent_close, b":\n\n", False)
