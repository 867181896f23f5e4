"""A request as it goes over the wire, byte for byte, and the answer as it comes back."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPConnection, HTTPResponse
from typing import Any, NamedTuple
from urllib.parse import urlencode

TIMEOUT_S = 20.0
EVENT_STREAM = "text/event-stream"

Query = Mapping[str, object] | Sequence[tuple[str, object]] | None


class Answer(NamedTuple):
    """Header names are in lower case; a header that came twice is there once, joined by commas."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0]

    def json(self) -> Any:
        """What it says; of an event stream, its first event."""
        if self.media_type == EVENT_STREAM:
            return json.loads(self.body.removeprefix(b"data: "))
        return json.loads(self.body)


def ask(
    port: int,
    method: str,
    path: str,
    *,
    query: Query = None,
    body: object = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request to a service on this machine. A body that isn't bytes goes as JSON; no redirect is followed.

    An event stream has no end, so its first event is read and then hung up.
    """
    sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    target = f"{path}?{urlencode(query)}" if query else path
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request(method, target, sent, dict(headers or {}))
        response = connection.getresponse()
        found: dict[str, str] = {}
        for name, value in response.getheaders():
            before = found.get(name.lower())
            found[name.lower()] = value if before is None else f"{before}, {value}"
        answer = Answer(response.status, found, b"")
        body = _first_event(response) if answer.media_type == EVENT_STREAM else response.read()
        return answer._replace(body=body)
    finally:
        connection.close()


@contextlib.contextmanager
def listening(port: int, path: str, headers: Mapping[str, str]) -> Iterator[None]:
    """Keeps an event stream open, of which it reads the first event only."""
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path, headers=dict(headers))
        with connection.getresponse() as response:  # which holds the socket
            assert _first_event(response) != b""
            yield
    finally:
        connection.close()


def _first_event(response: HTTPResponse) -> bytes:
    """Everything up to the first empty line. A stream that ends before, as that of HEAD, gives what there was."""
    text = b""
    while line := response.readline():
        text += line
        if line == b"\n":
            break
    return text
