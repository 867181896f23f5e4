"""The one kind of answer our services give: a small, whole body, written to the socket in one go."""

import time
from email.utils import formatdate
from http import HTTPStatus

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest

NO_STORE = "Cache-Control: no-store\r\n"  # on every answer about people and places

PHRASES = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",  # as RFC 9110 has them; Python's own depend on its version
    422: "Unprocessable Content",
}
_STATUS_LINES = {status: f"HTTP/1.1 {status} {phrase}\r\n" for status, phrase in PHRASES.items()}
_BODILESS = frozenset({204, 304})


class Answer(web.StreamResponse):
    """A response whose head and body leave in a single write.

    aiohttp's own Response goes through a case-insensitive multidict and four coroutines for each answer; ours are
    always complete when they are made, so they need neither (`make bench` shows what that gives).
    """

    def __init__(
        self,
        body: bytes = b"",
        *,
        status: int = 200,
        content_type: str = "application/json",
        headers: str = "",
    ) -> None:
        """`headers` are whole lines made by `header()`, each ended by CRLF."""
        # Not the base class's own: it makes a multidict for headers, which stand in `lines` here.
        self._status = status
        self.payload = body
        self.content_type_line = content_type
        self.lines = headers
        self.request_id = ""

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("The client has gone.")
        body = self.payload
        head = f"{_STATUS_LINES[self._status]}{self.lines}X-Request-Id: {self.request_id}\r\nDate: {_date()}\r\n"
        if not self._keep_alive:
            head += "Connection: close\r\n"
        elif request.version < HttpVersion11:
            head += "Connection: keep-alive\r\n"
        if self._status in _BODILESS:
            transport.write(f"{head}\r\n".encode("latin-1"))
        else:
            head += f"Content-Type: {self.content_type_line}\r\nContent-Length: {len(body)}\r\n\r\n"
            transport.write(head.encode("latin-1") + (b"" if request.method == "HEAD" else body))
        # A client that asks without reading waits here instead of filling our memory.
        await request.writer.drain()
        return None

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002 - aiohttp's signature
        self._eof_sent = True


class Opening(Answer):
    """The head of an answer that goes on for as long as its connection, which is then somebody else's.

    Whoever takes the connection over sends `head()`; aiohttp sends nothing.
    """

    def head(self) -> bytes:
        """What goes over the socket first."""
        lines = f"{self.lines}X-Request-Id: {self.request_id}\r\nDate: {_date()}\r\n"
        return f"{_STATUS_LINES[self._status]}{lines}\r\n".encode("latin-1")

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:  # noqa: ARG002 - aiohttp's signature
        return None


def header(name: str, value: str) -> str:
    """One header line. Raises ValueError for what would end the line early or can't be sent."""
    if not value.isascii() or not value.isprintable():
        raise ValueError(f"{name} can't carry {value!r}.")
    return f"{name}: {value}\r\n"


_date_second = 0
_date_text = ""


def _date() -> str:
    """The time as HTTP writes it (RFC 9110, 5.6.7), worked out once a second."""
    global _date_second, _date_text
    now = int(time.time())
    if now != _date_second:
        _date_second, _date_text = now, formatdate(now, usegmt=True)
    return _date_text
