"""A request as it goes over the wire, byte for byte, and the answer as it comes back."""

import json
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import urlencode

TIMEOUT_S = 20.0

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
    """One request to a service on this machine. A body that isn't bytes goes as JSON; no redirect is followed."""
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
        return Answer(response.status, found, response.read())
    finally:
        connection.close()
